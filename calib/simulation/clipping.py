"""How many values of the float step lie beyond what given integers can hold.

Games and grids come in; counts leave, taken over one play of the unchanged step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from calib.arithmetic.grid import Grid
from calib.arithmetic.hadamard import mixed
from calib.step.graph import StepModel
from calib.step.runner import CalibrationGame, Progress, StepRunner, silent


def count_clipped(
    step: StepModel,
    games: Iterable[CalibrationGame],
    grids: Sequence[tuple[str, Grid, int]],
    frames: int,
    progress: Progress = silent,
) -> list[tuple[int, int]]:
    """Count values that their grid clips, and all values, of each tensor over `frames` frames.

    grids  tensor, its grid, and the length of the blocks that are rotated before it, or 1

    Raises CalibrationError if the step cannot be run.
    """
    found = np.zeros((len(grids), 2), np.int64)
    runner = StepRunner(step, list(dict.fromkeys(name for name, _, _ in grids)))
    for values in runner.play(games, frames):
        for count, (name, grid, block) in zip(found, grids, strict=True):
            count += _beyond(mixed(values[name], block), grid), values[name].size
        progress("counting what is clipped", runner.frames, frames)
    return [(int(clipped), int(seen)) for clipped, seen in found]


def _beyond(values: np.ndarray, grid: Grid) -> int:
    """Count values half a unit or more beyond the interval, from where rounding half up clips."""
    grouped = values.reshape(len(values), len(grid.scale), -1)
    least, most = ((end * grid.scale).astype(np.float32)[:, None]
                   for end in (grid.lo - 0.5, grid.hi + 0.5))  # fmt: skip
    if (np.abs(grouped).max(2, initial=0) < np.minimum(most, -least)[:, 0]).all():
        return 0
    return int((grouped < least).sum() + (grouped >= most).sum())
