"""The command `wmq`: one module a command, imported when it is called.

Here every exception that a user may meet becomes one line on stderr and an exit code: 2
for what the user can mend, 130 for Ctrl-C.  Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from calib.errors import CalibrationError
from wmq.errors import WmqError
from wmq_kernels.errors import ProgramError

# Command -> its module, in the order of a newcomer's way.
COMMANDS = {
    name: f"wmq.cli.{name}"
    for name in (
        "prepare", "train", "export", "calibrate", "recipes", "rollout", "evaluate", "drift",
        "sensitivity", "report", "verify", "info", "conformance", "bench",
    )
}  # fmt: skip
# Command -> the extras with all that it always imports.
COMMAND_EXTRAS = {
    "prepare": "replays",
    "train": "train",
    "export": "train,quantize",
    "calibrate": "quantize",
    "evaluate": "quantize",
    "drift": "train,quantize",
    "sensitivity": "quantize",
    "report": "quantize,report",
    "bench": "train,quantize,report",
}
# Module -> the extras that bring it, the plainest first.
MODULE_EXTRAS = {
    "torch": ("train",),
    "onnx": ("quantize",),
    "onnxruntime": ("quantize",),
    "pyarrow": ("replays", "quantize", "train"),
    "peppi_py": ("replays",),
    "matplotlib": ("report",),
}


class Commands(click.Group):
    """A group that imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(COMMANDS[cmd_name]), cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk shows here, not when Python ends
            return result
        except (WmqError, CalibrationError, ProgramError) as error:
            _end(str(error))
        except KeyboardInterrupt:
            _end("interrupted", 130)
        except MemoryError:
            _end("out of memory; close other programs, or work on less at once")
        except ImportError as error:
            if (error.name or "").split(".")[0] not in MODULE_EXTRAS:
                raise
            _end(_missing(ctx.invoked_subcommand or "", error.name or ""))
        except OSError as error:
            if error.errno == errno.EPIPE:
                _leave_pipe()
            _end(_describe(error))


def _missing(command: str, module: str) -> str:
    """The command's extras if they bring the module, which an option may want beyond them."""
    module = module.split(".")[0]
    extras, bringing = COMMAND_EXTRAS.get(command, ""), MODULE_EXTRAS[module]
    if not set(extras.split(",")) & set(bringing):
        extras = bringing[0]
    return f"wmq {command} needs {module}: pip install 'wmq[{extras}]'"


def _describe(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    what = error.strerror or str(error) or type(error).__name__
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{where}{what}" + ("; free some space and run it again" if full else "")


def _end(message: str, code: int = 2) -> NoReturn:
    """Leave with one line, whatever the message holds: file names may hold anything."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    with contextlib.suppress(OSError):
        click.echo(f"wmq: {line}", err=True)
    _forget_output()
    sys.exit(code)


def _leave_pipe() -> NoReturn:
    """The reader of our output went away, as `head` does: nothing to say."""
    _forget_output()
    sys.exit(128 + 13)  # as SIGPIPE


def _forget_output() -> None:
    """Keep Python from writing its buffer again, and complaining, when it ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


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
    """Turn a trained game world model into an integer program with the same rollout everywhere.

    The way: prepare, train, export, calibrate; then rollout, evaluate, drift, report, verify.
    """
