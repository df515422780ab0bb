"""The float step over frames, and the frame update by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calib.step import graph
from tests.support.rollout_models import RANDOM, a_start
from tests.support.small_step import random_play
from wmq.game.frame_update import next_frames
from wmq.game.schema import Q16, Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.onnx_session import OnnxStep
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import match_start

SCHEMA = Schema()

pytest_plugins = ("tests.support.rollout_models",)


def test_float_rollout_is_the_step_and_the_update_in_turn(models: Path) -> None:
    start = a_start(4)
    pads = both_controllers(RANDOM, start, 6, 0)
    found = roll(OnnxPredictor(models / "small.onnx"), start, [pads], [0])
    step = OnnxStep(models / "small.onnx")
    state, rows = step.zero_state(1), np.concatenate([start.controllers, pads])
    frame = start.given[:1]
    for t in range(9):
        now = start.given[t : t + 1] if t < 4 else frame
        heads, state = step.step(now, rows[t : t + 1], rows[t + 1 : t + 2], state)
        frame = next_frames(SCHEMA, now, heads)
    assert (found.worlds[0].frames[-1] == frame[0]).all()
    assert found.saturations is None and found.arithmetic == "float32"
    assert (SCHEMA.lo <= found.worlds[0].frames).all()
    assert (found.worlds[0].frames <= SCHEMA.hi).all()


def test_a_batch_of_games_is_each_game_alone(models: Path) -> None:
    step = OnnxStep(models / "small.onnx")
    frames, pads = random_play(SCHEMA, 3, seed=9)
    together, after = step.step(frames, pads, pads[::-1], step.zero_state(3))
    for row in range(3):
        one = slice(row, row + 1)
        alone, mine = step.step(frames[one], pads[one], pads[::-1][one], step.zero_state(1))
        for name in alone:
            assert np.allclose(alone[name][0], together[name][row], atol=1e-4)
        assert all(np.allclose(mine[n][0], after[n][row], atol=1e-4) for n in mine)


def test_a_predictor_reads_its_file_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []

    def counted(path: Path) -> graph.StepModel:
        reads.append(path)
        return read(path)

    read = graph.read_step
    monkeypatch.setattr(graph, "read_step", counted)
    predictor = OnnxPredictor(models / "small.onnx", 1)
    assert len(reads) == 1
    assert predictor.spreads is not None
    wanted = read(models / "small.onnx").weights
    for head in NUMBER_HEADS:
        assert (predictor.spreads[head] == wanted[f"{head}_scale"]).all()


def test_frame_update_follows_the_schema() -> None:
    """Values worked out by hand, at the edges of rounding and of the intervals."""
    frames = np.repeat(match_start(SCHEMA, "battlefield", ("fox", "fox")).given, 2, axis=0)
    at = SCHEMA.index
    frames[:, at("percent")] = [0, 999 * Q16]
    frames[:, at("state_age")] = [0, 149]
    heads = {
        "continuous": np.zeros((2, 8), np.float32),
        "velocity": np.zeros((2, 10), np.float32),
        "dynamics": np.zeros((2, 6), np.float32),
        "binary": np.zeros((2, 6), np.float32),
    }
    for player in ("p1", "p2"):
        for field in SCHEMA.head("classes"):
            heads[f"{player}.{field.name}"] = np.zeros((2, field.classes), np.float32)
    heads["continuous"][:, 0] = [-1, 1]  # percent stays within 0..999
    heads["continuous"][:, 1] = [1.5 / Q16, -1.5 / Q16]  # half up: +2 and -1 units
    heads["dynamics"][:, 0] = [2.5, -0.6]  # hitlag: to 3, and clamped to 0
    heads["dynamics"][:, 1] = [4.6, 3.4]  # stocks never rise: 4, and 3
    heads["binary"][:, 0] = [0, 1e-6]  # facing: more than 0
    heads["p1.action"][0, 322] = 1  # stays, so its age goes on; row 1 changes to 0
    heads["p1.jumps"][:, [3, 5]] = 2  # the lowest of equals
    after = next_frames(SCHEMA, frames, heads)
    assert after[:, at("percent")].tolist() == [0, 999 * Q16]
    assert (after - frames)[:, at("x")].tolist() == [2, -1]
    assert after[:, at("hitlag")].tolist() == [3, 0]
    assert after[:, at("stocks")].tolist() == [4, 3]
    assert after[:, at("facing")].tolist() == [0, 1]
    assert after[:, at("action")].tolist() == [322, 0]
    assert after[:, at("state_age")].tolist() == [1, 0]
    assert after[:, at("jumps")].tolist() == [3, 3]
    assert (after[:, SCHEMA.stage_index] == 31).all()
    assert (after[:, at("character", 1)] == 1).all()
    heads["p1.action"][1, 322] = 1
    assert next_frames(SCHEMA, frames, heads)[1, at("state_age")] == 149
    heads["p2.action"][:, 12] = 1  # born again on Battlefield, wherever the player was
    reborn = next_frames(SCHEMA, frames, heads)
    assert reborn[:, at("x", 1)].tolist() == [-40 * Q16] * 2
    assert (reborn[:, at("x")] == after[:, at("x")]).all()
    again = next_frames(SCHEMA, reborn, heads)  # and moves on from there
    moved = again[:, at("x", 1)] - reborn[:, at("x", 1)]
    assert moved.tolist() == [0, 0]
