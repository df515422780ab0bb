"""Try the boundaries of instructions with memory: conv with its history, scan with its state.

Inputs are chosen frame by frame, with the values that the reference then holds, so that
the new state and the output pass their steps and their clamps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from wmq_kernels.conformance.builder import Builder, Interval, whole
from wmq_kernels.conformance.trials.boundaries import I16_LIMITS, least_input, outputs_of, scale
from wmq_kernels.conformance.trials.trial import Trial, trial
from wmq_kernels.exact import clamp, round_shift
from wmq_kernels.isa import INT32
from wmq_kernels.program import Program
from wmq_kernels.rangecheck import certified
from wmq_kernels.reference import Reference

APPROACH = (0, 0, -1, 0, 1)  # frames towards a step, then a unit below, at and above it


def _followed(b: Builder, program: Program, frames: int,
              choose: Callable[[int, dict[str, list[int]]], list[int]]) -> Trial:  # fmt: skip
    """Frames that `choose` makes of the frame's number and of all values as they stand."""
    reference, given = Reference(program), []
    for t in range(frames):
        given.append(choose(t, reference.values))
        one = trial(b, program, given[-1:])
        reference.run(one.given, one.inputs, 1)
    return trial(b, program, given)


CONV_NOW = (4, -4, 3, -77, 32_767, -32_768, 9, -2)  # the present frame's weight, one a lane
CONV_SCALES = (
    (1, 2), (1, 2), (3, 2), (-5, 7), (1 << 20, 36), (12_345, 30), (7, 1), (-(1 << 30), 31),
)  # fmt: skip


def conv(limits: Interval, past: int) -> Trial:
    """x is chosen with the history of its lane, so that the sum passes each step.

    The past weighs less than the present, so that an x can always make up for it.
    """
    now, scales = CONV_NOW, CONV_SCALES
    b, n = Builder(Random(0)), len(now)
    weight = [b.rng.choice((-1, 1)) * (abs(now[i % n]) // 4) for i in range(past * n)]
    bias = [b.rng.randint(-9_999, 9_999) for _ in range(n)]
    x, out = b.read("x", "i16", n), b.temp("out", "i16", n, limits)
    history = b.state("history", "i16", past * n, whole("i16"))
    b.step("conv", {"x": x, "history": history, "weight": b.const("weight", "i16", weight),
                    "weight_now": b.const("now", "i16", now),
                    "bias": b.const("bias", "i32", bias), **scale(b, scales), "out": out},
           past=past, n=n, lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    outputs = outputs_of(limits)

    def choose(t: int, values: dict[str, list[int]]) -> list[int]:
        kept = values[history.value][history.start : history.start + history.count]
        output, step = outputs[t // len(APPROACH)], APPROACH[t % len(APPROACH)]
        row = []
        for i, (m, s) in enumerate(scales):
            seen = bias[i] + sum(weight[k] * kept[k] for k in range(i, past * n, n))
            row.append(clamp(least_input(now[i] * m, seen * m, s, output) + step, *whole("i16")))
        return row

    return _followed(b, certified(b.program()), len(outputs) * len(APPROACH), choose)


def scan(op: str, limit: int, limits: Interval) -> Trial:
    """drive is chosen so that the new state passes each step, and x so that out does."""
    decays = (0, 1, 1 << 30, 2_000_000_011, INT32[1], INT32[1], 2_147_000_000, -(1 << 29))
    skips = (1, -1, 5, 1 << 20, -(1 << 40), 333, 7, 1 << 33)
    gains, shifts = (30, 24, 30, 29, 30, 20, 30, 16), (0, 0, 1, 21, 40, 8, 2, 30)
    b, n = Builder(Random(0)), len(decays)
    keep, push = b.read("decay", "i32", n), b.read("drive", "i32", n)
    B, C = b.read("B", "i16", 1, (-1, 1)), b.read("C", "i16", 1, (-9, 9))
    x, out = b.read("x", "i16", n), b.temp("out", "i16", n, limits)
    state = {"state": b.state("state", "i32", n, (-limit, limit))}
    if op == "scan_carry":
        state["carry"] = b.state("carry", "i16", n, whole("i16"))
    b.step(op, {**state, "decay": keep, "drive": push, "B": B, "C": C, "x": x,
                "skip": b.const("skip", "i64", skips), "gain": b.const("gain", "i32", gains),
                "shift": b.const("shift", "i32", shifts), "out": out},
           heads=n, d_state=1, headdim=1, limit=limit, lo=limits[0], hi=limits[1])  # fmt: skip
    b.show("out", out)
    for name, at in state.items():
        b.show(name, at)
    states, outputs = outputs_of((-limit, limit)), outputs_of(limits)

    def choose(t: int, values: dict[str, list[int]]) -> list[int]:
        place, step = t // len(APPROACH), APPROACH[t % len(APPROACH)]
        kept = {name: values[at.value][at.start : at.start + n] for name, at in state.items()}
        sign = 1 - place % 2 * 2
        c = (3, -9, 0, 1)[place % 4]
        pushes, row = [], []
        for h in range(n):
            factor = sign << gains[h]
            left = kept["state"][h] * decays[h]
            left += kept["carry"][h] << 15 if "carry" in kept else 0
            wanted = least_input(factor, left, 31, states[place % len(states)]) + step
            pushes.append(clamp(wanted, *INT32))
            new = clamp(round_shift(left + pushes[-1] * factor, 31), -limit, limit)
            wanted = least_input(skips[h], new * c, shifts[h], outputs[place % len(outputs)])
            row.append(clamp(wanted + step, *whole("i16")))
        return [*decays, *pushes, sign, c, *row]

    frames = max(len(states), len(outputs)) * len(APPROACH)
    return _followed(b, certified(b.program()), frames, choose)


TRIALS: dict[str, Callable[[], Trial]] = {
    **{f"conv in {list(limits)}, past {past}": partial(conv, limits, past)
       for limits in I16_LIMITS for past in (1, 3)},
    **{f"{op}, limit {limit}, out in {list(limits)}": partial(scan, op, limit, limits)
       for op in ("scan", "scan_carry")
       for limit, limits in ((1, (-1, 1)), (100, (-127, 127)), (40_000, whole("i16")),
                             (1 << 30, (-32_767, 32_767)), (INT32[1], (-500, 9)))},
}  # fmt: skip
