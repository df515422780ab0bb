"""Try every boundary: where one more unit of an input moves the rounded output.

What rounds is linear in one input, so the least x with round_shift(x * factor + constant,
shift) >= y follows from a division; it is tried together with x - 1 and x + 1, for y from
lo to hi + 1, where the clamp begins.  The norms are not linear: there a bisection finds a
place where the output passes y.  conv and scan are in `remembering`, sample in `sampling`,
the rules of the frame in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from wmq_kernels.conformance.builder import Builder, Interval, Rows, whole
from wmq_kernels.conformance.trials.trial import Trial, columns_of, in_rows, trial
from wmq_kernels.isa import DIGITS_LIMIT, INT32
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import Program, Slice
from wmq_kernels.rangecheck import certified

Scales = Sequence[tuple[int, int]]  # multiplier, shift: one a lane
SCALES: Scales = (
    (1, 0), (-1, 0), (1, 1), (3, 1), (-7, 3), (12_345, 17), (-54_321, 20), (1 << 30, 38),
    ((1 << 31) - 1, 31), (-(1 << 31), 31), ((1 << 31) - 1, 62), (-(1 << 31), 62),
    ((1 << 31) - 1, 55), (-99_999, 0), (1, 62), (0, 7), (5, 24), ((1 << 31) - 1, 0),
)  # fmt: skip
I16_LIMITS = (whole("i16"), (-32_767, 32_767), (0, 99), (-300, -200), (7, 7))
LANES = 64
SPREAD = 40  # steps of a wide output between its ends


def least_input(factor: int, constant: int, shift: int, output: int) -> int:
    """Where round_shift(x * factor + constant, shift) passes `output`, as x rises or falls."""
    needed = (output << shift) - (1 << shift >> 1) - constant
    return -(-needed // factor) if factor > 0 else needed // factor


def around(factor: int, constant: int, shift: int, outputs: Sequence[int],
           within: Interval) -> list[int]:  # fmt: skip
    """Inputs at which an output is reached, the units beside them, and the interval's ends."""
    found = {*within, 0}
    if factor:
        for output in outputs:
            x = least_input(factor, constant, shift, output)
            found |= {x - 1, x, x + 1}
    return sorted(x for x in found if within[0] <= x <= within[1])


def steps_of(lo: int, hi: int) -> list[int]:
    """Every output and the first that is clamped."""
    return list(range(lo, hi + 2))


def some_steps_of(lo: int, hi: int) -> list[int]:
    """The ends, small sizes, powers of two and a spread of a wide output."""
    powers = [sign * (1 << k) + d for k in range(0, 32, 3) for sign in (-1, 1) for d in (0, 1)]
    spread = [lo + (hi - lo) * k // SPREAD for k in range(SPREAD + 1)]
    ends = [lo, lo + 1, lo + 2, hi - 1, hi, hi + 1]
    return sorted({y for y in (*ends, *powers, *spread, 0) if lo <= y <= hi + 1})


def outputs_of(limits: Interval) -> list[int]:
    lo, hi = limits
    return steps_of(lo, hi) if hi - lo < 256 else some_steps_of(lo, hi)


# --- of one input ------------------------------------------------------------------------


def scale(b: Builder, scales: Scales) -> dict[str, Slice]:
    return {"multiplier": b.const("multiplier", "i32", [m for m, _ in scales]),
            "shift": b.const("shift", "i32", [s for _, s in scales])}  # fmt: skip


def _requantize(dtype: str, limits: Interval, scales: Scales) -> tuple[Builder, Program]:
    b, n = Builder(Random(0)), len(scales)
    x, out = b.part(n, INT32), b.temp("out", dtype, n, limits)
    b.step(f"requantize_{dtype}", {"x": x, **scale(b, scales), "out": out}, n=n, lo=limits[0],
           hi=limits[1])  # fmt: skip
    b.show("out", out)
    return b, certified(b.program())


def requantize(dtype: str, limits: Interval) -> Trial:
    """A lane for each scale."""
    b, program = _requantize(dtype, limits, SCALES)
    outputs = outputs_of(limits)
    return trial(b, program, columns_of([around(m, 0, s, outputs, INT32) for m, s in SCALES]))


def requantize_all_i16(multiplier: int, shift: int) -> Trial:
    """All 65,536 steps of one scale."""
    limits = whole("i16")
    b, program = _requantize("i16", limits, [(multiplier, shift)] * LANES)
    inputs = around(multiplier, 0, shift, steps_of(*limits), INT32)
    return trial(b, program, in_rows(inputs, LANES))


def _digits(offsets: Sequence[int], scales: Scales) -> tuple[Builder, Program]:
    b, n = Builder(Random(0)), len(scales)
    x = b.part(n, INT32)
    high, low = b.temp("high", "i8", n, (-127, 127)), b.temp("low", "i8", n, (-64, 63))
    b.step("digits", {"x": x, "offset": b.const("offset", "i32", offsets), **scale(b, scales),
                      "high": high, "low": low}, n=n)  # fmt: skip
    b.show("high", high)
    b.show("low", low)
    return b, certified(b.program())


def digits_all(offset: int, multiplier: int, shift: int) -> Trial:
    """All 32,513 steps of one scale, and so all steps of both digits."""
    b, program = _digits([offset] * LANES, [(multiplier, shift)] * LANES)
    inputs = around(multiplier, -offset * multiplier, shift,
                    steps_of(-DIGITS_LIMIT, DIGITS_LIMIT), INT32)  # fmt: skip
    return trial(b, program, in_rows(inputs, LANES))


def digits(offset: int) -> Trial:
    """A lane for each scale whose products still fit with this offset."""
    scales = [(m, s) for m, s in SCALES
              if ((1 << 31) + abs(offset)) * abs(m) + (1 << 61) < 1 << 63]  # fmt: skip
    b, program = _digits([offset] * len(scales), scales)
    carries = [128 * k + d for k in range(-127, 128) for d in (63, 64, 65)]  # of low to high
    outputs = some_steps_of(-DIGITS_LIMIT, DIGITS_LIMIT) + carries
    return trial(b, program, columns_of([around(m, -offset * m, s, outputs, INT32)
                                         for m, s in scales]))  # fmt: skip


# --- of two inputs, one of them held -----------------------------------------------------


def add(limits: Interval) -> Trial:
    held = (0, 1, -1, 1000, -1000, 1 << 30, -(1 << 30), INT32[1], INT32[0])
    b, n = Builder(Random(0)), len(held)
    out = b.temp("out", "i32", n, limits)
    b.step("add", {"a": b.part(n, INT32), "b": b.part(n, INT32), "out": out}, n=n, lo=limits[0],
           hi=limits[1])  # fmt: skip
    b.show("out", out)
    outputs = outputs_of(limits)
    moved = columns_of([around(1, v, 0, outputs, INT32) for v in held])
    return trial(b, certified(b.program()), [[*row, *held] for row in moved])


def gate(limits: Interval) -> Trial:
    """A lane for each scale, with a factor b for each."""
    b, n = Builder(Random(0)), len(SCALES)
    held = [(1, -1, 7, -321, 32_767, -32_768)[i % 6] for i in range(n)]
    out = b.temp("out", "i32", n, limits)
    b.step("gate", {"a": b.read("a", "i16", n), "b": b.read("b", "i16", n), **scale(b, SCALES),
                    "out": out}, n=n, lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    outputs = outputs_of(limits)
    moved = columns_of([around(m * v, 0, s, outputs, whole("i16"))
                        for v, (m, s) in zip(held, SCALES, strict=True)])  # fmt: skip
    return trial(b, certified(b.program()), [[*row, *held] for row in moved])


def drive(limits: Interval, moved: str) -> Trial:
    """A lane for each shift; x is moved and dt held, or the other way round."""
    shifts = (0, 1, 2, 5, 12, 15, 20, 31, 46, 62)
    b, n = Builder(Random(0)), len(shifts)
    x, dt = b.read("x", "i16", n), b.read("dt", "i32", n)
    out = b.temp("out", "i32", n, limits)
    b.step("drive", {"x": x, "dt": dt, "shift": b.const("shift", "i32", shifts), "out": out},
           heads=n, headdim=1, lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    ends = whole("i16") if moved == "dt" else INT32
    held = [(1, -1, 3, ends[1], ends[0])[i % 5] for i in range(n)]
    outputs = outputs_of(limits)
    within = INT32 if moved == "dt" else whole("i16")
    rows = columns_of([around(v, 0, s, outputs, within)
                       for v, s in zip(held, shifts, strict=True)])  # fmt: skip
    given = [[*held, *row] if moved == "dt" else [*row, *held] for row in rows]
    return trial(b, certified(b.program()), given)


def hadamard(block: int, shift: int, limits: Interval) -> Trial:
    """One element moved, the others held: where sums and differences of it pass outputs."""
    b = Builder(Random(0))
    most = ((1 << 31) - 1 - (1 << shift >> 1)) // block
    held = [b.rng.randint(-most, most) >> b.rng.randrange(31) for _ in range(block)]
    x, out = b.read("x", "i32", block, (-most, most)), b.temp("out", "i32", block, limits)
    b.step("hadamard", {"x": x, "out": out}, blocks=1, block=block, shift=shift, lo=limits[0],
           hi=limits[1])  # fmt: skip
    b.show("out", out)
    given = [[-most] * block, [most] * block]
    for j in sorted({0, 1, block // 2, block - 1}):
        for i in sorted({0, 1, j, block - 1}):
            signs = [1 - 2 * ((i & k).bit_count() % 2) for k in range(block)]
            rest = sum(signs[k] * held[k] for k in range(block) if k != j)
            inputs = around(signs[j], rest, shift, outputs_of(limits), (-most, most))
            given += [[*held[:j], v, *held[j + 1 :]] for v in inputs]
    return trial(b, certified(b.program()), given)


def frame_add(limits: Interval) -> Trial:
    """The bounds of a frame, for changes of all sizes."""
    held = (0, 1, -1, 1000, -1000, 1 << 30, -(1 << 30), INT32[1], INT32[0])
    b, n = Builder(Random(0)), len(held)
    out = b.temp("out", "i32", n, limits)
    b.step("frame_add", {"now": b.part(n, INT32), "change": b.part(n, INT32),
                         **bounds_of(b, limits, n), "out": out}, n=n)  # fmt: skip
    b.show("out", out)
    moved = columns_of([around(1, v, 0, outputs_of(limits), INT32) for v in held])
    return trial(b, certified(b.program()), [[*row, *held] for row in moved])


def frame_round(limits: Interval) -> Trial:
    """Steps of the rounded value, free and held back by a present number that is less."""
    b, n = Builder(Random(0)), 8
    falling = [i % 2 for i in range(n)]
    held = [(INT32[1], limits[0], limits[1], (limits[0] + limits[1]) // 2)[i // 2]
            for i in range(n)]  # fmt: skip
    out = b.temp("out", "i32", n, INT32)
    b.step("frame_round", {"now": b.part(n, INT32), "value": b.part(n, INT32),
                           **bounds_of(b, limits, n),
                           "falling": b.const("falling", "i32", falling), "out": out},
           n=n)  # fmt: skip
    b.show("out", out)
    moved = around(1, 0, 16, outputs_of(limits), INT32)
    return trial(b, certified(b.program()), [[*held, *[v] * n] for v in moved])


def bounds_of(b: Builder, limits: Interval, n: int) -> dict[str, Slice]:
    return {"least": b.const("least", "i32", [limits[0]] * n),
            "most": b.const("most", "i32", [limits[1]] * n)}  # fmt: skip


# --- norms: by bisection ------------------------------------------------------------------


def passing(f: Callable[[int], int], within: Interval, output: int) -> int | None:
    """An x with f(x - 1) < output <= f(x), if the ends of the interval lie on either side."""
    below, reached = within
    if not f(below) < output <= f(reached):
        return None
    while reached - below > 1:
        middle = (below + reached) // 2
        if f(middle) < output:
            below = middle
        else:
            reached = middle
    return reached


def _norm_inputs(eps: int, numerator: int, shift: int, held: int, outputs: Sequence[int],
                 reach: int) -> Rows:  # fmt: skip
    """Rows x[0], x[1] = held, at which out[0] passes each output."""

    def unclamped(x: int) -> int:
        found, _ = ORACLE["rms_norm"](x=[x, held], n=2, eps=eps, numerator=numerator,
                                      shift=shift, lo=-(1 << 62), hi=1 << 62)  # fmt: skip
        return found["out"][0]

    inputs = {-reach, 0, reach}
    for output in outputs:
        x = passing(unclamped, (-reach, reach), output)
        if x is not None:
            inputs |= {x - 1, x, x + 1}
    return [[x, held] for x in sorted(inputs)]


REACH = 1 << 30  # of a norm's inputs


def rms_norm(eps: int, numerator: int, shift: int, held: int, limits: Interval) -> Trial:
    b = Builder(Random(0))
    x, out = b.read("x", "i32", 2, (-REACH, REACH)), b.temp("out", "i8", 2, limits)
    b.step("rms_norm", {"x": x, "out": out}, n=2, eps=eps, numerator=numerator, shift=shift,
           lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    given = _norm_inputs(eps, numerator, shift, held, steps_of(*limits), REACH)
    return trial(b, certified(b.program()), given)


def rms_norm_channels(eps: int, numerator: int, shifts: Interval, held: int,
                      limits: Interval) -> Trial:  # fmt: skip
    """Each channel moved by itself, the other one held: two shifts of one factor."""
    b = Builder(Random(0))
    x, out = b.read("x", "i32", 2, (-REACH, REACH)), b.temp("out", "i8", 2, limits)
    b.step("rms_norm_channels", {"x": x, "shift": b.const("shift", "i32", shifts), "out": out},
           n=2, eps=eps, numerator=numerator, lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    first, second = (_norm_inputs(eps, numerator, shift, held, steps_of(*limits), REACH)
                     for shift in shifts)  # fmt: skip
    return trial(b, certified(b.program()), first + [row[::-1] for row in second])


def rms_norm_digits(eps: int, numerator: int, shift: int, held: int, every: int) -> Trial:
    """Every `every`-th step of the 32,513, and both where the clamp begins."""
    b = Builder(Random(0))
    x = b.read("x", "i32", 2, (-REACH, REACH))
    high, low = b.temp("high", "i8", 2, (-127, 127)), b.temp("low", "i8", 2, (-64, 63))
    b.step("rms_norm_digits", {"x": x, "high": high, "low": low}, n=2, eps=eps,
           numerator=numerator, shift=shift)  # fmt: skip
    b.show("high", high)
    b.show("low", low)
    steps = [*range(-DIGITS_LIMIT, DIGITS_LIMIT, every), DIGITS_LIMIT, DIGITS_LIMIT + 1]
    given = _norm_inputs(eps, numerator, shift, held, steps, REACH)
    return trial(b, certified(b.program()), given)


NORMS = (  # eps, numerator, shift, x[1]
    (1, 1 << 60, 53, 0), (1, 1 << 60, 52, 99_999), (1000, (1 << 61) - 1, 53, 5),
    (1 << 40, 1_234_567_890_123_456_789, 52, -3_000_000), (1 << 58, 1 << 60, 51, REACH),
)  # fmt: skip
I8_LIMITS = (whole("i8"), (-127, 127), (0, 127), (5, 9), (-3, -1), (-128, -128), (127, 127))
I32_LIMITS = (INT32, (-(1 << 24), 1 << 24), (0, INT32[1]), (-50, 60), (INT32[0], -1), (9, 9))
ROUNDED = ((-40, 60), (0, 999), (-32_768, 32_767), (-5, -5))  # what Q15.16 rounds to
TRIALS: dict[str, Callable[[], Trial]] = {
    **{f"requantize_{dtype} in {list(limits)}": partial(requantize, dtype, limits)
       for dtype, several in (("i8", I8_LIMITS), ("i16", I16_LIMITS), ("i32", I32_LIMITS))
       for limits in several},
    **{f"requantize_i16, all steps of {m} / 2^{s}": partial(requantize_all_i16, m, s)
       for m, s in ((1, 0), (-123_456_789, 42))},
    **{f"digits, all steps of (x - {offset}) * {m} / 2^{s}": partial(digits_all, offset, m, s)
       for offset, m, s in ((0, 1, 0), (-777, 1_234_567, 36), (99, -(1 << 31), 47))},
    **{f"digits, offset {offset}": partial(digits, offset)
       for offset in (0, 12_345, INT32[0], INT32[1])},
    **{f"add in {list(limits)}": partial(add, limits) for limits in I32_LIMITS},
    **{f"gate in {list(limits)}": partial(gate, limits) for limits in I32_LIMITS},
    **{f"frame_add in {list(limits)}": partial(frame_add, limits) for limits in I32_LIMITS},
    **{f"frame_round in {list(limits)}": partial(frame_round, limits) for limits in ROUNDED},
    **{f"drive in {list(limits)}, {moved} moved": partial(drive, limits, moved)
       for limits in I32_LIMITS for moved in ("x", "dt")},
    **{f"rms_norm, eps {eps}, x[1] = {held}, shift {shift} in {list(limits)}":
       partial(rms_norm, eps, numerator, shift, held, limits)
       for eps, numerator, shift, held in NORMS
       for limits in (whole("i8"), (-127, 127), (-3, 5), (0, 0))},
    **{f"rms_norm_channels, eps {eps}, held {held}, shifts {shift - 1}, {shift + 3} in "
       f"{list(limits)}":
       partial(rms_norm_channels, eps, numerator, (shift - 1, shift + 3), held, limits)
       for eps, numerator, shift, held in NORMS for limits in ((-127, 127), (-3, 5))},
    **{f"hadamard, block {block}, shift {shift} in {list(limits)}":
       partial(hadamard, block, shift, limits)
       for block, shift in ((2, 0), (2, 1), (8, 3), (16, 2), (32, 25), (64, 31))
       for limits in I32_LIMITS},
    **{f"rms_norm_digits, eps {eps}, x[1] = {held}, every {every}th step":
       partial(rms_norm_digits, eps, numerator, 45, held, every)
       for eps, numerator, held, every in (
           (1 << 44, 1 << 60, 1 << 24, 1), (1, (1 << 61) - 1, 1 << 28, 16),
           (1000, 1_234_567_890_123_456_789, -77_777_777, 16))},
}  # fmt: skip
