"""Resume a long command: record its command line, and say on Ctrl-C how to go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.core import ParameterSource

from wmq.cli.streams import say
from wmq.files.names import printable

RESUME = "to resume, run the same command again"


def command_line() -> str:
    """What was typed, with the name of a file or folder in place of its path."""
    context = click.get_current_context()
    words = ["wmq", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        found = context.params[name]
        for value in found if parameter.multiple or parameter.nargs == -1 else [found]:
            if isinstance(parameter, click.Option):
                words.append(parameter.opts[0])
            if value is not True:
                words.append(_shown(str(value)))
    return shlex.join(words)


@contextmanager
def resumable(hint: str = RESUME) -> Iterator[None]:
    """Ctrl-C inside ends the command with one line that says how to resume, and 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"wmq: interrupted; {hint}")
        raise SystemExit(130) from None


def _shown(value: str) -> str:
    """Return a path by its name alone; what is no path, such as the name of a row, as it is."""
    folder, slash, name = value.rpartition("/")
    return printable(name if slash and os.path.isdir(folder or "/") else value)
