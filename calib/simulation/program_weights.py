"""The weights of a float step as an integer program holds them.

A step and a program that was lowered from it come in; what leaves are the same weights in
the step's own units, without what lowering folded into them: norm weights
from columns, spreads from the rows of number heads.  Scales are taken back out of the
program's multipliers, so that it does not matter how the integers were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calib.arithmetic.grid import Grid
from calib.arithmetic.hadamard import mixed
from calib.errors import CalibrationError
from calib.step.graph import StepModel
from calib.step.schema import NUMBER_HEADS, Q16
from calib.step.sizes import module_name
from wmq_kernels.isa import DIGITS_LIMIT
from wmq_kernels.program import Program, Slice, Step

PORT_UNIT = {"controllers": 1 / Q16, "next_controllers": 1 / Q16}


@dataclass(frozen=True)
class HeldLinear:
    """y = high x_high + low x_low + bias, with x - offset = x_high + x_low; all float32.

    high    (out, in), low (out, in), or None where one matrix serves the whole of x
    bias    (out,), offset (in,)
    digit   (in,) natural units of x's high digit
    """

    high: np.ndarray
    low: np.ndarray | None
    bias: np.ndarray
    offset: np.ndarray
    digit: np.ndarray


def linears(step: StepModel) -> list[str]:
    """Name all Linears in the order of the graph, 26 of a four-layer model."""
    layers = range(step.sizes.n_layer)
    inner = [f"layers.{i}.mamba.{part}" for i in layers for part in ("in_proj", "out_proj")]
    return ["frame_proj", "ctrl_proj", *inner,
            *(f"heads.{module_name(head)}" for head in step.sizes.heads)]  # fmt: skip


def held_linear(step: StepModel, program: Program, name: str) -> HeldLinear:
    """Read one Linear back.  Raises CalibrationError if the program does not compute it by dots."""
    sums = _sums(step, program, name)
    if name in ("frame_proj", "ctrl_proj"):
        return _held_projection(step, program, sums)
    unit, low_unit = _digits(program, name, sums)
    norm = _norm(program, name, unit)
    columns, rows, taken = _folded(step, name)
    seen, rows = (np.where(factor == 0, 1.0, factor) for factor in (columns, rows))

    def unfolded(digit: str, units: int) -> np.ndarray:
        natural = sums.matrix(digit) * sums.unit[:, None] / (norm.scale * units)
        return mixed(natural, norm.block) / seen / rows[:, None]

    high = unfolded(unit, 128 if norm.digits else 1)
    low = unfolded(low_unit, 1) if low_unit else high
    if norm.block > 1 and not np.allclose(high, low, rtol=1e-9, atol=0):
        raise CalibrationError(f"{name}: two weight digits behind a hadamard; this version of "
                               "wmq cannot simulate them")  # fmt: skip
    return HeldLinear(
        high=high.astype(np.float32),
        low=None if np.allclose(high, low, rtol=1e-9, atol=0) else low.astype(np.float32),
        bias=((sums.bias - taken) / rows).astype(np.float32),
        offset=np.zeros(len(columns), np.float32),
        digit=(norm.scale * (128 if norm.digits else 1) * seen).astype(np.float32),
    )


def input_grid(step: StepModel, program: Program, name: str) -> tuple[Grid, int]:
    """Find the grid of what the norm before a Linear leaves, as far as this Linear reads it.

    The scale is one, or one a channel; the second is the length of the blocks that a hadamard
    mixes before the norm, 1 without any.
    """
    unit, low = _digits(program, name, _sums(step, program, name))
    norm, value = _norm(program, name, unit), program.values[unit]
    scale = norm.scale if np.ptp(norm.scale) else norm.scale[:1]
    if low:
        return Grid(scale, -DIGITS_LIMIT, DIGITS_LIMIT), norm.block
    return Grid(scale * (128 if norm.digits else 1), value.lo, value.hi), norm.block


def number_grids(step: StepModel, program: Program) -> dict[str, Grid]:
    """Find the grids of `numbers.scaled`, `controllers`, `next_controllers`, which enter as digits.

    A scale a column.  No interval: the digits hold all of a field's, and a stick's lies
    around its centre.
    """
    found = {}
    for tensor, port in (("numbers.scaled", "frame"), ("controllers", "controllers"),
                         ("next_controllers", "next_controllers")):  # fmt: skip
        places = _number_places(step)[port]
        scale = np.zeros(len(places))
        for slot in _digit_slots(step, program):
            if slot.port == port and not slot.high:
                scale[places.index(slot.place)] = slot.scale
        if not (scale > 0).all():
            raise CalibrationError(f"{tensor}: a column does not enter the program as digits")
        found[tensor] = Grid(scale, -2 * DIGITS_LIMIT, 2 * DIGITS_LIMIT)
    return found


def held_embeddings(step: StepModel, program: Program) -> dict[str, np.ndarray]:
    """Read the embeddings back, by the name of their weight, float32."""
    names = [f"embeddings.{name}.weight" for name in step.sizes.embeddings]
    return {n: (program.data[n].reshape(program.values[n].shape) * program.values[n].scale)
            .astype(np.float32) for n in names}  # fmt: skip


def held_convolution(step: StepModel, program: Program, layer: int) -> dict[str, np.ndarray]:
    """Read a layer's convolution back: taps and bias by the name of their weight, float32."""
    at = f"layers.{layer}.mamba"
    values, data = program.values, program.data
    factor = _factors(program, f"{at}.conv1d.multiplier", f"{at}.conv1d.shift")
    unit = factor * values[f"{at}.conv1d"].scale  # natural units of one unit of the sum
    taps = np.concatenate([data[f"{at}.conv1d.{part}"].reshape(-1, step.sizes.conv_dim)
                           for part in ("weight", "weight_now")])  # fmt: skip
    weight = (taps * (unit / values[f"{at}.xbc"].scale)).T[:, None]  # (conv_dim, 1, d_conv)
    return {f"{at}.conv1d.weight": weight.astype(np.float32),
            f"{at}.conv1d.bias": (data[f"{at}.conv1d.bias"] * unit).astype(np.float32)}  # fmt: skip


@dataclass(frozen=True)
class _Sums:
    """sum = bias / unit + sum over terms of 2^shift weight x; unit, bias (out,) natural units."""

    unit: np.ndarray
    bias: np.ndarray
    terms: list[tuple[Slice, np.ndarray]]  # x, and the weight times 2^shift, (out, n) float64
    widths: Mapping[str, int]

    def matrix(self, value: str) -> np.ndarray:
        """Add up what multiplies the elements of a value, (out, size of the value) float64."""
        whole = np.zeros((len(self.unit), self.widths[value]))
        for x, ints in self.terms:
            if x.value == value:
                whole[:, x.start : x.start + x.count] += ints
        return whole


def _sums(step: StepModel, program: Program, name: str) -> _Sums:
    ends = list(_requantized(step, program, name))
    accumulators = {end.operands["x"].value for end, _ in ends}
    if len(accumulators) != 1:
        raise CalibrationError(f"{name}: the program does not compute it in one sum")
    unit = np.concatenate([
        _factors(program, end.operands["multiplier"].value, end.operands["shift"].value) * scale
        for end, scale in ends
    ])  # fmt: skip
    terms: list[tuple[Slice, np.ndarray]] = []
    value = accumulators.pop()
    widths = {key: entry.size for key, entry in program.values.items()}
    while True:
        made = [s for s in program.steps if s.operands.get("out", Slice("", 0, 0)).value == value]
        if len(made) != 1 or made[0].op not in ("dot", "dot_add"):
            raise CalibrationError(f"{name}: {value} is no sum of dots; this version of wmq "
                                   "cannot read such a program")  # fmt: skip
        x, weight = made[0].operands["x"], made[0].operands["weight"].value
        ints = program.data[weight].reshape(len(unit), -1).astype(np.float64)
        terms.append((x, ints * 2.0 ** made[0].parameters.get("shift", 0)))
        if made[0].op == "dot":
            bias = program.data[made[0].operands["bias"].value] * unit
            return _Sums(unit, bias, terms, widths)
        value = made[0].operands["acc"].value


def _requantized(step: StepModel, program: Program, name: str) -> Iterator[tuple[Step, float]]:
    """Yield the steps that take a Linear's rows from its sum, with the scale of what they make.

    A head's rows lie in the value `heads`, each head at a scale of its own.
    """
    at, _, part = name.rpartition(".")
    heads = {f"heads.{module_name(head)}": head for head in step.sizes.heads}
    if name in heads:
        start, _ = program.heads[heads[name]]
        scale = float(program.meta["head_scales"][heads[name]])
        wanted = [("heads", start, scale)]
    else:
        outs = [f"{at}.z", f"{at}.xbc", f"{at}.dt_raw"] if part == "in_proj" else [name]
        wanted = [(out, 0, program.values[out].scale) for out in outs]
    for out, start, scale in wanted:
        for made in program.steps:
            to = made.operands.get("out")
            if to and (to.value, to.start) == (out, start) and made.op.startswith("requantize"):
                yield made, scale


def _factors(program: Program, multiplier: str, shift: str) -> np.ndarray:
    return program.data[multiplier] * np.exp2(-program.data[shift].astype(np.float64))


def _digits(program: Program, name: str, sums: _Sums) -> tuple[str, str]:
    """Find the values that hold the Linear's input: its only or high digit, the low one or ""."""
    read = {x.value for x, _ in sums.terms}
    lows = {value for value in read if value.endswith(".low")}
    high = read - lows
    if len(high) != 1 or len(lows) > 1:
        raise CalibrationError(f"{name}: the program reads {sorted(read)}; this version of wmq "
                               "cannot tell its digits")  # fmt: skip
    return high.pop(), lows.pop() if lows else ""


@dataclass(frozen=True)
class _Norm:
    """scale  (n,) natural units of what leaves the norm, per unit or per unit of the low digit
    digits   whether it leaves in two digits
    block    of the hadamard before the norm, or 1
    """

    scale: np.ndarray
    digits: bool
    block: int


def _norm(program: Program, name: str, unit: str) -> _Norm:
    """Read out = x * numerator / (sqrt(sum x^2) * 2^shift), in units of x / sqrt(mean x^2)."""
    outs = ("out", "high")
    made = [s for s in program.steps for out in outs
            if out in s.operands and s.operands[out].value == unit]  # fmt: skip
    if len(made) != 1 or not made[0].op.startswith("rms_norm"):
        raise CalibrationError(f"{name}: reads {unit}, which no norm makes; this version of wmq "
                               "cannot read such a program")  # fmt: skip
    x, n = made[0].operands["x"].value, program.values[unit].size
    if "shift" in made[0].operands:
        shift = program.data[made[0].operands["shift"].value].astype(np.float64)
    else:
        shift = np.full(n, float(made[0].parameters["shift"]))
    scale = np.exp2(shift) * n**0.5 / made[0].parameters["numerator"]
    mixing = [s for s in program.steps if s.op == "hadamard" and s.operands["out"].value == x]
    block = mixing[0].parameters["block"] if mixing else 1
    return _Norm(scale, "high" in made[0].operands, block)


def _folded(step: StepModel, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the factors of a Linear's columns and rows in lowering, and what its bias gained."""
    weights, rows = step.weights, len(step.weights[f"{name}.weight"])
    ones, zeros = np.ones(rows), np.zeros(rows)
    at, _, part = name.rpartition(".")
    if part == "in_proj":
        norm = weights[f"{at.removesuffix('.mamba')}.norm.weight"]
        zeros[rows - step.sizes.nheads :] = weights[f"{at}.dt_bias"]
    elif part == "out_proj":
        norm = weights[f"{at}.norm.weight"]
    else:
        norm = weights["norm_f.weight"]
        head = name.removeprefix("heads.")
        if head in NUMBER_HEADS:
            ones, zeros = weights[f"{head}_scale"], weights[f"{head}_offset"]
    return norm.astype(np.float64), ones.astype(np.float64), zeros.astype(np.float64)


@dataclass(frozen=True)
class _Slot:
    """An int8 element that a number enters by.

    value, at     of the program; port, place: the number's own
    scale, offset  in units of the step's input
    """

    value: str
    at: int
    port: str
    place: int
    high: bool
    scale: float
    offset: float


def _digit_slots(step: StepModel, program: Program) -> Iterator[_Slot]:
    fields = step.schema.fields
    for made in program.steps:
        if made.op != "digits":
            continue
        x, data = made.operands["x"], program.data
        factor = _factors(program, made.operands["multiplier"].value, made.operands["shift"].value)
        offset = data[made.operands["offset"].value]
        for k in range(x.count):
            place, unit = x.start + k, PORT_UNIT.get(x.value, 0.0)
            if x.value == "frame":
                field = fields[place % len(fields)]
                unit = field.scale / field.quantum
            for part, digit in (("high", 128), ("low", 1)):
                to = made.operands[part]
                yield _Slot(to.value, to.start + k, x.value, place, part == "high",
                            digit * unit / factor[k], unit * float(offset[k]))  # fmt: skip


def _number_places(step: StepModel) -> dict[str, Sequence[int]]:
    """List the places of numbers in each port, in the order of the step's input columns."""
    pads = range(step.sizes.controllers)
    return {"frame": step.schema.number_index.tolist(), "controllers": pads,
            "next_controllers": pads}  # fmt: skip


def _held_projection(step: StepModel, program: Program, sums: _Sums) -> HeldLinear:
    """Read frame_proj or ctrl_proj back: the digits of a number have weights of their own."""
    value = sums.terms[0][0].value
    ints = sums.matrix(value) * sums.unit[:, None]
    places, sizes = _number_places(step), step.sizes
    ports = ("frame", "controllers") if value == "encoded" else ("next_controllers",)
    starts = dict(zip(ports, (0, len(sizes.number_scales)), strict=False))
    width = sizes.encoded if value == "encoded" else sizes.controllers
    high, low = np.zeros((2, len(ints), width))
    offset, digit = np.zeros(width), np.ones(width)
    for slot in _digit_slots(step, program):
        if slot.value != value:
            continue
        column = starts[slot.port] + places[slot.port].index(slot.place)
        (high if slot.high else low)[:, column] = ints[:, slot.at] / slot.scale
        offset[column] = slot.offset
        if slot.high:
            digit[column] = slot.scale
    for column, at, count, scale in _embedded(step, program, value):
        for matrix in (high, low):
            matrix[:, column : column + count] = ints[:, at : at + count] / scale
    arrays = (array.astype(np.float32) for array in (high, low, sums.bias, offset, digit))
    return HeldLinear(*arrays)


def _embedded(
    step: StepModel, program: Program, value: str
) -> Iterator[tuple[int, int, int, float]]:
    """Yield column, place in the value, width and scale of each embedding that is read into it."""
    sizes = step.sizes
    first = len(sizes.number_scales) + sizes.controllers
    widths = [sizes.embeddings[name][1] for name in sizes.class_inputs]
    starts = dict(zip(step.schema.class_index.tolist(), first + np.cumsum([0, *widths[:-1]]),
                      strict=True))  # fmt: skip
    for made in program.steps:
        if made.op == "embed" and made.operands["out"].value == value:
            to, table = made.operands["out"], program.values[made.operands["table"].value]
            yield int(starts[made.operands["index"].start]), to.start, to.count, table.scale
