"""Run the command `wmq`: one module per command, imported when it is called.

Here every exception that a user may meet becomes one line on stderr and an exit code: 2
for what the user can mend, 130 for Ctrl-C.  Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import sys
from functools import cache, wraps
from importlib import import_module
from traceback import walk_tb
from typing import Any, NoReturn

import click

from wmq.cli.options import CommandGroup, verbose_option
from wmq.cli.preconditions import check_needs
from wmq.cli.progress import LOG, be_verbose
from wmq.cli.streams import drop, open_closed, say
from wmq.errors import WmqError
from wmq.extras import EXTRAS, pip_command

# Command -> its module, in the order of a newcomer's way.
COMMANDS = {
    name: f"wmq.cli.{name}"
    for name in (
        "prepare", "dataset", "train", "export", "calibrate", "recipes", "rollout", "evaluate",
        "drift", "sensitivity", "report", "verify", "info", "conformance", "bench", "completion",
    )
}  # fmt: skip


class Commands(CommandGroup):
    """A group that imports a command's module when it is asked for."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_closed()
        be_verbose(0)
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        _equip(command, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a full disk shows here, not when Python ends
            return result
        except WmqError as error:
            _end(str(error))
        except KeyboardInterrupt:
            _end("interrupted", 130)
        except MemoryError:
            _end("out of memory; close other programs, or work on less at once")
        except ImportError as error:
            module = (error.name or "").split(".")[0]
            if module not in EXTRAS:
                raise
            _end(f"wmq {ctx.invoked_subcommand} needs {module}: {pip_command([module])}")
        except OSError as error:
            if error.errno == errno.EPIPE:
                _leave_pipe()
            _end(_describe(error))


@cache
def _equip(command: click.Command, name: str) -> None:
    """Give a command and those below it what all have: --verbose, and looks before the work."""
    for below, one in getattr(command, "commands", {}).items():
        _equip(one, f"{name} {below}")
    if isinstance(command, click.Group) or command.callback is None:
        return
    work = command.callback

    @wraps(work)
    def checked(**parameters: Any) -> Any:
        check_needs(name, parameters)
        return work(**parameters)

    command.callback = checked
    command.params.append(verbose_option())


def _describe(error: OSError) -> str:
    place = error.filename or ("standard output" if _is_of_printing(error) else None)
    where = f"{place}: " if place is not None else ""
    what = error.strerror or str(error) or type(error).__name__
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{where}{what}" + ("; free some space and run it again" if full else "")


def _is_of_printing(error: OSError) -> bool:
    """Tell whether it came from click.echo, or from the flush after a command, one frame away."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return len(frames) == 1 or any(frame.f_code is click.echo.__code__ for frame in frames)


def _end(message: str, code: int = 2) -> NoReturn:
    """Leave with one line, whatever the message holds: file names may hold anything."""
    LOG.debug("where it was found", exc_info=True)
    say(f"wmq: {' '.join(message.split())}")
    drop("stdout")
    sys.exit(code)


def _leave_pipe() -> NoReturn:
    """Tell whether the reader of our output went away, as `head` does."""
    drop("stdout")
    sys.exit(128 + 13)  # as SIGPIPE


def _show_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("wmq")
    except PackageNotFoundError:
        number = "of a source folder, not installed"
    click.echo(f"wmq {number}")
    ctx.exit()


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The embedded model, without any data: wmq rollout --int8 --frames 3600",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Turn a trained game world model into an integer program that plays the same everywhere.

    From replays to a program: prepare, train, export, calibrate.  Then rollout, evaluate, drift,
    report, verify.
    """
