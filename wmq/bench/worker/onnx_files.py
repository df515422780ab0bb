"""The float step quantized by onnxruntime's own tools, in the ways that they offer.

All begin with the export in float32, which they are given as it is: onnxruntime's
`quant_pre_process` made the static form seven times slower.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from calib.sets import read_set
from calib.step_graph import StepModel, build_step, to_bytes, zero_state
from wmq.calibrate import calibration_game
from wmq.schema import Schema

SET = "self-play"  # frames that the embedded model made itself from real starts
FRAMES = 256  # for the ranges of the static form
LINEAR = {"op_types_to_quantize": ["Gemm", "MatMul"]}
DYNAMIC = {
    "dynamic int8": {},
    "dynamic int8 per channel": {"per_channel": True},
    "dynamic int8 uint8 weights": {"weight_type": QuantType.QUInt8},
    "dynamic int8 Linear only": LINEAR,
}
STATIC = {
    "static int8": {"activation_type": QuantType.QUInt8},
    # MatMul is here the product of state and C, which is no Linear
    "static int8 Linear only": {
        "activation_type": QuantType.QUInt8,
        "op_types_to_quantize": ["Gemm"],
    },
}


def quantized(step: StepModel, schema: Schema, variant: str, folder: Path) -> Path:
    """The file of a variant, made if the folder does not hold it."""
    path = folder / f"{variant.replace(' ', '-')}.onnx"
    if path.exists():
        return path
    logging.disable(logging.WARNING)  # both tools recommend quant_pre_process
    source, beside = folder / f"{os.getpid()}.onnx", folder / f"{os.getpid()}-new.onnx"
    source.write_bytes(_plain_export(step))
    if variant in DYNAMIC:
        quantize_dynamic(source, beside, **DYNAMIC[variant])
    elif variant in STATIC:
        reader = _Play(step, schema, source)
        quantize_static(source, beside, reader, quant_format=QuantFormat.QDQ, **STATIC[variant])
    else:
        os.replace(source, beside)
    os.replace(beside, path)
    return path


def _plain_export(step: StepModel) -> bytes:
    """As `wmq export` writes it in float32, but for names.

    The tools call the scale of a tensor T "T_scale", which is what the spread of a head
    is called here: they would take the one for the other.
    """
    texts = {key: step.metadata[key] for key in ("wmq.run", "wmq.training")}
    model = build_step(step.config, step.schema, step.weights, texts)
    names = {t.name: f"{t.name}_of" for t in model.graph.initializer if t.name.endswith("_scale")}
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.checker.check_model(model)
    return to_bytes(model)


class _Play(CalibrationDataReader):
    """Frames of a game one by one, with the state that the float model carries."""

    def __init__(self, step: StepModel, schema: Schema, path: Path):
        self._feeds = _feeds(step, schema, path)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _feeds(step: StepModel, schema: Schema, path: Path) -> Iterator[dict[str, np.ndarray]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = read_set(SET)
    game = calibration_game(schema, found.frames[0], found.controllers[0])
    state = zero_state(step.config, step.schema)
    for t in range(min(FRAMES, len(game.numbers))):
        now = slice(t, t + 1)
        feeds = {
            "numbers": game.numbers[now],
            "classes": game.classes[now],
            "controllers": game.controllers[now],
            "next_controllers": game.next_controllers[now],
            **state,
        }
        yield feeds
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        state = {name: outputs[f"next_{name}"] for name in state}
