"""What rounding costs, in decibels, as whole arrays would tell."""

from __future__ import annotations

import numpy as np
import pytest

from calib.arithmetic.grid import Grid
from calib.simulation.noise import decibels, signal_to_noise
from calib.statistics.collect import collect
from tests.support.small_step import alone, random_game, small_step


def test_rounding_is_to_the_nearest_integer_half_up_and_clipped():
    values = np.array([[[0.26, 0.25, -0.25, 9.0, -9.0], [1.4, 1.6, -1.6, 2.5, 200.0]]])
    found = Grid(np.array([0.5, 1.0]), -8, 127).nearest(values)
    expected = [[[0.5, 0.5, 0.0, 9.0, -4.0], [1.0, 2.0, -2.0, 3.0, 127.0]]]
    np.testing.assert_array_equal(found, expected)


def test_a_scale_of_0_rounds_to_0():
    found = Grid(np.zeros(1), -127, 127).nearest(np.array([[[1.0, -1.0]]]))
    np.testing.assert_array_equal(found, [[[0.0, 0.0]]])


def test_signal_to_noise_is_that_of_the_whole_arrays(tmp_path):
    step = small_step(tmp_path)
    games = [random_game(frames, seed) for seed, frames in enumerate((7, 1, 12, 0, 5))]
    limits = collect(step, games).ranges().limits
    roundings = {
        "norm_f.unit": Grid(limits["norm_f.unit"] / 127, -127, 127),
        "layers.1.mamba.y": Grid(limits["layers.1.mamba.y"] / 32767, -32767, 32767),
    }
    found = signal_to_noise(step, games, roundings)
    expected = alone(step, games)
    for name, rounding in roundings.items():
        values = expected[name].astype(np.float64).reshape(len(expected[name]), -1)
        scale = np.repeat(rounding.scale, values.shape[1] // len(rounding.scale))
        error = values - np.rint(values / scale) * scale
        ratio = 10 * np.log10((values**2).sum() / (error**2).sum())
        assert found[name] == pytest.approx(ratio, abs=0.05)


def test_decibels_of_an_exact_and_of_an_empty_signal():
    assert decibels(1.0, 0.01) == pytest.approx(20)
    assert decibels(1.0, 0.0) == np.inf
    assert decibels(0.0, 1.0) == -np.inf
