"""What rounding to a program's scales costs a float step's tensors, in decibels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from calib.step.graph import StepModel
from calib.step.runner import CalibrationGame, Player, Progress, silent


@dataclass(frozen=True)
class Rounding:
    """Integers in [lo, hi] that stand for `scale` each; scale (groups,) float64."""

    scale: np.ndarray
    lo: int
    hi: int


def signal_to_noise(
    step: StepModel,
    games: Iterable[CalibrationGame],
    roundings: Mapping[str, Rounding],
    frames: int | None = None,
    progress: Progress = silent,
) -> dict[str, float]:
    """Decibels between each tensor and its rounding error over the games' first frames.

    10 log10(sum x^2 / sum (x - q(x))^2); infinite where nothing is lost.
    """
    sums = {name: np.zeros(2) for name in roundings}
    player = Player(step, list(roundings))
    for found in player.play(games, frames):
        for name, values in found.items():
            parts = grouped(values, len(roundings[name].scale)).astype(np.float64)
            error = parts - rounded(parts, roundings[name])
            sums[name] += np.sum(parts * parts), np.sum(error * error)
        progress("measuring", player.frames, frames or player.frames)
    return {name: decibels(signal, noise) for name, (signal, noise) in sums.items()}


def rounded(values: np.ndarray, rounding: Rounding) -> np.ndarray:
    """The nearest values that the integers can express; values (samples, groups, values)."""
    scale = rounding.scale[:, None]
    units = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    return np.clip(np.floor(units + 0.5), rounding.lo, rounding.hi) * scale


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def grouped(values: np.ndarray, groups: int) -> np.ndarray:
    """(batch, groups * .., ..) as (batch, groups, values): a group is a run of the elements."""
    return values.reshape(len(values), groups, -1)
