"""The unit of each value: from what calibration saw, and never finer than can be of use.

A tensor that is all zero, or tiny beside its neighbours, would get a unit so fine that another
number in the same sum no longer fits its type.  So every unit has a floor, taken from what the
sum that it enters can hold or what the value after it resolves; above the floor it is
calibration's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from calib.arithmetic.fixed import row_scales
from calib.recipe import RecurrentState
from calib.step.nodes import NORM_EPS
from calib.weights.quantize import NEAREST, WeightQuantizer
from calib.weights.transforms import NONE, Transforms

LEAST_SIZE = 1e-6  # of a tensor: what is smaller over calibration counts as this
WIDE = (1 << 26) - 1  # interval of values whose squares are summed
WIDE_HEADROOM = 8.0  # of such a value over calibration
SQUARES_BITS = 62  # of a norm's sum of squares and eps
BIAS_BITS = 30  # of a Linear's bias in units of its sum, at most: half of int32
SUM_BITS = 46  # of a unit of y, or of x times D, in units of the scan's sum: 61 with x's own 15


@dataclass(frozen=True)
class Wide:
    """Integers in [-limit, limit], a unit of which is `unit` in natural units."""

    limit: int
    unit: float


def wide(count: int, size: float, most: int = WIDE, finer: float = 1.0) -> Wide:
    """Choose the unit of `count` values of at most `size` in calibration, which a norm reads.

    Their squares and `count` times the norm's eps, in squares of the unit, are summed in 62 bits.
    finer  how much finer a unit what lies between may make
    """
    reach = WIDE_HEADROOM * size
    unit = reach / most
    eps = eps_units(count, unit / finer)
    if eps < 1 << (SQUARES_BITS - 1) and count * most**2 + eps < 1 << SQUARES_BITS:
        return Wide(most, unit)
    least = 1.01 * finer * math.sqrt(count * (2 * NORM_EPS + reach**2)) * 2.0 ** -(SQUARES_BITS / 2)
    unit = max(unit, least)
    return Wide(min(most, math.ceil(reach / unit)), unit)


def eps_units(count: int, unit: float) -> int:
    """Convert a norm's eps times `count` to squares of the unit of what it reads."""
    return max(1, round(count * NORM_EPS / unit**2))


def unit_rows(weight: np.ndarray, bias: np.ndarray, unit: float) -> np.ndarray:
    """Scale the rows of a weight (out, in) that meets inputs of such a unit, (out,).

    No finer than lets the bias fit: a row that hardly adds to its bias keeps few bits of its own.
    """
    return np.maximum(row_scales(weight), np.abs(bias) / unit * 2.0**-BIAS_BITS)


def least_sum_unit(y: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Bound one unit of the scan's sum from below, in natural units, (heads,).

    y     the wanted unit of y, (heads,)
    skip  one unit of x times D, (heads,); state * C is added to multiples of it
    """
    return np.maximum(y, np.abs(skip)) * 2.0**-SUM_BITS


@dataclass(frozen=True)
class Scales:
    """What the layers share: limits (name -> (groups,)), the residual's unit, the recipe."""

    limits: Mapping[str, np.ndarray]
    residual: Wide
    state: RecurrentState
    two_digits: Sequence[str]  # patterns of Linears whose input is two int8 digits
    weights: WeightQuantizer = NEAREST
    transforms: Transforms = NONE

    def fine(self, linear: str) -> bool:
        return any(fnmatchcase(linear, pattern) for pattern in self.two_digits)

    def limit(self, name: str) -> float:
        """Find the largest size of a tensor in calibration, kept above 0."""
        return max(float(np.max(self.limits[name])), LEAST_SIZE)

    def heads(self, name: str) -> np.ndarray:
        return np.maximum(self.limits[name].astype(np.float64), LEAST_SIZE)
