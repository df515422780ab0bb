"""Where a file will be written, looked at before the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from wmq.errors import WmqError


def checked_place(name: str | os.PathLike[str], option: str, suffixes: Sequence[str]) -> Path:
    """The path of a file that can be written, whether or not there is one yet.

    option    what the user gave it with, as "-o"
    suffixes  one of which the name has to end in, small letters here
    Raises WmqError.
    """
    path = Path(name)
    folder = path.absolute().parent
    wrong = None
    if path.is_dir():
        wrong = "is a folder; name a file in it"
    elif path.suffix.lower() not in suffixes:
        wrong = f"unknown form; end the name with {' or '.join(suffixes)}"
    elif not folder.is_dir():
        wrong = "its folder does not exist; make it or choose another"
    elif not os.access(folder, os.W_OK):
        wrong = "its folder cannot be written; choose another"
    if wrong:
        raise WmqError(f"{option} {path}: {wrong}")
    return path
