"""What two players do in a world of version 2: hits, deaths, and what lies between them.

A course (n, frame_size) comes in, the frame before a world and then its frames; sums leave, as
in `wmq.drift.statistics`.  A hit is a frame on which a player's percent rises, a death one on
which one of DEATHS begins.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from wmq.game.schema import ACTIONS, FRAMES_PER_SECOND, Q16, Schema
from wmq.game.targets import drawn_classes
from wmq.game.transitions import seen_transitions

MINUTE = 60 * FRAMES_PER_SECOND  # frames
DEATHS = (0, 1, 2, 4, 6, 7)  # the fates of the blast zones, and what else a death above may be
LEDGE = (252, 263)  # catching a ledge, hanging there, and leaving it
# Damage; down and getting up, in which one is hit again; captured; thrown.
STRUCK = ((75, 91), (183, 199), (223, 232), (239, 244))
SIZES = 400  # bins of a tenth of a percent, for the median
DOUBLINGS = 16  # bins of 1, 2 and 3, 4 to 7, .. frames
PERCENT_STEP, PERCENT_BINS = 20, 50

Sums = dict[str, np.ndarray]


def play_sums(schema: Schema, course: np.ndarray) -> Sums:
    """Return what is counted of hits, deaths and places; histograms as in `play_counts`."""
    minutes, player_frames = (len(course) - 1) / MINUTE, 2.0 * (len(course) - 1)
    action, x, y, hitlag = (_both(schema, course, f) for f in ("action", "x", "y", "hitlag"))
    rises = _rises(schema, course)
    hit = rises > 0
    struck = np.any([(first <= action) & (action <= last) for first, last in STRUCK], axis=0)
    phantom = hit & ~struck[1:] & (hitlag[1:] == 0)
    apart = np.hypot(*(np.diff(axis[1:], axis=1) / Q16 for axis in (x, y)))
    sizes = np.minimum((rises[hit] * 10 + Q16 // 2) // Q16, SIZES - 1)
    found = {
        "hits": [hit.sum(), minutes],
        "median hit": np.bincount(sizes, minlength=SIZES),
        "phantom hits": [phantom.sum(), hit.sum()],
        "at a ledge": [_within(action[1:], *LEDGE).sum(), player_frames],
        "apart": [apart.sum(), len(course) - 1],
    }
    summed = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    return summed | play_counts(schema, course)


def play_counts(schema: Schema, course: np.ndarray) -> Sums:
    """Return histograms that are compared as a whole, float64.

    action pairs    changes of action, by `pair_bins`
    hit sizes       by the nearest of the rules' rises
    between hits    frames from one hit, of either player, to the next; bins double
    between deaths  the same of deaths
    death percent   of who dies, in steps of 20 %
    """
    assert schema.rules is not None  # version 2
    action, percent = (_both(schema, course, name) for name in ("action", "percent"))
    before, after = action[:-1], action[1:]
    changed = before != after
    pairs = pair_bins()
    drawn = drawn_classes(schema, course[:-1], course[1:]).classes
    sizes = drawn[:, [k for k, draw in enumerate(schema.draws) if draw.field == "percent"]]
    died = np.isin(after, DEATHS) & ~np.isin(before, DEATHS)
    at_death = np.minimum(percent[1:][died] // (PERCENT_STEP * Q16), PERCENT_BINS - 1)
    found = {
        "action pairs": np.bincount(pairs[before[changed], after[changed]],
                                    minlength=int(pairs.max()) + 1),
        "hit sizes": np.bincount(sizes.ravel(), minlength=len(schema.rules.rises))[1:],
        "between hits": times_between(_rises(schema, course) > 0),
        "between deaths": times_between(died),
        "death percent": np.bincount(at_death, minlength=PERCENT_BINS),
    }  # fmt: skip
    return {name: counts.astype(np.float64) for name, counts in found.items()}


@cache
def pair_bins() -> np.ndarray:
    """Give the bin of each change of action, int64 (544, 544).

    One for each change that the training games have shown; all others share the last.
    """
    seen = seen_transitions() & ~np.eye(ACTIONS, dtype=bool)
    bins = np.full(seen.shape, seen.sum())
    bins[seen] = np.arange(seen.sum())
    return bins


def times_between(events: np.ndarray) -> np.ndarray:
    """Count the frames from each event to the next, by powers of two, (16,).

    events  bool (n, players): those of all players together
    """
    doublings = np.frexp(np.diff(np.flatnonzero(events.any(axis=1))))[1] - 1
    return np.bincount(np.minimum(doublings, DOUBLINGS - 1), minlength=DOUBLINGS)


def _both(schema: Schema, course: np.ndarray, name: str) -> np.ndarray:
    """A field of both players, (n, 2) int64."""
    return course[:, [schema.index(name, player) for player in (0, 1)]].astype(np.int64)


def _rises(schema: Schema, course: np.ndarray) -> np.ndarray:
    """What percent rises by into each frame but the first, (n - 1, 2) Q15.16."""
    return np.maximum(np.diff(_both(schema, course, "percent"), axis=0), 0)


def _within(action: np.ndarray, first: int, last: int) -> np.ndarray:
    return (first <= action) & (action <= last)
