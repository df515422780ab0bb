"""Which recording of a match a dataset keeps: one of a finished run, else the longest."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

from wmq.dataset.store import Dataset, GameInfo
from wmq.replays.fingerprint import one_of_each


def readable_copies(dataset: Dataset, readable: Container[str]) -> dict[str, str]:
    """Select the copies whose game can still be read: sha256 -> fingerprint of the match."""
    matches = {info.fingerprint for info in dataset.games if info.sha256 in readable}
    return {s: match for s, match in dataset.copies.items() if match in matches}


def keep_one_of_each(
    before: Dataset,
    infos: dict[str, GameInfo],
    given: Container[str],
    wanted: Callable[[str], str],
) -> Dataset:
    """Add the games of this run to a dataset, one recording of each match.

    before  the dataset of earlier finished runs
    infos   facts of all shards that can be read, by sha256
    given   the sha256 of this run's files
    wanted  the split of a new game, by the fingerprint of its match
    """
    splits = {info.sha256: info.split for info in before.games if info.sha256 in infos}
    stay = {infos[s].fingerprint: s for s in splits}
    found = ((s, i.fingerprint, i.frames) for s, i in infos.items() if s in given)
    kept, others = one_of_each(stay, found)
    games = [replace(infos[s], split=splits.get(s) or wanted(match)) for match, s in kept.items()]
    after = replace(before, games=tuple(sorted(games, key=lambda info: info.sha256)))
    earlier = {
        s: match for s, match in readable_copies(after, kept.values()).items() if kept[match] != s
    }
    return replace(after, copies=earlier | others)
