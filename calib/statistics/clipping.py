"""How many values of the float step lie beyond what given integers can hold.

Games and roundings come in; counts leave, taken over one play of the unchanged step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from calib.statistics.collect import CalibrationGame, Player, Progress, Rounding, silent
from calib.step.graph import StepModel
from calib.weights.program_weights import mixed


def count_clipped(
    step: StepModel,
    games: Iterable[CalibrationGame],
    roundings: Sequence[tuple[str, Rounding, int]],
    frames: int,
    progress: Progress = silent,
) -> list[tuple[int, int]]:
    """For each tensor, its rounding and the length of blocks that a Hadamard matrix mixes before
    it, or 1: values clipped, and values seen, over `frames` frames.

    Raises CalibrationError if the step cannot be run.
    """
    found = np.zeros((len(roundings), 2), np.int64)
    player = Player(step, list(dict.fromkeys(name for name, _, _ in roundings)))
    for values in player.play(games, frames):
        for count, (name, rounding, block) in zip(found, roundings, strict=True):
            count += _beyond(mixed(values[name], block), rounding), values[name].size
        progress("counting what is clipped", player.frames, frames)
    return [(int(clipped), int(seen)) for clipped, seen in found]


def _beyond(values: np.ndarray, rounding: Rounding) -> int:
    """Rounded half up, a value is clipped from half a unit beyond the interval on."""
    grouped = values.reshape(len(values), len(rounding.scale), -1)
    least, most = ((end * rounding.scale).astype(np.float32)[:, None]
                   for end in (rounding.lo - 0.5, rounding.hi + 0.5))  # fmt: skip
    if (np.abs(grouped).max(2, initial=0) < np.minimum(most, -least)[:, 0]).all():
        return 0
    return int((grouped < least).sum() + (grouped >= most).sum())
