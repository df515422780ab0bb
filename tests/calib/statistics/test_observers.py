"""Observers: limits from histograms against the values themselves, theory and other libraries."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_histogram import STREAMS, by_group, fed

from calib.statistics.histogram import BINS, Histogram
from calib.statistics.observers import (
    ENTROPY_MERGED,
    least_divergence,
    least_squared_error,
    moving_average,
    percentile,
)

PERCENTS = st.sampled_from([0.01, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0])
RNG = np.random.default_rng(5)
SAMPLES = {
    "gauss": RNG.normal(size=400_000),
    "laplace": RNG.laplace(size=400_000),
    "uniform": RNG.uniform(-1, 1, 400_000),
    "student": RNG.standard_t(3, 400_000),
    "mostly 0": np.where(RNG.uniform(size=400_000) < 0.9, 0, RNG.normal(size=400_000)),
}


def histogram_of(values: np.ndarray) -> Histogram:
    return fed([values.astype(np.float32).reshape(1, 1, -1)], groups=1)


@settings(deadline=None, max_examples=40)
@given(STREAMS, PERCENTS)
def test_percentile_is_the_ranked_size_or_up_to_one_bin_above_it(arrays, percent):
    limits = percentile(fed(arrays), percent)
    for group, sizes in enumerate(by_group(arrays)):
        rank = math.ceil(Fraction(str(percent)) / 100 * len(sizes))
        ranked, largest = np.sort(sizes)[max(rank, 1) - 1], sizes.max()
        reach = 2.0 ** max(math.frexp(largest)[1], -100)
        assert ranked <= limits[group] <= min(ranked + reach / BINS, largest)


def test_percentile_agrees_with_numpy_on_a_long_heavy_tail():
    values = np.random.default_rng(1).standard_cauchy((500, 1, 200)).astype(np.float32)
    limit = percentile(fed(list(values[:, None]), 1), 99.9)[0]
    expected = np.percentile(np.abs(values), 99.9)
    assert expected <= limit <= expected + np.abs(values).max() / (BINS / 2)


def test_a_hundred_percent_clips_nothing():
    values = np.random.default_rng(2).normal(size=(50, 3, 7)).astype(np.float32)
    seen = fed([values])
    np.testing.assert_array_equal(percentile(seen, 100.0), seen.maximum)


def test_zeros_before_small_values_do_not_widen_the_bins():
    """frexp(0) has the exponent 0: taken as it is, the bins would be those of [0, 1)."""
    values = np.full((1, 1, 100), 1e-6, dtype=np.float32)
    values[..., :10] = 9e-6
    limits = percentile(fed([np.zeros_like(values), values], 1), 90.0)
    assert 1e-6 <= limits[0] <= 1e-6 + 2.0**-16 / BINS


@pytest.mark.parametrize(
    "find", [least_squared_error, least_divergence, lambda h: percentile(h, 50)]
)
def test_nothing_seen_and_only_zeros_have_limit_0(find):
    seen = Histogram(2)
    np.testing.assert_array_equal(find(seen), [0, 0])
    seen.add(np.zeros((1, 2, 3), dtype=np.float32))
    np.testing.assert_array_equal(find(seen), [0, 0])


@pytest.mark.parametrize("find", [least_squared_error, least_divergence])
@pytest.mark.parametrize("size", [1e-38, 1e-3, 1.0, 3e38])
def test_one_value_is_not_clipped(find, size):
    """But for a bin's width, as a bin's values are taken to lie evenly in it."""
    seen = fed([np.full((1, 1, 5), size, np.float32)], 1)
    assert seen.maximum[0] * (1 - 1 / 4096) <= find(seen)[0] <= seen.maximum[0]


def squared_error(values: np.ndarray, limit: float) -> float:
    """Of int8 with that limit, from the values themselves."""
    step = limit / 127
    return float(((values - step * np.clip(np.rint(values / step), -127, 127)) ** 2).mean())


@pytest.mark.parametrize("name", SAMPLES)
def test_no_limit_has_a_smaller_squared_error_than_the_one_found(name):
    """Within a thousandth: values are taken to lie evenly in their bins."""
    values = SAMPLES[name].astype(np.float32).astype(np.float64)
    seen = histogram_of(values)
    found = squared_error(values, least_squared_error(seen)[0])
    tried = np.linspace(1 / 60, 1, 60) * seen.maximum[0]
    assert found <= 1.002 * min(squared_error(values, limit) for limit in tried)


@pytest.mark.parametrize(("name", "expected"), [("gauss", 3.92), ("laplace", 9.89)])
def test_the_least_squared_error_is_where_theory_has_it(name, expected):
    """Banner, Nahshan and Soudry 2019 (ACIQ), table 1: 8 bits, in units of sigma or b."""
    assert least_squared_error(histogram_of(SAMPLES[name]))[0] == pytest.approx(expected, rel=0.05)


def tensorrt_edge(bins: list[float], levels: int = 128) -> int:
    """Migacz's slides 38 and 39, in plain Python; the last of equals."""
    bins = [bins[1], *bins[1:]]
    best, least = 0, math.inf
    for edge in range(levels, len(bins) + 1):
        level = [i * levels // edge for i in range(edge)]
        sums, filled = Counter[int](), Counter[int]()
        for i in range(edge):
            sums[level[i]] += bins[i]
            filled[level[i]] += bins[i] > 0
        reference = [*bins[: edge - 1], sum(bins[edge - 1 :])]
        spread = [sums[level[i]] / filled[level[i]] if bins[i] > 0 else 0.0 for i in range(edge)]
        whole, kept = sum(reference), sum(spread)
        divergence = 0.0
        for p, q in zip(reference, spread, strict=True):
            if p > 0:
                divergence += p / whole * math.log(p / whole / (q / kept)) if q > 0 else math.inf
        if divergence <= least:
            best, least = edge, divergence
    return best


@pytest.mark.parametrize("name", ["laplace", "student"])
def test_the_entropy_limit_is_that_of_the_slides(name):
    """The largest value is just above a power of two, so that few bins have to be tried."""
    values = SAMPLES[name] / np.abs(SAMPLES[name]).max() * 1.01
    seen = histogram_of(values)
    merged = seen.counts[0].reshape(-1, ENTROPY_MERGED).sum(1)
    top = int(np.flatnonzero(merged)[-1]) + 1
    expected = tensorrt_edge([float(count) for count in merged[:top]])
    assert 128 < expected < top
    assert least_divergence(seen)[0] == expected * ENTROPY_MERGED * seen.widths[0]


def test_the_moving_average_of_equal_calls_is_that_size_from_the_first_on():
    for calls in (1, 2, 500):
        np.testing.assert_allclose(moving_average(np.full((calls, 2), 3.5)), [3.5, 3.5])


def test_the_moving_average_is_torchs_after_its_beginning():
    """torch.ao.quantization: averaging_constant 0.01; its first value has all the weight."""
    torch = pytest.importorskip("torch")
    observer = torch.ao.quantization.MovingAverageMinMaxObserver(
        averaging_constant=0.01, qscheme=torch.per_tensor_symmetric
    )
    sizes = np.random.default_rng(4).uniform(1, 2, 1500)
    for size in sizes:
        observer(torch.tensor([-0.1, size]))
    assert moving_average(sizes[:, None])[0] == pytest.approx(float(observer.max_val), abs=1e-5)
