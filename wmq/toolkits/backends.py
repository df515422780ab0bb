"""The methods of other libraries: float32 and what they quantize, by the names of their rows."""

from __future__ import annotations

import os
from importlib import import_module

from wmq.memo.provenance import sources
from wmq.toolkits.methods import Lacking, Method, MethodContext

BACKENDS = ("x86", "fbgemm", "onednn", "qnnpack")
NAMES: dict[str, str] = {
    "float32 onnxruntime": "model.onnx in float32: the record that all others are compared with",
    "float32 torch": "the torch model in float32, many frames of a game at once",
    "bfloat16 torch": "the torch model with weights and activations in bfloat16",
} | {
    f"torch dynamic 22 of 26 ({backend})": "torch quantize_dynamic as the plan reported it: int8 "
    "weights, inputs rounded by a scale of each call, four heads of 3 outputs in float"
    for backend in BACKENDS
} | {
    f"torch dynamic 26 of 26 ({backend})": "torch quantize_dynamic of all Linears: int8 weights, "
    "inputs rounded by a scale of each call"
    for backend in BACKENDS
} | {
    "torchao int8 dynamic": "torchao: int8 weights per output, inputs by a scale of each frame",
    "torchao int8 weight-only": "torchao: int8 weights per output, products in float",
    "onnxruntime dynamic": "onnxruntime quantize_dynamic of all that it can, inputs by a scale "
    "of each call",
    "onnxruntime dynamic, Linear only": "the same of the Linears alone",
    "onnxruntime dynamic, Linear only, per channel": "the same with a weight scale per output",
    "onnxruntime static QDQ min-max": "onnxruntime quantize_static of the Linears, weight scales "
    "per output, input ranges by minimum and maximum",
    "onnxruntime static QDQ entropy": "the same, ranges of least entropy",
    "onnxruntime static QDQ percentile": "the same, ranges that hold 99.999 % of the values",
    "weights-only int8": "int8 weights per output, made floats again before the product",
}  # fmt: skip


def module_of(name: str) -> str:
    """Name the module of this folder that makes a row."""
    return "torch_methods" if _is_torch(name) else "onnx_methods"


def inputs(name: str) -> str:
    """Digest the code that makes the row's method; libraries and the float step come on top."""
    return sources(f"{__package__}.{module_of(name)}")


def make(name: str, context: MethodContext) -> Method:
    """Make the method of a row; name: a key of NAMES.

    Raises Lacking if it cannot be had here, WmqError or CalibrationError for bad files.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings would cut progress bars
    try:
        methods = import_module(f"{__package__}.{module_of(name)}")
    except ModuleNotFoundError as error:
        lacking = (error.name or str(error)).split(".")[0]
        extra = "train" if _is_torch(name) else "quantize"
        raise Lacking(f"{lacking} is not installed: pip install 'wmq[{extra}]'") from None
    return methods.make(name, context)


def _is_torch(name: str) -> bool:
    return bool({"torch", "torchao"} & set(name.split()))
