"""What a pass over play leaves: histograms and sums, and the limits that observers find in them.

Everything that is summed is a whole number, so neither the order of the frames nor an
interruption changes a bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calib.errors import CalibrationError
from calib.statistics import observers
from calib.statistics.histogram import Histogram
from calib.step.runner import Position

WINDOW = 2048  # calls that the moving average sees; older ones would weigh 0.99^2048 = 1e-9
LARGEST_SUM = 1 << 62


@dataclass(frozen=True)
class TensorStatistics:
    """The sizes of a tensor's values.

    bits    width of the integers that will hold the tensor
    recent  (calls, groups) float64: the largest |value| in each of the last WINDOW calls,
            a call being a frame of up to ROWS games
    """

    bits: int
    histogram: Histogram
    recent: np.ndarray

    @property
    def maximum(self) -> np.ndarray:
        """The largest |value| of each group, (groups,) float64."""
        return self.histogram.maximum

    @property
    def moving_average(self) -> np.ndarray:
        """(groups,) float64; see `observers.moving_average`."""
        return observers.moving_average(self.recent)

    def limits(self, observer: str, percent: float | None = None) -> np.ndarray:
        """Find the |value| that an int8 scale must hold, by an observer of `observers.NAMES`."""
        if observer == "moving-average":
            return self.moving_average
        if observer == "mse":
            return observers.least_squared_error(self.histogram)
        if observer == "entropy":
            return observers.least_divergence(self.histogram)
        if observer == "percentile" and percent is not None:
            return observers.percentile(self.histogram, percent)
        if observer == "minmax":
            return self.maximum
        raise CalibrationError(f"no observer {observer!r} with percent {percent}; give one of "
                               f"{', '.join(observers.NAMES)}")  # fmt: skip


@dataclass(frozen=True)
class InputStatistics:
    """A Linear's input x of n channels; sums run over all frames.

    fraction     x counts as whole numbers of 2^-fraction
    channel_max  (n,) float64, the largest |x|
    rotated_max  the largest |x| of all channels once `calib.weights.hadamard` has turned them
    sums         (n,) int64, sum x, and products (n, n) int64, sum x x^T, in such units
    """

    fraction: int
    frames: int
    channel_max: np.ndarray
    rotated_max: float
    sums: np.ndarray
    products: np.ndarray

    @property
    def channel_mean(self) -> np.ndarray:
        """(n,) float64."""
        return self.sums * 2.0**-self.fraction / self.frames

    @property
    def moments(self) -> np.ndarray:
        """sum x x^T over all frames, (n, n) float64."""
        return self.products * 2.0 ** (-2 * self.fraction)


@dataclass(frozen=True)
class Ranges:
    """What lowering needs of statistics.

    limits  tensor name -> (groups,) float64, the |value| that its scale must hold
    """

    limits: Mapping[str, np.ndarray]
    frames: int
    games: int


@dataclass(frozen=True)
class Statistics:
    """All that a pass over play found.

    tensors  by name, as in `observed_tensors`
    inputs   of Linears, by the tensor's name, as in `observed_inputs`
    """

    tensors: Mapping[str, TensorStatistics]
    inputs: Mapping[str, InputStatistics]
    frames: int
    games: int

    def limits(self, observer: str, percent: float | None = None) -> dict[str, np.ndarray]:
        """Find the limits of all tensors, (groups,) float64: an observer's of int8 or maxima."""
        return {name: seen.limits(observer, percent) if seen.bits == 8 else seen.maximum
                for name, seen in self.tensors.items()}  # fmt: skip

    def ranges(self, observer: str = "minmax", percent: float | None = None) -> Ranges:
        """Find the limits and keep what else lowering takes."""
        return Ranges(self.limits(observer, percent), self.frames, self.games)


@dataclass(frozen=True)
class Checkpoint:
    """A pass that was interrupted."""

    statistics: Statistics
    position: Position
