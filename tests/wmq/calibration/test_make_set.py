"""The set that calibrates without a replay: matches that a model played, for its own schema."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import calib.sets
from calib.errors import CalibrationError
from calib.sets import read_set, write_set
from tests.support.rollout_models import wmq
from tests.support.ruled_frames import RULED
from wmq.calibration import make_set
from wmq.game.names import STAGES
from wmq.inference.agents import IntegerAgent
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.rollout import roll
from wmq.rollout.starts import match_start
from wmq_kernels.loading import load

pytest_plugins = ("tests.support.match_models", "tests.support.rollout_models")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("SKIPPED", 6), ("KEPT", 40), ("MATCHES", 7)):
        monkeypatch.setattr(make_set, name, count)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(calib.sets, "FOLDER", tmp_path)
    return tmp_path


def test_agents_play_the_set_of_a_world_that_draws(match_models: Path, few: None) -> None:
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    frames, pads = make_set.play(world, agent, 1000)
    assert frames.shape == (7, 40, RULED.frame_size) and pads.shape == (7, 40, 26)
    player = IntegerAgent(agent)
    for number in (0, 6):  # there are six stages
        start = match_start(RULED, next(iter(STAGES)), make_set.PAIRS[number])
        given = np.zeros((46, 26), np.int32)
        alone = roll(IntegerPredictor(world), start, [given], [1000 + number],
                     agents=(player, player)).worlds[0]  # fmt: skip
        np.testing.assert_array_equal(frames[number], alone.frames[6:])
        np.testing.assert_array_equal(pads[number], alone.controllers[6:])


def test_random_controllers_play_the_set_of_another(models: Path, few: None) -> None:
    frames, pads = make_set.play(models / "small.wmq", None, 1000)
    made = wmq("rollout", models / "small.wmq", "--frames", 46, "--seed", 1000,
               "--stage", next(iter(STAGES)), "-o", models / "made.npz")  # fmt: skip
    assert made.exit_code == 0
    with np.load(models / "made.npz") as whole:
        np.testing.assert_array_equal(frames[0], whole["frames"][0, 6:])
        np.testing.assert_array_equal(pads[0], whole["controllers"][0, 6:])


def test_a_name_is_of_the_file_for_the_model_s_schema(
    match_models: Path, models: Path, folder: Path, few: None
) -> None:
    for file, name in (("world", "own-v2"), ("agent", None)):
        out = folder / f"{file}.wmq"
        line = ("calibrate", match_models / f"{file}.onnx", "-o", out, "--set", "own")
        if name:
            refused = wmq(*line)
            assert refused.exit_code == 2 and "own: no such calibration set" in refused.output
            played = make_set.play(match_models / "world.wmq", match_models / "agent.wmq", 5)
            sha256 = write_set(folder / f"{name}.safetensors", *played)
        done = wmq(*line, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["frames"] == 7 * 39
        assert load(out)[0].meta["calibration"]["data"] == {"set": "own", "sha256": sha256}
    assert calib.sets.names() == ["own"]
    other = wmq("calibrate", models / "small.onnx", "-o", folder / "a.wmq", "--set", "own")
    assert other.exit_code == 2 and other.output.count("\n") == 1
    assert "own: the set has no frames of schema version 1" in other.output


def test_the_shipped_set_is_of_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the plan's presets are, which it calibrates."""
    found = read_set("Self-Play", 1)
    assert found.name == "self-play" and found.frames.shape[1] == make_set.KEPT
    with pytest.raises(CalibrationError, match="no frames of schema version 3"):
        read_set("self-play", 3)
