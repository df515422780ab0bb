"""Observers: from what was seen of a tensor to the limit that its int8 scale must hold.

A histogram of sizes comes in, one limit a group leaves.  The integers are -127..127 at a
scale of limit / 127, the rounding half away, what is larger is clipped.

    minmax          the largest size: nothing is clipped
    moving-average  the largest sizes of successive calls, averaged with weights that fall by
                    DECAY a call (torch.ao.quantization's MovingAverageMinMaxObserver)
    percentile      the size that `percent` % of the values do not exceed
    mse             the limit with the least mean squared error (Sung, Shin and Hwang 2015;
                    Banner et al. 2019, arXiv 1810.05723, for Gauss and Laplace in closed form)
    entropy         the limit whose 128 levels have the least Kullback-Leibler divergence
                    from the values (Migacz, "8-bit inference with TensorRT", GTC 2017)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import get_args

import numpy as np

from calib.recipe import ObserverName
from calib.statistics.histogram import BINS, Histogram

NAMES = get_args(ObserverName)
DECAY = 0.99  # of a call's weight in the moving average, as torch's averaging_constant of 0.01
LEVELS = 127  # an int8 size
ENTROPY_LEVELS = 128
ENTROPY_MERGED = 4  # bins: 1,024 to 2,048 are left below the maximum; TensorRT takes 2,048
COARSE = 16  # bins between the edges that are tried first
LEAST_BIN = BINS // 64  # of a limit: below it a step of the integers is narrower than a bin


def percentile(histogram: Histogram, percent: float) -> np.ndarray:
    """Rank sizes, (groups,) float64: to one bin, rounded up, or the maximum if that is less."""
    share = Fraction(str(percent)) / 100

    def edge(counts: np.ndarray) -> int:
        rank = max(1, math.ceil(share * int(counts.sum())))
        return int(np.searchsorted(np.cumsum(counts), rank)) + 1

    return _by_group(histogram, edge)


def least_squared_error(histogram: Histogram) -> np.ndarray:
    """Find the edge, (groups,) float64, where rounding and clipping together cost least."""
    return _by_group(histogram, _mse_edge)


def least_divergence(histogram: Histogram) -> np.ndarray:
    """Find the edge with the least divergence, (groups,) float64, as TensorRT does.

    onnxruntime's `HistogramCollector.get_entropy_threshold` takes a histogram too, but works
    on both signs (128 levels for the two together), truncates its distributions to whole
    numbers, spreads a level's count over empty bins also, and needs seconds a histogram of
    this size, as it sums in Python.
    """
    return _by_group(histogram, _entropy_edge)


def moving_average(recent: np.ndarray) -> np.ndarray:
    """Average the largest sizes of calls, (calls, groups), the newest last: (groups,) float64.

    The weights' sum divides: without that the first calls would pull it towards 0.
    """
    weights = DECAY ** np.arange(len(recent) - 1, -1, -1.0)
    return (weights[:, None] * recent).sum(axis=0) / weights.sum()


def _by_group(histogram: Histogram, edge: Callable[[np.ndarray], int]) -> np.ndarray:
    """Apply `edge`, which numbers bins from 1, to each group; at most the maximum, 0 if empty."""
    found = np.zeros(len(histogram.exponents))
    for group, width in enumerate(histogram.widths):
        if histogram.maximum[group] > 0:
            found[group] = edge(histogram.counts[group]) * width
    return np.minimum(found, histogram.maximum)


def _mse_edge(counts: np.ndarray) -> int:
    """Try every COARSE-th edge, then those around the best; in units of a bin."""
    top = int(np.flatnonzero(counts)[-1]) + 1
    least = min(LEAST_BIN, top)
    edges = np.append(np.arange(least, top, COARSE), top)
    best = int(edges[_squared_errors(counts, top, edges).argmin()])
    edges = np.arange(max(best - COARSE, least), min(best + COARSE, top) + 1)
    return int(edges[_squared_errors(counts, top, edges).argmin()])


def _squared_errors(counts: np.ndarray, top: int, edges: np.ndarray) -> np.ndarray:
    """Compute the error of each limit, (edges,) float64, with values spread evenly in their bin.

    A sum over the cells of the integers, sum (x - k step)^2, each taken from cumulated
    moments of the histogram, sum 1, sum x and sum x^2 up to a place.
    """
    step = edges[:, None] / LEVELS
    borders = np.minimum((np.arange(LEVELS) + 0.5) * step, top)  # the last integer takes the rest
    places = np.hstack([np.zeros_like(step), borders, np.full_like(step, top)])
    count, first, second = (np.diff(m, axis=1) for m in _moments_up_to(counts, places))
    values = np.arange(LEVELS + 1) * step
    return (second - 2 * values * first + values**2 * count).sum(axis=1)


def _moments_up_to(counts: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sum 1, x and x^2 over the values below each place, in units of a bin."""
    at = np.minimum(places.astype(np.int64), BINS - 1)
    rest = places - at  # of the bin that the place lies in
    start = np.arange(BINS, dtype=np.float64)
    whole = (counts, counts * (start + 0.5), counts * (start**2 + start + 1 / 3))
    below = [_cumulated(m)[at] for m in whole]
    here, from_ = counts[at].astype(np.float64), at.astype(np.float64)
    return (
        below[0] + here * rest,
        below[1] + here * rest * (from_ + rest / 2),
        below[2] + here * rest * (from_**2 + from_ * rest + rest**2 / 3),
    )


def _entropy_edge(counts: np.ndarray) -> int:
    """Find the last edge with the least divergence, in units of a bin."""
    bins = counts.reshape(-1, ENTROPY_MERGED).sum(axis=1).astype(np.float64)
    bins[0] = bins[1]  # TensorRT's: what rounds to 0 anyway must not outweigh the rest
    top = int(np.flatnonzero(counts)[-1]) // ENTROPY_MERGED + 1
    edges = np.arange(min(ENTROPY_LEVELS, top), top + 1)
    divergences = _divergences(bins[:top], edges)
    best = len(edges) - 1 - int(divergences[::-1].argmin())
    return int(edges[best]) * ENTROPY_MERGED


def _divergences(bins: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Compute the divergence of the bins below each edge from 128 levels, (edges,) float64.

    p is a bin's count, what is clipped being counted in the last one; q spreads a level's
    count evenly over those of its bins that are not empty:
    sum p/N log(p/N / (q/K)) = (sum p log p - sum p log q) / N - log N + log K.
    """
    whole, clipped = bins.sum(), bins.sum() - _cumulated(bins)[edges]
    last = bins[edges - 1]
    own = _cumulated(_times_log(bins))[edges - 1] + _times_log(last + clipped)
    starts = -(-np.arange(ENTROPY_LEVELS + 1) * edges[:, None] // ENTROPY_LEVELS)  # of levels
    sums = np.diff(_cumulated(bins)[starts], axis=1)
    filled = np.maximum(np.diff(_cumulated(bins > 0)[starts], axis=1), 1)
    spread = sums / filled
    logs = np.log(spread, out=np.zeros_like(spread), where=spread > 0)
    levels = (sums * logs).sum(axis=1) + clipped * logs[:, -1]
    kept = whole - clipped
    found = np.log(kept, out=np.full_like(kept, np.inf), where=kept > 0)
    if whole > 0:
        found += (own - levels) / whole - np.log(whole)
    return np.where((last == 0) & (clipped > 0), np.inf, found)  # values where q has none


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Sum the first 0, 1, .. values."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _times_log(values: np.ndarray) -> np.ndarray:
    """Compute x log x, 0 at 0."""
    return values * np.log(values, out=np.zeros_like(values), where=values > 0)
