"""What is rounded at a time: classes of tensors, and the layers of each.

A float step and the program that was lowered from it come in; a list of groups leaves, each
a `Change` to the float step.  Not among them, as float32 itself is no finer: decay (31
bits), exp(A_log), D, the norms' roots and the multipliers; nor the tables of sigmoid and
softplus, whose errors are below 2^-20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calib.arithmetic.grid import Grid
from calib.simulation.grids import grids_of
from calib.simulation.program_weights import (
    held_convolution,
    held_embeddings,
    held_linear,
    input_grid,
    linears,
    number_grids,
)
from calib.simulation.simulate import Change, together
from calib.step.graph import StepModel
from calib.step.schema import HEADS, NUMBER_HEADS
from calib.step.sizes import module_name
from wmq_kernels.program import Program

Q16 = 1 << 16
SCANNED = {"state": "next_state.{0}"}  # where a class is not `layers.N.mamba.CLASS`
INNER = ("z", "xbc", "conv1d", "silu_z", "x", "B", "C", "dt", "drive", "state", "y", "gated")


@dataclass(frozen=True)
class TensorGroup:
    """A class of tensors ("class"), or what one layer, head or table has of it ("layer").

    of        name of its class
    observed  tensor of the float step, its grid, and the blocks in which it is mixed before it
              (1: not), to count what an interval clips
    """

    name: str
    kind: str
    of: str
    tensors: tuple[str, ...]
    change: Change
    observed: tuple[tuple[str, Grid, int], ...]


def tensor_groups(step: StepModel, program: Program) -> list[TensorGroup]:
    """Return every class, each followed by its layers.  Raises CalibrationError."""
    found: list[TensorGroup] = []
    for name, members in _classes(step, program):
        found.append(_group(name, "class", name, list(members.values())))
        if len(members) > 1:
            found += [_group(f"{name}: {label}", "layer", name, [change])
                      for label, change in members.items()]  # fmt: skip
    return found


def everything(classes: Sequence[TensorGroup]) -> Change:
    """Return all classes at once."""
    return together([part.change for part in classes])


def _group(name: str, kind: str, of: str, changes: list[Change]) -> TensorGroup:
    change = together(changes)
    names = [*change.tensors, *(f"{linear} input" for linear in change.inputs),
             *(f"{linear}.weight" for linear in change.linears), *change.weights]  # fmt: skip
    observed = [(tensor, grid, 1) for tensor, grid in change.tensors.items()]
    observed += [(_unit(linear), grid, change.blocks[linear])
                 for linear, grid in change.inputs.items()]  # fmt: skip
    return TensorGroup(name, kind, of, tuple(names), change, tuple(observed))


def _unit(linear: str) -> str:
    """What the norm before a Linear leaves."""
    at, _, part = linear.rpartition(".")
    if part == "in_proj":
        return f"{at.removesuffix('.mamba')}.norm.unit"
    return f"{at}.norm.unit" if part == "out_proj" else "norm_f.unit"


def _classes(step: StepModel, program: Program) -> Iterator[tuple[str, dict[str, Change]]]:
    """Yield each class with its members by label."""
    groups, layers = _linear_groups(step), range(step.sizes.n_layer)
    numbers = number_grids(step, program)
    of_frame = {name: numbers[name] for name in ("numbers.scaled", "controllers")}
    of_pads = {"next_controllers": numbers["next_controllers"]}
    members = {"frame_proj": Change(of_frame), "ctrl_proj": Change(of_pads)}
    yield "inputs of frame/ctrl_proj", members
    for group in ("in_proj", "out_proj", "heads"):
        members = {}
        for label, names in groups[group].items():
            read = {n: input_grid(step, program, n) for n in names}
            inputs = {n: grid for n, (grid, _) in read.items()}
            blocks = {n: block for n, (_, block) in read.items()}
            members[label] = Change(inputs=inputs, blocks=blocks)
        yield f"inputs of {group}", members
    for group, labelled in groups.items():
        members = {}
        for label, names in labelled.items():
            held = {n: held_linear(step, program, n) for n in names}
            members[label] = Change(linears=held)
        yield f"weights of {group}", members
    members = {f"layer {i}": Change(weights=held_convolution(step, program, i)) for i in layers}
    yield "conv1d weights", members
    tables = held_embeddings(step, program)
    yield "embeddings", {n.split(".")[1]: Change(weights={n: tables[n]}) for n in tables}
    grids = dict(grids_of(step, program))
    for name in INNER:
        yield name, {f"layer {i}": _inner(program, grids, name, i) for i in layers}
    yield "residual", dict(_residual(step, program, grids))
    yield "head values", _head_values(step, grids)


def _linear_groups(step: StepModel) -> dict[str, dict[str, list[str]]]:
    """Names of Linears by class and member."""
    groups: dict[str, dict[str, list[str]]] = {
        "frame/ctrl_proj": {}, "in_proj": {}, "out_proj": {}, "heads": {},
    }  # fmt: skip
    for name in linears(step):
        first, _, rest = name.partition(".")
        if first == "layers":
            number, _, part = rest.partition(".mamba.")
            groups[part][f"layer {number}"] = [name]
        elif first == "heads":
            groups["heads"].setdefault(_kind(rest), []).append(name)
        else:
            groups["frame/ctrl_proj"][name] = [name]
    return groups


def _kind(head: str) -> str:
    return head if head in HEADS else "classes"


def _inner(program: Program, grids: Mapping[str, Grid], name: str, layer: int) -> Change:
    tensor = SCANNED.get(name, f"layers.{{0}}.mamba.{name}").format(layer)
    tensors = {tensor: grids[tensor]}
    if name == "dt":  # the sum before softplus is a value of its own
        raw = program.values[f"layers.{layer}.mamba.dt_raw"]
        biased = f"layers.{layer}.mamba.dt_biased"
        tensors[biased] = Grid(np.array([raw.scale]), raw.lo, raw.hi)
    carried = [tensor] if name == "state" and f"carry.{layer}" in program.values else []
    return Change(tensors, carried)


def _residual(step: StepModel, program: Program, grids: Mapping[str, Grid]
              ) -> Iterator[tuple[str, Change]]:  # fmt: skip
    """Yield the stream, and what is added to it, which is rounded first."""
    for place in range(step.sizes.n_layer + 1):
        added = [f"layers.{place - 1}.mamba.out_proj"] if place else ["frame_proj", "ctrl_proj"]
        values = {name: program.values[name] for name in added}
        tensors = {f"residual.{place}": grids[f"residual.{place}"]}
        tensors |= {n: Grid(np.array([v.scale]), v.lo, v.hi) for n, v in values.items()}
        yield f"place {place}", Change(tensors)


def _head_values(step: StepModel, grids: Mapping[str, Grid]) -> dict[str, Change]:
    """Logits on a scale a head, numbers in Q15.16 of their natural unit."""
    members: dict[str, dict[str, Grid]] = {}
    for head in step.sizes.heads:
        if head in NUMBER_HEADS:
            name, grid = head, Grid(np.array([1 / Q16]), -(1 << 30) + 1, (1 << 30) - 1)
        else:
            name = f"heads.{module_name(head)}"
            grid = grids[name]
        members.setdefault(_kind(head), {})[name] = grid
    return {label: Change(tensors) for label, tensors in members.items()}
