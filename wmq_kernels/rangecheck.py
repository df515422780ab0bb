"""Prove from declared intervals alone that no step of a program can overflow.

`bounds` visits each step once.  The rule of its instruction takes the declared intervals
of the operands and the constants' data, shows that every exact intermediate fits, and
returns the interval of what is written, which must lie within the declared one.  It also
shows that no value is read before it was set.  What it found, step by step, is the
program's certificate: `certified` puts it in, and `prove` finds it anew and compares.  A
file that passes is safe to run in the engine, which checks nothing any more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wmq_kernels.context import Context, Interval, Rule
from wmq_kernels.errors import ProgramError
from wmq_kernels.frame_ranges import FRAME_RULES
from wmq_kernels.isa import (
    CARRY_BITS,
    COARSE_BITS,
    INT32,
    SIGMOID_BITS,
    SIGMOID_STEP_BITS,
    SOFTPLUS_REACH,
)
from wmq_kernels.isa import TABLE as ISA
from wmq_kernels.program import BY_WORD, DRAWS, LIKELIEST, Bounds, Program, Step

TWO_DIGITS: dict[str, Interval] = {"high": (-127, 127), "low": (-64, 63)}


def prove(program: Program) -> None:
    """Prove a program.  Raises ProgramError naming the first unsafe step or wrong certificate."""
    found = bounds(program)
    if len(found) != len(program.certificate):
        raise ProgramError(f"certificate: {len(program.certificate)} entries for {len(found)} "
                           "steps", "certificate")  # fmt: skip
    for number, (mine, theirs) in enumerate(zip(found, program.certificate, strict=True)):
        if mine != theirs:
            names = sorted(n for n in {*mine, *theirs} if mine.get(n) != theirs.get(n))
            raise ProgramError(f"certificate[{number}] ({program.steps[number].op}): {names[0]} "
                               "is not what the proof finds", "certificate")  # fmt: skip


def certified(program: Program) -> Program:
    """Add the certificate to a program.  Raises ProgramError if it cannot be proven."""
    return replace(program, certificate=bounds(program))


def bounds(program: Program) -> tuple[Bounds, ...]:
    """Prove step by step: sizes of intermediates, and the intervals of what is written.

    Raises ProgramError naming the first step that is not safe, with value, bound and limit.
    """
    _check_ports(program)
    ready = {name: np.full(v.size, v.kind != "temp") for name, v in program.values.items()}
    for name in (program.roles.fed, *program.roles.inputs, *program.draws):
        ready[name][:] = True
    found = []
    for number, step in enumerate(program.steps):
        where = f"steps[{number}] ({step.op})"
        _mark(step, where, ready)
        found.append(_step_bounds(Context(program, step, where)))
    for name in (program.roles.made, "heads"):
        if not ready[name].all():
            raise ProgramError(f"values.{name}: not all of it is written", "order")
    return tuple(found)


def _check_ports(program: Program) -> None:
    """What is fed back may be given again, and draws may be any."""
    fed, made = (program.values[name] for name in (program.roles.fed, program.roles.made))
    if not fed.lo <= made.lo <= made.hi <= fed.hi:
        raise ProgramError(f"{made.name}: [{made.lo}, {made.hi}] exceeds [{fed.lo}, {fed.hi}], "
                           f"the interval of {fed.name}, which it is fed back to",
                           "port")  # fmt: skip
    if not program.draws:
        return
    words, forced = (program.values[name] for name in DRAWS)
    if (words.lo, words.hi) != INT32:
        raise ProgramError(f"words: its interval is [{words.lo}, {words.hi}], not that of int32",
                           "port")  # fmt: skip
    if not forced.lo <= LIKELIEST < BY_WORD <= forced.hi:
        raise ProgramError(f"forced: [{forced.lo}, {forced.hi}] leaves out {LIKELIEST} or "
                           f"{BY_WORD}, which may always be given", "port")  # fmt: skip


def _mark(step: Step, where: str, ready: dict[str, np.ndarray]) -> None:
    """What a step reads is ready; what it writes will be."""
    for operand in sorted(ISA[step.op].operands, key=lambda o: o.access == "write"):
        at = step.operands[operand.name]
        cells = ready[at.value][at.start : at.start + at.count]
        if operand.access == "write":
            cells[:] = True
        elif not cells.all():
            raise ProgramError(f"{where}: {operand.name} reads {at.value} before it is set",
                               "order")  # fmt: skip


def _step_bounds(c: Context) -> Bounds:
    for name, (lo, hi) in RULES[c.step.op](c).items():
        least, most = c.interval(name)
        c.need(least <= lo and hi <= most,
               f"{name} reaches [{lo}, {hi}], the limit is [{least}, {most}], declared for "
               f"{c.step.operands[name].value}")  # fmt: skip
        c.found[name] = [lo, hi]
    return c.found


def digits(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    offset = c.data("offset")
    reach = max(hi - int(offset.min()), int(offset.max()) - lo)
    c.fits("product", reach * c.largest("multiplier"), c.shifts())
    return dict(TWO_DIGITS)


def embed(c: Context) -> dict[str, Interval]:
    data = c.data("table")
    return {"out": (int(data.min()), int(data.max()))}


def _sums(c: Context) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sum_i weight[j, i] * x[i] of every row."""
    lo, hi = c.interval("x")
    weight = c.data("weight").reshape(c.parameter("o"), c.parameter("n"))
    positive = np.maximum(weight, 0).sum(1)
    negative = np.minimum(weight, 0).sum(1)
    return positive * lo + negative * hi, positive * hi + negative * lo


def _partial_sums_fit(c: Context) -> None:
    """Every order of a row's summation stays in int32: the sum of sizes does."""
    weight = np.abs(c.data("weight")).reshape(c.parameter("o"), c.parameter("n")).sum(1)
    c.found["rows"] = (weight * c.size("x")).tolist()
    row = int(weight.argmax())
    c.fits(f"rows[{row}]", int(weight[row]) * c.size("x"), limit=INT32[1])
    del c.found[f"rows[{row}]"]  # stands in `rows`


def dot(c: Context) -> dict[str, Interval]:
    _partial_sums_fit(c)
    low, high = _sums(c)
    bias = c.data("bias")
    return {"out": (int((low + bias).min()), int((high + bias).max()))}


def dot_add(c: Context) -> dict[str, Interval]:
    _partial_sums_fit(c)
    low, high = _sums(c)
    shift, acc = c.parameter("shift"), c.interval("acc")
    c.need(shift <= 30, f"shift reaches {shift}, the limit is 30")
    return {"out": (acc[0] + (int(low.min()) << shift), acc[1] + (int(high.max()) << shift))}


def requantize(c: Context) -> dict[str, Interval]:
    c.fits("product", c.size("x") * c.largest("multiplier"), c.shifts())
    return {"out": c.clamped()}


def add(c: Context) -> dict[str, Interval]:
    return {"out": c.clamped()}


def _norm_fits(c: Context, least: int, most: int) -> None:
    """least, most: of all shifts."""
    eps = c.parameter("eps")
    c.fits("squares", eps + c.parameter("n") * c.size("x") ** 2, limit=(1 << 62) - 1)
    steepest = 0  # the largest e, at t = eps
    while eps << (2 * steepest) < 1 << 60:
        steepest += 1
    c.need(least >= steepest, f"e reaches {steepest}, the limit is the shift, {least}")
    c.fits("product", c.size("x") << 31, most)


def rms_norm(c: Context) -> dict[str, Interval]:
    _norm_fits(c, c.parameter("shift"), c.parameter("shift"))
    return {"out": c.clamped()}


def rms_norm_digits(c: Context) -> dict[str, Interval]:
    _norm_fits(c, c.parameter("shift"), c.parameter("shift"))
    return dict(TWO_DIGITS)


def rms_norm_channels(c: Context) -> dict[str, Interval]:
    most = c.shifts()
    _norm_fits(c, int(c.data("shift").min()), most)
    return {"out": c.clamped()}


def hadamard(c: Context) -> dict[str, Interval]:
    block = c.parameter("block")
    c.need(block & (block - 1) == 0, f"block is {block}, which is no power of two")
    c.fits("sum", block * c.size("x"), c.parameter("shift"), limit=INT32[1])
    return {"out": c.clamped()}


def conv(c: Context) -> dict[str, Interval]:
    n, past = c.parameter("n"), c.parameter("past")
    weight = np.abs(c.data("weight")).reshape(past, n).sum(0)
    size = int(weight.max()) * c.size("history") + c.largest("weight_now") * c.size("x")
    c.fits("sum", size + c.largest("bias"))
    c.fits("product", (size + c.largest("bias")) * c.largest("multiplier"), c.shifts())
    return {"out": c.clamped(), "history": c.interval("x")}


def silu(c: Context) -> dict[str, Interval]:
    bits = c.parameter("fraction") - SIGMOID_STEP_BITS
    c.need(c.step.operands["table"].count >= 2, "table has 1 entry, 2 are needed")
    one = 1 << SIGMOID_BITS
    c.within("table", 0, one)
    size = c.size("x") * (one << bits) * c.parameter("multiplier")
    c.fits("product", size, c.parameter("shift"))
    return {"out": c.clamped()}


def softplus(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    c.need(-SOFTPLUS_REACH <= lo and hi < SOFTPLUS_REACH,
           f"x reaches [{lo}, {hi}], the limit is [{-SOFTPLUS_REACH}, "
           f"{SOFTPLUS_REACH - 1}]")  # fmt: skip
    c.entries("table", 2050)
    table = c.data("table")
    left, middle = table[:-2], table[1:-1]
    bend = (np.abs(table[2:] - 2 * middle + left) >> 3) + 1  # |r (r - 1024)| <= 2^18
    low, high = np.minimum(left, middle) - bend, np.maximum(left, middle) + bend
    return {"out": (int(low.min()), int(high.max()))}


def decay(c: Context) -> dict[str, Interval]:
    c.need(c.interval("dt")[0] >= 0, f"dt reaches {c.interval('dt')[0]}, the limit is 0")
    c.within("rate", 0, INT32[1])
    c.fits("product", c.size("dt") * c.largest("rate"), 18)
    c.need(c.step.operands["coarse"].count >= 2, "coarse has 1 entry, 2 are needed")
    c.entries("fine", 256)
    c.within("coarse", 0, 1 << COARSE_BITS)
    c.within("fine", 0, 1 << 30)  # so (coarse >> 14) * fine >> 24 <= coarse >> 8: e >= 0
    return {"out": (0, INT32[1])}


def drive(c: Context) -> dict[str, Interval]:
    c.fits("product", c.size("x") * c.size("dt"), c.shifts())
    return {"out": c.clamped()}


def scan(c: Context) -> dict[str, Interval]:
    return _scan(c, 0)


def scan_carry(c: Context) -> dict[str, Interval]:
    half = 1 << (CARRY_BITS - 1)
    return _scan(c, c.size("carry") << 15) | {"carry": (-half, half - 1)}


def _scan(c: Context, carried: int) -> dict[str, Interval]:
    limit = c.parameter("limit")
    c.within("gain", 0, 40)
    state = max(c.size("state"), limit)
    pushed = c.size("drive") * c.size("B") << int(c.data("gain").max())
    c.fits("update", state * c.size("decay") + pushed + carried, 31)
    total = state * c.size("C") * c.parameter("d_state")
    c.fits("sum", total + c.largest("skip") * c.size("x"), c.shifts())
    return {"out": c.clamped(), "state": (-limit, limit)}


def gate(c: Context) -> dict[str, Interval]:
    c.fits("product", c.size("a") * c.size("b") * c.largest("multiplier"), c.shifts())
    return {"out": c.clamped()}


def _bounds(c: Context) -> Interval:
    least, most = c.data("least"), c.data("most")
    c.need(bool((least <= most).all()), "least exceeds most")
    return int(least.min()), int(most.max())


def frame_add(c: Context) -> dict[str, Interval]:
    return {"out": _bounds(c)}


def frame_round(c: Context) -> dict[str, Interval]:
    lo, hi = _bounds(c)
    if c.data("falling").any():
        lo = min(lo, c.interval("now")[0])
    return {"out": (lo, hi)}


def frame_sign(c: Context) -> dict[str, Interval]:
    return {"out": (0, 1)}


def argmax(c: Context) -> dict[str, Interval]:
    return {"out": (0, c.parameter("n") - 1)}


def age(c: Context) -> dict[str, Interval]:
    return {"out": (min(0, c.interval("age")[0] + 1), c.parameter("most"))}


def place(c: Context) -> dict[str, Interval]:
    table, moved = c.data("table"), c.interval("moved")
    return {"out": (min(int(table.min()), moved[0]), max(int(table.max()), moved[1]))}


def copy(c: Context) -> dict[str, Interval]:
    return {"out": c.interval("x")}


def sample(c: Context) -> dict[str, Interval]:
    n = c.parameter("n")
    rows = c.data("allowed").reshape(c.parameter("classes"), n).any(1)
    c.need(bool(rows.all()), f"row {int(rows.argmin())} of allowed has zeros only")
    c.need(c.parameter("entries") >= 2, "table has 1 entry, 2 are needed")
    c.within("table", 0, INT32[1])
    table, (lo, hi) = c.data("table"), c.interval("x")
    c.need(int(table[0]) >= 1, "table begins with 0, 1 is needed")
    c.fits("product", (hi - lo) * c.parameter("multiplier"), c.parameter("shift"))
    c.fits("draw", n * int(table.max()) << 32)
    return {"out": (0, n - 1)}


RULES: dict[str, Rule] = {
    "digits": digits, "embed": embed, "dot": dot, "dot_add": dot_add,
    "requantize_i8": requantize, "requantize_i16": requantize, "requantize_i32": requantize,
    "add": add, "rms_norm": rms_norm, "conv": conv, "silu": silu, "softplus": softplus,
    "decay": decay,
    "drive": drive, "scan": scan, "scan_carry": scan_carry, "gate": gate, "frame_add": frame_add,
    "frame_round": frame_round, "frame_sign": frame_sign, "argmax": argmax, "age": age,
    "copy": copy, "rms_norm_digits": rms_norm_digits, "place": place,
    "rms_norm_channels": rms_norm_channels, "hadamard": hadamard, "sample": sample,
    "lookup": embed, "frame_down": frame_add, "frame_move": frame_add, **FRAME_RULES,
}  # fmt: skip
