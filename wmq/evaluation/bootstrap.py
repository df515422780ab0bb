"""95 % intervals by bootstrap: what is resampled are whole games, or whole worlds.

Frames of one game resemble each other, so that games are the unit: a draw takes as many
games as there are, with replacement, and every figure is computed again from their sums.
Both sides of a comparison get the same draw, which makes the difference a paired one
(Efron and Tibshirani 1993, chapters 8 and 13).  One game has no interval, and those of fewer
than FEW_GAMES are too narrow for a verdict: `caveat` says so wherever they are shown.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

DRAWS = 2000
FEW_GAMES = 10  # fewer hold their figure less often than the 95 % that an interval promises
POWER = 1.959964 + 0.841621  # normal quantiles at 97.5 % and 80 %


class Interval(msgspec.Struct, frozen=True):
    """A figure and the interval that holds it in 95 % of all samples; None: unknown."""

    value: float | None
    lo: float | None
    hi: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval is distinguishable from none."""
        return self.lo is not None and self.hi is not None and (self.lo > 0 or self.hi < 0)


def draw_weights(groups: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Tell how often each of `groups` games is in each draw, (draws, groups) float64.

    One game would be in every draw, and each interval a point: then there are no draws, (0, 1).
    """
    if groups == 1:
        return np.empty((0, 1))
    chosen = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), draws)
    return chosen.astype(np.float64)


def interval(value: float, drawn: np.ndarray) -> Interval:
    """A figure and the 2.5th and 97.5th percentile of its draws, those without a figure left out.

    None where it is no number, or where it is unknown in every draw.
    """
    known = drawn[np.isfinite(drawn)]
    if not (math.isfinite(value) and len(known)):
        return Interval(value if math.isfinite(value) else None, None, None)
    lo, hi = np.percentile(known, [2.5, 97.5])
    return Interval(float(value), float(lo), float(hi))


def caveat(games: int) -> str:
    """Say what limits intervals over so few games; "" for enough, or for an unknown 0."""
    if games == 1:
        return "1 game: no intervals"
    return f"{games} games: too few for intervals to hold" if 0 < games < FEW_GAMES else ""


def mean_interval(sums: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> Interval:
    """Return the interval of sum(sums) / sum(counts), each (groups,); see `drawn_means`."""
    total = float(counts.sum())
    value = float(sums.sum()) / total if total else math.nan
    return interval(value, drawn_means(sums, counts, weights))


def drawn_means(sums: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean in each draw, (draws,) float64; NaN in a draw without any count."""
    total = weights @ counts.astype(np.float64)
    return np.divide(weights @ sums.astype(np.float64), total,
                     out=np.full(len(weights), math.nan), where=total > 0)  # fmt: skip


def detectable(drawn: np.ndarray) -> float | None:
    """Return the smallest true difference that such a sample would show in 80 % of all cases.

    drawn  a difference in each draw; its spread is the standard error.
    """
    known = drawn[np.isfinite(drawn)]
    return float(POWER * known.std()) if len(known) > 1 else None
