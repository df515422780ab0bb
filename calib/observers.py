"""Observers: from a stream of activations to the largest size that a scale must hold.

An observer is given arrays (samples, groups, values) one after the other and answers with
one limit a group.  It keeps a maximum or a histogram of fixed size, never the activations:
onnxruntime's `HistogramCollector` also merges histograms, but its bins grow in number with
the range, and its data reader first gathers every intermediate output of a batch of
samples, so that an hour of play with carried state does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

BIN_BITS = 13
BINS = 1 << BIN_BITS  # of one group's histogram: a bin is at most 1/4096 of the largest size
LEAST_EXPONENT = -100  # of a histogram's reach; smaller sizes all count as the first bin


def largest(values: np.ndarray) -> np.ndarray:
    """Largest |value| of each group, (groups,) float64.  Raises ValueError if not finite."""
    found = np.maximum(values.max(axis=(0, 2)), -values.min(axis=(0, 2)))
    if not np.isfinite(found).all():
        raise ValueError("a value is not finite")
    return np.abs(found.astype(np.float64))  # not -0


class MinMax:
    """The largest |value| ever seen."""

    def __init__(self, groups: int):
        self._largest = np.zeros(groups)

    def add(self, values: np.ndarray) -> None:
        """values (samples, groups, values) float.  Raises ValueError if one is not finite."""
        self._largest = np.maximum(self._largest, largest(values))

    def limits(self) -> np.ndarray:
        """(groups,) float64."""
        return self._largest.copy()


class Percentile:
    """The size that `percent` % of the values do not exceed, to one bin, rounded up.

    A group's histogram covers [0, 2^exponent) with BINS bins; the exponent is the least
    that holds the largest size so far, and grows by merging neighbours.  As edges are
    powers of two times whole numbers, the histogram depends on the values alone, not on
    their order or on how they were cut into arrays.
    """

    def __init__(self, groups: int, percent: float):
        self.percent = percent
        self._exponents = np.full(groups, LEAST_EXPONENT)
        self._counts = np.zeros((groups, BINS), dtype=np.int64)
        self._largest = np.zeros(groups)

    def add(self, values: np.ndarray) -> None:
        """values (samples, groups, values) float.  Raises ValueError if one is not finite."""
        found = largest(values)
        self._largest = np.maximum(self._largest, found)
        self._grow(np.where(found > 0, np.frexp(found)[1], LEAST_EXPONENT))
        sizes = np.abs(values)
        # powers of two: the product is exact, so a size is in its bin whatever the range was
        per_unit = np.exp2(BIN_BITS - self._exponents).astype(values.dtype)
        bins = (sizes * per_unit[:, None]).astype(np.int64)
        bins += BINS * np.arange(len(self._exponents))[:, None]
        self._counts += np.bincount(bins.ravel(), minlength=self._counts.size).reshape(
            self._counts.shape
        )

    def merge(self, other: Percentile) -> None:
        """Add what another observer of the same groups has seen."""
        self._largest = np.maximum(self._largest, other._largest)
        self._grow(other._exponents)
        for group, exponent in enumerate(self._exponents):
            merged = _coarser(other._counts[group], int(exponent - other._exponents[group]))
            self._counts[group] += merged

    def limits(self) -> np.ndarray:
        """(groups,) float64: the upper edge of the bin, or the largest size if that is less."""
        widths = np.exp2(self._exponents - BIN_BITS)
        found = np.zeros(len(widths))
        for group, counts in enumerate(self._counts):
            total = int(counts.sum())
            if total:
                rank = max(1, math.ceil(Fraction(str(self.percent)) * total / 100))
                bin_ = int(np.searchsorted(np.cumsum(counts), rank))
                found[group] = (bin_ + 1) * widths[group]
        return np.minimum(found, self._largest)

    def _grow(self, exponents: np.ndarray) -> None:
        for group in np.flatnonzero(exponents > self._exponents):
            steps = int(exponents[group] - self._exponents[group])
            self._counts[group] = _coarser(self._counts[group], steps)
            self._exponents[group] = exponents[group]


def _coarser(counts: np.ndarray, steps: int) -> np.ndarray:
    """The same histogram over a range 2^steps times as wide."""
    merged = np.zeros_like(counts)
    width = 1 << min(steps, BIN_BITS)  # beyond that all is in the first bin
    merged[: BINS // width] = counts.reshape(-1, width).sum(axis=1)
    return merged


Observer = MinMax | Percentile
MakeObserver = Callable[[int], Observer]  # from the number of groups


def observer(name: str, percent: float | None = None) -> MakeObserver:
    """What makes the observer that a recipe names: "minmax", or "percentile" with percent."""
    if name == "percentile" and percent is not None:
        return lambda groups: Percentile(groups, percent)
    return MinMax
