"""Distributions of worlds for people: shares of events by their size, in few bins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wmq.drift.play import DOUBLINGS, PERCENT_BINS, PERCENT_STEP, Sums
from wmq.evaluation.results import WorldHistogram
from wmq.game.schema import Q16, Schema

SIZE_STEP, SIZE_BINS = 2, 20  # %, of hits


def histograms(schema: Schema, tracks: Mapping[str, Mapping[str, Sums]]) -> list[WorldHistogram]:
    """Return those of numbers, of each kind of play; tracks: controllers -> track -> sums."""
    assert schema.rules is not None  # version 2
    sizes = np.array(schema.rules.rises[1:]) // (SIZE_STEP * Q16)
    by_size = np.minimum(sizes, SIZE_BINS - 1)[:, None] == np.arange(SIZE_BINS)
    doublings = [float(k) for k in range(DOUBLINGS)]
    shown = [
        ("hit sizes", "%", [float(k * SIZE_STEP) for k in range(SIZE_BINS)], by_size),
        ("between hits", "doublings of a frame", doublings, np.eye(DOUBLINGS)),
        ("between deaths", "doublings of a frame", doublings, np.eye(DOUBLINGS)),
        ("death percent", "%", [float(k * PERCENT_STEP) for k in range(PERCENT_BINS)],
         np.eye(PERCENT_BINS)),
    ]  # fmt: skip
    return [
        WorldHistogram(name, unit, controllers, at, {
            track: _shares(sums[name].sum(axis=0) @ bins) for track, sums in own.items()
        })
        for controllers, own in tracks.items() for name, unit, at, bins in shown
    ]  # fmt: skip


def _shares(counts: np.ndarray) -> list[float]:
    """In percent; nothing but 0 where nothing was counted."""
    return (100 * counts / max(counts.sum(), 1)).tolist()
