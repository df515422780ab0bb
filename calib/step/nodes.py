"""The nodes of the float step, in order, and its inputs, outputs and constants.

Every node is named after its first output, every weight as in the torch state dict;
`calib.step.graph` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from calib.step.schema import NUMBER_HEADS, Draw
from calib.step.sizes import StepSizes, module_name

NORM_EPS = 1e-5
NEVER = 1e9  # what a class that is not allowed lacks in its logit
BATCH = "batch"
INPUTS = ("numbers", "classes", "controllers", "next_controllers")  # besides draws and the state


def node(op: str, output: str | Sequence[str], *x: str, **attributes: Any) -> NodeProto:
    """Make a node on the tensors `x`, named after its first output."""
    names = [output] if isinstance(output, str) else list(output)
    return helper.make_node(op, x, names, name=names[0], **attributes)


def _linear(name: str, x: str, bias: bool = True) -> NodeProto:
    operands = [x, f"{name}.weight", f"{name}.bias"][: 3 if bias else 2]
    return node("Gemm", name, *operands, transB=1)


def _norm(name: str, x: str) -> list[NodeProto]:
    """Make x / sqrt(mean(x^2) + eps) as `<name>.unit`, times the weight as `<name>`."""
    return [
        node("Mul", f"{name}.squares", x, x),
        node("ReduceMean", f"{name}.mean", f"{name}.squares", "axes.last", keepdims=1),
        node("Add", f"{name}.mean_eps", f"{name}.mean", "eps"),
        node("Sqrt", f"{name}.root", f"{name}.mean_eps"),
        node("Div", f"{name}.unit", x, f"{name}.root"),
        node("Mul", name, f"{name}.unit", f"{name}.weight"),
    ]


def _silu(name: str, x: str) -> list[NodeProto]:
    return [node("Sigmoid", f"{name}.sigmoid", x), node("Mul", name, x, f"{name}.sigmoid")]


def encode(sizes: StepSizes) -> list[NodeProto]:
    """Encode scaled numbers, controllers and embeddings as `encoded`, then `residual.0`."""
    names = sizes.class_inputs
    columns = [f"classes.{i}.{name}" for i, name in enumerate(names)]
    rows = [f"embedded.{i}.{name}" for i, name in enumerate(names)]
    return [
        node("Mul", "numbers.scaled", "numbers", "number_scale"),
        node("Split", columns, "classes", "split.classes", axis=1),
        *(
            node("Gather", row, f"embeddings.{name}.weight", column, axis=0)
            for row, column, name in zip(rows, columns, names, strict=True)
        ),
        node("Concat", "embedded.stacked", *rows, axis=2),  # (batch, 1, widths)
        node("Squeeze", "embedded", "embedded.stacked", "axes.1"),
        node("Concat", "encoded", "numbers.scaled", "controllers", "embedded", axis=1),
        _linear("frame_proj", "encoded"),
        *_residual(sizes),
    ]


def _residual(sizes: StepSizes) -> list[NodeProto]:
    if sizes.agent:
        return [node("Identity", "residual.0", "frame_proj")]
    return [
        _linear("ctrl_proj", "next_controllers"),
        node("Add", "residual.0", "frame_proj", "ctrl_proj"),
    ]


def mamba_layer(layer: int) -> list[NodeProto]:
    """Step a Mamba-2: `residual.N` -> `residual.N+1`, `next_conv.N`, `next_state.N`.

    S = exp(dt A) S + (dt x) B^T;  y = S C + D x  (Dao and Gu 2024, section 6)
    """
    norm, m = f"layers.{layer}.norm", f"layers.{layer}.mamba"
    return [
        *_norm(norm, f"residual.{layer}"),
        _linear(f"{m}.in_proj", norm, bias=False),
        node(
            "Split", [f"{m}.z", f"{m}.xbc", f"{m}.dt_raw"], f"{m}.in_proj", "split.in_proj", axis=1
        ),
        # causal convolution: (batch, d_conv, conv_dim) times taps, summed over d_conv
        node("Unsqueeze", f"{m}.xbc_row", f"{m}.xbc", "axes.1"),
        node("Concat", f"{m}.conv1d.window", f"conv.{layer}", f"{m}.xbc_row", axis=1),
        node(
            "Slice", f"next_conv.{layer}", f"{m}.conv1d.window", "slice.one", "slice.end", "axes.1"
        ),
        node("Transpose", f"{m}.conv1d.taps", f"{m}.conv1d.weight", perm=[1, 2, 0]),
        node("Mul", f"{m}.conv1d.products", f"{m}.conv1d.window", f"{m}.conv1d.taps"),
        node("ReduceSum", f"{m}.conv1d.sum", f"{m}.conv1d.products", "axes.1", keepdims=0),
        node("Add", f"{m}.conv1d", f"{m}.conv1d.sum", f"{m}.conv1d.bias"),
        *_silu(f"{m}.silu_xbc", f"{m}.conv1d"),
        node("Split", [f"{m}.x", f"{m}.B", f"{m}.C"], f"{m}.silu_xbc", "split.xbc", axis=1),
        *_silu(f"{m}.silu_z", f"{m}.z"),
        # (batch, heads)
        node("Add", f"{m}.dt_biased", f"{m}.dt_raw", f"{m}.dt_bias"),
        node("Softplus", f"{m}.dt", f"{m}.dt_biased"),
        node("Exp", f"{m}.rate", f"{m}.A_log"),
        node("Neg", f"{m}.A", f"{m}.rate"),
        node("Mul", f"{m}.log_decay", f"{m}.dt", f"{m}.A"),
        node("Exp", f"{m}.decay", f"{m}.log_decay"),
        # (batch, heads, headdim, d_state)
        node("Reshape", f"{m}.x_heads", f"{m}.x", "shape.heads"),
        node("Unsqueeze", f"{m}.dt_column", f"{m}.dt", "axes.2"),
        node("Mul", f"{m}.drive", f"{m}.x_heads", f"{m}.dt_column"),
        node("Unsqueeze", f"{m}.drive_column", f"{m}.drive", "axes.3"),
        node("Unsqueeze", f"{m}.B_row", f"{m}.B", "axes.12"),
        node("Mul", f"{m}.added", f"{m}.drive_column", f"{m}.B_row"),
        node("Unsqueeze", f"{m}.decay_all", f"{m}.decay", "axes.23"),
        node("Mul", f"{m}.kept", f"state.{layer}", f"{m}.decay_all"),
        node("Add", f"next_state.{layer}", f"{m}.kept", f"{m}.added"),
        # (batch, heads, headdim) -> (batch, d_inner)
        node("Unsqueeze", f"{m}.C_column", f"{m}.C", "axes.13"),
        node("MatMul", f"{m}.read_column", f"next_state.{layer}", f"{m}.C_column"),
        node("Squeeze", f"{m}.read", f"{m}.read_column", "axes.3"),
        node("Unsqueeze", f"{m}.D_column", f"{m}.D", "axes.1"),
        node("Mul", f"{m}.skip", f"{m}.x_heads", f"{m}.D_column"),
        node("Add", f"{m}.y_heads", f"{m}.read", f"{m}.skip"),
        node("Reshape", f"{m}.y", f"{m}.y_heads", "shape.inner"),
        node("Mul", f"{m}.gated", f"{m}.y", f"{m}.silu_z"),
        *_norm(f"{m}.norm", f"{m}.gated"),
        _linear(f"{m}.out_proj", f"{m}.norm", bias=False),
        node("Add", f"residual.{layer + 1}", f"residual.{layer}", f"{m}.out_proj"),
    ]


def chain(sizes: StepSizes) -> list[NodeProto]:
    """Draw from one head after the other: `residual.N` -> `chain.K.x`, and the output `drawn`.

    An element of `forced` says what is drawn: a class from 0 on; -1 for a draw by `uniforms`;
    less for the likeliest class.
    """
    if not sizes.draws:
        return []
    columns = [f"draw.{number}" for number in range(len(sizes.draws))]
    found = [
        node("Split", [f"{c}.uniform" for c in columns], "uniforms", "split.draws", axis=1),
        node("Split", [f"{c}.forced" for c in columns], "forced", "split.draws", axis=1),
        node("Split", ["temperature", "min_p"], "decode", "split.decode", axis=0),
        node("Log", "cut", "min_p"),
    ]
    x = f"residual.{sizes.n_layer}"
    for number, draw in enumerate(sizes.draws):
        at, head = f"chain.{number}", f"heads.{module_name(draw.name)}"
        found += [*_norm(f"{at}.norm", x), _linear(head, f"{at}.norm")]
        found += [node("Identity", draw.name, head), *_draw(sizes, number, draw)]
        if f"{at}.given.weight" in sizes.weights():
            found += _given(at, draw.field, x, f"draw.{number}")
            x = f"{at}.x"
    return [*found, node("Concat", "drawn", *columns, axis=1)]


def _draw(sizes: StepSizes, number: int, draw: Draw) -> list[NodeProto]:
    """Choose a class (batch, 1) int64, `draw.N`, of the logits (batch, classes) of a head.

    The lowest index whose running sum of weights exceeds the uniform's share of their total; a
    weight is exp((logit - largest) / temperature), and 0 below min_p.
    """
    at, logits, found = f"draw.{number}", draw.name, []
    if draw in sizes.masked:
        column = sizes.class_inputs.index(draw.field)
        if draw.player:
            column = sizes.class_inputs.index(draw.field, column + 1)
        found = [
            node("Gather", f"{at}.row", "allowed", f"classes.{column}.{draw.field}", axis=0),
            node("Squeeze", f"{at}.allowed", f"{at}.row", "axes.1"),
            node("Sub", f"{at}.barred", f"{at}.allowed", "one"),
            node("Mul", f"{at}.penalty", f"{at}.barred", "never"),
            node("Add", f"{at}.logits", logits, f"{at}.penalty"),
        ]
        logits = f"{at}.logits"
    return [
        *found,
        node("ReduceMax", f"{at}.largest", logits, "axes.last", keepdims=1),
        node("Sub", f"{at}.distance", logits, f"{at}.largest"),
        node("Div", f"{at}.exponent", f"{at}.distance", "temperature"),
        node("Exp", f"{at}.weight", f"{at}.exponent"),
        node("GreaterOrEqual", f"{at}.kept", f"{at}.exponent", "cut"),
        node("Where", f"{at}.weights", f"{at}.kept", f"{at}.weight", "zero"),
        node("CumSum", f"{at}.sums", f"{at}.weights", "axis.1"),
        node("ReduceMax", f"{at}.total", f"{at}.sums", "axes.last", keepdims=1),
        node("Mul", f"{at}.threshold", f"{at}.total", f"{at}.uniform"),
        node("LessOrEqual", f"{at}.below", f"{at}.sums", f"{at}.threshold"),
        node("Cast", f"{at}.counted", f"{at}.below", to=TensorProto.INT64),
        node("ReduceSum", f"{at}.count", f"{at}.counted", "axes.last", keepdims=1),
        node("Min", f"{at}.sampled", f"{at}.count", f"{at}.last"),
        node("ArgMax", f"{at}.likeliest", logits, axis=1, keepdims=1),
        node("Equal", f"{at}.samples", f"{at}.forced", "minus_one"),
        node("Where", f"{at}.free", f"{at}.samples", f"{at}.sampled", f"{at}.likeliest"),
        node("Less", f"{at}.is_free", f"{at}.forced", "zero.whole"),
        node("Where", at, f"{at}.is_free", f"{at}.free", f"{at}.forced"),
    ]


def _given(at: str, field: str, x: str, drawn: str) -> list[NodeProto]:
    """Add what was drawn to the residual `x`, and mix it in: `<at>.x`."""
    mix = f"{at}.mix"
    return [
        node("Gather", f"{at}.row", f"embeddings.{field}.weight", drawn, axis=0),
        node("Squeeze", f"{at}.embedded", f"{at}.row", "axes.1"),
        _linear(f"{at}.given", f"{at}.embedded", bias=False),
        node("Add", f"{at}.told", x, f"{at}.given"),
        *_norm(f"{mix}.norm", f"{at}.told"),
        _linear(f"{mix}.in_proj", f"{mix}.norm", bias=False),
        node("Split", [f"{mix}.u", f"{mix}.z"], f"{mix}.in_proj", "split.mix", axis=1),
        *_silu(f"{mix}.silu_z", f"{mix}.z"),
        node("Mul", f"{mix}.gated", f"{mix}.u", f"{mix}.silu_z"),
        *_norm(f"{mix}.gated_norm", f"{mix}.gated"),
        _linear(f"{mix}.out_proj", f"{mix}.gated_norm", bias=False),
        node("Add", f"{at}.x", f"{at}.told", f"{mix}.out_proj"),
    ]


def heads(sizes: StepSizes) -> list[NodeProto]:
    """Compute all heads that are not drawn, in natural units."""
    names = list(sizes.heads)[len(sizes.draws) :]
    if not names:
        return []
    last = len(sizes.draws) - 1
    nodes = _norm("norm_f", f"chain.{last}.x" if sizes.draws else f"residual.{sizes.n_layer}")
    for name in names:
        linear = f"heads.{module_name(name)}"
        nodes.append(_linear(linear, "norm_f"))
        if name in NUMBER_HEADS:
            nodes.append(node("Mul", f"{name}.deviation", linear, f"{name}_scale"))
            nodes.append(node("Add", name, f"{name}.deviation", f"{name}_offset"))
        else:
            nodes.append(node("Identity", name, linear))
    return nodes


def _float(name: str, *shape: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])


def _whole(name: str, *shape: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH, *shape])


def inputs(sizes: StepSizes) -> list[ValueInfoProto]:
    infos = [
        _float("numbers", len(sizes.number_scales)),
        _whole("classes", len(sizes.class_inputs)),
        _float("controllers", sizes.controllers),
    ]
    if not sizes.agent:
        infos.append(_float("next_controllers", sizes.controllers))
    if sizes.draws:
        infos.append(_float("uniforms", len(sizes.draws)))
        infos.append(_whole("forced", len(sizes.draws)))
    return infos + _states(sizes, "")


def outputs(sizes: StepSizes) -> list[ValueInfoProto]:
    values = [_float(name, width) for name, width in sizes.heads.items()]
    if sizes.draws:
        values.append(_whole("drawn", len(sizes.draws)))
    return values + _states(sizes, "next_")


def _states(sizes: StepSizes, prefix: str) -> list[ValueInfoProto]:
    conv, ssm = sizes.state_shape()
    layers = range(sizes.n_layer)
    pairs = ((f"{prefix}conv.{i}", f"{prefix}state.{i}") for i in layers)
    return [info for c, s in pairs for info in (_float(c, *conv), _float(s, *ssm))]


def constants(sizes: StepSizes) -> dict[str, np.ndarray]:
    """Make what the nodes need besides weights; int64 unless it is a number."""
    whole = {
        "axes.last": [-1], "axes.1": [1], "axes.2": [2], "axes.3": [3],
        "axes.12": [1, 2], "axes.13": [1, 3], "axes.23": [2, 3],
        "slice.one": [1], "slice.end": [sizes.d_conv],
        "split.classes": [1] * len(sizes.class_inputs),
        "split.in_proj": sizes.in_proj_parts,
        "split.xbc": [sizes.d_inner, sizes.d_state, sizes.d_state],
        "shape.heads": [-1, sizes.nheads, sizes.headdim],
        "shape.inner": [-1, sizes.d_inner],
    }  # fmt: skip
    if sizes.draws:
        whole |= {f"draw.{n}.last": [draw.classes - 1] for n, draw in enumerate(sizes.draws)}
        whole |= {"split.draws": [1] * len(sizes.draws), "split.decode": [1, 1], "axis.1": [1],
                  "split.mix": [sizes.d_mix] * 2, "minus_one": [-1], "zero.whole": [0]}  # fmt: skip
    arrays = {name: np.array(value, dtype=np.int64) for name, value in whole.items()}
    if sizes.draws:
        arrays["zero"] = np.array(0, dtype=np.float32)
    if sizes.masked:
        arrays |= {"one": np.array(1, dtype=np.float32), "never": np.array(NEVER, np.float32)}
    arrays["eps"] = np.array(NORM_EPS, dtype=np.float32)
    arrays["number_scale"] = np.array(sizes.number_scales, dtype=np.float32)
    return arrays
