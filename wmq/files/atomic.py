"""Write files whole or not at all: beside their place, flushed, then renamed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from wmq.errors import WmqError


class FileError(WmqError):
    """A file that cannot be read or written."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, flush to the disk, rename.  Raises FileError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):  # where writing fails, this may fail as well
            beside.unlink()
        raise cannot_write(path, error) from None
    except KeyboardInterrupt:
        beside.unlink(missing_ok=True)
        raise


def cannot_write(path: Path, error: OSError) -> FileError:
    """Return the error to raise when a file or folder cannot be written, with a way out."""
    ways_out = {
        errno.ENOSPC: "free some space and run the same command again",
        errno.EDQUOT: "free some space and run the same command again",
        errno.ENOENT: "see that its folder is still there and run the same command again",
    }
    way_out = ways_out.get(error.errno or 0, "make it writable or choose another place")
    return FileError(f"{path}: cannot be written ({error.strerror}); {way_out}")
