"""`wmq export`: onnxruntime computes what torch does, and only that is written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from calib.step.graph import read_step
from tests.support.tiny import TINY, one_thread, tiny_preset, walking_dataset  # noqa: F401
from wmq.cli import main
from wmq.errors import WmqError
from wmq.export import onnx as machinery
from wmq.export.onnx import (
    TOLERANCE,
    difference_to_torch,
    export_run,
    step_bytes,
    usual_frames,
    weights_of,
    weights_sha256,
)
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.training.config import RunConfig
from wmq.training.loop import train
from wmq.training.run_folder import load_model

pytestmark = pytest.mark.usefixtures("tiny_preset", "one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    root = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        config = RunConfig(preset="tiny", epochs=0.5, streams=3, chunk=16, warmup=2)
        train(walking_dataset(root / "dataset"), root / "run", config)
    return root / "run"


def random_model(preset: str) -> WorldModel:
    torch.manual_seed(2)
    model = WorldModel(PRESETS[preset]).eval()
    for name in NUMBER_HEADS:
        getattr(model, f"{name}_scale").uniform_(0.5, 2.0)
        getattr(model, f"{name}_offset").uniform_(-1.0, 1.0)
    return model


@pytest.mark.parametrize(
    ("preset", "half"), [("tiny", False), ("tiny", True), ("mamba2-medium", False)]
)
def test_onnxruntime_is_torch_over_600_carried_frames(preset: str, half: bool) -> None:
    model = random_model(preset)
    content = step_bytes(model, RunConfig(preset=preset), 1, half)
    onnx.checker.check_model(onnx.ModelProto.FromString(content), full_check=True)
    assert difference_to_torch(content, model, 600, half) <= TOLERANCE == 1e-4


def test_another_graph_is_noticed() -> None:
    """The comparison itself: a weight that differs by a thousandth, a state not carried."""
    model = random_model("tiny")
    content = step_bytes(model, RunConfig(preset="tiny"), 1)
    with torch.no_grad():
        model.layers[0].mamba.D.mul_(1.01)
    assert difference_to_torch(content, model, 20, half=False) > TOLERANCE


def test_exported_file_holds_the_run(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    found = export_run(run, out)
    model, config, step = load_model(run)
    read = read_step(out)
    assert found.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert found.size == out.stat().st_size
    assert read.schema == Schema().step and not read.half
    assert read.config["d_model"] == TINY.d_model
    for name, value in model.state_dict().items():
        assert (read.weights[name] == value.numpy()).all()
    assert read.metadata["wmq.run"] == weights_sha256(weights_of(model))
    training = json.loads(read.metadata["wmq.training"])
    assert training["preset"] == "tiny" and training["step"] == step
    assert training["frames"] == step * config.streams * config.chunk


def test_same_run_gives_the_same_file(run: Path, tmp_path: Path) -> None:
    for half in (False, True):
        files = [tmp_path / f"{name}.onnx" for name in "ab"]
        for file in files:
            export_run(run, file, half)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_hash_sees_names_shapes_and_values() -> None:
    base = {"a": np.zeros((2, 3), np.float32), "b": np.ones(2, np.float32)}
    others = [
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"].T, "b": base["b"]},
        {"a": base["a"], "b": base["b"] * 2},
        {"a": base["a"]},
    ]
    digests = {weights_sha256(weights) for weights in (base, *others)}
    assert len(digests) == 5
    assert weights_sha256(dict(reversed(base.items()))) == weights_sha256(base)


def test_usual_frames_are_within_the_schema_and_hold_every_class() -> None:
    schema = Schema()
    frames, pads = usual_frames(schema, 4000)
    assert (frames >= schema.lo).all() and (frames <= schema.hi).all()
    assert len(np.unique(frames[:, schema.index("action", 1)])) == 400
    assert pads.min() >= 0 and pads.max() <= 65536


def test_nothing_is_written_when_torch_and_onnxruntime_differ(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")
    for difference in (2e-4, float("nan")):
        monkeypatch.setattr(machinery, "difference_to_torch", lambda *_, d=difference: d)
        with pytest.raises(WmqError, match="differ by .* nothing was written"):
            export_run(run, out)
    assert out.read_bytes() == b"old" and list(tmp_path.iterdir()) == [out]


def test_ctrl_c_while_writing_leaves_the_older_file_and_no_other(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real SIGINT when everything is written but the file's name."""
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        export_run(run, out)
    assert out.read_bytes() == b"old" and list(tmp_path.iterdir()) == [out]


def test_command_prints_what_was_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    result = CliRunner().invoke(main, ["export", str(run), "-o", str(out), "--half", "--json"])
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert facts["half"] and facts["size"] == out.stat().st_size
    assert facts["difference"] <= TOLERANCE and facts["preset"] == "tiny"
    result = CliRunner().invoke(main, ["export", str(run), "-o", str(out)])
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    assert sha256 in result.stdout and f"{out.stat().st_size:,} bytes" in result.stdout


def test_command_refuses_in_one_line(run: Path, tmp_path: Path) -> None:
    cases = [
        (tmp_path / "nowhere", tmp_path / "x.onnx", "not a training run"),
        (tmp_path, tmp_path / "x.onnx", "not a training run"),
        (run, tmp_path / "nowhere" / "x.onnx", "its folder does not exist"),
        (run, tmp_path, "is a folder"),
        (run / "run.json", tmp_path / "x.onnx", "give the run's folder"),
    ]
    for source, out, message in cases:
        result = CliRunner().invoke(main, ["export", str(source), "-o", str(out)])
        assert result.exit_code == 2 and result.stdout == ""
        assert result.stderr.startswith("wmq: ") and result.stderr.count("\n") == 1
        assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
