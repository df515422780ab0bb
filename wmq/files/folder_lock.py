"""Lock a folder for one process; the lock ends with the process, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wmq.errors import WmqError


@contextmanager
def folder_lock(folder: Path, busy: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of an existing folder.

    busy  what to say if another process holds it
    warn  called once where the file system or the operating system has no such locks; the
          work then goes on without one
    Raises WmqError.
    """
    handle = -1
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise WmqError(f"{folder}: {busy}") from None
    except (ImportError, OSError):
        warn(f"{folder}: cannot be locked here; run one command at a time in it")
    try:
        yield
    finally:
        if handle >= 0:
            os.close(handle)
