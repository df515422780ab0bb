"""Split games into training and validation by the fingerprint of their match.

A game goes by the fingerprint of its match, the same on every machine and in every dataset;
the games with the lowest fingerprints are for validation.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from wmq.dataset.store import BUSY, SPLITS, Dataset, GameInfo, write_index
from wmq.errors import WmqError
from wmq.files.folder_lock import folder_lock

VAL_SHARE = 0.05  # of the games


def split_of(fingerprint: str, val_share: float = VAL_SHARE) -> str:
    """Return the split of a game by its fingerprint alone, whatever other games there are."""
    return "val" if int(fingerprint[:8], 16) < val_share * 2**32 else "train"


def check_share(val_share: float) -> None:
    """Check that a share lies in [0, 1].  Raises WmqError, also for NaN."""
    if not 0 <= val_share <= 1:
        raise WmqError(f"--val-share {val_share:g}: give a number from 0 to 1")


def games_of_split(games: Sequence[GameInfo]) -> dict[str, int]:
    """Count the games of each split."""
    splits = [info.split for info in games]
    return {split: splits.count(split) for split in SPLITS}


def empty_split(games: Sequence[GameInfo], root: Path | str) -> str:
    """Return a warning if a split has no game, with the way out, or ""."""
    empty = [split for split, count in games_of_split(games).items() if not count]
    if not empty or not games:
        return ""
    if len(games) == 1:
        return f"{root}: no game in {empty[0]}; later steps need both splits: add more replays"
    again = f"wmq dataset split {shlex.quote(os.fspath(root))} --val-share 0.1"
    return (
        f"{root}: no game in {empty[0]}; later steps need both splits: add games with "
        f"`wmq prepare --split {empty[0]}`, or `{again}`"
    )


def split_again(
    root: Path, val_share: float, warn: Callable[[str], None] = lambda text: None
) -> tuple[Dataset, int]:
    """Put a share of the games into val and all others into train, whatever they were in.

    The share is exact but for rounding, with a game at least in each split; 0 and 1 empty one.
    Only the index is written, so an interruption leaves the old splits or the new ones.
    Returns the dataset and the number of games that moved.  Raises WmqError.
    """
    check_share(val_share)
    Dataset.open(root)  # says what is wrong with the folder before it is locked
    with folder_lock(root, BUSY, warn):
        dataset = Dataset.open(root)
        chosen = _lowest(dataset.games, val_share)
        games = tuple(
            replace(info, split="val" if info.sha256 in chosen else "train")
            for info in dataset.games
        )
        moved = sum(new != old for new, old in zip(games, dataset.games, strict=True))
        if moved:
            write_index(root, list(games), list(dataset.rejected), dataset.copies)
    return replace(dataset, games=games), moved


def _lowest(games: Sequence[GameInfo], share: float) -> set[str]:
    """Return the sha256 of the games with the lowest fingerprints."""
    count = round(share * len(games))
    if 0 < share < 1 and len(games) > 1:
        count = min(max(count, 1), len(games) - 1)
    order = sorted(games, key=lambda info: (info.fingerprint, info.sha256))
    return {info.sha256 for info in order[:count]}
