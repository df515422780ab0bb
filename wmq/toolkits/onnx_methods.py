"""The methods of onnxruntime: float32, which is the record, and what its tools quantize."""

from __future__ import annotations

import platform

from llvmlite import binding

from wmq.inference.float_predictor import LANES, OnnxPredictor, StepPredictor
from wmq.inference.model_files import FloatModel, open_float
from wmq.inference.onnx_session import SessionStep
from wmq.toolkits import methods, onnx_files
from wmq.toolkits.methods import Method, MethodContext
from wmq.toolkits.onnx_count import counts

DYNAMIC = {
    "onnxruntime dynamic": "all",
    "onnxruntime dynamic, Linear only": "linear",
    "onnxruntime dynamic, Linear only, per channel": "linear-per-channel",
}
STATIC = {f"onnxruntime static QDQ {method}": method for method in onnx_files.METHODS}
ALONE = "the scales of a call's inputs are found in that call: one game per call"
RANGES = ("ranges from {}; onnxruntime keeps every activation of a part of {} frames, which bounds "
         "its memory")  # fmt: skip

CLIPPED = ("without VNNI, onnxruntime adds pairs of int8 products in 16 bits, which saturate: "
           "this row is better on a processor with VNNI")  # fmt: skip


def make(name: str, context: MethodContext) -> Method:
    """Make the method of a row.  Raises WmqError or CalibrationError."""
    opened = open_float(context.onnx)
    if name == "float32 onnxruntime":
        return _float32(opened, context)
    if name in DYNAMIC:
        content = onnx_files.dynamic(opened, context.folder, DYNAMIC[name])
        return _way(opened, content, context, 1, ALONE)
    if name in STATIC:
        content, what = onnx_files.static(opened, context, STATIC[name])
        return _way(opened, content, context, LANES, RANGES.format(what, onnx_files.PART))
    return _way(opened, onnx_files.weights_only(opened.step), context, LANES)


def _float32(opened: FloatModel, context: MethodContext) -> Method:
    content = opened.path.read_bytes()
    found = counts(content)
    half = ("large weights are float16 in the file",) if opened.step.half else ()
    return Method(OnnxPredictor(opened.path, context.threads), LANES, methods.WHOLE, found.layers,
               found.static_layers, found.float_operations, len(content), half)  # fmt: skip


def _way(
    opened: FloatModel, content: bytes, context: MethodContext, lanes: int, *notes: str
) -> Method:
    found = counts(content)
    if found.dequantized:
        notes = (*notes, f"{found.dequantized} Linears have int8 weights, multiplied as floats")
    elif saturates():
        notes = (*notes, CLIPPED)
    step = SessionStep(content, opened.schema, opened.path)
    predictor = StepPredictor(step, opened.spreads, context.threads, lanes)
    share = methods.MOST if lanes > 1 else methods.ALONE
    return Method(predictor, lanes, share, found.layers, found.static_layers,
                  found.float_operations, len(content), notes)  # fmt: skip


def saturates() -> bool:
    """Say whether onnxruntime may clip products of unsigned with signed bytes on this processor.

    x86 without VNNI adds pairs of them in 16 bits (VPMADDUBSW), as onnxruntime's page on
    quantization says; a layer may then be far from what its weights say.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    features = binding.get_host_cpu_features()
    return not (features.get("avx512vnni") or features.get("avxvnni"))
