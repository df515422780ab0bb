"""What is counted in a world: play as a whole, and what the real game never shows.

A world's frames become a few sums (`world_sums`), which add up over worlds; a `Measure`
turns sums into a figure, of all worlds or of those of a draw.  A world counts until a
player is out of stocks: there a real game ends, and has no further frames to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wmq.drift.play import MINUTE, Sums, play_sums
from wmq.game.schema import BLAST_ZONES, FRAMES_PER_SECOND, Q16, Schema
from wmq.rollout.summary import RULES, impossible_events

FROZEN_AFTER = 5 * FRAMES_PER_SECOND  # frames; the longest standstill in 674 real games is 280
ESCAPED_AFTER = FRAMES_PER_SECOND  # frames outside of the blast zones
AWAY = ((0, 13), (322, 324))  # dead, born again, and entry
# The highest place of a living player in 674 games, game units: the top of a blast zone ends
# only the stock of who was hit.
HIGHEST = {2: 221, 3: 217, 8: 187, 28: 267, 31: 280, 32: 206}

# Histograms of version 2 that are compared as a whole, besides that of actions.
DISTRIBUTIONS = ("action pairs", "hit sizes", "between hits", "between deaths", "death percent")


def actions_of(schema: Schema) -> int:
    """How many actions a schema tells apart: 400, in version 2 544."""
    return schema.fields[schema.index("action")].hi + 1


def living_zone(stage: int) -> np.ndarray:
    """Q15.16 left, right, bottom, top of where a player may be alive; everywhere on a stage
    without an entry."""
    if stage not in BLAST_ZONES:
        return np.array((-500, 500, -500, 500)) * Q16
    return np.array((*BLAST_ZONES[stage][:3], HIGHEST[stage])) * Q16


def world_sums(schema: Schema, start: np.ndarray, frames: np.ndarray) -> Sums:
    """Return the sums of one world: start (frame_size,) is the frame before frames (n, frame_size).

    Each is [events, of so many minutes, player-frames or worlds], but for "actions" (400,) and
    the histograms of `wmq.drift.play`, which worlds of version 2 have too.
    """
    course = played(schema, np.concatenate([start[None], frames]))
    minutes = (len(course) - 1) / MINUTE
    player_frames = 2.0 * (len(course) - 1)

    def column(name: str) -> np.ndarray:
        """(n, 2) of both players."""
        return course[:, [schema.index(name, p) for p in (0, 1)]].astype(np.int64)

    outside = np.stack([is_outside(schema, course, player) for player in (0, 1)], axis=1)
    events = dict.fromkeys(RULES, 0)
    for player in (0, 1):
        for rule, broken in impossible_events(schema, course, player):
            events[rule] += int(broken.sum())
    events["outside"] = int((outside[1:] & ~outside[:-1]).sum())
    escaped = max(longest_run(outside[:, player]) for player in (0, 1)) >= ESCAPED_AFTER
    over = len(course) - 1 < len(frames) or bool((column("stocks")[-1] == 0).any())
    found = {
        "damage": [np.maximum(np.diff(column("percent"), axis=0), 0).sum() / Q16, minutes],
        "stocks lost": [np.maximum(-np.diff(column("stocks"), axis=0), 0).sum(), minutes],
        "airborne": [(column("on_ground")[1:] == 0).sum(), player_frames],
        "actions": np.bincount(column("action")[1:].ravel(), minlength=actions_of(schema)),
        "impossible": [sum(events.values()), minutes],
        **{f"impossible: {rule}": [count, minutes] for rule, count in events.items()},
        "frozen": [longest_standstill(schema, course) >= FROZEN_AFTER, 1],
        "escaped": [escaped, 1],
        "over": [over, 1],
    }
    summed = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    return summed | play_sums(schema, course) if schema.rules else summed


def played(schema: Schema, course: np.ndarray) -> np.ndarray:
    """Return the frames up to the first, after the start, in which a player has no stock left."""
    out = (course[1:, [schema.index("stocks", p) for p in (0, 1)]] == 0).any(axis=1)
    return course[: 2 + int(out.argmax())] if out.any() else course


def is_outside(schema: Schema, course: np.ndarray, player: int) -> np.ndarray:
    """bool (n,): alive, and outside of where a player of the stage may be."""
    x, y, action = (course[:, schema.index(name, player)] for name in ("x", "y", "action"))
    left, right, bottom, top = living_zone(int(course[0, schema.stage_index]))
    away = np.any([(first <= action) & (action <= last) for first, last in AWAY], axis=0)
    return ((x < left) | (x > right) | (y < bottom) | (y > top)) & ~away


def longest_standstill(schema: Schema, course: np.ndarray) -> int:
    """Frames in a row that are like the one before in all but the actions' age."""
    kept = np.ones(schema.frame_size, dtype=bool)
    kept[[schema.index("state_age", player) for player in (0, 1)]] = False
    return longest_run((course[1:, kept] == course[:-1, kept]).all(axis=1))


def longest_run(flags: np.ndarray) -> int:
    """Return the largest number of True in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def divergence_bits(counts: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of histograms, bits (Lin 1991, eq. 4.1): 0 for equal shares.

    counts, reference (.., k).  NaN for a histogram without any count.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = (own / own.sum(axis=-1, keepdims=True) for own in (counts, reference))
    middle = (p + q) / 2
    return _entropy(middle) - (_entropy(p) + _entropy(q)) / 2


def _entropy(shares: np.ndarray) -> np.ndarray:
    """In bits, along the last axis."""
    safe = np.where(shares == 0, 1.0, shares)
    return -(shares * np.log2(safe)).sum(axis=-1)


@dataclass(frozen=True)
class Measure:
    """of     sums (.., k) of any number of worlds together to the figure in `unit`, (..)
    apart  two such sums to how far they are from each other, (..): in `unit`, or in bits
    """

    name: str
    unit: str
    of: Callable[[np.ndarray], np.ndarray]
    apart: Callable[[np.ndarray, np.ndarray], np.ndarray]


def measures(schema: Schema, reference: Sums) -> list[Measure]:
    """All measures of `world_sums`; reference: the histograms of real games, by their names."""
    rules = [f"impossible: {rule}" for rule in (*RULES, "outside")]
    rates = {"damage": ("% a minute, both players", 1)}
    if schema.rules:
        rates["hits"] = "a minute, both players", 1
        rates["phantom hits"] = "% of hits", 100
    rates["stocks lost"] = "a minute, both players", 1
    rates["airborne"] = "% of frames", 100
    if schema.rules:
        rates["at a ledge"] = "% of frames", 100
        rates["apart"] = "game units", 1
    events = dict.fromkeys(["impossible", *rules], ("events a minute, both players", 1))
    worlds = dict.fromkeys(["frozen", "escaped", "over"], ("% of worlds", 100))
    found = [_scalar(name, unit, _rate(factor)) for name, (unit, factor) in rates.items()]
    if schema.rules:
        found.insert(2, _scalar("median hit", "%", median_size))
    found += [_distribution(name, reference[name])
              for name in ("actions", *DISTRIBUTIONS) if name in reference]  # fmt: skip
    return found + [_scalar(name, unit, _rate(factor))
                    for name, (unit, factor) in (events | worlds).items()]  # fmt: skip


def _scalar(name: str, unit: str, of: Callable[[np.ndarray], np.ndarray]) -> Measure:
    return Measure(name, unit, of, lambda one, other: np.abs(of(one) - of(other)))


def _distribution(name: str, reference: np.ndarray) -> Measure:
    """From the reference; two without one are as far apart as can be if one alone is empty."""

    def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        empty = one.sum(axis=-1) == 0, other.sum(axis=-1) == 0
        return np.where(empty[0] ^ empty[1], 1.0, divergence_bits(one, other))

    return Measure(name, "bits from real play", lambda s: divergence_bits(s, reference), apart)


def _rate(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    def of(sums: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return factor * sums[..., 0] / sums[..., 1]

    return of


def median_size(counts: np.ndarray) -> np.ndarray:
    """The least size that half of the hits do not exceed, %; counts (.., SIZES).  NaN for none."""
    below = counts.cumsum(axis=-1)
    half = below[..., -1:] / 2
    return np.where(half[..., 0] > 0, (below < half).sum(axis=-1) / 10, np.nan)
