"""Two models side by side from the same real starts with the true controllers.

Frames of rollouts come in, (starts, horizon, frame_size); curves over the horizon leave.
`same` and `distance` compare two models with each other, `truth` each with the real game:
only the last tells a worse model from an equally good one on another path.  A distance is
the mean of |error| over x, y and both players in game units, as in pos_mae and rc.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.differences import GameSample, percent_change
from wmq.evaluation.results import Curve, Pair
from wmq.evaluation.rollout_error import divergence_figures, first_divergence, position_errors
from wmq.game.schema import Schema

HORIZONS = (1, 2, 3, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600)


def horizons_to(last: int) -> list[int]:
    """HORIZONS up to the last frame, and the last itself."""
    return sorted({h for h in HORIZONS if h < last} | {last})


def mean_curve(sample: GameSample, values: np.ndarray) -> Curve:
    """Return the mean over starts at each of HORIZONS; values (starts, horizon)."""
    horizons = horizons_to(values.shape[1])
    return _curve(horizons, [sample.mean(values[:, h - 1]) for h in horizons])


def ratio_curve(sample: GameSample, values: np.ndarray, to: np.ndarray) -> Curve:
    """Return the ratio of two mean distances; horizons at which the second is 0 are left out."""
    horizons = horizons_to(values.shape[1])
    return _curve(horizons, [sample.ratio(values[:, h - 1], to[:, h - 1]) for h in horizons])


def _curve(horizons: list[int], intervals: list[Interval]) -> Curve:
    found = Curve([], [], [], [])
    for horizon, known in zip(horizons, intervals, strict=True):
        if known.value is not None:
            found.horizons.append(horizon)
            found.mean.append(known.value)
            found.lo.append(known.lo)
            found.hi.append(known.hi)
    return found


def pair(
    name: str, kind: str, schema: Schema, sample: GameSample, one: np.ndarray, other: np.ndarray
) -> Pair:
    """Return the curves of two models' rollouts."""
    first = first_divergence(schema, one, other)
    frames = np.arange(1, one.shape[1] + 1)
    same = (first[:, None] == 0) | (frames < first[:, None])
    return Pair(
        name=name,
        kind=kind,
        same=mean_curve(sample, 100.0 * same),
        distance=mean_curve(sample, position_errors(schema, one, other)),
        first_divergence=divergence_figures(first),
    )


def relative(
    sample: GameSample, distance: np.ndarray, yardsticks: Mapping[str, np.ndarray]
) -> dict[str, Curve]:
    """Return a pair's mean distance over that of each yardstick; distances (starts, horizon)."""
    return {name: ratio_curve(sample, distance, own) for name, own in yardsticks.items()}


def error_change(
    sample: GameSample, errors: np.ndarray, before: np.ndarray, horizon: int
) -> tuple[Interval, np.ndarray]:
    """rc(horizon) of one model against that of another, in percent, and in each draw."""
    sums, base = (sample.sums(e[:, :horizon].mean(1)) for e in (errors, before))
    return percent_change(sums, base, sample.counts, sample.weights)
