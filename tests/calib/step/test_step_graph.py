"""The float step: it computes the recurrence, and nothing else than itself is read back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from calib.errors import FOREIGN, CalibrationError, ForeignModel, UnfitWeight
from calib.step.graph import (
    LARGEST_FILE,
    build_step,
    half_weights,
    read_step,
    to_bytes,
)
from calib.step.schema import NUMBER_HEADS
from calib.step.sizes import module_name, sizes_of
from wmq.game.schema import Schema

CONFIG = {
    "d_model": 24, "n_layer": 2, "d_state": 8, "d_conv": 4, "expand": 2, "headdim": 16,
    "projectiles": False,
}  # fmt: skip
SCHEMA = Schema().step
METADATA = {"wmq.run": "0" * 64, "wmq.training": '{"preset": "tiny"}'}


def made_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = sizes_of(CONFIG, SCHEMA).weights()
    weights = {k: rng.normal(0, 0.3, shape).astype(np.float32) for k, shape in shapes.items()}
    for name in weights:
        if name.endswith("_scale"):
            weights[name] = np.abs(weights[name]) + 0.1
    return weights


def made_step(half: bool = False) -> onnx.ModelProto:
    return build_step(CONFIG, SCHEMA, made_weights(), METADATA, half)


def made_inputs(rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    sizes = sizes_of(CONFIG, SCHEMA)
    ends = [sizes.embeddings[name][0] for name in sizes.class_inputs]
    return {
        "numbers": rng.normal(0, 20, (batch, 30)).astype(np.float32),
        "classes": rng.integers(0, ends, (batch, 17)),
        "controllers": rng.random((batch, 26), dtype=np.float32),
        "next_controllers": rng.random((batch, 26), dtype=np.float32),
    }


def naive_step(
    weights: dict[str, np.ndarray], inputs: dict[str, np.ndarray], state: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """One row's step in float64, written from the fields and the network with plain loops."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    fields = Schema().classes
    scales = [f.scale for _ in (0, 1) for f in Schema().numbers]
    rows = [w[f"embeddings.{f.name}.weight"] for _ in (0, 1) for f in fields]
    rows.append(w["embeddings.stage.weight"])
    picked = [row[k] for row, k in zip(rows, inputs["classes"], strict=True)]
    encoded = np.concatenate([inputs["numbers"] * scales, inputs["controllers"], *picked])

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0)

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean() + 1e-5) * w[f"{name}.weight"]

    def silu(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    x = linear("frame_proj", encoded) + linear("ctrl_proj", inputs["next_controllers"])
    out = {}
    for layer in range(CONFIG["n_layer"]):
        m = f"layers.{layer}.mamba"
        z, xbc, dt = np.split(
            linear(f"{m}.in_proj", norm(f"layers.{layer}.norm", x)), [48, 48 + 48 + 16]
        )
        window = np.vstack([state[f"conv.{layer}"], xbc])
        out[f"next_conv.{layer}"] = window[1:]
        taps = w[f"{m}.conv1d.weight"][:, 0, :]  # (conv_dim, d_conv)
        mixed = silu(np.array([taps[c] @ window[:, c] for c in range(64)]) + w[f"{m}.conv1d.bias"])
        u, b, c = np.split(mixed, [48, 56])
        dt = np.log1p(np.exp(dt + w[f"{m}.dt_bias"]))
        s, y = state[f"state.{layer}"].copy(), np.zeros(48)
        for h in range(3):
            for p in range(16):
                at = 16 * h + p
                s[h, p] = s[h, p] * np.exp(-dt[h] * np.exp(w[f"{m}.A_log"][h])) + dt[h] * u[at] * b
                y[at] = s[h, p] @ c + w[f"{m}.D"][h] * u[at]
        out[f"next_state.{layer}"] = s
        x = x + linear(f"{m}.out_proj", norm(f"{m}.norm", y * silu(z)))
    x = norm("norm_f", x)
    for name in sizes_of(CONFIG, SCHEMA).heads:
        out[name] = linear(f"heads.{module_name(name)}", x)
        if name in NUMBER_HEADS:
            out[name] = out[name] * w[f"{name}_scale"] + w[f"{name}_offset"]
    return out


@pytest.mark.parametrize("half", [False, True])
def test_step_is_the_recurrence_in_float64(half: bool) -> None:
    weights = half_weights(made_weights()) if half else made_weights()
    session = onnxruntime.InferenceSession(to_bytes(made_step(half)))
    names = [output.name for output in session.get_outputs()]
    rng = np.random.default_rng(1)
    state = sizes_of(CONFIG, SCHEMA).zero_state(2)
    exact = [{k: v[row].astype(np.float64) for k, v in state.items()} for row in (0, 1)]
    for _ in range(40):
        inputs = made_inputs(rng, batch=2)
        found = dict(zip(names, session.run(None, inputs | state), strict=True))
        state = {name: found[f"next_{name}"] for name in state}
        for row in (0, 1):
            wanted = naive_step(weights, {k: v[row] for k, v in inputs.items()}, exact[row])
            assert set(wanted) == set(found)
            for name, value in wanted.items():
                np.testing.assert_allclose(found[name][row], value, rtol=0, atol=2e-4, err_msg=name)
            exact[row] = {name: wanted[f"next_{name}"] for name in state}


def test_tensors_that_calibration_observes_are_there() -> None:
    made = {name for node in made_step().graph.node for name in node.output}
    parts = """in_proj z xbc dt_raw conv1d silu_z x B C dt decay y gated norm.unit norm
               out_proj""".split()
    wanted = {"encoded", "frame_proj", "ctrl_proj", "residual.0", "norm_f.unit", "norm_f"}
    for layer in (0, 1):
        wanted |= {f"layers.{layer}.norm.unit", f"layers.{layer}.norm", f"residual.{layer + 1}"}
        wanted |= {f"layers.{layer}.mamba.{part}" for part in parts}
        wanted |= {f"next_conv.{layer}", f"next_state.{layer}"}
    heads = sizes_of(CONFIG, SCHEMA).heads
    wanted |= set(heads) | {f"heads.{module_name(name)}" for name in heads}
    assert wanted <= made


def test_every_node_is_named_after_its_first_output_and_the_file_passes_the_checker() -> None:
    for half in (False, True):
        model = made_step(half)
        assert all(node.name == node.output[0] for node in model.graph.node)
        onnx.checker.check_model(model, full_check=True)


def test_same_weights_give_the_same_bytes() -> None:
    assert to_bytes(made_step()) == to_bytes(made_step())


def test_step_is_read_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "step.onnx"
    path.write_bytes(to_bytes(made_step()))
    step = read_step(path)
    assert (step.config, step.schema, step.half) == (CONFIG, SCHEMA, False)
    assert step.metadata.items() >= METADATA.items()
    for name, array in made_weights().items():
        assert step.weights[name].dtype == np.float32
        assert (step.weights[name] == array).all()


def test_half_form_is_half_the_size_and_holds_the_rounded_weights(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(to_bytes(made_step(half=True)))
    step = read_step(path)
    assert step.half
    for name, array in made_weights().items():
        rounded = array.astype(np.float16).astype(np.float32)
        assert (step.weights[name] == (rounded if array.size > 64 else array)).all()
    whole = sum(len(t.raw_data) for t in made_step().graph.initializer)
    assert sum(len(t.raw_data) for t in step.model.graph.initializer) < 0.55 * whole


def test_half_form_refuses_what_it_cannot_hold() -> None:
    weights = made_weights()
    weights["frame_proj.weight"][0, 0] = 1e6
    with pytest.raises(CalibrationError, match="frame_proj.weight: too large for half"):
        build_step(CONFIG, SCHEMA, weights, METADATA, half=True)


def node_named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def weight_named(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_metadata(key: str, change: Callable[[dict], object]) -> Callable[[onnx.ModelProto], None]:
    """Change a metadata text that is JSON."""

    def damage(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == key)
        value = json.loads(entry.value)
        change(value)
        entry.value = json.dumps(value, sort_keys=True, separators=(",", ":"))

    return damage


def change_op(model: onnx.ModelProto) -> None:
    node_named(model, "layers.1.mamba.dt").op_type = "Relu"


def rename_node(model: onnx.ModelProto) -> None:
    node_named(model, "layers.1.mamba.dt").name = "other"


def swap_inputs(model: onnx.ModelProto) -> None:
    node = node_named(model, "layers.0.norm.unit")
    node.input[0], node.input[1] = node.input[1], node.input[0]


def change_attribute(model: onnx.ModelProto) -> None:
    node_named(model, "encoded").attribute[0].i = 0


def add_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["norm_f"], ["more"], name="more"))


def drop_node(model: onnx.ModelProto) -> None:
    model.graph.node.pop()


def move_node(model: onnx.ModelProto) -> None:
    first = model.graph.node.pop(0)
    model.graph.node.insert(1, first)


def foreign_domain(model: onnx.ModelProto) -> None:
    node_named(model, "norm_f").domain = "evil"


def wrong_shape(model: onnx.ModelProto) -> None:
    tensor = weight_named(model, "layers.0.mamba.out_proj.weight")
    tensor.dims[0], tensor.dims[1] = tensor.dims[1], tensor.dims[0]


def short_data(model: onnx.ModelProto) -> None:
    tensor = weight_named(model, "norm_f.weight")
    tensor.raw_data = tensor.raw_data[:-4]


def other_type(model: onnx.ModelProto) -> None:
    tensor = weight_named(model, "norm_f.weight")
    array = numpy_helper.to_array(tensor).astype(np.float64)
    tensor.CopyFrom(numpy_helper.from_array(array, "norm_f.weight"))


def not_finite(model: onnx.ModelProto) -> None:
    tensor = weight_named(model, "norm_f.weight")
    tensor.raw_data = b"\0\0\xc0\x7f" + tensor.raw_data[4:]


def external_data(model: onnx.ModelProto) -> None:
    tensor = weight_named(model, "frame_proj.weight")
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.raw_data = b""


def drop_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.remove(weight_named(model, "ctrl_proj.bias"))


def add_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "more"))


def change_constant(model: onnx.ModelProto) -> None:
    weight_named(model, "eps").raw_data = np.float32(1).tobytes()


def rename_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "norm_f"


def change_input_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 31


def other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 17


def add_function(model: onnx.ModelProto) -> None:
    model.functions.add().name = "f"


def drop_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def run_is_no_hash(model: onnx.ModelProto) -> None:
    next(e for e in model.metadata_props if e.key == "wmq.run").value = "abc"


def schema_is_no_json(model: onnx.ModelProto) -> None:
    next(e for e in model.metadata_props if e.key == "wmq.schema").value = "{" * 100_000


def schema_has_nan(model: onnx.ModelProto) -> None:
    next(e for e in model.metadata_props if e.key == "wmq.schema").value = '{"version": NaN}'


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_op, r"node \d+ is Relu layers.1.mamba.dt .* where Softplus layers.1.mamba.dt"),
        (rename_node, r"node \d+ is Softplus other .* where Softplus layers.1.mamba.dt"),
        (swap_inputs, r"Div layers.0.norm.unit \(layers.0.norm.root, residual.0\) where"),
        (change_attribute, r"node \d+ is Concat encoded"),
        (add_node, r"node \d+, Relu more \(norm_f\), does not belong there"),
        (drop_node, r"node \d+, Identity p2.last_attack .* is missing"),
        (move_node, r"node 0 is Split .* where Mul numbers.scaled"),
        (foreign_domain, r"node \d+ is Mul norm_f"),
        (wrong_shape, r"layers.0.mamba.out_proj.weight has shape \[48, 24\], not \[24, 48\]"),
        (short_data, "norm_f.weight is not as long as its shape says"),
        (other_type, "norm_f.weight is not of type float32"),
        (not_finite, "norm_f.weight: a weight is not finite"),
        (external_data, "frame_proj.weight is in another file"),
        (drop_weight, "ctrl_proj.bias is missing"),
        (add_weight, "initializer more differs"),
        (change_constant, "initializer eps differs"),
        (rename_output, "output norm_f differs"),
        (change_input_shape, "input numbers differs"),
        (other_opset, "something besides"),
        (add_function, "something besides"),
        (drop_metadata, "lacks the metadata wmq.schema, wmq.config, wmq.training, wmq.run"),
        (run_is_no_hash, "wmq.run is not a SHA-256"),
        (schema_is_no_json, "wmq.schema is not a JSON object"),
        (schema_has_nan, "wmq.schema is not a JSON object"),
        (set_metadata("wmq.config", lambda c: c.pop("d_conv")), "wmq.config: keys must be"),
        (set_metadata("wmq.config", lambda c: c.update(n_layer=10**9)), "n_layer is not an int"),
        (set_metadata("wmq.config", lambda c: c.update(headdim=7)), "headdim does not divide"),
        (set_metadata("wmq.config", lambda c: c.update(d_state=9)), "in_proj.weight has shape"),
        (set_metadata("wmq.config", lambda c: c.update(n_layer=3)), "layers.2.norm.weight is miss"),
        (set_metadata("wmq.config", lambda c: c.update(projectiles=True)), "projectiles differs"),
        (set_metadata("wmq.schema", lambda s: s.update(fields=[])), "fields is not a list of 1"),
        (set_metadata("wmq.schema", lambda s: s.pop("stage")), "stage is not an object"),
        (set_metadata("wmq.schema", lambda s: s.update(version="1")), "version is not an integer"),
        (
            set_metadata("wmq.schema", lambda s: s["fields"][3].update(scale="x")),
            r"fields\[3\].scale \(shield\) is not a number",
        ),
        (
            set_metadata("wmq.schema", lambda s: s["fields"][16].update(hi=2**40)),
            r"fields\[16\].hi \(jumps\) is not an integer",
        ),
        (
            set_metadata("wmq.schema", lambda s: s["fields"][1].update(name="../x")),
            r"fields\[1\].name is not a short identifier",
        ),
        (
            set_metadata("wmq.schema", lambda s: s["fields"][1].update(name="percent")),
            "a name occurs twice",
        ),
        (
            set_metadata("wmq.schema", lambda s: s["fields"][1].update(scale=0.5)),
            "initializer number_scale differs",
        ),
    ],
)
def test_changed_file_is_refused_by_name_in_one_line(
    tmp_path: Path, damage: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = made_step()
    damage(model)
    path = tmp_path / "step.onnx"
    path.write_bytes(to_bytes(model))
    with pytest.raises(CalibrationError, match=message) as caught:
        read_step(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < 600
    ways_out = {UnfitWeight: "train again with a lower --lr", ForeignModel: f"; {FOREIGN}"}
    assert text.endswith(ways_out.get(caught.type, "; make it with `wmq export`"))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "step.onnx"
    with pytest.raises(CalibrationError, match="No such file"):
        read_step(path)
    with pytest.raises(CalibrationError, match="directory"):
        read_step(tmp_path)
    for content in (b"", b"PK\3\4", b"\x89WMQ\r\n\x1a\n", os.urandom(5000), b"{}" * 50):
        path.write_bytes(content)
        with pytest.raises(CalibrationError, match="not an ONNX file|node 0|metadata"):
            read_step(path)
    with open(path, "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(CalibrationError, match="larger than"):
        read_step(path)


def test_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    whole = to_bytes(made_step())
    path = tmp_path / "step.onnx"
    for name in (b"layers.1.mamba.dt_bias", b"Softplus", b"wmq.run", b"p1.action"):
        path.write_bytes(whole.replace(name, name[:-1] + b"\xff"))
        with pytest.raises(CalibrationError, match="not UTF-8"):
            read_step(path)


def test_truncated_file_is_refused_at_every_place(tmp_path: Path) -> None:
    whole = to_bytes(made_step())
    path = tmp_path / "step.onnx"
    for length in [*range(0, 300, 7), *range(300, len(whole), len(whole) // 50), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CalibrationError):
            read_step(path)


def test_flipped_bits_change_a_weight_or_are_refused(tmp_path: Path) -> None:
    whole = to_bytes(made_step())
    rng = np.random.default_rng(3)
    path = tmp_path / "step.onnx"
    weights = made_weights()
    for at in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            step = read_step(path)
        except CalibrationError:
            continue
        same = all((step.weights[name] == array).all() for name, array in weights.items())
        assert not same or step.metadata.items() != read_metadata(whole).items()


def read_metadata(content: bytes) -> dict[str, str]:
    return {e.key: e.value for e in onnx.ModelProto.FromString(content).metadata_props}
