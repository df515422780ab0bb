"""Units with a floor: what enters one sum fits it, whatever was seen and however wide the model."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from calib.arithmetic.fixed import INT8_LIMIT
from calib.lowering.builder import ProgramBuilder
from calib.lowering.ops import LinearInput, linear
from calib.lowering.scales import WIDE_HEADROOM, Scales, eps_units, unit_rows, wide
from calib.recipe import RecurrentState
from calib.weights.transforms import Folding


@given(st.integers(1, 1 << 15), st.floats(1e-6, 1e9), st.sampled_from([1.0, 2**0.5]))
def test_squares_and_eps_fit_62_bits_and_the_interval_holds_its_headroom(count, size, finer):
    found = wide(count, size, finer=finer)
    eps = eps_units(count, found.unit / finer)
    assert 1 <= eps <= 1 << 61
    assert count * found.limit**2 + eps_units(count, found.unit) < 1 << 62
    assert found.limit * found.unit >= WIDE_HEADROOM * size * (1 - 1e-9)


@given(st.floats(0, 1e9), st.floats(1e-9, 1))
def test_a_row_lets_its_bias_fit(bias, unit):
    rows = unit_rows(np.array([[1e-9, 0.0], [0.0, 0.0]]), np.array([bias, -bias]), unit)
    assert (bias / (rows * unit) <= 2.0**30 * (1 + 1e-9)).all()


def test_rows_of_a_wide_model_get_a_coarser_unit_until_their_sum_fits():
    """8,192 weights of the same size: 127 * 127 * 128 each would make 1.7e10."""
    n, scale = 8192, 0.01
    b = ProgramBuilder()
    high, low = b.value("x", "i8", n, INT8_LIMIT), b.value("x.low", "i8", n, (-64, 63))
    weight = np.vstack([np.full(n, 0.5), np.eye(1, n)[0]])
    scales = Scales({}, wide(n, 1.0), RecurrentState(headroom_bits=2), ("wide",))
    acc = linear(
        b, "wide", LinearInput(high, low, scale, "x", Folding()), weight, np.zeros(2), scales
    )
    assert b.values[acc.name].hi < 1 << 31
    held = b.data["wide.weight"].reshape(2, n) * acc.scale[:, None] / (scale / 128)
    np.testing.assert_allclose(held, weight, atol=0.5 / 15)
    assert b.data["wide.weight"].reshape(2, n)[1, 0] == 127
