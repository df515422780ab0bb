"""The range proof: from declared intervals alone, no step of a program can overflow.

`prove` visits each step once.  The rule of its instruction takes the declared intervals
of the operands and the constants' data, shows that every exact intermediate fits int64,
and returns the interval of what is written, which must lie within the declared one.
It also shows that no value is read before it was set.  A file that passes is safe to
run in the engine, which checks nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32, SIGMOID_BITS, SIGMOID_STEP_BITS, SOFTPLUS_REACH
from wmq_kernels.isa import TABLE as ISA
from wmq_kernels.program import Program, Step

LARGEST = (1 << 63) - 1
Interval = tuple[int, int]
TWO_DIGITS: dict[str, Interval] = {"high": (-127, 127), "low": (-64, 63)}


@dataclass(frozen=True)
class Context:
    """A step seen by its rule: declared intervals, constants, parameters."""

    program: Program
    step: Step
    where: str

    def interval(self, operand: str) -> Interval:
        value = self.program.values[self.step.operands[operand].value]
        return value.lo, value.hi

    def size(self, operand: str) -> int:
        """The largest absolute value that the operand's interval allows."""
        return max(abs(end) for end in self.interval(operand))

    def data(self, operand: str) -> np.ndarray:
        """A constant operand's elements as int64."""
        at = self.step.operands[operand]
        return self.program.data[at.value][at.start : at.start + at.count].astype(np.int64)

    def largest(self, operand: str) -> int:
        data = self.data(operand)
        return max(abs(int(data.min())), abs(int(data.max())))

    def parameter(self, name: str) -> int:
        return self.step.parameters[name]

    def clamped(self) -> Interval:
        lo, hi = self.parameter("lo"), self.parameter("hi")
        self.need(lo <= hi, f"lo {lo} exceeds hi {hi}")
        return lo, hi

    def shifts(self, operand: str = "shift") -> int:
        """The largest of a constant operand's shifts; all must be 0 to 62."""
        data = self.data(operand)
        self.need(0 <= int(data.min()) and int(data.max()) <= 62, f"{operand} is not in 0..62")
        return int(data.max())

    def need(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ProgramError(f"{self.where}: {otherwise}")

    def fits(self, size: int, shift: int = 0, what: str = "the product") -> None:
        """|exact| <= size and the rounding term of `shift` stay within int64."""
        self.need(size + ((1 << shift) >> 1) <= LARGEST, f"{what} may exceed int64")


Rule = Callable[[Context], dict[str, Interval]]


def prove(program: Program) -> None:
    """Raises ProgramError naming the first step that is not safe."""
    ready = {name: np.full(v.size, v.kind != "temp") for name, v in program.values.items()}
    for name in ("frame", "controllers", "next_controllers"):
        ready[name][:] = True
    for number, step in enumerate(program.steps):
        context = Context(program, step, f"steps[{number}] ({step.op})")
        for operand in ISA[step.op].operands:
            at = step.operands[operand.name]
            cells = ready[at.value][at.start : at.start + at.count]
            if operand.access == "write":
                cells[:] = True
            else:
                context.need(bool(cells.all()), f"{operand.name} reads {at.value} before it is set")
        for name, (lo, hi) in RULES[step.op](context).items():
            declared = context.interval(name)
            context.need(
                declared[0] <= lo and hi <= declared[1],
                f"{name} reaches [{lo}, {hi}], {step.operands[name].value} is declared "
                f"[{declared[0]}, {declared[1]}]",
            )
    for name in ("next_frame", "heads"):
        if not ready[name].all():
            raise ProgramError(f"values.{name}: not all of it is written")
    frame, after = program.values["frame"], program.values["next_frame"]
    if (frame.lo, frame.hi) != (after.lo, after.hi):
        raise ProgramError("frame and next_frame differ in their intervals")


def digits(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    offset = c.data("offset")
    reach = max(hi - int(offset.min()), int(offset.max()) - lo)
    c.fits(reach * c.largest("multiplier"), c.shifts())
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
    """Every order of summation stays in int32: the sum of sizes does."""
    weight = np.abs(c.data("weight")).reshape(c.parameter("o"), c.parameter("n")).sum(1)
    c.need(int(weight.max()) * c.size("x") <= INT32[1], "the sum may exceed int32")


def dot(c: Context) -> dict[str, Interval]:
    _partial_sums_fit(c)
    low, high = _sums(c)
    bias = c.data("bias")
    return {"out": (int((low + bias).min()), int((high + bias).max()))}


def dot_add(c: Context) -> dict[str, Interval]:
    _partial_sums_fit(c)
    low, high = _sums(c)
    shift, acc = c.parameter("shift"), c.interval("acc")
    c.need(shift <= 30, "shift exceeds 30")
    return {"out": (acc[0] + (int(low.min()) << shift), acc[1] + (int(high.max()) << shift))}


def requantize(c: Context) -> dict[str, Interval]:
    c.fits(c.size("x") * c.largest("multiplier"), c.shifts())
    return {"out": c.clamped()}


def add(c: Context) -> dict[str, Interval]:
    return {"out": c.clamped()}


def _norm_fits(c: Context) -> None:
    eps, shift = c.parameter("eps"), c.parameter("shift")
    c.need(eps + c.parameter("n") * c.size("x") ** 2 < 1 << 62, "the squares' sum reaches 2^62")
    steepest = 0  # the largest e, at t = eps
    while eps << (2 * steepest) < 1 << 60:
        steepest += 1
    c.need(shift >= steepest, f"shift {shift} is below e, up to {steepest}")
    c.fits(c.size("x") << 31, shift)


def rms_norm(c: Context) -> dict[str, Interval]:
    _norm_fits(c)
    return {"out": c.clamped()}


def rms_norm_digits(c: Context) -> dict[str, Interval]:
    _norm_fits(c)
    return dict(TWO_DIGITS)


def conv(c: Context) -> dict[str, Interval]:
    n, past = c.parameter("n"), c.parameter("past")
    weight = np.abs(c.data("weight")).reshape(past, n).sum(0)
    size = int(weight.max()) * c.size("history") + c.largest("weight_now") * c.size("x")
    size += c.largest("bias")
    c.fits(size * c.largest("multiplier"), c.shifts())
    return {"out": c.clamped(), "history": c.interval("x")}


def silu(c: Context) -> dict[str, Interval]:
    bits = c.parameter("fraction") - SIGMOID_STEP_BITS
    table = c.data("table")
    c.need(len(table) >= 2, "the table has one entry")
    one = 1 << SIGMOID_BITS
    c.need(0 <= int(table.min()) and int(table.max()) <= one, f"the table is not in 0..{one}")
    c.fits(c.size("x") * (one << bits) * c.parameter("multiplier"), c.parameter("shift"))
    return {"out": c.clamped()}


def softplus(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    c.need(-SOFTPLUS_REACH <= lo and hi < SOFTPLUS_REACH, "x may leave [-2^20, 2^20)")
    table = c.data("table")
    c.need(len(table) == 2050, "the table needs 2,050 entries")
    left, middle = table[:-2], table[1:-1]
    bend = (np.abs(table[2:] - 2 * middle + left) >> 3) + 1  # |r (r - 1024)| <= 2^18
    low, high = np.minimum(left, middle) - bend, np.maximum(left, middle) + bend
    return {"out": (int(low.min()), int(high.max()))}


def decay(c: Context) -> dict[str, Interval]:
    c.need(c.interval("dt")[0] >= 0 and int(c.data("rate").min()) >= 0, "dt or rate is negative")
    c.fits(c.size("dt") * c.largest("rate"), 18)
    c.need(len(c.data("fine")) == 256, "fine needs 256 entries")
    one = 1 << 31
    for name in ("coarse", "fine"):
        data = c.data(name)
        c.need(0 <= int(data.min()) and int(data.max()) <= one, f"{name} is not in 0..2^31")
    return {"out": (0, one - 1)}


def drive(c: Context) -> dict[str, Interval]:
    c.fits(c.size("x") * c.size("dt"), c.shifts())
    return {"out": c.clamped()}


def scan(c: Context) -> dict[str, Interval]:
    limit, gain = c.parameter("limit"), c.data("gain")
    c.need(0 <= int(gain.min()) and int(gain.max()) <= 40, "gain is not in 0..40")
    state = max(c.size("state"), limit)
    pushed = c.size("drive") * c.size("B") << int(gain.max())
    c.fits(state * c.size("decay") + pushed, 31, "the state's update")
    total = state * c.size("C") * c.parameter("d_state")
    c.fits(total + c.largest("skip") * c.size("x"), c.shifts(), "the output's sum")
    return {"out": c.clamped(), "state": (-limit, limit)}


def gate(c: Context) -> dict[str, Interval]:
    c.fits(c.size("a") * c.size("b") * c.largest("multiplier"), c.shifts())
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
    c.need(c.parameter("one") == 1, "one must be 1")
    return {"out": (0, c.parameter("n") - 1)}


def age(c: Context) -> dict[str, Interval]:
    c.need(c.parameter("one") == 1, "one must be 1")
    return {"out": (min(0, c.interval("age")[0] + 1), c.parameter("most"))}


def place(c: Context) -> dict[str, Interval]:
    c.need(c.parameter("one") == 1, "one must be 1")
    table, moved = c.data("table"), c.interval("moved")
    return {"out": (min(int(table.min()), moved[0]), max(int(table.max()), moved[1]))}


def copy(c: Context) -> dict[str, Interval]:
    return {"out": c.interval("x")}


RULES: dict[str, Rule] = {
    "digits": digits, "embed": embed, "dot": dot, "dot_add": dot_add,
    "requantize_i8": requantize, "requantize_i16": requantize, "requantize_i32": requantize,
    "add": add, "rms_norm": rms_norm, "conv": conv, "silu": silu, "softplus": softplus,
    "decay": decay, "drive": drive, "scan": scan, "gate": gate, "frame_add": frame_add,
    "frame_round": frame_round, "frame_sign": frame_sign, "argmax": argmax, "age": age,
    "copy": copy, "rms_norm_digits": rms_norm_digits, "place": place,
}  # fmt: skip
