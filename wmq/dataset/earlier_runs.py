"""The folder of a dataset, held by one run at a time, and what earlier runs left in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wmq.dataset.store import (
    BUSY,
    DamagedShardError,
    DatasetError,
    GameInfo,
    Rejection,
    read_index,
    read_info,
    read_rejection,
    write_index,
)
from wmq.files.atomic import cannot_write
from wmq.files.folder_lock import folder_lock
from wmq.replays.find import Warn


@contextmanager
def locked_dataset(root: Path, warn: Warn) -> Iterator[None]:
    """Make the folder ready and hold it, one run at a time.  Raises DatasetError."""
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root}: is a file; give a folder with -o")
    if read_index(root) is None and root.is_dir() and any(root.iterdir()):
        raise DatasetError(f"{root}: holds other files; give a new folder with -o")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from None
    with folder_lock(root, BUSY, warn):
        _tidy(root)
        if read_index(root) is None:  # so that an interrupted run leaves a dataset, if an empty one
            write_index(root, [], [])
        yield


def _tidy(root: Path) -> None:
    """Remove what a killed run left half written, and make the folders."""
    try:
        for left_over in root.glob("**/.*.tmp"):
            left_over.unlink(missing_ok=True)
        for name in ("games", "rejected"):
            (root / name).mkdir(exist_ok=True)
            if not os.access(root / name, os.W_OK):  # before hours of reading
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(root, error) from None


def shard_paths(root: Path) -> list[Path]:
    """List the games that are read, in the dataset or not yet.  Raises DatasetError."""
    return _paths(root / "games", ".arrow")


def _paths(folder: Path, suffix: str) -> list[Path]:
    """List a folder of the dataset.  Raises DatasetError: to see none would empty the index."""
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(suffix)]
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be read ({error.strerror}); see that the dataset is still there "
            "and run the same command again"
        ) from None


def earlier_results(root: Path, seconds: float) -> tuple[dict[str, GameInfo], dict[str, Rejection]]:
    """Read what earlier runs found, by sha256; damaged files count as not there and are redone.

    A file that took too long is tried again if it may take longer this time.  Raises
    DatasetError for a shard that may be whole, but cannot be read now.
    """
    infos, rejections = {}, {}
    for path in shard_paths(root):
        with suppress(DamagedShardError):
            info = read_info(path)
            if info.sha256 == path.stem:
                infos[path.stem] = info
    for path in _paths(root / "rejected", ".json"):
        rejection = read_rejection(path)
        if rejection and path.stem not in infos and not 0 < rejection.seconds < seconds:
            rejections[path.stem] = rejection
    return infos, rejections
