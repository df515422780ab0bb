"""Find the user's cache folder, the system's usual place for what may be made again.

What numba keeps there is pickled code: to load it is to run it.  So it goes into a folder
that no other user owns or can write to.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """wmq's own folder in it, which need not exist: $XDG_CACHE_HOME/wmq or ~/.cache/wmq,
    and what Windows and macOS have instead.

    As the XDG specification asks, a relative XDG_CACHE_HOME is ignored.
    Raises RuntimeError if there is no home folder.
    """
    if sys.platform == "darwin":
        return _home() / "Library/Caches/wmq"
    windows = sys.platform == "win32"
    named = os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "wmq"
    return _home() / ("AppData/Local/wmq" if windows else ".cache/wmq")


def _home() -> Path:
    home = Path.home()
    if not home.is_absolute() or not home.is_dir():
        raise RuntimeError(f"the home folder {home} does not exist")
    return home


def kernel_folder(name: str) -> Path:
    """A folder of that name for this user alone, in NUMBA_CACHE_DIR or the user's cache.

    Raises OSError or RuntimeError, which says why there is none.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    place = ((Path(named) if named else user_cache()) / name).resolve()
    _check_trusted(place)
    for folder in (*reversed(place.parents), place):
        folder.mkdir(mode=0o700, exist_ok=True)
    _check_trusted(place)
    with tempfile.TemporaryFile(dir=place):
        return place


def _check_trusted(place: Path) -> None:
    """Raises PermissionError if another user could put files into `place`, there or not."""
    if not hasattr(os, "geteuid"):
        return
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    found = nearest.stat()
    owners = {os.geteuid()} if nearest == place else {os.geteuid(), 0}
    if found.st_uid not in owners:
        raise PermissionError(f"{nearest} belongs to another user")
    if nearest == place and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"other users can write to {place}")
    for folder in (nearest, *nearest.parents):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PermissionError(f"other users can write to {folder}")
