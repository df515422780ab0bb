"""Changes between norm and projection: exact in real numbers, and worth it in int8."""

import numpy as np
import pytest

from calib.arithmetic.hadamard import block_of, rotated
from calib.errors import CalibrationError
from calib.lowering.lower import lower
from calib.statistics.collect import collect
from calib.statistics.results import InputStatistics
from calib.weights.quantize import Moments, WeightQuantizer
from calib.weights.transforms import (
    SEARCHED,
    STRENGTHS,
    Folding,
    Transforms,
    channel_exponents,
    expected_error,
    folding_of,
)
from tests.calib.lowering.test_lower import FRAMES, STATE, decibels
from tests.support.small_step import random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.game.schema import Schema
from wmq_kernels.engine import Engine
from wmq_kernels.program import encode
from wmq_kernels.reference import Reference


def statistics_of(x: np.ndarray) -> InputStatistics:
    whole = np.rint(x * 2.0**20).astype(np.int64)
    return InputStatistics(20, len(x), np.abs(x).max(0), float(np.abs(rotated(x)).max()),
                           whole.sum(0), whole.T @ whole)  # fmt: skip


def play(width: int = 48, frames: int = 3000) -> np.ndarray:
    """Unit-sized channels but for one that is large and one that is small."""
    x = np.random.default_rng(0).normal(size=(frames, width))
    x[:, 3] = 20 + x[:, 3]
    x[:, 7] *= 0.01
    return x


@pytest.mark.parametrize("width", [16, 48, 96, 768])
def test_turning_keeps_sums_of_squares_and_undoes_itself(width):
    x = np.random.default_rng(1).normal(size=(5, width))
    assert np.allclose((rotated(x) ** 2).sum(1), (x**2).sum(1))
    assert np.allclose(rotated(rotated(x)), x)
    assert width % block_of(width) == 0 and block_of(width) & (block_of(width) - 1) == 0


@pytest.mark.parametrize("rotates", [False, True])
def test_a_projection_of_the_changed_input_gives_what_it_gave_before(rotates):
    x, weight = play(), np.random.default_rng(2).normal(size=(8, 48))
    folding = Folding(None if rotates else np.arange(48) % 5 - 4, rotates)
    changed = rotated(x) if rotates else x / 2.0**folding.exponents
    assert np.allclose(changed @ folding.weight(weight).T, x @ weight.T)
    found = folding.moments(Moments.of(statistics_of(x)))
    assert np.allclose(found.mean, changed.mean(0), atol=1e-3)
    assert np.allclose(found.covariance, np.cov(changed.T, bias=True), rtol=1e-3, atol=1e-2)
    limit = folding.limit(float(np.abs(x).max()), statistics_of(x))
    assert np.isclose(limit, np.abs(changed).max())


def rounding_error(x: np.ndarray, weight: np.ndarray, exponents: np.ndarray) -> float:
    """Of the outputs, by rounding inputs and weights indeed."""
    scale = 2.0**exponents
    unit = np.abs(x / scale).max() / 127
    columns = weight * scale
    step = np.abs(columns).max(1, keepdims=True) / 127
    wrong = np.rint(x / scale / unit) * unit @ (np.rint(columns / step) * step).T
    return float(((wrong - x @ weight.T) ** 2).mean())


def test_the_strength_that_is_searched_errs_least_indeed():
    x, weight = play(), np.random.default_rng(3).normal(size=(32, 48))
    seen = statistics_of(x)
    chosen = folding_of("norm_f", 48, weight, Transforms(("norm_f",), SEARCHED), seen, False)
    errors = [rounding_error(x, weight, channel_exponents(weight, seen.channel_max, s))
              for s in STRENGTHS]  # fmt: skip
    found = rounding_error(x, weight, chosen.exponents)
    plain = rounding_error(x, weight, np.zeros(48, int))
    assert found <= 1.05 * min(errors) and found < 0.5 * plain
    predicted = expected_error(weight, seen, chosen.exponents) / len(weight)
    assert 0.5 < predicted / found < 2


def test_smoothing_has_one_channel_at_the_common_unit():
    weight = np.random.default_rng(4).normal(size=(8, 48))
    for strength in STRENGTHS:
        exponents = channel_exponents(weight, np.abs(play()).max(0), strength)
        assert exponents.max() == 0 and exponents.dtype == np.int64


CHANGES = {
    "smoothing": Transforms(("*",)),
    "a given strength": Transforms(("layers.*.norm",), 0.5),
    "hadamard": Transforms(hadamard=("layers.*.mamba.norm",)),
    "both": Transforms(("layers.*[01].norm", "norm_f"), SEARCHED, ("layers.*.mamba.norm",)),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_program_follows_the_float_step_as_the_plain_one_does(tmp_path, changes):
    schema, step = Schema(), small_step(tmp_path)
    frames, pads = random_play(schema, FRAMES + 1)
    seen = collect(step, [calibration_game(schema, frames, pads)])
    rounding = WeightQuantizer(gptq=True, bias_correction=True, inputs=seen.inputs)
    plain = decibels(
        lower(step, seen.ranges(), {}, STATE, (), rounding), step, schema, frames, pads
    )
    program = lower(step, seen.ranges(), {}, STATE, (), rounding, changes)
    changed = decibels(program, step, schema, frames, pads)
    assert np.mean(list(changed.values())) > np.mean(list(plain.values())) - 1
    run = Engine(program).run(Engine(program).zero_state(), frames[:3], pads[:8], 7)
    assert run.frames.tolist() == Reference(program).run(frames[:3].tolist(), pads[:8].tolist(),
                                                         7).frames  # fmt: skip


@pytest.mark.parametrize("name", ["frame_proj", "ctrl_proj", "both"])
def test_a_second_weight_digit_brings_the_projection_nearer(tmp_path, name):
    """residual.0 in float64 from the weights, beside what the program's first steps make."""
    schema, step = Schema(), small_step(tmp_path)
    frames, pads = random_play(schema, FRAMES + 1)
    seen = collect(step, [calibration_game(schema, frames, pads)])
    chosen = ("frame_proj", "ctrl_proj") if name == "both" else (name,)
    sizes = [sum(value.size for value in lower(step, seen.ranges(), {}, STATE, (),
                                               WeightQuantizer(two_digits=digits)).data.values())
             for digits in ((), chosen)]  # fmt: skip
    assert sizes[1] > sizes[0]  # further matrices
    ratios = [decibels(lower(step, seen.ranges(), {}, STATE, ("*",),
                             WeightQuantizer(True, 1e-3, True, digits, seen.inputs)),
                       step, schema, frames, pads)
              for digits in ((), chosen)]  # fmt: skip
    assert np.mean(list(ratios[1].values())) > np.mean(list(ratios[0].values()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Transforms(("norm_g",)), r"transforms\.smoothing\[0\]: 'norm_g'"),
        (Transforms(hadamard=("norm_f",)), r"transforms\.hadamard\[0\]: 'norm_f'"),
        (Transforms(("layers.0.mamba.norm",), 0.5, ("layers.*",)), r"smoothed as well"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path, changes, message):
    step = small_step(tmp_path)
    seen = collect(step, [calibration_game(Schema(), *random_play(Schema(), 20))])
    rounding = WeightQuantizer(inputs=seen.inputs)
    with pytest.raises(CalibrationError, match=message):
        lower(step, seen.ranges(), {}, STATE, (), rounding, changes)


def test_an_input_of_two_digits_is_left_as_it_is_whatever_the_patterns_say(tmp_path):
    step = small_step(tmp_path)
    seen = collect(step, [calibration_game(Schema(), *random_play(Schema(), 20))])
    rounding = WeightQuantizer(inputs=seen.inputs)
    digits = ("layers.0.mamba.*",)
    patterns = Transforms(("layers.[01].norm", "norm_f"), SEARCHED, ("layers.*.mamba.norm",))
    named = Transforms(("layers.1.norm", "norm_f"), SEARCHED, ("layers.1.mamba.norm",))
    programs = [lower(step, seen.ranges(), {}, STATE, digits, rounding, changes)
                for changes in (patterns, named)]  # fmt: skip
    assert encode(programs[0]) == encode(programs[1])
    assert any(made.op == "hadamard" for made in programs[0].steps)  # of layer 1


def test_a_change_without_statistics_is_refused(tmp_path):
    step = small_step(tmp_path)
    seen = collect(step, [calibration_game(Schema(), *random_play(Schema(), 20))])
    with pytest.raises(CalibrationError, match="statistics lack layers.0.norm"):
        lower(step, seen.ranges(), {}, STATE, (), transforms=Transforms(("*",)))
