"""The float step with some of its tensors rounded as an integer program rounds them.

A checked step and a `Change` come in; an ONNX model of the same inputs and outputs leaves, in
which the tensors named pass x / scale -> floor(x + 0.5) -> clip -> * scale on their way, and
the weights named are those that the program holds.  All else stays float32, so that what
the model loses is what these tensors lose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from calib.arithmetic.grid import Grid
from calib.arithmetic.hadamard import mixed
from calib.errors import CalibrationError
from calib.simulation.program_weights import HeldLinear
from calib.step.graph import StepModel
from calib.step.nodes import node


@dataclass(frozen=True)
class Change:
    """What is rounded, by name; nothing of one name in two places.

    tensors  rounded before all that read them, and where they leave the graph
    carried  of those tensors: what leaves the graph stays exact, as in a program that carries
             the remainder of its rounding to the next frame
    inputs   Linear after a norm -> Rounding of what the norm leaves, for this Linear alone
    blocks   of those Linears: where the norm's values are mixed in blocks of this length by an
             orthogonal Hadamard matrix before the rounding, and back after it
    linears  Linear -> weights and bias as the program holds them
    weights  any other weight -> the values that stand in its place, float32 of its shape
    """

    tensors: Mapping[str, Grid] = field(default_factory=dict)
    carried: Collection[str] = ()
    inputs: Mapping[str, Grid] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)
    linears: Mapping[str, HeldLinear] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)


def together(changes: Sequence[Change]) -> Change:
    """Merge changes into one."""
    whole = Change({}, frozenset(name for c in changes for name in c.carried), {}, {}, {}, {})
    for kind in ("tensors", "inputs", "blocks", "linears", "weights"):
        for change in changes:
            getattr(whole, kind).update(getattr(change, kind))
    return whole


def simulated(step: StepModel, change: Change) -> ModelProto:
    """Make the change to a copy of the step's model.  Raises CalibrationError: an unknown name."""
    model = ModelProto()
    model.CopyFrom(step.model)
    graph = _Graph(model.graph, _shapes(step.model))
    for name, array in change.weights.items():
        graph.set_weight(name, array)
    for name, held in change.linears.items():
        _hold(graph, name, held)
    for name, grid in change.inputs.items():
        _input_on_grid(graph, name, grid, change.blocks.get(name, 1))
    for name, grid in change.tensors.items():
        _tensor_on_grid(graph, name, grid, name in change.carried)
    return model


class _Graph:
    """A graph that is being changed, its nodes found by what they make."""

    def __init__(self, graph: GraphProto, shapes: Mapping[str, tuple[int, ...]]):
        self.graph, self.shapes = graph, shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Look up the shape of one row of the batch."""
        if name not in self.shapes:
            raise CalibrationError(f"{name}: the float step has no such tensor to round")
        return self.shapes[name]

    def maker(self, name: str) -> int:
        """Find the node that makes a tensor; -1 for an input of the graph."""
        places = (i for i, made in enumerate(self.graph.node) if name in made.output)
        return next(places, -1)

    def insert(self, at: int, nodes: Sequence[NodeProto]) -> None:
        rest = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*rest[:at], *nodes, *rest[at:]])

    def constant(self, name: str, array: np.ndarray) -> str:
        contiguous = np.ascontiguousarray(array, np.float32).reshape(array.shape)
        self.graph.initializer.append(numpy_helper.from_array(contiguous, name))
        return name

    def set_weight(self, name: str, array: np.ndarray) -> None:
        """Replace a stored weight, whole or half."""
        stored = self.graph.initializer
        for index, tensor in enumerate(stored):
            if tensor.name in (name, f"{name}.half"):
                if tuple(tensor.dims) != array.shape:
                    raise CalibrationError(f"{name}: shape {list(array.shape)} does not fit")
                del stored[index]
                if tensor.name != name:
                    del self.graph.node[self.maker(name)]  # the cast
                self.constant(name, array)
                return
        raise CalibrationError(f"{name}: the float step has no such weight")


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Infer the shape of one row of each tensor, as far as ONNX can tell."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim[1:]) for v in values}


def _on_grid(
    graph: _Graph, x: str, shape: tuple[int, ...], out: str, grid: Grid
) -> list[NodeProto]:
    """Make the nodes from `x`, (batch, *shape), to its nearest values on the grid, `out`."""
    scale = graph.constant(f"{out}.scale", _spread_out(grid.scale, shape))
    half = graph.constant(f"{out}.half_unit", np.array(0.5))
    ends = [graph.constant(f"{out}.{end}", np.array(value))
            for end, value in (("lo", grid.lo), ("hi", grid.hi))]  # fmt: skip
    return [
        node("Div", f"{out}.units", x, scale),
        node("Add", f"{out}.raised", f"{out}.units", half),
        node("Floor", f"{out}.whole", f"{out}.raised"),
        node("Clip", f"{out}.clipped", f"{out}.whole", *ends),
        node("Mul", out, f"{out}.clipped", scale),
    ]


def _spread_out(scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Reshape scales of groups, which are runs of elements, to broadcast to `shape`."""
    if len(scale) == 1:
        return scale.reshape(())
    if shape[0] == len(scale):
        return scale.reshape(len(scale), *(1 for _ in shape[1:]))
    return np.repeat(scale, prod(shape) // len(scale)).reshape(shape)


def _tensor_on_grid(graph: _Graph, name: str, grid: Grid, carried: bool) -> None:
    shape, maker = graph.shape(name), graph.maker(name)
    leaves = any(output.name == name for output in graph.graph.output)
    rounded = f"{name}.rounded"
    for reader in graph.graph.node:
        for place, read in enumerate(reader.input):
            if read == name:
                reader.input[place] = rounded
    graph.insert(maker + 1, _on_grid(graph, name, shape, rounded, grid))
    if leaves and not carried:  # the output keeps its name, so what makes it takes another
        for part in graph.graph.node:
            for names in (part.input, part.output):
                for place, found in enumerate(names):
                    if found in (name, rounded):
                        names[place] = name if found == rounded else f"{name}.exact"


def _input_on_grid(graph: _Graph, linear: str, grid: Grid, block: int) -> None:
    """Give a Linear an input of its own: others after the same norm may read it otherwise."""
    at = graph.maker(linear)
    made = graph.maker(graph.graph.node[at].input[0])
    if at < 0 or made < 0 or graph.graph.node[made].op_type != "Mul":
        raise CalibrationError(f"{linear}: the float step has no such Linear after a norm")
    unit, weight = graph.graph.node[made].input
    shape = graph.shape(unit)
    if block == 1:
        nodes = _on_grid(graph, unit, shape, f"{linear}.unit", grid)
    else:
        mixing = graph.constant(f"{linear}.mixing", mixed(np.eye(shape[0]), block))
        nodes = [
            node("MatMul", f"{linear}.mixed", unit, mixing),
            *_on_grid(graph, f"{linear}.mixed", shape, f"{linear}.mixed_unit", grid),
            node("MatMul", f"{linear}.unit", f"{linear}.mixed_unit", mixing),
        ]
    nodes.append(node("Mul", f"{linear}.input", f"{linear}.unit", weight))
    graph.graph.node[at].input[0] = f"{linear}.input"
    graph.insert(at, nodes)


def _hold(graph: _Graph, name: str, held: HeldLinear) -> None:
    """Replace the Linear's Gemm by one with the program's weights, or by one a digit of x."""
    at = graph.maker(name)
    if at < 0:
        raise CalibrationError(f"{name}: the float step has no such Linear")
    x = graph.graph.node[at].input[0]
    bias = graph.constant(f"{name}.held_bias", held.bias)
    high = graph.constant(f"{name}.held", held.high)
    if held.low is None:
        nodes = [node("Gemm", name, x, high, bias, transB=1)]
    else:
        low = graph.constant(f"{name}.held_low", held.low)
        offset = graph.constant(f"{name}.offset", held.offset)
        digit = Grid(held.digit.astype(np.float64), -127, 127)
        shape = held.offset.shape
        nodes = [
            node("Sub", f"{name}.centred", x, offset),
            *_on_grid(graph, f"{name}.centred", shape, f"{name}.high", digit),
            node("Sub", f"{name}.low", f"{name}.centred", f"{name}.high"),
            node("Gemm", f"{name}.sum_high", f"{name}.high", high, bias, transB=1),
            node("Gemm", f"{name}.sum_low", f"{name}.low", low, transB=1),
            node("Add", name, f"{name}.sum_high", f"{name}.sum_low"),
        ]
    del graph.graph.node[at]
    graph.insert(at, nodes)
