"""The functions behind the commands: what the command finds, and every failure a WmqError."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import wmq
from calib.recipe import read_recipe
from tests.support.drift_games import small_dataset
from tests.support.rollout_models import wmq as command
from wmq.files.digest import file_sha256

pytest_plugins = ("tests.support.rollout_models",)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("data") / "dataset", games=3).path


def changed(path: Path, world: int, frame: int, place: int) -> Path:
    """A stored rollout with one integer of one frame changed by one."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays["frames"][world, frame, place] += 1
    other = path.with_name("changed.npz")
    np.savez(other, **arrays)
    return other


def test_a_rollout_is_verified_from_a_file_and_from_memory(models: Path, tmp_path: Path) -> None:
    model, path = wmq.load(models / "small.wmq"), tmp_path / "rollout.npz"
    made = model.rollout(40, worlds=2)
    made.save(path)
    for found in (wmq.verify(path, model), wmq.verify(str(path), models / "small.wmq", threads=2),
                  wmq.verify(made), wmq.verify(made, model, kernels="portable")):  # fmt: skip
        assert found.same and found.first is None and not found.altered
        assert found.sha256 == made.sha256


def test_a_changed_frame_is_found(models: Path, tmp_path: Path) -> None:
    model, path = wmq.load(models / "small.wmq"), tmp_path / "rollout.npz"
    made = model.rollout(40, worlds=2)
    made.save(path)
    place = model.schema.index("x", 1)
    found = wmq.verify(changed(path, 1, 7, place), model)
    assert not found.same and found.altered == (1,) and found.sha256 == made.sha256
    first = found.first
    assert first is not None and (first.world, first.frame, first.field) == (1, -115, "p2.x")
    assert first.stored == first.computed + 1 == made.integers[1, 7, place] + 1


def test_what_cannot_be_verified_is_one_line(models: Path, tmp_path: Path) -> None:
    made = wmq.load(models / "small.wmq").rollout(3)
    made.save(tmp_path / "rollout.npz")
    floating = wmq.load(models / "small.onnx").rollout(3)
    floating.save(tmp_path / "float.npz")
    cases = [
        (lambda: wmq.verify(tmp_path / "absent.npz"), "absent.npz: no such file"),
        (lambda: wmq.verify(tmp_path / "rollout.npz"), "was made by the model"),
        (lambda: wmq.verify(made, models / "absent.wmq"), "absent.wmq: no such file"),
        (lambda: wmq.verify(floating), "this rollout: was made in float32"),
        (lambda: wmq.verify(made, models / "small.onnx"), "this rollout: was made by the model"),
        (lambda: wmq.verify(made, 3), "path is 3; give a path"),
        (lambda: wmq.verify(3), "rollout is 3; give a path"),
        (lambda: wmq.verify(tmp_path / "float.npz", models / "small.wmq"), "was made in float32"),
        (lambda: wmq.verify(models / "small.wmq"), "not a stored rollout"),
    ]
    for work, said in cases:
        with pytest.raises(wmq.WmqError) as caught:
            work()
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_calibration_writes_the_bytes_of_the_command(
    models: Path, dataset: Path, tmp_path: Path
) -> None:
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq", tmp_path / "c.wmq"
    shown: list[tuple[str, int, int]] = []
    found = wmq.calibrate(models / "small.onnx", outs[0], data=dataset, frames=300,
                          progress=lambda what, done, total, note="":
                          shown.append((what, done, total)))  # fmt: skip
    wmq.calibrate(str(models / "small.onnx"), str(outs[1]), data=str(dataset), frames=300,
                  recipe=read_recipe("static-best"))  # fmt: skip
    result = command("calibrate", models / "small.onnx", "-o", outs[2], "--data", dataset,
                     "--frames", 300)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len({out.read_bytes() for out in outs}) == 1
    assert found.model_sha256 == file_sha256(outs[0]) == wmq.load(outs[0]).sha256
    assert found.bytes == outs[0].stat().st_size and shown


def test_evaluation_finds_the_figures_of_the_command(models: Path, dataset: Path) -> None:
    names = [models / "small.onnx", models / "small.wmq"]
    words = ["--data", dataset, "--horizon", 5, "--starts", 4, "--games", 2, "--json"]
    theirs = json.loads(command("evaluate", *names, "frozen", *words).stdout)
    found = wmq.evaluate(dataset, [wmq.load(names[0]), names[1], "frozen"], horizon=5, starts=4,
                         games=2)  # fmt: skip
    ours = json.loads(json.dumps(asdict(found)), parse_constant=lambda text: None)
    assert ours == theirs and math.isfinite(found.models[0].figures["val_loss"])


def test_one_model_needs_no_list(models: Path, dataset: Path) -> None:
    listed = wmq.evaluate(dataset, [models / "small.wmq"], games=1, frames=200)
    for one in (models / "small.wmq", wmq.load(models / "small.wmq")):
        assert wmq.evaluate(dataset, one, games=1, frames=200) == listed


def test_wrong_words_are_one_line(models: Path, dataset: Path, tmp_path: Path) -> None:
    small, out = models / "small.onnx", tmp_path / "out.wmq"
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"")
    toml = tmp_path / "recipe.toml"
    toml.write_text("name = 3")
    cases = [
        (lambda: wmq.calibrate(small, out), "give data (a dataset of"),
        (lambda: wmq.calibrate(small, out, set="nothing"), "set 'nothing': unknown"),
        (lambda: wmq.calibrate(small, out, data=dataset, frames=3), "frames 3: too few"),
        (lambda: wmq.calibrate(small, out, data=dataset, frames="3"), "frames is '3'"),
        (lambda: wmq.calibrate(small, out, data=dataset, play="no"), "play no: give one of"),
        (lambda: wmq.calibrate(small, out, data=dataset, recipe="best"), "best: no such recipe"),
        (lambda: wmq.calibrate(small, out, data=dataset, recipe=toml), "recipe.toml: name"),
        (lambda: wmq.calibrate(small, out, data=dataset, set="self-play"), "data and set: "),
        (lambda: wmq.calibrate(small, out, set=3), "set 3: unknown"),
        (lambda: wmq.calibrate(small, out, data=dataset, recipe=3), "recipe is 3; give a path"),
        (lambda: wmq.calibrate(3, out, data=dataset), "model is 3; give a path"),
        (lambda: wmq.calibrate(small, 3, data=dataset), "out is 3; give a path"),
        (lambda: wmq.calibrate(small, out, data=3), "data is 3; give a path"),
        (
            lambda: wmq.calibrate(wmq.load(small.with_suffix(".wmq")), out, data=dataset),
            "small.wmq: not a float model",
        ),
        (lambda: wmq.calibrate(small, tmp_path, data=dataset), f"out {tmp_path}: is a folder"),
        (lambda: wmq.calibrate(broken, out, data=dataset), "broken.onnx: "),
        (lambda: wmq.calibrate(small, out, data=tmp_path), f"{tmp_path}: "),
        (lambda: wmq.evaluate(tmp_path, ["frozen"]), f"{tmp_path}: "),
        (lambda: wmq.evaluate(dataset, ["frozen"], split="test"), "split 'test': unknown"),
        (lambda: wmq.evaluate(dataset, ["melting"]), "melting: not a model"),
        (lambda: wmq.evaluate(dataset, "melting"), "melting: not a model"),
        (lambda: wmq.evaluate(dataset, []), "models is empty"),
        (lambda: wmq.evaluate(dataset, 3), "model is 3; give a path"),
        (lambda: wmq.evaluate(None, ["frozen"]), "data is None; give a path"),
        (lambda: wmq.evaluate(dataset, ["frozen"], games=0), "games is 0; give a whole number"),
        (lambda: wmq.evaluate(dataset, ["frozen"], horizon=9999), "too short for a horizon"),
        (lambda: wmq.evaluate(dataset, [models / "small.wmq"], kernels="best"), "kernels best"),
        (lambda: wmq.evaluate(dataset, [broken]), "broken.onnx: "),
    ]
    for work, said in cases:
        with pytest.raises(wmq.WmqError) as caught:
            work()
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not out.exists()
