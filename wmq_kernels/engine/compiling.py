"""Compiled functions, and where numba keeps them from one process to the next.

numba takes a kept function for fresh while the file that it stands in is unchanged, which
is not enough here: kernels take constants and intrinsics from other files.  So they are
kept in a folder of the user's cache whose name is a hash over all files of this package,
the versions of numba and llvmlite and the settings that numba leaves out of its own key;
the processor, its features and the types of arguments are in that key.  numba writes
beside and renames, so that two processes may fill the folder at once.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core import config

# _nrt: arrays are borrowed from Python, and nothing is allocated, so that numba's counting
# of references, which costs more than most instructions, is left out.
OPTIONS = {"nogil": True, "boundscheck": False, "_nrt": False}


@cache
def folder() -> Path | None:
    """Where compiled functions are kept; None if nothing can be written there.

    NUMBA_CACHE_DIR, XDG_CACHE_HOME or the system's usual place; made if it is missing.
    """
    place = _user_cache() / f"kernels-{_key()[:16]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError:
        return None


def _user_cache() -> Path:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "wmq"


def _key() -> str:
    versions = (numba.__version__, llvmlite.__version__, sys.version, str(config.OPT),
                str(config.BOUNDSCHECK))  # fmt: skip
    found = hashlib.sha256("\0".join(versions).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


@contextmanager
def _kept_in(place: Path | None) -> Iterator[None]:
    before = config.CACHE_DIR
    config.CACHE_DIR = str(place or "")
    try:
        yield
    finally:
        config.CACHE_DIR = before


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call, for each set of types, or found in `folder()`."""
    place = folder()
    with _kept_in(place):
        return njit(cache=place is not None, **OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A function that numba merges into each of its callers."""
    return njit(inline="always", **OPTIONS)(function)
