"""Observers: what streams through gives what the whole array would give."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from calib.observers import BINS, MinMax, Observer, Percentile, observer

SHAPES = st.tuples(st.integers(1, 4), st.just(3), st.integers(1, 40))
VALUES = npst.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**40), 2.0**40, width=32))
STREAMS = st.lists(VALUES, min_size=1, max_size=5)
PERCENTS = st.sampled_from([0.01, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0])


def fed(seen: Observer, arrays: list[np.ndarray]) -> Observer:
    for array in arrays:
        seen.add(array)
    return seen


def by_group(arrays: list[np.ndarray]) -> np.ndarray:
    """All sizes, (groups, n) float64."""
    rows = [np.abs(a.astype(np.float64)).swapaxes(0, 1).reshape(a.shape[1], -1) for a in arrays]
    return np.concatenate(rows, axis=1)


@given(STREAMS)
def test_minmax_is_the_largest_size_of_each_group(arrays):
    expected = by_group(arrays).max(axis=1)
    np.testing.assert_array_equal(fed(MinMax(3), arrays).limits(), expected)


@settings(deadline=None)
@given(STREAMS, PERCENTS)
def test_percentile_is_the_ranked_size_or_up_to_one_bin_above_it(arrays, percent):
    limits = fed(Percentile(3, percent), arrays).limits()
    for group, sizes in enumerate(by_group(arrays)):
        rank = math.ceil(Fraction(str(percent)) / 100 * len(sizes))
        ranked, largest = np.sort(sizes)[max(rank, 1) - 1], sizes.max()
        reach = 2.0 ** max(math.frexp(largest)[1], -100)
        assert ranked <= limits[group] <= min(ranked + reach / BINS, largest)


@settings(deadline=None)
@given(STREAMS, PERCENTS, st.randoms())
def test_percentile_knows_no_order_and_no_cuts(arrays, percent, random):
    shuffled = [row[None] for array in arrays for row in array]
    random.shuffle(shuffled)
    np.testing.assert_array_equal(
        fed(Percentile(3, percent), shuffled).limits(),
        fed(Percentile(3, percent), arrays).limits(),
    )


@settings(deadline=None)
@given(STREAMS, STREAMS, PERCENTS)
def test_merging_two_observers_is_one_that_saw_both(first, second, percent):
    merged = fed(Percentile(3, percent), first)
    merged.merge(fed(Percentile(3, percent), second))
    whole = fed(Percentile(3, percent), first + second)
    np.testing.assert_array_equal(merged.limits(), whole.limits())


def test_percentile_agrees_with_numpy_on_a_long_heavy_tail():
    values = np.random.default_rng(1).standard_cauchy((500, 1, 200)).astype(np.float32)
    limit = fed(Percentile(1, 99.9), list(values[:, None])).limits()[0]
    expected = np.percentile(np.abs(values), 99.9)
    assert expected <= limit <= expected + np.abs(values).max() / (BINS / 2)


def test_a_hundred_percent_clips_nothing():
    values = np.random.default_rng(2).normal(size=(50, 3, 7)).astype(np.float32)
    np.testing.assert_array_equal(
        fed(Percentile(3, 100.0), [values]).limits(), fed(MinMax(3), [values]).limits()
    )


def test_memory_does_not_grow_with_what_was_seen():
    seen = Percentile(2, 99.0)
    before = {name: np.asarray(value).nbytes for name, value in vars(seen).items()}
    for exponent in range(-130, 120, 5):
        seen.add(np.full((3, 2, 4), 2.0**exponent, dtype=np.float32))
    assert {name: np.asarray(value).nbytes for name, value in vars(seen).items()} == before


def test_zeros_before_small_values_do_not_widen_the_bins():
    """frexp(0) has the exponent 0: taken as it is, the bins would be those of [0, 1)."""
    values = np.full((1, 1, 100), 1e-6, dtype=np.float32)
    values[..., :10] = 9e-6
    limits = fed(Percentile(1, 90.0), [np.zeros_like(values), values]).limits()
    assert 1e-6 <= limits[0] <= 1e-6 + 2.0**-16 / BINS


def test_nothing_seen_and_only_zeros_have_limit_0():
    for seen in (MinMax(2), Percentile(2, 50.0)):
        np.testing.assert_array_equal(seen.limits(), [0, 0])
        seen.add(np.zeros((1, 2, 3), dtype=np.float32))
        np.testing.assert_array_equal(seen.limits(), [0, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("seen", [MinMax(1), Percentile(1, 99.0)])
def test_a_value_that_is_not_finite_is_refused(seen, value):
    with pytest.raises(ValueError, match="not finite"):
        seen.add(np.array([[[1.0, value, 2.0]]], dtype=np.float32))


def test_a_recipes_words_choose_the_observer():
    assert isinstance(observer("minmax")(3), MinMax)
    chosen = observer("percentile", 99.5)(3)
    assert isinstance(chosen, Percentile) and chosen.percent == 99.5
