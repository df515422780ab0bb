"""Handle standard streams that a caller closed or that accept no more output."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed() -> None:
    """Put the null device in the place of each standard stream that is closed (`2>&-`).

    Otherwise the next file that is opened gets that number, and what a library writes on its
    standard error goes into it.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free: `number`
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test puts in its place
            stream.reconfigure(errors="backslashreplace")  # names of files hold any bytes


def say(line: str) -> None:
    """Print a line on stderr, with file names of any bytes; nothing if stderr is closed."""
    try:
        sys.stderr.write("".join(c if c.isprintable() else "?" for c in line) + "\n")
        sys.stderr.flush()
    except OSError:
        drop("stderr")


def drop(name: str) -> None:
    """Send a stream's buffer nowhere, so that Python does not write it again when it ends."""
    stream = getattr(sys, name)
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()
