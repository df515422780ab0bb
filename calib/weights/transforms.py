"""Changes between a norm and its projection that leave the float step what it is.

What a norm hands on is turned or scaled so that int8 holds it better, and the projection's
columns take the inverse: powers of two for each channel (SmoothQuant, Xiao et al. 2023,
with scales that a shift can make), or a Hadamard matrix over blocks of neighbouring channels
(QuaRot, Ashkboos et al. 2024), which spreads a single large channel over all of its block.
The norm itself is unmoved by the matrix: it keeps the sum of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from calib.arithmetic.fixed import INT8_LIMIT, row_scales
from calib.arithmetic.hadamard import block_of, rotated
from calib.errors import CalibrationError
from calib.statistics.results import InputStatistics
from calib.weights.quantize import Moments

STRENGTHS = tuple(k / 8 for k in range(9))  # among which the best is searched
LARGEST_EXPONENT = 12  # between the finest and the coarsest channel
SEARCHED = -1.0


@dataclass(frozen=True)
class Transforms:
    """Which norms are followed by what: names in which * stands for any text.

    strength  of the smoothing, 0 to 1, or SEARCHED: the one with the least expected error
    """

    smoothing: Sequence[str] = ()
    strength: float = SEARCHED
    hadamard: Sequence[str] = ()

    def smooths(self, norm: str) -> bool:
        return any(fnmatchcase(norm, pattern) for pattern in self.smoothing)

    def rotates(self, norm: str) -> bool:
        return any(fnmatchcase(norm, pattern) for pattern in self.hadamard)


NONE = Transforms()


@dataclass(frozen=True)
class Folding:
    """What a projection's columns take over.

    exponents  (n,) int: a channel's int8 unit is 2^exponent of the common one; None: all alike
    rotated    whether blocks of channels are turned by a Hadamard matrix
    """

    exponents: np.ndarray | None = None
    rotated: bool = False

    def weight(self, weight: np.ndarray) -> np.ndarray:
        """Fold into a weight, (out, n) float64, for the changed input."""
        if self.rotated:
            return rotated(weight)
        return weight if self.exponents is None else weight * 2.0**self.exponents

    def moments(self, found: Moments) -> Moments:
        """Convert to the moments of the changed input."""
        if self.rotated:
            half = rotated(found.covariance)
            return Moments(rotated(found.mean[None])[0], rotated(half.T))
        return found if self.exponents is None else found.scaled(2.0**self.exponents)

    def limit(self, limit: float, seen: InputStatistics) -> float:
        """Find the |value| that the common scale must hold; limit: of the unchanged input."""
        if self.rotated:
            return seen.rotated_max
        if self.exponents is None:
            return limit
        return float((np.minimum(seen.channel_max, limit) * 2.0**-self.exponents).max())


def folding_of(norm: str, width: int, weight: np.ndarray, transforms: Transforms,
               seen: InputStatistics | None, fine: bool) -> Folding:  # fmt: skip
    """Choose what follows a norm of so many channels, whose projections are weight (out, n).

    fine  whether its input has two digits, which need no such change: then there is none
    Raises CalibrationError.
    """
    if fine:
        return Folding()
    for key, wanted in (("smoothing", transforms.smooths(norm)),
                        ("hadamard", transforms.rotates(norm))):  # fmt: skip
        if wanted and seen is None:
            raise CalibrationError(f"transforms.{key}: the statistics lack {norm}; "
                                   "collect them again")  # fmt: skip
    if transforms.rotates(norm):
        if transforms.smooths(norm):
            raise CalibrationError(f"transforms.hadamard: {norm} is smoothed as well; "
                                   "leave it out of one of the two")  # fmt: skip
        if block_of(width) < 2:
            raise CalibrationError(f"transforms.hadamard: {norm} has {width} channels, no "
                                   "multiple of 2; leave it out")  # fmt: skip
        return Folding(rotated=True)
    if transforms.smooths(norm):
        assert seen is not None
        return Folding(_exponents(weight, seen, transforms.strength))
    return Folding()


def _exponents(weight: np.ndarray, seen: InputStatistics, strength: float) -> np.ndarray:
    """Choose the exponents of the channels, (n,) int, the largest 0."""
    if strength != SEARCHED:
        return channel_exponents(weight, seen.channel_max, strength)
    found = [channel_exponents(weight, seen.channel_max, s) for s in STRENGTHS]
    return min(found, key=lambda exponents: expected_error(weight, seen, exponents))


def channel_exponents(weight: np.ndarray, largest: np.ndarray, strength: float) -> np.ndarray:
    """Find powers of two near max|x|^strength / max|w|^(1 - strength) (Xiao et al., eq. 4)."""
    columns = np.maximum(np.abs(weight).max(0), 1e-12)
    scale = strength * np.log2(np.maximum(largest, 1e-6)) - (1 - strength) * np.log2(columns)
    exponents = np.rint(scale).astype(np.int64)
    return np.maximum(exponents - exponents.max(), -LARGEST_EXPONENT)


def expected_error(weight: np.ndarray, seen: InputStatistics, exponents: np.ndarray) -> float:
    """Estimate the variance of all outputs' errors, every rounding's independent, unit^2 / 12."""
    scale = 2.0**exponents
    unit = (seen.channel_max / scale).max() / INT8_LIMIT
    inputs = (weight**2).sum(0) @ (unit * scale) ** 2
    sizes = np.diag(seen.moments) / seen.frames / scale**2
    weights = (row_scales(weight * scale) ** 2).sum() * sizes.sum()
    return float(inputs + weights) / 12
