"""Real factors and weights to integers: the arithmetic of lowering, in float64.

Everything here runs once, at calibration; what it returns are the integers that a
program carries.
"""

from __future__ import annotations

import math

import numpy as np

from calib.errors import CalibrationError, UnfitWeight

INT8_LIMIT = 127
MULTIPLIER_BITS = 31
LARGEST_SHIFT = 62


def multiplier(factor: float, bits: int = MULTIPLIER_BITS) -> tuple[int, int]:
    """Find (m, shift) with m / 2^shift nearest to `factor`, m below 2^bits and as large as may be.

    Raises CalibrationError if the factor is negative, not finite, or too large for shift 0.
    """
    if not (math.isfinite(factor) and factor >= 0):
        raise CalibrationError(f"a scale's ratio is {factor}; look for a tensor that is not finite "
                               "with --show-statistics")  # fmt: skip
    if factor == 0:
        return 0, 0
    shift = bits - math.frexp(factor)[1]
    shift = min(shift, LARGEST_SHIFT)
    m = round(math.ldexp(factor, shift))
    if m == 1 << bits:
        m, shift = m >> 1, shift - 1
    if shift < 0:
        raise CalibrationError(f"a scale's ratio of {factor:g} does not fit {bits} bits; look for "
                               "a tensor out of proportion with --show-statistics")  # fmt: skip
    return m, shift


def multipliers(factors: np.ndarray, bits: int = MULTIPLIER_BITS) -> tuple[np.ndarray, np.ndarray]:
    """Find the `multiplier` of each element, as two int32 arrays."""
    pairs = [multiplier(float(f), bits) for f in factors]
    factor, shift = zip(*pairs, strict=True)
    return np.array(factor, dtype=np.int32), np.array(shift, dtype=np.int32)


def row_scales(weight: np.ndarray) -> np.ndarray:
    """Scale each row of a weight (out, in) to int8: natural units per integer, (out,)."""
    top = np.abs(weight).max(1)
    return np.where(top > 0, top, 1.0) / INT8_LIMIT


def power_at_least(value: float) -> int:
    """Find the smallest e with 2^e >= value > 0."""
    mantissa, exponent = math.frexp(value)
    return exponent - (mantissa == 0.5)


def to_int(values: np.ndarray, dtype: str, what: str) -> np.ndarray:
    """Round to the nearest integer.  Raises UnfitWeight if the type cannot hold it."""
    rounded = np.rint(values)
    limits = np.iinfo(dtype)
    if not np.isfinite(rounded).all() or (np.abs(rounded) > limits.max).any():
        raise UnfitWeight(f"{what}: a weight of {np.abs(values).max():.5g} units does not fit "
                          f"{dtype}; keep it smaller in training, and export again")  # fmt: skip
    return rounded.astype(dtype)
