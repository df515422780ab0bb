"""The float step as an ONNX graph: one frame, all heads, the state in and out.

`build_step` turns the weights of a `mamba2` world model into `model.onnx`, node by node;
`read_step` takes such a file back, trusted in nothing: it must hold exactly the graph that
`build_step` makes from its own config, schema and weights.  Every node is named after its
first output, every weight as in the torch state dict.

Shapes of a world: inputs numbers (batch, 30), classes (batch, 17) int64, controllers and
next_controllers (batch, 26), and a layer's `conv.N` (batch, d_conv - 1, conv_dim) and
`state.N` (batch, heads, headdim, d_state).  Outputs: the heads in natural units,
`next_conv.N` and `next_state.N`.  A step whose heads are a chain has the inputs uniforms
(batch, draws) float and forced (batch, draws) int64, and the output drawn (batch, draws); an
agent has no next_controllers, and (batch, 13) controllers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from calib.errors import FOREIGN, CalibrationError, ForeignModel, UnfitWeight
from calib.step import nodes
from calib.step.schema import Json, StepSchema
from calib.step.sizes import StepSizes, sizes_of

OPSET, IR_VERSION = 18, 8
HALF_FROM = 65  # elements from which a weight is stored as float16 in the half form
LARGEST_FILE = 1 << 28  # bytes
LARGEST_TEXT = 1 << 20  # characters of one metadata text
OBJECTS = ("wmq.schema", "wmq.config", "wmq.training")  # metadata that are JSON objects
STORED = {TensorProto.FLOAT: "<f4", TensorProto.FLOAT16: "<f2"}


@dataclass(frozen=True)
class StepModel:
    """A float step that was read and checked.

    config    the fields of ModelConfig, as `sizes` checked them
    weights   name in the torch state dict -> float32, the rounded values for a half form
    metadata  all metadata of the file, `wmq.schema` and `wmq.config` included
    """

    model: onnx.ModelProto
    config: dict[str, Any]
    schema: StepSchema
    sizes: StepSizes
    weights: dict[str, np.ndarray]
    metadata: dict[str, str]
    half: bool


def build_step(
    config: Json,
    schema: StepSchema,
    weights: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
    half: bool = False,
) -> onnx.ModelProto:
    """Build the ONNX model of one frame; equal arguments give equal bytes.

    config    the fields of ModelConfig
    weights   exactly the torch state dict, float32
    metadata  at least `wmq.run` and `wmq.training`; schema and config are added
    half      store large weights as float16: `<name>.half`, cast to `<name>`
    Raises CalibrationError.
    """
    sizes = sizes_of(config, schema)
    _check_weights(sizes, {name: array.shape for name, array in weights.items()})
    texts = dict(metadata) | {
        "wmq.schema": _to_json(schema.to_json()),
        "wmq.config": _to_json(config),
    }
    _check_metadata(texts)
    return _assembled(sizes, weights, texts, half)


def _assembled(
    sizes: StepSizes, weights: Mapping[str, np.ndarray], texts: Mapping[str, str], half: bool
) -> onnx.ModelProto:
    """Put nodes, weights and metadata, which were checked, together."""
    made, stored = _stored_weights(sizes, weights, half)
    made += nodes.encode(sizes)
    for layer in range(sizes.n_layer):
        made += nodes.mamba_layer(layer)
    made += nodes.chain(sizes)
    made += nodes.heads(sizes)
    stored += [_tensor(name, array) for name, array in nodes.constants(sizes).items()]
    graph = helper.make_graph(made, "wmq_step", nodes.inputs(sizes), nodes.outputs(sizes), stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version, model.producer_name = IR_VERSION, "wmq"
    helper.set_model_props(model, {key: texts[key] for key in sorted(texts)})
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize a model to the bytes of its file."""
    return model.SerializeToString(deterministic=True)


def read_step(path: str | os.PathLike[str]) -> StepModel:
    """Read a float step that `build_step` made.

    Raises CalibrationError with the first difference, ForeignModel for a file of another program.
    """
    path = Path(path)
    try:
        model = _parse(path)
        if lacking := _lacking(model):
            raise ForeignModel(f"not a float step of wmq: it lacks {lacking}; {FOREIGN}")
        return _checked(model)
    except (ForeignModel, UnfitWeight) as error:  # which another export would not mend
        raise type(error)(f"{path}: {error}") from None
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}; make it with `wmq export`") from None


def _parse(path: Path) -> onnx.ModelProto:
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CalibrationError(error.strerror or "cannot be read") from None
    if len(content) > LARGEST_FILE:
        raise CalibrationError(f"larger than {LARGEST_FILE} bytes, no float step of wmq")
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise CalibrationError("not an ONNX file, or a truncated one") from None
    if not model.graph.node:
        raise CalibrationError("not an ONNX file: it has no node")
    if not _is_text(model):
        raise CalibrationError("a name in it is not UTF-8")
    return model


def _is_text(message: Message) -> bool:
    """Tell whether all strings, of inner messages too, are text: protobuf gives others as bytes."""
    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            continue
        values = [value] if isinstance(value, str | bytes | Message) else value
        if field.type == FieldDescriptor.TYPE_STRING:
            if not all(isinstance(text, str) for text in values):
                return False
        elif not all(_is_text(inner) for inner in values):
            return False
    return True


def _lacking(model: onnx.ModelProto) -> str:
    """Name what a file without any of wmq's metadata lacks; "" for others."""
    if {entry.key for entry in model.metadata_props} & {*OBJECTS, "wmq.run"}:
        return ""
    ports = {port.name for port in model.graph.input}
    inputs = [name for name in (*nodes.INPUTS, "conv.0", "state.0") if name not in ports]
    metadata = f"the metadata {', '.join(OBJECTS)}, wmq.run"
    return f"the inputs {', '.join(inputs)} and {metadata}" if inputs else metadata


def _checked(model: onnx.ModelProto) -> StepModel:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    _check_metadata(metadata)
    plain = {key: json.loads(metadata[key]) for key in ("wmq.config", "wmq.schema")}
    config, schema = plain["wmq.config"], StepSchema.from_json(plain["wmq.schema"])
    sizes = sizes_of(config, schema)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    half = any(name.endswith(".half") for name in tensors)
    weights = {
        name: _read_weight(tensors, name, shape, half) for name, shape in sizes.weights().items()
    }
    texts = metadata | {key: _to_json(value) for key, value in plain.items()}
    wanted = _assembled(sizes, weights, texts, half)
    _compare_graphs(model.graph, wanted.graph)
    if to_bytes(model) != to_bytes(wanted):
        raise CalibrationError("something besides graph, weights and metadata was changed")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CalibrationError(_one_line(error)) from None
    return StepModel(model, config, schema, sizes, weights, metadata, half)


def _read_weight(
    tensors: Mapping[str, TensorProto], name: str, shape: tuple[int, ...], half: bool
) -> np.ndarray:
    """Read one initializer as float32, its data as long as its shape says."""
    halved = half and int(np.prod(shape)) >= HALF_FROM
    stored = f"{name}.half" if halved else name
    tensor = tensors.get(stored)
    if tensor is None:
        raise CalibrationError(f"weight {stored} is missing")
    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        raise CalibrationError(f"weight {stored} is in another file")
    if tuple(tensor.dims) != shape:
        raise CalibrationError(f"weight {stored} has shape {list(tensor.dims)}, not {list(shape)}")
    if tensor.data_type != (TensorProto.FLOAT16 if halved else TensorProto.FLOAT):
        raise CalibrationError(f"weight {stored} is not of type float{16 if halved else 32}")
    dtype = np.dtype(STORED[tensor.data_type])
    if len(tensor.raw_data) != int(np.prod(shape)) * dtype.itemsize:
        raise CalibrationError(f"weight {stored} is not as long as its shape says")
    return np.frombuffer(tensor.raw_data, dtype).reshape(shape).astype(np.float32)


def _compare_graphs(graph: GraphProto, wanted: GraphProto) -> None:
    """Name the first node, then the first input, output or initializer that differs."""
    for index, (node, other) in enumerate(zip_longest(graph.node, wanted.node)):
        if node is None:
            raise CalibrationError(f"node {index}, {_describe(other)}, is missing")
        if other is None:
            raise CalibrationError(f"node {index}, {_describe(node)}, does not belong there")
        if _bytes(node) != _bytes(other):
            raise CalibrationError(
                f"node {index} is {_describe(node)} where {_describe(other)} belongs"
            )
    for kind in ("input", "output", "initializer"):
        for value, other in zip_longest(getattr(graph, kind), getattr(wanted, kind)):
            if value is None:
                raise CalibrationError(f"{kind} {other.name} is missing")
            if other is None or _bytes(value) != _bytes(other):
                raise CalibrationError(f"{kind} {_short(value.name)} differs from that of wmq")


def _bytes(part: Any) -> bytes:
    return part.SerializeToString(deterministic=True)


def _describe(node: NodeProto) -> str:
    attributes = [_short(attribute.name) for attribute in node.attribute]
    inputs = ", ".join([*map(_short, node.input), *attributes])
    return f"{_short(node.op_type)} {_short(node.name)} ({inputs})"


def _short(text: str) -> str:
    return _one_line(text)[:60]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]


def _check_weights(sizes: StepSizes, shapes: Mapping[str, tuple[int, ...]]) -> None:
    wanted = sizes.weights()
    for name in [*wanted, *shapes]:
        if name not in shapes or name not in wanted:
            raise CalibrationError(
                f"weight {_short(name)} is {'missing' if name in wanted else 'unknown'}"
            )
        if shapes[name] != wanted[name]:
            raise CalibrationError(
                f"weight {name} has shape {list(shapes[name])}, not {list(wanted[name])}"
            )


def _check_metadata(texts: Mapping[str, str]) -> None:
    for key in OBJECTS:
        text = texts.get(key)
        if text is None:
            raise CalibrationError(f"metadata {key} is missing; not a float step of wmq")
        try:
            value = _from_json(text) if len(text) <= LARGEST_TEXT else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise CalibrationError(f"metadata {key} is not a JSON object")
    if not re.fullmatch("[0-9a-f]{64}", texts.get("wmq.run", "")):
        raise CalibrationError("metadata wmq.run is not a SHA-256")


def _from_json(text: str) -> Any:
    """Parse JSON without NaN and infinities, which no other reader takes."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def _to_json(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _tensor(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def half_weights(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Round weights, float32, to those that the half form holds."""
    return {
        name: array.astype(np.float16).astype(np.float32) if array.size >= HALF_FROM else array
        for name, array in weights.items()
    }


def _stored_weights(
    sizes: StepSizes, weights: Mapping[str, np.ndarray], half: bool
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Make the casts of the half form, and the initializers."""
    casts, stored = [], []
    for name in sizes.weights():
        array = weights[name].astype(np.float32)
        if not np.isfinite(array).all():
            raise UnfitWeight(f"{name}: a weight is not finite; the run has diverged: train "
                              "again with a lower --lr")  # fmt: skip
        if half and array.size >= HALF_FROM:
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise CalibrationError(f"{name}: too large for half precision; leave --half out")
            stored.append(_tensor(f"{name}.half", array.astype(np.float16)))
            casts.append(nodes.node("Cast", name, f"{name}.half", to=TensorProto.FLOAT))
        else:
            stored.append(_tensor(name, array))
    return casts, stored
