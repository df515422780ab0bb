"""Statistics: streamed over many games at once, they are those of each game played alone."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from small_step import as_game, random_play, small_step

from calib.errors import CalibrationError
from calib.observers import Percentile, observer
from calib.statistics import (
    ROWS,
    CalibrationGame,
    Player,
    Rounding,
    collect,
    decibels,
    observed_tensors,
    rounded,
    signal_to_noise,
)
from calib.step_graph import StepModel, zero_state
from wmq.schema import Schema

SCHEMA = Schema()


def random_game(frames: int, seed: int) -> CalibrationGame:
    """A game of `frames` steps."""
    return as_game(SCHEMA, *random_play(SCHEMA, frames + 1, seed))


@pytest.fixture(scope="module")
def step(tmp_path_factory) -> StepModel:
    return small_step(tmp_path_factory.mktemp("step"))


@pytest.fixture(scope="module")
def games() -> list[CalibrationGame]:
    """More games than rows, of different lengths, one of them empty."""
    lengths = [7, 1, 30, 12, 0, *range(3, 3 + ROWS)]
    return [random_game(frames, seed) for seed, frames in enumerate(lengths)]


def alone(
    step: StepModel, games: list[CalibrationGame], carried: bool = True
) -> dict[str, np.ndarray]:
    """All observed tensors of all frames, computed one game and one frame at a time."""
    import onnxruntime

    names = list(observed_tensors(step.sizes))
    state_names = list(zero_state(step.config, step.schema))
    outputs = [*names, *(f"next_{n}" for n in state_names if f"next_{n}" not in names)]
    model = onnx.ModelProto.FromString(step.model.SerializeToString())
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in names
        if n not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for game in games:
        state = zero_state(step.config, step.schema)
        for at in range(len(game.numbers)):
            feeds = {
                key: getattr(game, key)[at : at + 1]
                for key in ("numbers", "classes", "controllers", "next_controllers")
            }
            found = dict(zip(outputs, session.run(outputs, feeds | state), strict=True))
            if carried:
                state = {name: found[f"next_{name}"] for name in state_names}
            for name in names:
                rows[name].append(found[name])
    return {name: np.concatenate(values) for name, values in rows.items()}


def largest(values: np.ndarray, groups: int) -> np.ndarray:
    return np.abs(values).reshape(len(values), groups, -1).max(axis=(0, 2))


def test_limits_are_those_of_all_frames_of_each_game_played_alone(step, games):
    found = collect(step, games)
    expected = alone(step, games)
    assert set(found.limits) == set(expected)
    for name, tensor in observed_tensors(step.sizes).items():
        assert found.limits[name].shape == (tensor.groups,)
        assert found.limits[name].dtype == np.float64
        np.testing.assert_allclose(
            found.limits[name], largest(expected[name], tensor.groups), rtol=1e-4, err_msg=name
        )
    assert found.frames == sum(len(game.numbers) for game in games)
    assert found.games == sum(len(game.numbers) > 0 for game in games)


def test_the_state_is_carried_through_a_game(step, games):
    """Reset at every frame, the state would stay far smaller than it really is."""
    limits = collect(step, games).limits
    reset = alone(step, games, carried=False)
    for layer in range(step.sizes.n_layer):
        name = f"next_state.{layer}"
        assert (limits[name] > 1.5 * largest(reset[name], step.sizes.nheads)).any()


def test_a_game_begins_with_an_empty_state_whatever_its_row_played_before(step):
    first, second = random_game(20, 1), random_game(5, 2)
    others = [random_game(25, 10 + i) for i in range(ROWS - 1)]
    shown = list(Player(step, ["residual.2"]).play([first, *others, second], None))
    last = np.stack([shown[20 + t]["residual.2"][-1] for t in range(5)])
    np.testing.assert_allclose(last, alone(step, [second])["residual.2"], rtol=1e-4, atol=1e-5)


def test_heads_have_limits_of_their_own(step, games):
    limits = collect(step, games).limits
    for name in ("layers.0.mamba.dt", "layers.0.mamba.y", "next_state.1"):
        assert limits[name].shape == (step.sizes.nheads,)
        assert len(set(limits[name])) == step.sizes.nheads


def test_a_percentile_clips_the_int8_tensors_and_only_those(step, games):
    limits = collect(step, games, observer("percentile", 90.0)).limits
    whole, expected = collect(step, games).limits, alone(step, games)
    for name, tensor in observed_tensors(step.sizes).items():
        if tensor.bits > 8:
            np.testing.assert_array_equal(limits[name], whole[name], err_msg=name)
        else:
            seen = Percentile(1, 90.0)
            seen.add(expected[name].reshape(len(expected[name]), 1, -1))
            np.testing.assert_allclose(limits[name], seen.limits(), rtol=1e-3, err_msg=name)
            assert limits[name] < whole[name]


def test_equal_inputs_give_equal_statistics(step, games):
    first, second = collect(step, games), collect(step, iter(games))
    for name, limits in first.limits.items():
        np.testing.assert_array_equal(limits, second.limits[name])


def test_no_more_frames_are_played_than_asked_for(step, games):
    found = collect(step, games, frames=50)
    assert found.frames == 50
    calls = []
    collect(step, games, frames=50, progress=lambda what, done, total: calls.append((done, total)))
    assert calls[-1] == (50, 50)


def test_games_are_loaded_when_their_row_is_free(step):
    """A long stream of games is never held as a whole."""
    loaded = []

    def stream():
        for seed in range(ROWS + 3):
            loaded.append(seed)
            yield random_game(4, seed)

    playing = Player(step, ["residual.0"]).play(stream(), None)
    next(playing)
    assert len(loaded) == ROWS
    assert sum(len(found["residual.0"]) for found in playing) == 4 * (ROWS + 3) - ROWS


def test_no_frames_and_values_without_end_are_refused(step):
    with pytest.raises(CalibrationError, match="no frame"):
        collect(step, [random_game(0, 1)])
    game = random_game(3, 1)
    game.numbers[1, 2] = np.inf
    with pytest.raises(CalibrationError, match="^encoded: .* not finite"):
        collect(step, [game])
    game = random_game(3, 1)
    game.classes[1, 0] = 400
    with pytest.raises(CalibrationError, match="onnxruntime cannot run") as caught:
        collect(step, [game])
    assert "\n" not in str(caught.value)


def test_rounding_is_to_the_nearest_integer_half_up_and_clipped():
    values = np.array([[[0.26, 0.25, -0.25, 9.0, -9.0], [1.4, 1.6, -1.6, 2.5, 200.0]]])
    found = rounded(values, Rounding(np.array([0.5, 1.0]), -8, 127))
    expected = [[[0.5, 0.5, 0.0, 9.0, -4.0], [1.0, 2.0, -2.0, 3.0, 127.0]]]
    np.testing.assert_array_equal(found, expected)


def test_a_scale_of_0_rounds_to_0():
    found = rounded(np.array([[[1.0, -1.0]]]), Rounding(np.zeros(1), -127, 127))
    np.testing.assert_array_equal(found, [[[0.0, 0.0]]])


def test_signal_to_noise_is_that_of_the_whole_arrays(step, games):
    limits = collect(step, games).limits
    roundings = {
        "norm_f.unit": Rounding(limits["norm_f.unit"] / 127, -127, 127),
        "layers.1.mamba.y": Rounding(limits["layers.1.mamba.y"] / 32767, -32767, 32767),
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
