"""`wmq completion`: print the script that completes commands, options, names and files."""

from __future__ import annotations

import click

EPILOG = """\b
Examples, which enable it in every new shell:
  echo 'eval "$(wmq completion bash)"' >> ~/.bashrc
  echo 'eval "$(wmq completion zsh)"' >> ~/.zshrc
  wmq completion fish > ~/.config/fish/completions/wmq.fish"""
VARIABLE = "_WMQ_COMPLETE"  # which click looks at when a shell asks


@click.command(name="completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes wmq in a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # click brings all three
    click.echo(found(context.find_root().command, {}, "wmq", VARIABLE).source())
