"""Try the rules of the frame at their edges: clocks, ends of a place, counts that fall.

Each trial goes through all combinations of a few values of every input: the edge itself,
a unit on either side of it, and the ends of int32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import isqrt
from random import Random

from wmq_kernels.conformance.builder import Builder, Interval
from wmq_kernels.conformance.rule_recipes import longest
from wmq_kernels.conformance.trials.boundaries import (
    I32_LIMITS,
    ROUNDED,
    around,
    bounds_of,
    outputs_of,
    passing,
    some_steps_of,
)
from wmq_kernels.conformance.trials.trial import Trial, columns_of, trial
from wmq_kernels.isa import INT32
from wmq_kernels.oracle import ORACLE
from wmq_kernels.rangecheck import certified


def _combined(op: str, inputs: dict[str, list[Sequence[int]]], constants: dict[str, list[int]],
              **parameters: int) -> Trial:  # fmt: skip
    """inputs: values of each element of each operand; out is one number."""
    b = Builder(Random(0))
    operands = {name: b.part(len(values), INT32) for name, values in inputs.items()}
    operands |= {name: b.const(name, "i32", data) for name, data in constants.items()}
    out = b.temp("out", "i32", 1, INT32)
    b.step(op, {**operands, "out": out}, one=1, **parameters)
    b.show("out", out)
    lanes = [values for several in inputs.values() for values in several]
    return trial(b, certified(b.program()), list(product(*lanes)))


def _around_ends(*values: int) -> list[int]:
    """Each value with its neighbours, and the ends of int32."""
    near = {v + d for v in values for d in (-1, 0, 1)}
    return sorted({*INT32, *(v for v in near if INT32[0] <= v <= INT32[1])})


def timed() -> Trial:
    last = [4, 0, -1, INT32[1], INT32[0]]
    return _combined("timed",
                     {"state": [_around_ends(0, 1, 2, 3, 4)], "age": [_around_ends(0, 4)],
                      "forced": [_around_ends(0, 7)]},
                     {"last": last, "next": [11, -12, 13, INT32[1], INT32[0]]},
                     entries=len(last))  # fmt: skip


def strike() -> Trial:
    at = [5, 0, -1, INT32[1], INT32[0]]
    return _combined("strike",
                     {"state": [_around_ends(0, 1, 2, 3, 4)], "age": [_around_ends(0, 5)],
                      "x": [_around_ends(0, 1)]}, {"at": at}, entries=len(at))  # fmt: skip


def cross_places() -> Trial:
    """Places exactly on an end of two axes and beside it, pushes exactly as needed."""
    fate = [21, 22, 23, 24, -1, 0, -5, 44]
    return _combined("cross",
                     {"before": [(0, 1)], "after": [(3,)], "index": [(0, 1)],
                      "x": [_around_ends(-3, 10), _around_ends(0)], "push": [_around_ends(0, 2)]},
                     {"least": [-3, 0, 10, INT32[0]], "most": [10, 0, -3, INT32[1]],
                      "need": [0, 2, INT32[0], INT32[1]], "fate": fate},
                     entries=2, axes=2, sides=4, states=2)  # fmt: skip


def cross_tables() -> Trial:
    """States and entries on both sides of their tables; no fate at all, and fate 0."""
    return _combined("cross",
                     {"before": [_around_ends(0, 3)], "after": [(-7, *INT32)],
                      "index": [_around_ends(0, 2)], "x": [_around_ends(0, 5)], "push": [(1,)]},
                     {"least": [0, 5, -5], "most": [5, 5, INT32[1]], "need": [1, 1],
                      "fate": [1, 2, -1, -1, 0, INT32[0], INT32[1], 9]},
                     entries=3, axes=1, sides=2, states=4)  # fmt: skip


def frame_down(limits: Interval) -> Trial:
    """Steps of the rounded value, beside a present count that is less, equal or more."""
    held = _around_ends(*limits, sum(limits) // 2)
    b, n = Builder(Random(0)), len(held)
    out = b.temp("out", "i32", n, limits)
    b.step("frame_down", {"now": b.part(n, INT32), "value": b.part(n, INT32),
                          **bounds_of(b, limits, n), "out": out}, n=n)  # fmt: skip
    b.show("out", out)
    moved = around(1, 0, 16, outputs_of(limits), INT32)
    return trial(b, certified(b.program()), [[*held, *[v] * n] for v in moved])


def frame_move(limits: Interval) -> Trial:
    """The bounds, for changes, speeds and pushes of all sizes, moving and still."""
    held = [(0, 0, 0), (1, -1, 5), (1 << 30, 1 << 30, -7), INT32[1:] * 3, INT32[:1] * 3,
            (INT32[0], INT32[1], 0), (-9, INT32[1], INT32[1])]  # fmt: skip
    b, n = Builder(Random(0)), len(held)
    out = b.temp("out", "i32", n, limits)
    names = ("now", "change", "speed", "push")
    b.step("frame_move", {**{name: b.part(n, INT32) for name in names},
                          "still": b.part(1, INT32), **bounds_of(b, limits, n), "out": out},
           n=n, one=1)  # fmt: skip
    b.show("out", out)
    given = []
    for still in (0, 1, -1, *INT32):
        rests = [change + (speed + push if still == 0 else 0) for change, speed, push in held]
        moved = columns_of([around(1, rest, 0, outputs_of(limits), INT32) for rest in rests])
        if still not in (0, 1):
            moved = moved[:3]
        rest = [v for column in zip(*held, strict=True) for v in column]
        given += [[*row, *rest, still] for row in moved]
    return trial(b, certified(b.program()), given)


def threshold() -> Trial:
    """Each least with its negative, and the units beside both."""
    least = [0, 1, 2, 500, INT32[1]]
    b, n = Builder(Random(0)), len(least)
    out = b.temp("out", "i32", n, INT32)
    b.step("threshold", {"x": b.part(n, INT32), "least": b.const("least", "i32", least),
                         "out": out}, n=n)  # fmt: skip
    b.show("out", out)
    lanes = [_around_ends(-edge, 0, edge) for edge in least]
    return trial(b, certified(b.program()), columns_of(lanes))


def blank() -> Trial:
    near: list[Sequence[int]] = [_around_ends(0)]
    return _combined("blank", {"x": near, "first": near, "second": near}, {}, n=1)


def near_places(op: str, reach: int) -> Trial:
    """Places exactly within reach of each in the table, and a unit beyond."""
    table = [0, -70, INT32[0], INT32[0] + 1, INT32[1], 1 << 20]
    ends = [t + sign * reach for t in table for sign in (-1, 0, 1)]
    return _combined(op,
                     {"x": [_around_ends(*ends)], "flag": [(0, 1)], "row": [(0, 1)],
                      "column": [(0, 1, 2)]},
                     {"table": table}, rows=2, columns=3, reach=reach)  # fmt: skip


def tables_of_places(op: str) -> Trial:
    """Rows and columns on both sides of the table, and every kind of flag."""
    return _combined(op,
                     {"x": [(7, *INT32)], "flag": [_around_ends(0)], "row": [_around_ends(0, 1)],
                      "column": [_around_ends(0, 2)]},
                     {"table": [1, 2, 3, -4, INT32[0], -6]},
                     rows=2, columns=3, reach=INT32[1])  # fmt: skip


def inside() -> Trial:
    """Places on both ends and beside them; ends that leave no place; rows beyond the table."""
    return _combined("inside",
                     {"x": [_around_ends(-5, 0, 9, *INT32)], "flag": [(-1, 0, 7)],
                      "row": [_around_ends(0, 1)], "column": [_around_ends(0, 1)]},
                     {"least": [-5, 0, 9, INT32[0]], "most": [9, 0, -5, INT32[1]]},
                     rows=2, columns=2)  # fmt: skip


def fall_speeds() -> Trial:
    """Speeds at and beside the terminal ones, and a step of gravity above them."""
    gravity, terminal = [3, 0, 10, INT32[1]], [10, 7, 0, INT32[1]]
    ends = [v for g, t in zip(gravity, terminal, strict=True) for v in (-t, g - t)]
    return _combined("fall",
                     {"x": [_around_ends(0, *ends)], "still": [(0, 1)], "flag": [(0, 1)],
                      "state": [(0, 1)], "row": [(0, 1, 2, 3)]},
                     {"weighs": [0, 1], "gravity": gravity, "terminal": terminal},
                     states=2, entries=4)  # fmt: skip


def fall_tables() -> Trial:
    """States and rows on both sides of their tables, every kind of weight and of flag."""
    return _combined("fall",
                     {"x": [(5,)], "still": [(-1, 0, *INT32)], "flag": [(-1, 0, *INT32)],
                      "state": [_around_ends(0, 3)], "row": [_around_ends(0, 1)]},
                     {"weighs": [-1, 0, INT32[0], 1], "gravity": [1, 2], "terminal": [9, 9]},
                     states=4, entries=2)  # fmt: skip


def _fade(n: int, amount: int, reach: int, given: list[tuple[int, ...]]) -> Trial:
    """Rows of n elements within reach, and the two flags."""
    b = Builder(Random(0))
    x = b.read("x", "i32", n, (-reach, reach))
    held = {name: b.part(1, INT32) for name in ("still", "flag")}
    out = b.temp("out", "i32", n, INT32)
    b.step("fade", {"x": x, **held, "out": out}, n=n, one=1, amount=amount)
    b.show("out", out)
    return trial(b, certified(b.program()), given)


def fade_steps(amount: int, second: int) -> Trial:
    """Steps of the first element and of the length, beside a second that is held fixed."""
    reach = longest(2)
    within = -reach, reach

    def first(x: int) -> int:
        found, _ = ORACLE["fade"](x=[x, second], still=[0], flag=[0], n=2, one=1, amount=amount)
        return found["out"][0]

    def length(x: int) -> int:
        return isqrt(x * x + second * second)

    lengths = some_steps_of(0, length(reach))
    found = [passing(first, within, y) for y in some_steps_of(*within)]
    found += [passing(length, (0, reach), m) for m in (amount, amount + 1, *lengths)]
    inputs = {*within, 0, *(x + d for x in found if x is not None for d in (-1, 0, 1))}
    return _fade(2, amount, reach,
                 [(x, second, 0, 0) for x in sorted(inputs) if abs(x) <= reach])  # fmt: skip


def fade_small(amount: int) -> Trial:
    """All small vectors, which have lengths and halves of every kind."""
    small = range(-7, 8)
    return _fade(2, amount, 7, [(x, y, 0, 0) for x in small for y in small])


def fade_flags() -> Trial:
    flags = _around_ends(0)
    return _fade(2, 2, 9, [(3, -4, still, flag) for still in flags for flag in flags])


def fade_longest(n: int) -> Trial:
    """All elements at the largest size that is proven, a unit less, or 2^30; one left out."""
    reach = longest(n)
    sizes = reach, reach - 1, min(reach, 1 << 30)
    rows = [[sign * size] * n for size in sizes for sign in (-1, 1)]
    rows += [[*row[:-1], 0] for row in rows]
    return _fade(n, 1, reach, [(*row, 0, 0) for row in rows])


def hold_above() -> Trial:
    """Places on both ends; heights at the level, above and below it, before and after."""
    return _combined("hold_above",
                     {"x": [_around_ends(-5, 9)], "before": [_around_ends(4)],
                      "y": [_around_ends(4)], "row": [(0, 1, 2, 3)]},
                     {"least": [-5, 9, *INT32], "most": [9, -5, INT32[1], INT32[1]],
                      "level": [4, 4, INT32[1], INT32[0]]}, entries=4)  # fmt: skip


def hold_above_tables() -> Trial:
    return _combined("hold_above",
                     {"x": [(0,)], "before": [(9, INT32[1])], "y": [(-9, INT32[0])],
                      "row": [_around_ends(0, 1, 2)]},
                     {"least": [0, 0, 0], "most": [0, 0, 0], "level": [-8, 0, 8]},
                     entries=3)  # fmt: skip


def override() -> Trial:
    """Every kind of flag and element; states on both sides of the table."""
    table = [-1, 0, 1, *INT32]
    return _combined("override",
                     {"state": [_around_ends(0, 1, 2, 3, 4)], "flag": [_around_ends(0)],
                      "x": [(-7, 0, 7, *INT32)]}, {"table": table}, entries=len(table))  # fmt: skip


def _drift(inputs: dict[str, list[Sequence[int]]], modes: int,
           **tables: list[int]) -> Trial:  # fmt: skip
    """One state and one row, unless the inputs and tables say more; a mode a column."""
    held: dict[str, list[Sequence[int]]] = {
        name: [(0,)] for name in ("x", "still", "flag", "state", "row")
    }
    plain = {name: [0] * modes for name in ("friction", "walk", "most", "slope", "base")}
    ways = {"loose": list(range(modes)), "held": list(range(modes))}
    constants = {**ways, **plain, **tables}
    return _combined("drift", {**held, **inputs}, constants, states=len(constants["loose"]),
                     rows=len(constants["most"]) // modes, modes=modes)  # fmt: skip


STICKS = _around_ends(0, 1 << 14, 1 << 15, 3 << 14, 1 << 16)


def drift_speeds(friction: int, walk: int, most: int) -> Trial:
    """Speeds at and beside what is asked for, what is walked, and a step to either."""
    push, base = 7, 4
    ends = [at + sign * step for at in (0, walk, most, most // 2) for sign in (-1, 1)
            for step in (0, friction, 2 * friction, push + base, base + push // 2)]  # fmt: skip
    speeds = [sign * v for v in ends for sign in (-1, 1) if abs(v) < INT32[1]]
    return _drift({"x": [_around_ends(*speeds)], "stick": [STICKS]}, 1, friction=[friction],
                  walk=[walk], most=[most], slope=[push], base=[base])  # fmt: skip


def drift_steps(name: str, size: int) -> Trial:
    """Sticks at which the speed that is asked for, or the push, moves on by a unit."""
    full = 1 << 16
    steps = some_steps_of(-size, size)
    sticks = {d + full // 2 + (s >> 1) for s in around(size, 0, 16, steps, (-full, full))
              for d in (0, 1)}  # fmt: skip
    # At an end of int32 friction takes all: what is asked for is left.  From 0 the push is.
    tables = {"friction": INT32[1], "most": INT32[1] if name == "slope" else 0} | {name: size}
    speeds = INT32 if name == "most" else (0,)
    return _drift({"x": [speeds], "stick": [sorted(sticks)]}, 1,
                  **{name: [size] for name, size in tables.items()})  # fmt: skip


def drift_tables() -> Trial:
    """States and rows on both sides of their tables, every mode and every kind of flag."""
    return _drift({"x": [(5,)], "still": [(-1, 0, INT32[1])], "flag": [(-1, 0, *INT32)],
                   "state": [_around_ends(0, 3)], "row": [_around_ends(0, 2)], "stick": [(0,)]},
                  2, loose=[0, 1, -1, 1], held=[1, -1, 0, 0], friction=[0] * 6, walk=[0] * 6,
                  most=[99] * 6, slope=[1, 2, 3, 4, 5, 6],
                  base=[10, 20, 30, 40, 50, 60])  # fmt: skip


TRIALS: dict[str, Callable[[], Trial]] = {
    "timed, all edges": timed,
    "strike, all edges": strike,
    "cross, places": cross_places,
    "cross, tables": cross_tables,
    **{f"frame_down in {list(limits)}": partial(frame_down, limits) for limits in ROUNDED},
    **{f"frame_move in {list(limits)}": partial(frame_move, limits) for limits in I32_LIMITS},
    "threshold, all edges": threshold,
    "blank, all edges": blank,
    **{f"{op}, places within {reach}": partial(near_places, op, reach)
       for op in ("stand", "near") for reach in (0, 5, INT32[1])},
    **{f"{op}, tables": partial(tables_of_places, op) for op in ("stand", "near")},
    "inside, all edges": inside,
    "fall, speeds": fall_speeds,
    "fall, tables": fall_tables,
    **{f"fade by {amount}, beside {second}": partial(fade_steps, amount, second)
       for amount, second in ((0, 1), (1, 3), (2, -2), (70_000, -100_000), (1 << 20, 1 << 30),
                              (INT32[1], 7), (1_900_000_000, 1_500_000_000))},
    **{f"fade by {amount}, small": partial(fade_small, amount) for amount in (0, 1, 2, 3, 9)},
    "fade, flags": fade_flags,
    **{f"fade, the longest of {n}": partial(fade_longest, n) for n in (1, 2, 3, 4, 5, 64)},
    "hold_above, all edges": hold_above,
    "hold_above, tables": hold_above_tables,
    "override, all edges": override,
    **{f"drift, friction {friction}, walk {walk}, most {most}":
       partial(drift_speeds, friction, walk, most)
       for friction, walk, most in ((3, 20, 40), (0, 0, 9), (5, 50, 0), (1 << 16, 1 << 17, 1 << 18),
                                    (INT32[1],) * 3)},
    **{f"drift, {name} {size}": partial(drift_steps, name, size)
       for name in ("most", "slope") for size in (1, 3, 12_345, 1 << 15, 99_999, INT32[1])},
    "drift, tables": drift_tables,
}  # fmt: skip
