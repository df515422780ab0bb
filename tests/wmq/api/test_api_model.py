"""Models and trajectories: what the command gives for the same words, and named refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wmq
from tests.support.golden import EMBEDDED, GOLDEN
from tests.support.made_games import made_game
from tests.support.rollout_models import wmq as command
from wmq.files.digest import file_sha256
from wmq.game.schema import Q16
from wmq.inference.model_files import embedded_model

pytest_plugins = ("tests.support.rollout_models",)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(models: Path) -> wmq.Model:
    return wmq.load(models / "small.wmq")


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "game.slp"
    path.write_bytes(made_game(3, frames=1300).to_bytes())
    return path


def test_the_embedded_model_makes_its_golden_frames() -> None:
    model = wmq.load()
    assert model.sha256 == GOLDEN["model_sha256"] and model.path == embedded_model(".wmq")
    assert model.rollout(60).sha256 == EMBEDDED[60]


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
def test_a_model_says_what_it_is(models: Path, name: str) -> None:
    model = wmq.load(str(models / name))
    assert model.path == models / name and model.sha256 == file_sha256(models / name)
    integer = name.endswith(".wmq")
    assert model.arithmetic == ("int8" if integer else "float32")
    assert model.kernels in (("vnni", "portable") if integer else (None,))
    heads = {"continuous": 8, "binary": 6, "velocity": 10, "dynamics": 6}
    heads |= {
        f"{p}.{f.name}": f.classes for p in ("p1", "p2") for f in model.schema.head("classes")
    }
    assert model.heads == heads
    assert repr(model) and "\n" not in repr(model)


@pytest.mark.parametrize("worlds", [None, 3])
def test_a_rollout_is_that_of_the_command(
    models: Path, model: wmq.Model, tmp_path: Path, worlds: int | None
) -> None:
    ours, theirs = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    found = model.rollout(50, stage="yoshis-story", players=("samus", "fox"), seed=9,
                          worlds=worlds)  # fmt: skip
    found.save(ours)
    result = command("rollout", models / "small.wmq", "--frames", 50, "--stage", "yoshis-story",
                     "--p1-character", "samus", "--p2-character", "fox", "--seed", 9,
                     "--worlds", worlds or 1, "-o", theirs, "--json")  # fmt: skip
    facts = json.loads(result.output)
    assert (found.sha256, found.saturations) == (facts["rollout_sha256"], facts["saturations"])
    assert ours.read_bytes() == theirs.read_bytes()
    assert command("verify", models / "small.wmq", ours).exit_code == 0
    shape = (50,) if worlds is None else (3, 50)
    assert found.frames.shape == shape and len(found) == 50
    assert (found.frames["integers"] == found.integers).all()
    assert found.controllers.shape == (*shape, 26)
    assert found.frame_ids.tolist() == list(range(-122, -72))


def test_a_replay_is_followed_with_its_own_controllers(model: wmq.Model, replay: Path) -> None:
    found = model.rollout(start=(replay, 1100), warmup=30)
    assert len(found) == 1300 - 124 - 1100 and found.frame_ids[0] == 1101
    again = model.rollout(start=(replay, 1100), warmup=30, controllers=found.controllers)
    world = model.start_at(replay, 1100, warmup=30)
    for row in found.controllers:
        world.step(row)
    assert found.sha256 == again.sha256 == world.sha256
    one = model.rollout(20, start=(replay, 1100), controllers=("replay", "idle"))
    assert (one.controllers[:, :13] == found.controllers[:20, :13]).all()


def test_controllers_of_several_worlds(model: wmq.Model) -> None:
    whole = model.rollout(20, seed=4, worlds=3)
    again = model.rollout(controllers=whole.controllers.reshape(3, 20, 2, 13), worlds=3)
    assert (again.integers == whole.integers).all()
    alone = model.rollout(20, seed=5)
    assert (alone.integers == whole.integers[1]).all()
    idle = model.rollout(5, controllers="idle")
    assert idle.sha256 == model.rollout(controllers=[{}] * 5).sha256


def test_tables_are_exact_and_alike(model: wmq.Model, tmp_path: Path) -> None:
    found = model.rollout(12, worlds=2)
    table, frame = found.to_arrow(), found.to_pandas()
    assert list(frame.columns) == table.column_names and len(frame) == table.num_rows == 24
    assert table.schema.metadata[b"wmq.rollout_sha256"].decode() == found.sha256
    records = found.frames.reshape(24)
    for player in ("p1", "p2"):
        for field in model.schema.fields:
            column = f"{player}.{field.name}"
            assert (frame[column].to_numpy() == records[player][field.name]).all()
            assert (table[column].to_numpy() == frame[column].to_numpy()).all()
    assert (frame["p1.pad.main_x"] * Q16 == found.controllers.reshape(24, 26)[:, 0]).all()
    assert frame["frame"].tolist() == [*found.frame_ids, *found.frame_ids]
    found.save(tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text().splitlines()
    assert text[0].split(",") == list(frame.columns)


WRONG: dict[str, dict] = {
    "stage 'Battlefield': unknown; choose from battlefield": {"stage": "Battlefield"},
    "stage ['battlefield']: unknown": {"stage": ["battlefield"]},
    "players ('fox',): give two characters": {"players": ("fox",)},
    "players 'fox': give two characters": {"players": "fox"},
    "players 'foxy': unknown; choose from bowser": {"players": ("fox", "foxy")},
    "frames is 0; give a whole number in 1..20000000": {"frames": 0},
    "frames is 2.5; give a whole number": {"frames": 2.5},
    "frames is 20000000; give a whole number in 1..10000000": {"frames": 20_000_000, "worlds": 2},
    "worlds is True; give a whole number": {"worlds": True},
    "seed is -1; give a whole number in 0..": {"seed": -1},
    "controllers random:x: unknown controller; choose one of": {"controllers": "random:x"},
    "give one source, or one for each player": {"controllers": ("idle", "idle", "idle")},
    "replay: needs a start": {"controllers": "replay"},
    "controllers: 2 frames, not 3": {"controllers": [{}, {}], "frames": 3},
    "controllers: of 1 worlds, not of 2": {"controllers": np.zeros((1, 4, 26), int), "worlds": 2},
    "controllers: give integers of shape (frames, 26)": {"controllers": np.zeros((4, 26))},
    "absent.slp: no such file": {"start": ("absent.slp", 3)},
    "start 'game.slp@3': give a replay and a frame": {"start": "game.slp@3"},
    "frame is '3'; give a whole number": {"start": ("game.slp", "3")},
    "warmup is 0; give a whole number in 1..": {"start": ("game.slp", 3), "warmup": 0},
    "stage 'battlefield': only of a match": {"start": ("game.slp", 3), "stage": "battlefield"},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_word_is_named_with_a_way_out(model: wmq.Model, said: str) -> None:
    with pytest.raises(wmq.WmqError) as caught:
        model.rollout(**WRONG[said])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_models_are_one_line(models: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.wmq"
    damaged.write_bytes((models / "small.wmq").read_bytes()[:-1])
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no model")
    cases = [
        ({"path": tmp_path / "absent.wmq"}, "absent.wmq: no such file"),
        ({"path": tmp_path}, "a folder"),
        ({"path": "run.pt"}, "run.pt: a checkpoint"),
        ({"path": damaged}, "damaged.wmq: "),
        ({"path": other}, "other.onnx: "),
        ({"path": models / "small.wmq", "kernels": "best"}, "kernels best: unknown"),
        ({"path": models / "small.onnx", "kernels": "portable"}, "only for integer programs"),
        ({"threads": 0}, "threads is 0; give a whole number in 1..1024"),
    ]
    for words, said in cases:
        with pytest.raises(wmq.WmqError) as caught:
            wmq.load(**words)
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named(model: wmq.Model, tmp_path: Path) -> None:
    found = model.rollout(2)
    for place in (tmp_path / "rollout.txt", tmp_path / "absent" / "rollout.npz", tmp_path):
        with pytest.raises(wmq.WmqError, match=str(place)):
            found.save(place)


WITHOUT = """
import sys
for name in ("onnx", "onnxruntime", "pyarrow", "pandas", "peppi_py"):
    sys.modules[name] = None
import wmq
small = wmq.load(sys.argv[1])
for work in (lambda: wmq.load("m.onnx"), small.rollout(2).to_pandas, small.rollout(2).to_arrow,
             lambda: small.rollout(2).save("t.arrow"), lambda: small.start_at("g.slp", 3),
             lambda: wmq.evaluate("dataset"), lambda: wmq.calibrate("m.onnx", "m.wmq")):
    try:
        work()
    except wmq.WmqError as error:
        print(error)
"""


def test_a_missing_package_is_one_line_with_the_command(models: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, models / "small.wmq"], cwd=tmp_path,
                          capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 7 and all("pip install" in line for line in lines), done.stdout
    assert "needs pandas: pip install pandas" in lines[1]


WRONG_PATHS = [
    (3, "is 3; give a path"),
    (b"a.npz", "is b'a.npz'; give a path"),
    ("", "is an empty"),
    ([], "give a path"),
    ("a\0.npz", "no usable path"),
    ("x" * 300 + ".npz", "too long"),
]


@pytest.mark.parametrize(("path", "said"), WRONG_PATHS, ids=lambda one: repr(one)[:12])
def test_what_no_file_can_be_called_is_refused_in_one_line(
    model: wmq.Model, path: Any, said: str
) -> None:
    run = model.rollout(1)
    uses = [wmq.load, run.save, wmq.verify, wmq.Trajectory.read, lambda p: model.start_at(p, 3),
            lambda p: model.rollout(1, start=(p, 3))]  # fmt: skip
    for use in uses:
        with pytest.raises(wmq.WmqError) as caught:
            use(path)
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200


def test_messages_name_parameters_not_options(model: wmq.Model, tmp_path: Path) -> None:
    uses = [
        (lambda: model.rollout(3, controllers=("idle", "replay")), "p2 replay: needs a start"),
        (lambda: model.rollout(1).save(tmp_path / "a.txt"), f"path {tmp_path}/a.txt: unknown form"),
    ]
    for use, said in uses:
        with pytest.raises(wmq.WmqError) as caught:
            use()
        assert str(caught.value).startswith(said)


def test_controllers_of_several_worlds_may_be_lists(model: wmq.Model) -> None:
    held = [[{"p1": {"A": 1}}, {}], [{}, np.array([[32768] * 4 + [0] * 9] * 2)]]
    both = model.rollout(controllers=held, worlds=2)
    for world, rows in zip(both.integers, held, strict=True):
        assert (world == model.rollout(controllers=rows).integers).all()
    for wrong in ([held[0], held[1][:1]], []):
        with pytest.raises(wmq.WmqError, match="one or more worlds, each with as many frames"):
            model.rollout(controllers=wrong, worlds=2)
    with pytest.raises(wmq.WmqError, match=r"p1 A is 5; give 0 or 1 \(row 2\)$"):
        model.rollout(controllers=[{}, {}, {"p1": {"A": 5}}])
