"""What is resampled: the games that starts, worlds or frames belong to.

Starts of one game share players, characters and often a situation, so that a draw of the
bootstrap takes whole games, with all that comes from them.  Every comparison of a drift
uses one sample, which makes its differences paired ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from wmq.evaluation.bootstrap import Interval, draw_weights, drawn_means, interval, mean_interval


class Sample:
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
        """Of the items of each game: (items, ..) to (groups, ..) float64."""
        found = np.zeros((self.groups, *values.shape[1:]))
        np.add.at(found, self.game, values)
        return found

    def mean(self, values: np.ndarray) -> Interval:
        """The mean over items, values (items,)."""
        return mean_interval(self.sums(values), self.counts, self.weights)

    def drawn(self, values: np.ndarray) -> np.ndarray:
        """The mean over items in each draw, (draws,)."""
        return drawn_means(self.sums(values), self.counts, self.weights)

    def ratio(self, values: np.ndarray, to: np.ndarray) -> Interval:
        """Of two means over the same items; None where the second is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = self.drawn(values) / self.drawn(to)
            return interval(float(np.float64(values.mean()) / to.mean()), drawn)


def percent_change(
    sums: np.ndarray, before: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> tuple[Interval, np.ndarray]:
    """How much larger a mean is than the one before, in percent, and the same in each draw.

    sums, before, counts (groups,): of each game
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = drawn_means(sums, counts, weights) / drawn_means(before, counts, weights)
        drawn = 100 * (ratio - 1)
        value = 100 * (float(sums.sum() / before.sum()) - 1) if before.sum() else np.nan
    if np.array_equal(sums, before):  # also where both are 0
        value, drawn = 0.0, np.zeros(len(weights))
    return interval(value, drawn), drawn
