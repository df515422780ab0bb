"""Histograms of activations' sizes that depend on the values alone.

Arrays (samples, groups, values) come in one after the other; what is kept has a fixed
size, whatever their number: onnxruntime's `HistogramCollector` also merges histograms, but
its bins grow in number with the range, and its data reader first gathers every
intermediate output of a batch of samples, so that an hour of play with carried state does
not fit.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine.compiling import kernel

BIN_BITS = 13
BINS = 1 << BIN_BITS  # of one group: a bin is at most 1/4096 of the largest size
LEAST_EXPONENT = -100  # of a histogram's reach; smaller sizes all count as the first bin
MOST_EXPONENT = 128  # that of the largest float32


def largest(values: np.ndarray) -> np.ndarray:
    """Find the largest |value| of each group, (groups,) float64.  Raises ValueError: not finite."""
    found = np.maximum(values.max(axis=(0, 2)), -values.min(axis=(0, 2)))
    if not np.isfinite(found).all():
        raise ValueError("a value is not finite")
    return np.abs(found.astype(np.float64))  # not -0


class Histogram:
    """Of the |value|s of each group: BINS bins over [0, 2^exponent), and the exact maximum.

    exponents (groups,) int64, counts (groups, BINS) int64, maximum (groups,) float64

    A group's exponent is the least that holds the largest size so far, and grows by merging
    neighbours.  As edges are powers of two times whole numbers, neither the order of the
    values nor how they were cut into arrays makes a difference.
    """

    def __init__(self, groups: int):
        self.exponents = np.full(groups, LEAST_EXPONENT, dtype=np.int64)
        self.counts = np.zeros((groups, BINS), dtype=np.int64)
        self.maximum = np.zeros(groups)

    def add(self, values: np.ndarray) -> np.ndarray:
        """Add values (samples, groups, values) float32.  Returns the largest of each group.

        Raises ValueError if one is not finite.
        """
        found = largest(values)
        self._grow(np.where(found > 0, np.frexp(found)[1], LEAST_EXPONENT))
        self.maximum = np.maximum(self.maximum, found)
        # powers of two: the product is exact, so a size is in its bin whatever the range was
        per_unit = np.exp2(BIN_BITS - self.exponents).astype(values.dtype)
        _count(np.ascontiguousarray(values), per_unit, self.counts)
        return found

    def merged(self, other: Histogram) -> Histogram:
        """Make a histogram of what both have seen."""
        both = Histogram(len(self.exponents))
        for part in (self, other):
            both._grow(part.exponents)
            both.maximum = np.maximum(both.maximum, part.maximum)
        for part in (self, other):
            for group, steps in enumerate(both.exponents - part.exponents):
                both.counts[group] += _coarser(part.counts[group], int(steps))
        return both

    @property
    def widths(self) -> np.ndarray:
        """Of a bin of each group, (groups,) float64."""
        return np.exp2(self.exponents.astype(np.float64) - BIN_BITS)

    def _grow(self, exponents: np.ndarray) -> None:
        for group in np.flatnonzero(exponents > self.exponents):
            steps = int(exponents[group] - self.exponents[group])
            self.counts[group] = _coarser(self.counts[group], steps)
            self.exponents[group] = exponents[group]


def _coarser(counts: np.ndarray, steps: int) -> np.ndarray:
    """Rebin over a range 2^steps times as wide."""
    merged = np.zeros_like(counts)
    width = 1 << min(steps, BIN_BITS)  # beyond that all is in the first bin
    merged[: BINS // width] = counts.reshape(-1, width).sum(axis=1)
    return merged


@kernel
def _count(values, per_unit, counts):
    """Count in compiled code: the recurrent states alone are three million values a call."""
    for sample in range(values.shape[0]):
        for group in range(values.shape[1]):
            row, seen = values[sample, group], counts[group]
            for i in range(len(row)):
                seen[int(abs(row[i]) * per_unit[group])] += 1
