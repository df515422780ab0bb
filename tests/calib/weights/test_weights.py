"""Rounding of weights: what GPTQ and bias correction gain, told by the outputs themselves."""

import numpy as np
import pytest

from calib.arithmetic.fixed import row_scales
from calib.errors import CalibrationError
from calib.statistics.results import InputStatistics
from calib.weights.quantize import NEAREST, Moments, WeightQuantizer, gptq


def _play(rng: np.random.Generator, frames: int = 4000, width: int = 24) -> np.ndarray:
    """Inputs that depend on each other, with a mean, as those of a Linear do."""
    return (
        rng.normal(size=(frames, 6)) @ rng.normal(size=(6, width))
        + 0.1 * rng.normal(size=(frames, width))
        + rng.normal(size=width)
    )


def _statistics(x: np.ndarray, fraction: int = 16) -> InputStatistics:
    whole = np.rint(x * 2.0**fraction).astype(np.int64)
    return InputStatistics(fraction, len(x), np.abs(x).max(0), 0.0, whole.sum(0), whole.T @ whole)


def _error(weight, ints, step, gain, x) -> float:
    """Mean squared error of the outputs, by the inputs themselves."""
    return float(np.mean((x @ (weight - ints * step).T - gain) ** 2))


def test_moments_are_those_of_the_play():
    x = _play(np.random.default_rng(0))
    found = Moments.of(_statistics(x))
    assert np.allclose(found.mean, x.mean(0), atol=1e-4)
    assert np.allclose(found.covariance, np.cov(x.T, bias=True), atol=1e-3)
    scaled = found.scaled(np.full(24, 2.0), 1.0)
    assert np.allclose(scaled.mean, (x.mean(0) - 1) / 2, atol=1e-4)
    assert np.allclose(scaled.covariance, np.cov((x / 2).T, bias=True), atol=1e-3)


def test_gptq_errs_less_than_the_nearest_on_dependent_inputs():
    rng = np.random.default_rng(1)
    x, weight = _play(rng), rng.normal(size=(32, 24))
    step = row_scales(weight)[:, None]
    found = Moments.of(_statistics(x))
    errors = {}
    for rounding in (NEAREST, WeightQuantizer(gptq=True), WeightQuantizer(bias_correction=True)):
        ints, gain = rounding.round(weight, step, found)
        assert np.abs(ints.astype(int)).max() <= 127
        errors[rounding.gptq, rounding.bias_correction] = _error(weight, ints, step, gain, x)
    # without correction the mean error stays, so GPTQ is judged with it
    ints, gain = WeightQuantizer(gptq=True, bias_correction=True).round(weight, step, found)
    both = _error(weight, ints, step, gain, x)
    assert errors[False, True] < errors[False, False]
    assert both < 0.35 * errors[False, True]


def test_gptq_without_correction_counts_the_mean_too():
    """By the covariance alone it would leave the outputs further off than the nearest does."""
    rng = np.random.default_rng(5)
    x, weight = _play(rng) + 3, rng.normal(size=(32, 24))
    step = row_scales(weight)[:, None]
    found = Moments.of(_statistics(x))
    assert np.allclose(found.second, x.T @ x / len(x), atol=1e-2)
    errors = {}
    for rounding in (NEAREST, WeightQuantizer(gptq=True)):
        ints, gain = rounding.round(weight, step, found)
        assert not gain.any()
        errors[rounding.gptq] = _error(weight, ints, step, gain, x)
    assert errors[True] < 0.35 * errors[False]


def test_gptq_beats_nearly_all_roundings_of_small_rows():
    """Of the 3^6 rows within one step of the nearest, a tenth at most err less, on average."""
    rng = np.random.default_rng(2)
    found = Moments.of(_statistics(_play(rng, 2000, 6)))
    weight = rng.normal(size=(40, 6))
    step = row_scales(weight)[:, None]
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 6), -1).reshape(-1, 6)
    ints = gptq(weight, np.broadcast_to(step, weight.shape), found.covariance, 1e-3)
    better, nearest_better = [], []
    for row, unit, chosen in zip(weight, step, ints, strict=True):
        errors = [d @ found.covariance @ d for d in row - (np.rint(row / unit) + around) * unit]
        for kept, candidate in ((better, chosen), (nearest_better, np.rint(row / unit))):
            d = row - candidate * unit
            kept.append(np.mean(errors < d @ found.covariance @ d))
    assert np.mean(better) < 0.1
    assert np.mean(better) < 0.5 * np.mean(nearest_better)


def test_independent_inputs_leave_every_weight_at_its_nearest():
    weight = np.random.default_rng(3).normal(size=(8, 12))
    step = row_scales(weight)[:, None]
    ints = gptq(weight, np.broadcast_to(step, weight.shape), np.diag(np.arange(1.0, 13)), 1e-3)
    assert (ints == np.rint(weight / step)).all()


def test_a_channel_that_never_varies_is_no_obstacle():
    rng = np.random.default_rng(4)
    x = _play(rng)
    x[:, 5] = 0.25
    weight = rng.normal(size=(4, 24))
    step = row_scales(weight)[:, None]
    rounding = WeightQuantizer(gptq=True, bias_correction=True)
    ints, gain = rounding.round(weight, step, Moments.of(_statistics(x)))
    assert _error(weight, ints, step, gain, x) < _error(weight, np.rint(weight / step), step, 0, x)
    ints, gain = rounding.round(weight, step, Moments(np.zeros(24), np.zeros((24, 24))))
    assert (ints == np.rint(weight / step)).all() and not gain.any()


def test_an_input_without_statistics_is_named():
    with pytest.raises(CalibrationError, match="layers.0.norm.unit"):
        WeightQuantizer(gptq=True).moments("layers.0.norm.unit")
    assert NEAREST.moments("layers.0.norm.unit") is None


@pytest.mark.parametrize("damping", [1e-9, 1e-16, 1e-300])
def test_inputs_that_move_together_need_no_damping_of_the_users(damping):
    """64 channels of three directions: their covariance has no inverse in float64."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 64)) + 3
    covariance = np.cov(x, rowvar=False)
    weight, step = rng.normal(size=(8, 64)), np.full((8, 64), 0.03)
    ints = gptq(weight, step, covariance, damping)
    nearest = np.clip(np.rint(weight / step), -127, 127)
    lost, plain = (((d @ covariance) * d).sum() for d in (weight - ints * step,
                                                         weight - nearest * step))  # fmt: skip
    assert lost < plain / 2
