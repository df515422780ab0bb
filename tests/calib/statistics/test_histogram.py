"""Histograms: what streams through gives what the whole array would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from calib.statistics.histogram import BINS, Histogram

SHAPES = st.tuples(st.integers(1, 4), st.just(3), st.integers(1, 40))
VALUES = npst.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**40), 2.0**40, width=32))
STREAMS = st.lists(VALUES, min_size=1, max_size=5)


def fed(arrays: list[np.ndarray], groups: int = 3) -> Histogram:
    seen = Histogram(groups)
    for array in arrays:
        seen.add(array)
    return seen


def by_group(arrays: list[np.ndarray]) -> np.ndarray:
    """All sizes, (groups, n) float64."""
    rows = [np.abs(a.astype(np.float64)).swapaxes(0, 1).reshape(a.shape[1], -1) for a in arrays]
    return np.concatenate(rows, axis=1)


def assert_equal(one: Histogram, other: Histogram) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, vars(other)[name], err_msg=name)


@settings(deadline=None, max_examples=40)
@given(STREAMS)
def test_every_size_is_counted_in_its_bin_of_a_power_of_two_range(arrays):
    seen = fed(arrays)
    for group, sizes in enumerate(by_group(arrays)):
        assert seen.maximum[group] == sizes.max()
        exponent = max(math.frexp(sizes.max())[1], -100) if sizes.max() else -100
        assert seen.exponents[group] == exponent
        edges = np.arange(BINS + 1) * 2.0**exponent / BINS
        np.testing.assert_array_equal(seen.counts[group], np.histogram(sizes, edges)[0])


@settings(deadline=None, max_examples=40)
@given(STREAMS, st.randoms())
def test_neither_order_nor_cuts_make_a_difference(arrays, random):
    shuffled = [row[None] for array in arrays for row in array]
    random.shuffle(shuffled)
    assert_equal(fed(shuffled), fed(arrays))


@settings(deadline=None, max_examples=40)
@given(STREAMS, STREAMS)
def test_two_merged_are_one_that_saw_both(first, second):
    assert_equal(fed(first).merged(fed(second)), fed(first + second))


def test_merging_leaves_both_as_they_were():
    one, other = fed([np.ones((1, 3, 2), np.float32)]), fed([np.full((1, 3, 2), 9, np.float32)])
    before = one.counts.copy(), other.counts.copy()
    one.merged(other).add(np.full((1, 3, 2), 100, np.float32))
    np.testing.assert_array_equal(one.counts, before[0])
    np.testing.assert_array_equal(other.counts, before[1])


def test_memory_does_not_grow_with_what_was_seen():
    seen = Histogram(2)
    before = {name: value.nbytes for name, value in vars(seen).items()}
    for exponent in range(-130, 120, 5):
        seen.add(np.full((3, 2, 4), 2.0**exponent, dtype=np.float32))
    assert {name: value.nbytes for name, value in vars(seen).items()} == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="not finite"):
        Histogram(1).add(np.array([[[1.0, value, 2.0]]], dtype=np.float32))
