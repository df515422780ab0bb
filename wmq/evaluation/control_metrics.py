"""The metrics of an agent one frame ahead: how well it foresees a person's next controller.

A network that sees its last controller learns to repeat it; that is right on most frames and
plays nothing.  So the frames on which something begins are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calib.step.controls import PARTS
from wmq.evaluation.metrics import cross_entropy
from wmq.game.controls import control_classes


class ControlTally:
    """Sums over frames of every figure; `result` divides.

    nll            -log p of the whole controller, a frame
    buttons, main, trigger  the parts of it
    press_nll      -log p of the buttons on frames on which their class changes to a press
    press_acc      share of these on which that class is the likeliest, %
    held_acc       the same of all other frames, %
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def add(self, now: np.ndarray, after: np.ndarray, heads: Mapping[str, np.ndarray]) -> None:
        """Add frames: an agent's controllers (T, 13) int32 of now and of the next frame, heads."""
        before, target = control_classes(now), control_classes(after)
        for column, part in enumerate(PARTS):
            entropy = cross_entropy(heads[part], target[:, column])
            self._sum(part, entropy)
            self._sum("nll", entropy, 1 / len(PARTS))
            if part == "buttons":
                pressed = (target[:, 0] != before[:, 0]) & (target[:, 0] != 0)
                right = 100.0 * (heads[part].argmax(1) == target[:, 0])
                self._sum("press_nll", entropy[pressed])
                self._sum("press_acc", right[pressed])
                self._sum("held_acc", right[~pressed])

    def _sum(self, name: str, values: np.ndarray, share: float = 1.0) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(values.sum(dtype=np.float64))
        self.counts[name] = self.counts.get(name, 0.0) + len(values) * share

    def figures(self) -> dict[str, float]:
        """Return all figures that were measured, nll first."""
        names = ("nll", *(name for name in self.sums if name != "nll"))
        return {name: self.sums[name] / self.counts[name] for name in names
                if self.counts.get(name)}  # fmt: skip

    def result(self) -> dict[str, float]:
        """Return all figures; "val_loss" is the nll."""
        found = self.figures()
        return {"val_loss": found.get("nll", float("nan"))} | found
