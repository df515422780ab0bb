"""Tamper with sound files: they could overflow, or their certificate says something else.

Where a program was tampered with, its certificate is forged: it says what the rules would
find if they had no limits.  So nothing but the proof itself can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random

import numpy as np

from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.conformance.refusals.hostile import Fields, Refused, changed, step_of
from wmq_kernels.conformance.rule_recipes import longest
from wmq_kernels.context import Context
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.program import NUMPY, Bounds, Program, encode
from wmq_kernels.rangecheck import RULES, bounds

WILD = 10  # draws of each instruction that the range proof refuses


class _Unlimited(Context):
    """A rule's view in which every limit holds."""

    def need(self, holds: bool, otherwise: str) -> None:
        pass


def forged(program: Program) -> bytes:
    """The file with the certificate that the rules would find if they had no limits."""
    found: list[Bounds] = []
    for step in program.steps:
        c = _Unlimited(program, step, "")
        try:
            written = RULES[step.op](c)
        except ValueError:  # a shift by a negative number
            written = {}
        found.append({**c.found, **{name: list(bound) for name, bound in written.items()}})
    return encode(replace(program, certificate=tuple(found)))


def _wild(op: str, number: int) -> bytes:
    """A draw that ignores what must fit, and does not."""
    for seed in count(number * 1000):
        program, _ = draw(op, seed, wild=True)
        try:
            bounds(program)
        except ProgramError as error:
            if error.reason == "range":
                return forged(program)
    raise AssertionError("unreachable: count has no end")


def _number(program: Program, op: str) -> int:
    return next(i for i in reversed(range(len(program.steps))) if program.steps[i].op == op)


def _narrowed(op: str, operand: str, end: int) -> bytes:
    """The interval of what is written is a unit too narrow; a single number is moved away."""
    program, _ = draw(op, 7)
    number = _number(program, op)
    value = program.values[program.steps[number].operands[operand].value]
    lo, hi = program.certificate[number][operand]  # type: ignore[misc]
    if lo == hi:
        lo, hi = (lo + 1, lo + 1) if lo <= 0 else (lo - 1, lo - 1)
    else:
        lo, hi = (lo + 1, hi) if end == 0 else (lo, hi - 1)
    values = {**program.values, value.name: replace(value, lo=lo, hi=hi)}
    return forged(replace(program, values=values))


def _with_constant(op: str, operand: str, number: int) -> bytes:
    """Every element of a constant operand is this number."""
    program, _ = draw(op, 7)
    at = program.steps[_number(program, op)].operands[operand]
    value = program.values[at.value]
    data = np.full(value.size, number, NUMPY[value.dtype])
    values = {**program.values, at.value: replace(value, lo=number, hi=number)}
    return forged(replace(program, values=values, data={**program.data, at.value: data}))


def _with_parameters(op: str, parameters: dict[str, int]) -> bytes:
    program, _ = draw(op, 7)
    steps = list(program.steps)
    number = _number(program, op)
    steps[number] = replace(steps[number],
                            parameters={**steps[number].parameters, **parameters})  # fmt: skip
    return forged(replace(program, steps=tuple(steps)))


CONSTANTS_TOO_FAR: dict[str, tuple[int, ...]] = {
    "shift": (-1, 63, 64), "gain": (-1, 41), "coarse": (-1, (1 << 46) + 1),
    "fine": (-1, (1 << 30) + 1), "rate": (-1,), "least": ((1 << 31) - 1,), "most": (-(1 << 31),),
}  # fmt: skip
# By instruction, where an operand's name does not say it.
TOO_FAR: dict[str, dict[str, tuple[int, ...]]] = {
    "silu": {"table": (-1, (1 << 22) + 1)},
    "dot": {"bias": ((1 << 31) - 1, -(1 << 31))},
    "rms_norm_channels": {"shift": (-1, 0, 63, 64)},
    "sample": {"allowed": (0,), "table": (-1, 0)},
    "cross": {"least": (), "most": ()},  # which need no order
    "threshold": {"least": (-1, INT32[0])},
    "inside": {"least": (), "most": ()},
    "fall": {"gravity": (-1, INT32[0]), "terminal": (-1, INT32[0])},
    "hold_above": {"least": (), "most": ()},
    "drift": {
        "most": (-1, INT32[0]),
        "loose": (-2, INT32[1]),
        "held": (-2, INT32[1]),
        **{name: (-1,) for name in ("friction", "walk", "slope", "base")},
    },
}
PARAMETERS_TOO_FAR = {
    "lo and hi turned": {"lo": 1, "hi": 0},
    "lo below the type": {"lo": -(1 << 62)},
    "hi beyond the type": {"hi": 1 << 62},
}


def _with_entries(op: str, operand: str, parameter: str, count: int) -> bytes:
    """A table cut short."""
    program, _ = draw(op, 7)
    steps, number = list(program.steps), _number(program, op)
    step = steps[number]
    steps[number] = replace(
        step,
        operands={**step.operands, operand: replace(step.operands[operand], count=count)},
        parameters={**step.parameters, parameter: count},
    )
    return forged(replace(program, steps=tuple(steps)))


ENTRIES_TOO_FEW = (
    ("silu", "table", "entries", 1), ("softplus", "table", "entries", 1),
    ("softplus", "table", "entries", 2049), ("decay", "coarse", "entries", 1),
    ("decay", "fine", "fines", 1), ("decay", "fine", "fines", 255),
    ("sample", "table", "entries", 1),
)  # fmt: skip


def _hadamard(block: int, shift: int, most: int) -> bytes:
    """Numbers of [-most, most] and the instruction that takes them."""
    b = Builder(Random(0))
    x, out = b.read("x", "i32", block, (-most, most)), b.temp("out", "i32", block, INT32)
    b.step("hadamard", {"x": x, "out": out}, blocks=1, block=block, shift=shift, lo=INT32[0],
           hi=INT32[1])  # fmt: skip
    return forged(b.program())


def _cross(axes: int, sides: int) -> bytes:
    b = Builder(Random(0))
    read = {name: b.part(1, INT32) for name in ("before", "after", "index", "push")}
    ends = {name: b.const(name, "i32", [0] * axes) for name in ("least", "most")}
    of_sides = {name: b.const(name, "i32", [1] * sides) for name in ("need", "fate")}
    out = b.temp("out", "i32", 1, INT32)
    b.step("cross", {**read, "x": b.part(axes, INT32), **ends, **of_sides, "out": out}, one=1,
           entries=1, axes=axes, sides=sides, states=1)  # fmt: skip
    return forged(b.program())


def _fade(n: int, lo: int) -> bytes:
    """A vector of n elements in [lo, 0]."""
    b = Builder(Random(0))
    x, out = b.read("x", "i32", n, (lo, 0)), b.temp("out", "i32", n, INT32)
    held = {name: b.part(1, INT32) for name in ("still", "flag")}
    b.step("fade", {"x": x, **held, "out": out}, n=n, one=1, amount=1)
    return forged(b.program())


def _sample(n: int, most: int, multiplier: int, shift: int, table: list[int],
            allowed: list[int]) -> bytes:  # fmt: skip
    """Logits of [-most, most], and a mask of one row or more."""
    b = Builder(Random(0))
    x, out = b.read("x", "i32", n, (-most, most)), b.temp("out", "i32", 1, INT32)
    one = {name: b.part(1, INT32) for name in ("state", "word", "forced")}
    b.step("sample", {"x": x, "allowed": b.const("allowed", "i8", allowed), **one,
                      "table": b.const("table", "i32", table), "out": out},
           n=n, one=1, classes=len(allowed) // n, entries=len(table), multiplier=multiplier,
           shift=shift)  # fmt: skip
    return forged(b.program())


SAMPLES: dict[str, Callable[[], bytes]] = {
    "the last row allows nothing": partial(_sample, 2, 9, 1, 0, [1, 1], [1, 0, 0, 1, 0, 0]),
    "weights that reach 2^31": partial(_sample, 2, 9, 1, 0, [1, 1 << 30], [1, 1]),
    "1024 weights of 2^21": partial(_sample, 1024, 9, 1, 0, [1 << 21, 1], [1] * 1024),
    **{
        f"a product that rounding by 2^{shift} lifts to 2^63": partial(
            _sample, 2, INT32[1], INT32[1], shift, [1, 1], [1, 1]
        )
        for shift in (34, 62)
    },
}


def ranges() -> Iterator[Refused]:
    """Programs that are sound but could overflow."""
    for op in RECIPES:
        for number in range(WILD):
            yield Refused(f"{op}: wild {number}", "range", partial(_wild, op, number))
        for o in TABLE[op].operands:
            if o.access in ("write", "update"):
                for end in (0, 1):
                    yield Refused(f"{op}: {o.name} declared too narrow, end {end}", "range",
                                  partial(_narrowed, op, o.name, end))  # fmt: skip
            far = CONSTANTS_TOO_FAR | TOO_FAR.get(op, {})
            for value in far.get(o.name, ()) if o.access == "const" else ():
                yield Refused(f"{op}: {o.name} all {value}", "range",
                              partial(_with_constant, op, o.name, value))  # fmt: skip
        if "lo" in {p.name for p in TABLE[op].parameters}:
            for what, parameters in PARAMETERS_TOO_FAR.items():
                yield Refused(f"{op}: {what}", "range", partial(_with_parameters, op, parameters))
    for row in ENTRIES_TOO_FEW:
        yield Refused(f"{row[0]}: {row[1]} of {row[3]}", "range", partial(_with_entries, *row))
    yield Refused("dot_add: shift 31", "range", partial(_with_parameters, "dot_add", {"shift": 31}))
    for block in (3, 6, 12, 96, 1023):
        yield Refused(f"hadamard: block {block}", "range", partial(_hadamard, block, 0, 1))
    for block, shift, most in ((2, 0, 1 << 30), (8, 4, (1 << 28) - 1), (1024, 0, 1 << 21),
                               (2, 31, 1 << 29), (2, 32, 1), (4, 62, 1)):  # fmt: skip
        yield Refused(f"hadamard: {block} numbers of {most}, shift {shift}", "range",
                      partial(_hadamard, block, shift, most))  # fmt: skip
    for axes, sides in ((1, 1), (1, 3), (2, 2), (3, 4)):
        yield Refused(f"cross: {axes} axes with {sides} sides", "range",
                      partial(_cross, axes, sides))  # fmt: skip
    for n in (1, 2, 3, 4, 5, 64, 1 << 10):
        yield Refused(f"fade: {n} elements, a unit too large", "range",
                      partial(_fade, n, -longest(n) - 1))  # fmt: skip
    for what, make in SAMPLES.items():
        yield Refused(f"sample: {what}", "range", make)
    for op in ("rms_norm", "rms_norm_digits"):
        for eps, shift in ((1, 29), (1000, 0)):
            yield Refused(f"{op}: eps {eps} needs more than shift {shift}", "range",
                          partial(_with_parameters, op, {"eps": eps, "shift": shift}))  # fmt: skip


def certificates() -> Iterator[Refused]:
    """One thing changed in the certificate's entry of the instruction, or in the list."""

    def change(fields: Fields, op: str, what: str) -> None:
        rows = fields["certificate"]
        entry = rows[step_of(fields, op)]
        name = sorted(entry)[0]
        if what == "an entry less":
            rows.pop()
        elif what == "an entry more":
            rows.append({})
        elif what == "a key less":
            del entry[name]
        elif what == "a key more":
            entry["more"] = 0
        elif what == "a list longer":
            entry["out" if "out" in entry else "high"].append(0)
        else:
            old = entry[name]
            number = old[-1] if isinstance(old, list) else old
            new = {"one more": number + 1, "one less": number - 1, "a fraction": number + 0.5,
                   "text": str(number), "null": None}[what]  # fmt: skip
            entry[name] = [*old[:-1], new] if isinstance(old, list) else new

    for op in RECIPES:
        for what in ("an entry less", "an entry more", "a key less", "a key more", "a list longer",
                     "one more", "one less", "a fraction", "text", "null"):  # fmt: skip
            yield changed(op, 5, f"certificate, {what}", "certificate", change, what=what)
