"""A world stepped one frame at a time: the frames and the hash of a rollout, and copies."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wmq
from tests.support.interrupted import interrupted
from tests.support.made_games import made_game
from tests.support.rollout_models import wmq as command
from wmq.rollout.files import read_rollout

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 40
pytest_plugins = ("tests.support.rollout_models",)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "game.slp"
    path.write_bytes(made_game(3, frames=1300).to_bytes())
    return path


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
@pytest.mark.parametrize("start", ["match", "replay"])
def test_steps_are_the_frames_and_the_hash_of_the_command(
    models: Path, replay: Path, tmp_path: Path, name: str, start: str
) -> None:
    out = tmp_path / "rollout.npz"
    if start == "match":
        options = ("--stage", "dream-land", "--p1-character", "marth", "--p2-character", "peach")
    else:
        options = ("--start", f"{replay}@150", "--warmup", 90)
    result = command("rollout", models / name, *options, "--frames", FRAMES, "-o", out, "--json")
    stored = read_rollout(out)
    model = wmq.load(models / name)
    if start == "match":
        world = model.start("dream-land", ("marth", "peach"))
    else:
        world = model.start_at(replay, 150, warmup=90)
    assert world.frame_id == (150 if start == "replay" else -123)
    assert (world.frame["integers"] == stored.start.given[-1]).all()
    for row, wanted in zip(stored.controllers[0], stored.frames[0], strict=True):
        frame = world.step(row)
        assert (frame["integers"] == wanted).all() and frame == world.frame
    facts = json.loads(result.output)
    assert world.sha256 == facts["rollout_sha256"]
    assert world.saturations == facts["saturations"]
    assert world.frame_id == facts["first_frame"] + FRAMES - 1
    if name == "small.wmq":
        assert world.sha256 in command("verify", models / name, out).output


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
def test_a_copy_goes_its_own_way_from_the_same_state(models: Path, name: str) -> None:
    model = wmq.load(models / name)
    rows = model.rollout(30, seed=5).controllers
    world = model.start()
    for row in rows[:10]:
        world.step(row)
    twin = world.copy()
    assert (twin.sha256, twin.frame_id, twin.frame) == (world.sha256, world.frame_id, world.frame)
    other = twin.copy()
    for _ in range(5):
        other.step({"p1": {"main": (-1, 0)}})
    for row in rows[10:]:
        assert world.step(row) == twin.step(row)
    assert world.sha256 == twin.sha256 == model.rollout(30, seed=5).sha256 != other.sha256
    assert world.saturations == twin.saturations


def test_refused_controllers_leave_the_world_as_it_was(models: Path) -> None:
    model = wmq.load(models / "small.wmq")
    world = model.start()
    world.step({})
    for wrong in (np.zeros(26), np.full(26, -1), {"p1": {"A": 7}}, None):
        with pytest.raises(wmq.WmqError, match="^controllers: "):
            world.step(wrong)
    world.step({"p2": {"B": 1}})
    assert world.sha256 == model.rollout(controllers=[{}, {"p2": {"B": 1}}]).sha256
    assert world.frame_id == -121


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_the_copy_module_gives_a_world_of_its_own(models: Path, copied: Any) -> None:
    model = wmq.load(models / "small.wmq")
    world = model.start()
    world.step({})
    twin = copied(world)
    for _ in range(5):
        world.step({"p1": {"main": (1, 0)}})
    twin.step({"p1": {"B": 1}})
    assert twin.sha256 == model.rollout(controllers=[{}, {"p1": {"B": 1}}]).sha256


def test_an_interrupted_world_does_not_go_on(models: Path) -> None:
    model = wmq.load(models / "small.wmq")
    world = model.start()
    kept = world.copy()
    interrupted(world.step, {})
    for use in (lambda: world.step({}), world.copy, lambda: world.saturations):
        with pytest.raises(wmq.WmqError, match="^this world is inside a step.*start a world again"):
            use()
    kept.step({})
    assert kept.sha256 == model.rollout(controllers=[{}]).sha256


def test_a_world_is_not_pickled(models: Path) -> None:
    with pytest.raises(wmq.WmqError, match="a World cannot be pickled"):
        pickle.dumps(wmq.load(models / "small.wmq").start())


def test_the_prefix_of_a_rollout_has_the_hash_of_a_shorter_one(models: Path) -> None:
    model = wmq.load(models / "small.wmq", threads=2)
    world = model.start()
    for frames, row in enumerate(model.rollout(6).controllers, 1):
        world.step(row)
        assert world.sha256 == model.rollout(frames).sha256


def test_a_script_without_a_main_guard_starts_in_a_replay(replay: Path, tmp_path: Path) -> None:
    """Replays are read in a process of their own, which must not run the script again."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import wmq\nprint(wmq.load().start_at({str(replay)!r}, 150).frame_id)\n", "utf-8"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (done.stdout, done.stderr) == ("150\n", "")
