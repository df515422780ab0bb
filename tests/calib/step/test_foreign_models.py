"""Models and checkpoints from elsewhere: one line that says what is needed and what is not done."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from wmq.cli import main


def mlp() -> onnx.ModelProto:
    """y = relu(x W), as another program may export it."""
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "W")
    nodes = [helper.make_node("MatMul", ["x", "W"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    return helper.make_model(helper.make_graph(nodes, "mlp", [x], [y], [weight]))


def plain() -> bytes:
    return mlp().SerializeToString()


def truncated() -> bytes:
    return plain()[:-7]


def external() -> bytes:
    """Its weight is in another file, which is not there."""
    model = mlp()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    model.graph.initializer[0].ClearField("raw_data")
    return model.SerializeToString()


def giant() -> bytes:
    """A weight of 2^62 elements without data, and an input as large."""
    model = mlp()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 31, 1 << 31])
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 62
    return model.SerializeToString()


def zipped() -> bytes:
    """A checkpoint under a wrong name."""
    return b"PK\x03\x04" + bytes(200)


WAYS = {
    "calibrate": lambda path: ["calibrate", path, "-o", path.with_name("a.wmq"), "--set",
                               "self-play"],
    "rollout": lambda path: ["rollout", "--float", path, "--frames", 3],
    "info": lambda path: ["info", path],
}  # fmt: skip


def refused(way: str, path: Path) -> str:
    before = sorted(path.parent.iterdir())
    result = CliRunner().invoke(main, list(map(str, WAYS[way](path))))
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.startswith(f"wmq: {path}: ") and result.stderr.count("\n") == 1
    assert sorted(path.parent.iterdir()) == before
    return result.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", [plain, external, giant])
def test_an_onnx_file_from_elsewhere_is_told_what_it_lacks(tmp_path, way, made):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(made())
    said = refused(way, path)
    assert "the inputs numbers, classes," in said and "state.0" in said
    assert "the metadata wmq.schema, wmq.config" in said and "`wmq export`" in said
    assert "cannot import models or checkpoints from elsewhere" in said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", [truncated, zipped])
def test_what_is_no_onnx_file_is_one_line(tmp_path, way, made):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(made())
    assert "not an ONNX file" in refused(way, path)


class Trap:
    """What marks a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors", ".PT"])
def test_a_checkpoint_is_not_opened_and_one_line_says_what_is_needed(tmp_path, way, suffix):
    mark, path = tmp_path / "unpickled", tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Trap(mark)))
    said = refused(way, path)
    assert not mark.exists()
    assert "a checkpoint, not a model of wmq" in said
    assert "`wmq export`" in said and "cannot import models or checkpoints" in said
