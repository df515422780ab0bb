"""The float step quantized by onnxruntime's tools, as files that are found again.

Their key is the float step, the tool and its version, our own code, the frames of calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from calib.step.graph import StepModel, to_bytes
from wmq.files.atomic import write_atomically
from wmq.inference.float_predictor import LANES
from wmq.inference.model_files import FloatModel
from wmq.inference.onnx_session import SessionStep
from wmq.memo.forms import Form
from wmq.memo.provenance import sources, versions
from wmq.memo.store import Store
from wmq.toolkits.calibration_play import play
from wmq.toolkits.methods import MethodContext
from wmq.toolkits.onnx_export import CalibrationReader, plain_export
from wmq.toolkits.silence import silenced

PART = 512  # frames, of which the tools keep every activation and the states: 0.9 MB each
STATIC_FRAMES = 16 * PART
LINEAR = ["Gemm"]  # MatMul is here the product of state and C, which is no Linear
ONNX: Form[bytes] = Form(".onnx", bytes, lambda content, where: content, 1 << 31)
METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
DYNAMIC: dict[str, dict] = {
    "all": {},
    "linear": {"op_types_to_quantize": ["Gemm", "MatMul"]},  # a Gemm is made a MatMul first
    "linear-per-channel": {"op_types_to_quantize": ["Gemm", "MatMul"], "per_channel": True},
}


def dynamic(opened: FloatModel, folder: Path, variant: str) -> bytes:
    """Quantize dynamically; variant: a key of DYNAMIC."""

    def make(source: Path, out: Path) -> None:
        quantize_dynamic(source, out, **DYNAMIC[variant])

    return _found_or_made(opened, folder, f"dynamic-{variant}", make)


def static(opened: FloatModel, context: MethodContext, method: str) -> tuple[bytes, str]:
    """Quantize all Linears statically, weights per channel; and say what calibrated them.

    method  a key of METHODS

    Raises WmqError or CalibrationError.
    """
    source, what = play(context, opened.schema, min(context.frames, STATIC_FRAMES))
    step = SessionStep(to_bytes(plain_export(opened.step)), opened.schema, opened.path)
    reader = CalibrationReader(step, list(source.games()), LANES, PART // LANES)

    def make(plain: Path, out: Path) -> None:
        quantize_static(
            plain, out, reader, quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
            op_types_to_quantize=LINEAR, calibrate_method=METHODS[method],
            extra_options={"CalibStridedMinMax": reader.part},
        )  # fmt: skip

    facts = str(source.provenance), str(reader.frames), str(LANES), str(reader.part)
    content = _found_or_made(opened, context.folder, f"static-{method}", make, facts)
    return content, f"{reader.frames:,} frames of {what}"


def weights_only(step: StepModel) -> bytes:
    """Store int8 weights, a scale an output, which become floats again before the product."""
    model = plain_export(step)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [node.input[1] for node in model.graph.node if node.op_type in LINEAR]
    for name in names:
        tensor = stored[name]
        values, scale = rounded(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.int8"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.unit"))
    model.graph.node.reverse()  # the floats have to come before their products
    for name in names:
        made = helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.unit"], [name],
                                name=name, axis=0)  # fmt: skip
        model.graph.node.append(made)
    model.graph.node.reverse()
    onnx.checker.check_model(model)
    assert all(stored[name].data_type == TensorProto.INT8 for name in names)
    return to_bytes(model)


def rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round to int8 (outputs, inputs) in [-127, 127], and give the float32 unit of each output."""
    unit = np.abs(weight).max(axis=1) / np.float32(127)
    unit[unit == 0] = 1
    return np.rint(weight / unit[:, None]).astype(np.int8), unit


def _found_or_made(
    opened: FloatModel, folder: Path, name: str, make: Callable[[Path, Path], None],
    facts: tuple[str, ...] = (),
) -> bytes:  # fmt: skip
    """Find the file, or have it made: make(the plain export, the file to be written)."""

    def made() -> bytes:
        with TemporaryDirectory() as scratch:
            plain, out = Path(scratch, "plain.onnx"), Path(scratch, "quantized.onnx")
            write_atomically(plain, to_bytes(plain_export(opened.step)))
            with silenced():  # the advice to use quant_pre_process: it makes the static form slow
                make(plain, out)
            return out.read_bytes()

    key = opened.sha256, versions(("onnxruntime", "onnx")), sources(__name__), facts
    return Store(folder).kept(f"onnxruntime {name}", key, ONNX, made)
