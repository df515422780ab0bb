"""Counting in an ONNX graph as onnxruntime runs it, after its own optimizations.

Before those, an int8 product of the QDQ form is written as a float product between
conversions; onnxruntime makes one integer node of it, or does not, and only what it makes
says what is computed.  The layouts that it chooses for one processor are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime

# Nodes that move values, or look them up, and compute none
MOVES = {
    "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "Identity", "Pad", "QLinearConcat", "Reshape", "Shape", "Slice", "Split",
    "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
# Products that take int8 operands; those of a Linear have weights in the file
PRODUCTS = {"DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm",
            "QLinearMatMul"}  # fmt: skip
DYNAMIC = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul"}
INT8 = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
FLOATS = {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}


@dataclass(frozen=True)
class Counts:
    """layers            Linears with int8 weights in the file
    static_layers     of those, how many multiply int8 inputs whose scale is in the file too
    dequantized       of those, how many multiply in float, by weights made floats before
    float_operations  nodes that read or write floats, without those that only move them
                      (`MOVES`); conversions between floats and integers are counted.
                      Parameters in the file, such as scales, are not what a node reads
    """

    layers: int
    static_layers: int
    dequantized: int
    float_operations: int


def counts(content: bytes) -> Counts:
    """Count in a model, by its file's content."""
    model = _optimized(content)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    int8 = {tensor.name for tensor in graph.initializer
            if tensor.data_type in INT8 and len(tensor.dims) == 2}  # fmt: skip
    makers = {name: node for node in graph.node for name in node.output}
    kinds = _kinds(model)

    def int8_weights(node: onnx.NodeProto) -> bool:
        return any(name in int8 for name in node.input)

    def is_dynamic(node: onnx.NodeProto) -> bool:
        """Tell whether the input's scale is made in the graph."""
        made = (makers.get(name) for name in node.input)
        return node.op_type in DYNAMIC or any(
            maker is not None and maker.op_type in DYNAMIC for maker in made
        )

    def dequantizes(node: onnx.NodeProto) -> bool:
        made = (makers.get(name) for name in node.input)
        return node.op_type in ("Gemm", "MatMul") and any(
            maker is not None and maker.op_type == "DequantizeLinear" and int8_weights(maker)
            for maker in made
        )

    def computes_in_float(node: onnx.NodeProto) -> bool:
        values = [name for name in node.input if name not in stored] + list(node.output)
        return node.op_type not in MOVES and any(kinds.get(name) in FLOATS for name in values)

    products = [node for node in graph.node if node.op_type in PRODUCTS and int8_weights(node)]
    dequantized = sum(map(dequantizes, graph.node))
    return Counts(
        layers=len(products) + dequantized,
        static_layers=sum(not is_dynamic(node) for node in products),
        dequantized=dequantized,
        float_operations=sum(map(computes_in_float, graph.node)),
    )


def _options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _optimized(content: bytes) -> onnx.ModelProto:
    options = _options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    with TemporaryDirectory() as folder:
        path = Path(folder, "optimized.onnx")
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Find the type of every value, as onnxruntime sees it once all of them are outputs."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    given = {value.name for value in asked.graph.output}
    made = [name for node in asked.graph.node for name in node.output if name]
    asked.graph.output.extend(onnx.ValueInfoProto(name=n) for n in made if n not in given)
    session = onnxruntime.InferenceSession(
        asked.SerializeToString(),
        _options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL),
        providers=["CPUExecutionProvider"],
    )
    return {port.name: port.type for port in (*session.get_inputs(), *session.get_outputs())}
