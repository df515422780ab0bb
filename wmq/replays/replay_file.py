"""Read a replay file once and hold its bytes: what is hashed is what is parsed.

A path comes in; a SHA-256 leaves, and with `held_copy` a private file of the same bytes,
whose name is plain ASCII and which nobody else can change or take away.  A fault of the place
(a lost disk, a missing right) leaves as an `UnreadableError`, which says nothing about the
content.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO

from wmq.errors import WmqError
from wmq.files.names import printable

LARGEST_REPLAY = 512 << 20  # bytes: two hours of play
CHUNK = 1 << 20  # bytes


class ReplayError(WmqError):
    """A replay that cannot be used; `reason` is the message without the file's name."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.reason = reason


class UnreadableError(ReplayError):
    """A file that cannot be read now; its content may be a good game."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hash a regular file, hex SHA-256.  Raises UnreadableError."""
    sha256 = hashlib.sha256()
    for chunk in _chunks(path):
        sha256.update(chunk)
    return sha256.hexdigest()


def held_copy(path: str | os.PathLike[str]) -> tuple[BinaryIO, str]:
    """Copy the bytes to a private file, which the caller closes, and hash them, hex SHA-256.

    It has no name in any folder, so that nothing is left behind if the process is killed:
    it is opened as `held_name`.  Raises UnreadableError.
    """
    sha256 = hashlib.sha256()
    with ExitStack() as until_whole:
        try:
            copy = until_whole.enter_context(_nameless_file())
            for chunk in _chunks(path):
                sha256.update(chunk)
                copy.write(chunk)
            copy.seek(0)  # and flush; where /dev/fd shares the position, reading starts here
        except OSError as error:
            raise UnreadableError(path, f"cannot be copied: {error.strerror}") from None
        until_whole.pop_all()
    return copy, sha256.hexdigest()


def held_name(copy: BinaryIO) -> str:
    """Return the name under which this process can open its private file once more."""
    return f"/dev/fd/{copy.fileno()}"


def _nameless_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # a sandbox may forbid it
            return open(os.memfd_create("replay"), "w+b")
    return tempfile.TemporaryFile()


def _chunks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Never opens a pipe or a device, which could wait for ever or do something."""
    try:
        _check(path, os.stat(path))
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb", buffering=0) as file:
            _check(path, os.fstat(handle))  # it may have been replaced since
            size = 0
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > LARGEST_REPLAY:
                    raise _too_large(path)
                yield chunk
    except FileNotFoundError:
        raise UnreadableError(path, broken_link(path) or "not there") from None
    except OSError as error:
        raise UnreadableError(path, f"cannot be read: {error.strerror}") from None


def broken_link(path: str | os.PathLike[str]) -> str:
    """Say what is wrong with a link that leads nowhere; "" for anything else."""
    if os.path.exists(path) or not os.path.islink(path):
        return ""
    return f"a link to {printable(os.readlink(path))}, which is not there"


def _check(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(path, "not a regular file")
    if status.st_size > LARGEST_REPLAY:
        raise _too_large(path)


def _too_large(path: str | os.PathLike[str]) -> UnreadableError:
    return UnreadableError(path, f"larger than {LARGEST_REPLAY >> 20} MB")
