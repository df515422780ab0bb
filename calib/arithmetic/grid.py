"""Grids of integers: what a program's integers can express of a float tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """The integers in [lo, hi], each standing for `scale`; scale (groups,) float64."""

    scale: np.ndarray
    lo: int
    hi: int

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Round half up to the grid and clip to its ends; values (samples, groups, values)."""
        scale = self.scale[:, None]
        units = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
        return np.clip(np.floor(units + 0.5), self.lo, self.hi) * scale


def grouped(values: np.ndarray, groups: int) -> np.ndarray:
    """Reshape (batch, groups * .., ..) to (batch, groups, values): a group is a run of elements."""
    return values.reshape(len(values), groups, -1)
