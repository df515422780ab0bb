"""Real factors to integers, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calib.arithmetic.fixed import multiplier, power_at_least, row_scales, to_int
from calib.errors import CalibrationError


@given(st.floats(1e-9, 1e6), st.integers(22, 31))
def test_a_multiplier_is_the_nearest_of_its_width(factor, bits):
    m, shift = multiplier(factor, bits)
    assert (1 << (bits - 1)) <= m < (1 << bits)
    assert abs(Fraction(m, 1 << shift) - Fraction(factor)) <= Fraction(1, 2 << shift)


@given(st.floats(1e-300, 1e-19))
def test_a_vanishing_factor_keeps_the_largest_shift(factor):
    m, shift = multiplier(factor)
    assert shift == 62
    assert abs(Fraction(m, 1 << shift) - Fraction(factor)) <= Fraction(1, 2 << shift)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -1.0, 2.0**40])
def test_a_factor_that_no_integer_carries_is_refused(factor):
    with pytest.raises(CalibrationError):
        multiplier(factor)


@given(st.integers(0, 1 << 32))
def test_rows_are_within_half_a_step(seed):
    weight = np.random.default_rng(seed).normal(size=(5, 33)) * 10.0 ** np.arange(-2, 3)[:, None]
    scale = row_scales(weight)
    ints = np.rint(weight / scale[:, None])
    assert np.abs(ints.astype(int)).max(1).tolist() == [127] * 5
    assert (np.abs(ints * scale[:, None] - weight) <= scale[:, None] * 0.5000001).all()


def test_a_row_of_zeros_has_a_scale():
    assert (row_scales(np.zeros((2, 4))) > 0).all()


@given(st.floats(1e-30, 1e30))
def test_power_at_least_is_the_smallest(value):
    e = power_at_least(value)
    assert Fraction(2) ** e >= Fraction(value) > Fraction(2) ** (e - 1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(CalibrationError, match=r"layers\.0"):
        to_int(np.array([2.0**31]), "int32", "layers.0")
