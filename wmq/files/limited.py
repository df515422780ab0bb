"""Read files that may be too large."""

from __future__ import annotations

import os


def read_limited(path: str | os.PathLike[str], largest: int) -> bytes:
    """Read a file, or one byte more than `largest` of it, for the caller to refuse.

    Raises OSError.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size  # `read` takes memory for all that it is asked for
        return file.read(min(size, largest) + 1)
