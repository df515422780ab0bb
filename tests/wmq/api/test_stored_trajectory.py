"""A trajectory that was saved and read back is the one that was saved."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import wmq
from tests.support.rollout_models import wmq as command

pytest_plugins = ("tests.support.rollout_models",)


@pytest.mark.parametrize("worlds", [None, 3])
def test_a_saved_trajectory_is_read_back(models: Path, tmp_path: Path, worlds: int | None) -> None:
    model = wmq.load(models / "small.wmq")
    made = model.rollout(20, worlds=worlds)
    made.save(tmp_path / "a.npz")
    read = wmq.Trajectory.read(tmp_path / "a.npz")
    assert read.sha256 == made.sha256 and len(read) == 20
    for name in ("frames", "integers", "controllers", "frame_ids"):
        mine, theirs = getattr(read, name), getattr(made, name)
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        assert (mine == theirs).all()
    assert read.to_pandas().equals(made.to_pandas())
    read.save(tmp_path / "b.npz")
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()
    assert wmq.verify(read, model).same
    with pytest.raises(wmq.WmqError, match="^this rollout: was made by the model"):
        wmq.verify(read)  # by the embedded model, as for the file


def test_a_rollout_of_the_command_is_read(models: Path, tmp_path: Path) -> None:
    command("rollout", models / "small.wmq", "--frames", 9, "--seed", 4, "-o", tmp_path / "a.npz")
    read = wmq.Trajectory.read(str(tmp_path / "a.npz"))
    assert read.sha256 == wmq.load(models / "small.wmq").rollout(9, seed=4).sha256


def test_a_changed_file_is_refused(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    wmq.load(models / "small.wmq").rollout(9).save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["frames"] = arrays["frames"].copy()
    arrays["frames"][0, 3, 1] += 1
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(wmq.WmqError, match="a.npz: the frames of world 0 do not have the hash"):
        wmq.Trajectory.read(path)
    path.write_bytes(b"PK")
    with pytest.raises(wmq.WmqError, match="a.npz: damaged or no stored rollout"):
        wmq.Trajectory.read(path)


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
def test_a_pickled_model_opens_its_file_again(models: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((models / name).read_bytes())
    model = wmq.load(path, threads=2)
    kept = pickle.dumps(model)
    assert pickle.loads(kept).rollout(5).sha256 == model.rollout(5).sha256
    other = wmq.load().path if name.endswith(".wmq") else wmq.load().path.with_suffix(".onnx")
    path.write_bytes(other.read_bytes())
    with pytest.raises(wmq.WmqError, match=f"{name}: is no longer the model"):
        pickle.loads(kept)
