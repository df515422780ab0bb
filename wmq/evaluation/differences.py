"""Paired differences between two models that were measured on the same games.

A draw of the bootstrap (`wmq.evaluation.bootstrap`) takes whole games, with all starts, worlds or
frames that come from them: those of one game share players, characters and often a situation.
Both models get the same draws, so that what differs is the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from wmq.evaluation.bootstrap import (
    Interval,
    detectable,
    draw_weights,
    drawn_means,
    interval,
    mean_interval,
)
from wmq.evaluation.results import Figure


class GameSample:
    """Items, each of one game."""

    def __init__(self, games: Sequence[int]):
        """games: of each item, its game."""
        known, self.game = np.unique(np.asarray(games, dtype=np.int64), return_inverse=True)
        self.groups = len(known)
        self.counts = np.bincount(self.game, minlength=self.groups).astype(np.float64)

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each game is in each draw, (draws, groups)."""
        return draw_weights(self.groups)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum the items of each game: (items, ..) to (groups, ..) float64."""
        return sums_of_games(values, self.game, self.groups)

    def mean(self, values: np.ndarray) -> Interval:
        """Return the mean over items, values (items,)."""
        return mean_interval(self.sums(values), self.counts, self.weights)

    def drawn(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over items in each draw, (draws,)."""
        return drawn_means(self.sums(values), self.counts, self.weights)

    def ratio(self, values: np.ndarray, to: np.ndarray) -> Interval:
        """Return the ratio of two means over the same items; None where the second is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = self.drawn(values) / self.drawn(to)
            return interval(float(np.float64(values.mean()) / to.mean()), drawn)


def sums_of_games(values: np.ndarray, games: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Sum the items of each of `count` games: (items, ..) to (count, ..) float64."""
    found = np.zeros((count, *values.shape[1:]))
    np.add.at(found, np.asarray(games, dtype=np.int64), values)
    return found


def percent_more(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Tell how much larger one is than the other, in percent; not finite where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (after / before - 1)


def percent_change(
    sums: np.ndarray, before: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> tuple[Interval, np.ndarray]:
    """Tell how much larger a mean is than the one before, in percent, and the same in each draw.

    sums, before, counts (groups,): of each game
    """
    if np.array_equal(sums, before):  # also where both are 0
        return interval(0.0, drawn := np.zeros(len(weights))), drawn
    drawn = percent_more(*(drawn_means(side, counts, weights) for side in (sums, before)))
    return interval(float(percent_more(sums.sum(), before.sum())), drawn), drawn


def paired_figure(
    value: float | None, against: float | None, drawn: np.ndarray, drawn_against: np.ndarray,
    percent: bool,
) -> Figure:  # fmt: skip
    """Return a figure and its difference; drawn: both sides in each draw, (draws,).

    In percent, the difference is taken first: `percent_more` of the same has other last bits.
    """
    if value is None or against is None:
        return Figure(known(value), Interval(None, None, None), percent)
    both = np.array([value, *drawn]), np.array([against, *drawn_against])
    difference = both[0] - both[1]
    if percent:
        difference = np.divide(100 * difference, both[1], out=np.full(len(difference), math.nan),
                               where=both[1] != 0)  # fmt: skip
    return changed_figure(value, difference, percent)


def changed_figure(value: float, change: np.ndarray, percent: bool) -> Figure:
    """Return a figure and its change, (1 + draws,): the change itself, then that in each draw."""
    return Figure(known(value), interval(float(change[0]), change[1:]), percent,
                  detectable(change[1:]))  # fmt: skip


def known(value: float | None) -> float | None:
    """Return a finite number, or None."""
    return float(value) if value is not None and math.isfinite(value) else None
