"""The float step quantized by onnxruntime's own tools, in the ways that they offer.

All begin with the export in float32, which they are given as it is: onnxruntime's
`quant_pre_process` made the static form seven times slower.
"""

from __future__ import annotations

import os
from pathlib import Path

from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

from calib.step.graph import StepModel, to_bytes
from wmq.calibration.play import from_set
from wmq.game.schema import Schema
from wmq.inference.onnx_session import SessionStep
from wmq.toolkits.onnx_export import CalibrationReader, plain_export
from wmq.toolkits.silence import silenced

SET = "self-play"  # its first game gives the ranges of the static form
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
    """Find the file of a variant, made if the folder does not hold it."""
    path = folder / f"{variant.replace(' ', '-')}.onnx"
    if path.exists():
        return path
    source, beside = folder / f"{os.getpid()}.onnx", folder / f"{os.getpid()}-new.onnx"
    source.write_bytes(to_bytes(plain_export(step)))
    with silenced():  # both tools recommend quant_pre_process
        if variant in DYNAMIC:
            quantize_dynamic(source, beside, **DYNAMIC[variant])
        elif variant in STATIC:
            float_step = SessionStep(source.read_bytes(), schema, source)
            reader = CalibrationReader(float_step, [next(from_set(SET, schema).games())])
            quantize_static(source, beside, reader, quant_format=QuantFormat.QDQ, **STATIC[variant])
        else:
            os.replace(source, beside)
    os.replace(beside, path)
    return path
