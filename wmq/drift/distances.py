"""How far worlds are from real play, in units of how far real games are from each other.

For each measure the unit is the mean distance between two halves of the real stretches, dealt
by game, over HALVINGS of them.  A model's distance is that of all its worlds from all real
stretches of the same starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wmq.drift.parts import in_parts
from wmq.drift.statistics import Measure
from wmq.evaluation.bootstrap import Interval, interval
from wmq.evaluation.differences import GameSample
from wmq.evaluation.results import Distance

HALVINGS = 200
PARTS_OF = "impossible: "  # measures that are counted in another one already


def half_of_games(games: int, seed: int = 0) -> np.ndarray:
    """Choose half of the games, HALVINGS times: float64 (halvings, games) of 0 and 1."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(games), (HALVINGS, 1)), axis=1)
    return (order < games // 2).astype(np.float64)


def unit_of(measure: Measure, real: np.ndarray) -> float:
    """Return the mean distance of two halves; real (games, k).

    NaN for one game, or where no half has a figure.
    """
    if len(real) < 2:
        return float("nan")
    chosen = half_of_games(len(real))
    found = in_parts(measure.apart, (chosen, real), (1 - chosen, real))
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def distances(
    sample: GameSample, measures: Sequence[Measure],
    tracks: Mapping[str, Mapping[str, dict[str, np.ndarray]]], real: str,
) -> tuple[list[Distance], dict[str, dict[str, Interval]]]:  # fmt: skip
    """Return the distance of every model in every measure, and the mean over measures.

    tracks  controllers -> track -> sums of each world; that of `real` is compared with
    A measure whose halves never differ has no unit, and no part in the mean; nor has one that
    has no figure for the model.
    """
    found, means = [], {}
    for controllers, own in tracks.items():
        models = [name for name in own if name != real]
        every: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in models}
        for measure in measures:
            if measure.name.startswith(PARTS_OF):
                continue
            sums = {name: sample.sums(track[measure.name]) for name, track in own.items()}
            half = unit_of(measure, sums[real])
            ratios = {name: _ratio(sample, measure, sums[name], sums[real], half)
                      for name in models}  # fmt: skip
            found.append(Distance(
                measure.name, controllers, half if np.isfinite(half) else None,
                {name: interval(*ratio) for name, ratio in ratios.items()},
            ))  # fmt: skip
            for name, ratio in ratios.items():
                if np.isfinite(ratio[0]):
                    every[name].append(ratio)
        means[controllers] = {name: _mean(ratios) for name, ratios in every.items()}
    return found, means


def _ratio(
    sample: GameSample, measure: Measure, own: np.ndarray, real: np.ndarray, half: float
) -> tuple[float, np.ndarray]:
    """A distance in units of `half`, and the same in each draw of games; NaN without a unit."""
    if not half > 0:
        return float("nan"), np.full(len(sample.weights), np.nan)
    drawn = in_parts(measure.apart, (sample.weights, own), (sample.weights, real))
    return float(measure.apart(own.sum(axis=0), real.sum(axis=0))) / half, drawn / half


def _mean(ratios: Sequence[tuple[float, np.ndarray]]) -> Interval:
    """The mean over measures; in each draw, over those that have a figure there."""
    if not ratios:
        return Interval(None, None, None)
    drawn = np.stack([draws for _, draws in ratios])
    known = np.isfinite(drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(known, drawn, 0).sum(axis=0) / known.sum(axis=0)
    return interval(float(np.mean([value for value, _ in ratios])), means)
