"""Statistics: streamed over many games at once, they are those of each game played alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import calib.statistics.collect
from calib.errors import CalibrationError
from calib.statistics.collect import collect
from calib.statistics.results import Checkpoint, Statistics
from calib.statistics.store import arrays_of, checkpoint_arrays, checkpoint_of
from calib.statistics.tensors import observed_inputs, observed_tensors
from calib.step.graph import StepModel
from calib.step.runner import ROWS, CalibrationGame, StepRunner
from tests.support.small_step import alone, random_game, small_step


@pytest.fixture(scope="module")
def step(tmp_path_factory) -> StepModel:
    return small_step(tmp_path_factory.mktemp("step"))


@pytest.fixture(scope="module")
def games() -> list[CalibrationGame]:
    """More games than rows, of different lengths, one of them empty."""
    lengths = [7, 1, 30, 12, 0, *range(3, 3 + ROWS)]
    return [random_game(frames, seed) for seed, frames in enumerate(lengths)]


def largest(values: np.ndarray, groups: int) -> np.ndarray:
    return np.abs(values).reshape(len(values), groups, -1).max(axis=(0, 2))


@pytest.fixture(scope="module")
def expected(step, games) -> dict[str, np.ndarray]:
    return alone(step, games)


@pytest.fixture(scope="module")
def found(step, games) -> Statistics:
    return collect(step, games)


def same_bits(one: Statistics, other: Statistics) -> bool:
    first, second = arrays_of(one), arrays_of(other)
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and first[name].tobytes() == second[name].tobytes()
        for name in first
    )


def test_limits_are_those_of_all_frames_of_each_game_played_alone(step, games, found, expected):
    limits = found.limits("minmax")
    assert list(limits) == list(observed_tensors(step.sizes))
    for name, tensor in observed_tensors(step.sizes).items():
        assert limits[name].shape == (tensor.groups,)
        assert limits[name].dtype == np.float64
        np.testing.assert_allclose(
            limits[name], largest(expected[name], tensor.groups), rtol=1e-4, err_msg=name
        )
    assert found.frames == sum(len(game.numbers) for game in games)
    assert found.games == sum(len(game.numbers) > 0 for game in games)


def test_the_state_is_carried_through_a_game(step, games):
    """Reset at every frame, the state would stay far smaller than it really is."""
    limits = collect(step, games).limits("minmax")
    reset = alone(step, games, carried=False)
    for layer in range(step.sizes.n_layer):
        name = f"next_state.{layer}"
        assert (limits[name] > 1.5 * largest(reset[name], step.sizes.nheads)).any()


def test_a_game_begins_with_an_empty_state_whatever_its_row_played_before(step):
    first, second = random_game(20, 1), random_game(5, 2)
    others = [random_game(25, 10 + i) for i in range(ROWS - 1)]
    shown = list(StepRunner(step, ["residual.2"]).play([first, *others, second], None))
    last = np.stack([shown[20 + t]["residual.2"][-1] for t in range(5)])
    np.testing.assert_allclose(last, alone(step, [second])["residual.2"], rtol=1e-4, atol=1e-5)


def test_heads_have_limits_of_their_own(step, found):
    limits = found.limits("minmax")
    for name in ("layers.0.mamba.dt", "layers.0.mamba.y", "next_state.1"):
        assert limits[name].shape == (step.sizes.nheads,)
        assert len(set(limits[name])) == step.sizes.nheads


@pytest.mark.parametrize(
    ("observer", "percent"),
    [("percentile", 90.0), ("mse", None), ("entropy", None), ("moving-average", None)],
)
def test_an_observer_changes_the_int8_tensors_and_only_those(step, found, observer, percent):
    limits, whole = found.limits(observer, percent), found.limits("minmax")
    for name, tensor in observed_tensors(step.sizes).items():
        if tensor.bits > 8:
            np.testing.assert_array_equal(limits[name], whole[name], err_msg=name)
        else:
            assert 0 < limits[name] <= whole[name], name
    assert sum(limits[n] < whole[n] for n, t in observed_tensors(step.sizes).items()
               if t.bits == 8) >= 3  # fmt: skip


def test_a_percentile_is_that_of_the_values(step, found, expected):
    limits = found.limits("percentile", 90.0)
    for name, tensor in observed_tensors(step.sizes).items():
        if tensor.bits == 8:
            sizes = np.abs(expected[name])
            bin_ = 2 * sizes.max() / 8192
            exact = np.percentile(sizes, 90.0, method="inverted_cdf")
            assert exact - 1e-4 <= limits[name] <= exact + bin_ + 1e-4


def test_an_unknown_observer_is_refused(found):
    for name, percent in (("median", None), ("percentile", None)):
        with pytest.raises(CalibrationError, match="minmax, moving-average"):
            found.limits(name, percent)


def test_inputs_of_linears_have_the_moments_of_all_frames(step, found, expected):
    assert list(found.inputs) == list(observed_inputs(step))
    for name, part in found.inputs.items():
        x = expected[name].astype(np.float64)
        close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(x).max(), "err_msg": name}
        np.testing.assert_allclose(part.channel_max, np.abs(x).max(axis=0), **close)
        np.testing.assert_allclose(part.channel_mean, x.mean(axis=0), **close)
        np.testing.assert_allclose(part.moments / len(x), x.T @ x / len(x), **close)
        assert part.moments.dtype == np.float64 and part.frames == len(x) == found.frames
        assert np.linalg.eigvalsh(part.moments).min() > -1e-6 * part.moments.max()


def test_the_moving_average_is_that_of_each_calls_largest(step, games, found):
    """By the recurrence of torch's observer, begun with the first value and not with 0."""
    weight, mean = 0.0, 0.0
    for shown in StepRunner(step, ["encoded"]).play(games, None):
        weight, mean = 0.99 * weight + 1, 0.99 * mean + np.abs(shown["encoded"]).max()
    assert found.tensors["encoded"].moving_average[0] == pytest.approx(mean / weight)


def test_equal_inputs_give_equal_statistics(step, games, found):
    assert same_bits(found, collect(step, iter(games)))


def test_the_moving_average_forgets_what_lies_far_back(step, games, found, monkeypatch):
    monkeypatch.setattr(calib.statistics.collect, "WINDOW", 6)
    recent = collect(step, iter(games)).tensors["norm_f.unit"].recent
    whole = found.tensors["norm_f.unit"].recent
    assert len(whole) > 6
    np.testing.assert_array_equal(recent, whole[-6:])


@pytest.mark.parametrize("call", [0, 1, 8, 25])
def test_an_interrupted_pass_goes_on_to_the_same_bits(step, games, found, monkeypatch, call):
    """Stopped after that call, written down, read again by a new process."""
    monkeypatch.setattr(calib.statistics.collect, "SAVE_SECONDS", 0.0)
    calls = itertools.count()
    kept: dict[str, np.ndarray] = {}

    def save(checkpoint: Checkpoint) -> None:
        kept.update({n: a.copy() for n, a in checkpoint_arrays(checkpoint).items()})
        if next(calls) == call:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(step, games, save=save)
    begun = checkpoint_of(kept, "kept")
    assert 0 < begun.statistics.frames < found.frames
    assert same_bits(found, collect(step, games, checkpoint=begun))


def test_fewer_games_than_had_begun_are_refused(step, games, monkeypatch):
    monkeypatch.setattr(calib.statistics.collect, "SAVE_SECONDS", 0.0)
    kept: list[Checkpoint] = []
    collect(step, games, frames=40, save=kept.append)
    with pytest.raises(CalibrationError, match="fewer games"):
        collect(step, games[:2], checkpoint=kept[-1])


def test_no_more_frames_are_played_than_asked_for(step, games):
    found = collect(step, games, frames=50)
    assert found.frames == 50
    calls: list[tuple[int, int]] = []
    collect(step, games, frames=50, progress=lambda what, done, total: calls.append((done, total)))
    assert calls[-1] == (50, 50)


def test_games_are_loaded_when_their_row_is_free(step):
    """A long stream of games is never held as a whole."""
    loaded = []

    def stream():
        for seed in range(ROWS + 3):
            loaded.append(seed)
            yield random_game(4, seed)

    playing = StepRunner(step, ["residual.0"]).play(stream(), None)
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
    game.numbers[1, 2] = 1e9
    with pytest.raises(CalibrationError, match="^encoded: .* beyond what the schema allows"):
        collect(step, [game])
    game = random_game(3, 1)
    game.classes[1, 0] = 400
    with pytest.raises(CalibrationError, match="onnxruntime cannot run") as caught:
        collect(step, [game])
    assert "\n" not in str(caught.value)
