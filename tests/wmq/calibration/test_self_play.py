"""The model's own play is what its rollouts are, whatever interrupts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import wmq.calibration.self_play
from tests.support.small_step import random_play
from wmq.calibration.self_play import GIVEN, LANES, own_play
from wmq.game.schema import Schema
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.onnx_session import OnnxStep
from wmq.inference.predictor import StartRow
from wmq.memo.forms import Form
from wmq.memo.store import Cache
from wmq.replays.slippi import Game, GameInfo

pytest_plugins = ("tests.support.rollout_models",)
SCHEMA = Schema()
INFO = GameInfo("0" * 64, "train", 0, 31, (2, 22), "3.14.0", (), (0.1, 0.2))
LENGTH = GIVEN + 30
Pairs = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return [random_play(SCHEMA, LENGTH, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def step(models: Path) -> OnnxStep:
    return OnnxStep(models / "small.onnx")


def played(step: OnnxStep, pairs: Pairs, cache: Cache | None = None, key: str = "k") -> Pairs:
    cache = cache or Cache(None, print)
    return list(own_play(step, key, pairs, cache, lambda count: None))


def test_frames_are_those_of_a_rollout_after_the_given_ones(models, step, pairs):
    """The predictor rolls out from states that its walk through the true game has left."""
    predictor = OnnxPredictor(models / "small.onnx", 1)
    games = [Game(INFO, frames, pads) for frames, pads in pairs]
    starts = [StartRow(number, GIVEN - 1) for number in range(len(games))]
    states = predictor.walk(games, starts, lambda *heads: None)
    rolled = predictor.roll(games, starts, states, LENGTH - GIVEN, lambda count: None)
    found = played(step, pairs)
    for (frames, pads), (own, own_pads), expected in zip(pairs, found, rolled, strict=True):
        np.testing.assert_array_equal(own[:GIVEN], frames[:GIVEN])
        np.testing.assert_array_equal(own[GIVEN:], expected)
        np.testing.assert_array_equal(own_pads, pads)
        assert (own[GIVEN:] != frames[GIVEN:]).any()


def test_games_keep_their_lengths_and_their_order(step):
    lengths = [GIVEN + 5, 3, GIVEN, *range(GIVEN + 1, GIVEN + LANES)]
    pairs = [random_play(SCHEMA, length, seed) for seed, length in enumerate(lengths)]
    found = played(step, pairs)
    assert [len(frames) for frames, _ in found] == lengths
    for (frames, _), (own, _) in zip(pairs, found, strict=True):
        np.testing.assert_array_equal(own[:GIVEN], frames[:GIVEN])


def test_an_interrupted_rollout_goes_on_to_the_same_frames(step, pairs, tmp_path, monkeypatch):
    whole = played(step, pairs)
    monkeypatch.setattr(wmq.calibration.self_play, "SAVE_SECONDS", 0.0)
    write = Cache.write

    def interrupted(self: Cache, kind: str, key: object, form: Form, arrays: dict) -> None:
        write(self, kind, key, form, arrays)
        if arrays["frames"].shape[1] == GIVEN + 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Cache, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        played(step, pairs, Cache(tmp_path, print))
    monkeypatch.setattr(Cache, "write", write)
    calls = []
    own_step = step.step
    monkeypatch.setattr(step, "step", lambda *a: calls.append(1) or own_step(*a))
    found = played(step, pairs, Cache(tmp_path, print))
    assert len(calls) == LENGTH - GIVEN - 7
    for (frames, _), (own, _) in zip(whole, found, strict=True):
        np.testing.assert_array_equal(own, frames)
    played(step, pairs, Cache(tmp_path, print))
    assert len(calls) == LENGTH - GIVEN - 7  # kept whole
    played(step, pairs, Cache(tmp_path, print), "of another model")
    assert len(calls) > LENGTH


@pytest.mark.parametrize("change", ["frames", "width", "values", "state"])
def test_kept_play_that_cannot_be_is_made_again(step, pairs, tmp_path, change):
    warned: list[str] = []
    cache = Cache(tmp_path, warned.append)
    whole = played(step, pairs, cache)
    (file,) = tmp_path.iterdir()
    arrays = load_file(file)
    if change == "frames":
        del arrays["frames"]
    elif change == "width":
        arrays["frames"] = arrays["frames"][:, :, 1:].copy()
    elif change == "values":
        arrays["frames"][0, -1] = 1 << 30
    else:
        arrays["state.0"] = arrays["state.0"][:1].copy()
    save_file(arrays, file)
    found = played(step, pairs, cache)
    assert len(warned) == 1 and warned[0].startswith(str(file)) and "made again" in warned[0]
    for (frames, _), (own, _) in zip(whole, found, strict=True):
        np.testing.assert_array_equal(own, frames)
