"""Check what a caller gives: whole numbers, names, paths.

Anything comes in; the value leaves in the type that the code behind works with, or a WmqError
names it and the way out.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from wmq.errors import WmqError
from wmq.files.names import printable

FilePath = str | os.PathLike[str]


def whole(name: str, value: Any, lo: int, hi: int) -> int:
    """Check a whole number in lo..hi.  Raises WmqError that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not lo <= value <= hi:
        raise WmqError(f"{name} is {value!r}; give a whole number in {lo}..{hi}")
    return int(value)


def one_of(name: str, value: Any, known: Collection[str]) -> str:
    """Check that a text is one of those known.  Raises WmqError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise WmqError(f"{name} {value!r}: unknown; choose from {', '.join(known)}")
    return value


def file_path(name: str, value: Any) -> Path:
    """Check a path that some file could have, whether or not one is there.  Raises WmqError."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise WmqError(f"{name} is {value!r}; give a path, as a str or a pathlib.Path")
    if not os.fspath(value):
        raise WmqError(f"{name} is an empty path; name a file")
    path = Path(value)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # what reads or writes the file says what it needs
    except (OSError, ValueError) as error:  # too long, forbidden, or with a null character
        shown = printable(str(path)[:60].replace("\0", "\\0"))
        reason = error.strerror if isinstance(error, OSError) else error
        raise WmqError(f"{name} {shown}: no usable path ({reason}); give another") from None
    return path
