"""The signal-to-noise ratio of a float step's tensors on a program's grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from calib.arithmetic.grid import Grid, grouped
from calib.step.graph import StepModel
from calib.step.runner import CalibrationGame, Progress, StepRunner, silent


def signal_to_noise(
    step: StepModel,
    games: Iterable[CalibrationGame],
    grids: Mapping[str, Grid],
    frames: int | None = None,
    progress: Progress = silent,
) -> dict[str, float]:
    """Measure in decibels what each tensor loses on its grid, over the games' first frames.

    10 log10(sum x^2 / sum (x - q(x))^2), where q(x) is the nearest of the grid; infinite where
    nothing is lost.
    """
    sums = {name: np.zeros(2) for name in grids}
    runner = StepRunner(step, list(grids))
    for found in runner.play(games, frames):
        for name, values in found.items():
            parts = grouped(values, len(grids[name].scale)).astype(np.float64)
            error = parts - grids[name].nearest(parts)
            sums[name] += np.sum(parts * parts), np.sum(error * error)
        progress("measuring", runner.frames, frames or runner.frames)
    return {name: decibels(signal, noise) for name, (signal, noise) in sums.items()}


def decibels(signal: float, noise: float) -> float:
    """Compute 10 log10(signal / noise); infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")
