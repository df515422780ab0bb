"""Draw the instructions that hold a frame to the game's rules: the rows of `frame_isa`."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from math import isqrt

from wmq_kernels.conformance.builder import Interval, numbers
from wmq_kernels.conformance.drawing import LARGEST, Drawing, Recipe
from wmq_kernels.conformance.frame_recipes import bounds
from wmq_kernels.isa import INT32
from wmq_kernels.program import Slice


def timed(d: Drawing) -> None:
    entries = d.size(9)
    last = d.any_i32("last", entries, d.rng.choice([(-2, 3), (0, 3), INT32]))
    out = d.out("i32", 1, INT32)
    d.b.step("timed", {"state": d.read("state", "i32", 1, (-2, entries + 1)),
                       "age": d.read("age", "i32", 1, d.rng.choice([(-1, 4), (1, 3), INT32])),
                       "forced": d.read("forced", "i32", 1, d.rng.choice([(-2, 0), (-1, -1),
                                                                          INT32])),
                       "last": last, "next": d.any_i32("next", entries), "out": out},
             one=1, entries=entries)  # fmt: skip
    d.b.show("out", out)


def cross(d: Drawing) -> None:
    entries, axes, states = d.size(5), d.rng.randint(1, 4), d.size(9)
    sides = 2 * axes if not (d.wild and d.chance(0.3)) else d.rng.randint(1, 9)
    near = d.rng.choice([(-2, 2), (-2, 2), INT32])
    x, push = d.read("x", "i32", axes, near), d.read("push", "i32", 1, near)
    least, most = (d.any_i32(name, entries * axes, (-1, 1)) for name in ("least", "most"))
    out = d.out("i32", 1, INT32)
    d.b.step("cross", {"before": d.read("before", "i32", 1, (-2, states + 1)),
                       "after": d.read("after", "i32", 1),
                       "index": d.read("index", "i32", 1, (-2, entries + 1)),
                       "x": x, "push": push, "least": least, "most": most,
                       "need": d.any_i32("need", sides, d.rng.choice([(-1, 1), INT32[:1] * 2])),
                       "fate": d.any_i32("fate", states * sides, d.rng.choice([INT32, (-1, 9)])),
                       "out": out},
             one=1, entries=entries, axes=axes, sides=sides, states=states)  # fmt: skip
    d.b.show("out", out)


def strike(d: Drawing) -> None:
    entries = d.size(9)
    near = d.rng.choice([(-1, 2), (0, 1), INT32])
    x = d.read("x", "i32", 1, d.rng.choice([(0, 4), (-2, 2), INT32]))
    out = d.out("i32", 1, INT32)
    d.b.step("strike", {"state": d.read("state", "i32", 1, (-2, entries + 1)),
                        "age": d.read("age", "i32", 1, near), "x": x,
                        "at": d.any_i32("at", entries, near), "out": out},
             one=1, entries=entries)  # fmt: skip
    d.b.show("out", out)


def frame_down(d: Drawing) -> None:
    n = d.size()
    least, most = bounds(d, n)
    now, value = d.read("now", "i32", n), d.read("value", "i32", n)
    if d.chance(0.5):  # v next to now; every second odd value is a tie of the rounding
        v = d.rng.randrange(-9, 9)
        now = d.b.read("now", "i32", n, (v - 1, v + 1))
        half = (v << 16) - (1 << 15)
        value = d.b.read("value", "i32", n, (half - d.rng.randrange(2), half))
    out = d.out("i32", n, INT32)
    d.b.step("frame_down", {"now": now, "value": value, "least": d.i32("least", least),
                            "most": d.i32("most", most), "out": out}, n=n)  # fmt: skip
    d.b.show("out", out)


def frame_move(d: Drawing) -> None:
    n = d.size()
    least, most = bounds(d, n)
    out = d.out("i32", n, INT32)
    moved = {name: d.read(name, "i32", n) for name in ("now", "change", "speed", "push")}
    d.b.step("frame_move", {**moved, "still": d.read("still", "i32", 1, d.rng.choice(
                                [(0, 0), (0, 1), (-1, 1), INT32])),
                            "least": d.i32("least", least), "most": d.i32("most", most),
                            "out": out}, n=n, one=1)  # fmt: skip
    d.b.show("out", out)


def threshold(d: Drawing) -> None:
    n = d.size()
    edge = d.rng.choice((0, 1, 2, 99, 1 << 16, INT32[1]))
    near = d.rng.choice([INT32, (-edge - 1, -edge), (edge - 1, min(edge + 1, INT32[1])),
                         (-edge, edge)])  # fmt: skip
    x = d.read("x", "i32", n, near)
    low = -1 if d.wild and d.chance(0.5) else 0
    least = [edge] * n if d.chance(0.5) else numbers(d.rng, n, (low, INT32[1]))
    out = d.out("i32", n, INT32)
    d.b.step("threshold", {"x": x, "least": d.i32("least", least), "out": out}, n=n)
    d.b.show("out", out)


def blank(d: Drawing) -> None:
    n = d.size()
    first, second = (d.read(name, "i32", 1, d.rng.choice([(0, 1), (-1, 0), (1, 1), INT32]))
                     for name in ("first", "second"))  # fmt: skip
    out = d.out("i32", n, INT32)
    d.b.step("blank", {"x": d.read("x", "i32", n), "first": first, "second": second, "out": out},
             n=n, one=1)  # fmt: skip
    d.b.show("out", out)


def stand(d: Drawing) -> None:
    rows, columns = d.size(9), d.size(9)
    if d.chance(0.5):  # every place is near, so that each element is taken
        reach, places, near, flags = d.rng.choice((6, INT32[1])), (-3, 3), (-3, 3), (1, 1)
    else:
        reach = d.rng.choice((0, 1, 5, 1 << 16, d.parameter("stand", "reach")))
        places = d.rng.choice([INT32, (-9, 9)])
        near, flags = INT32, d.rng.choice([(0, 1), (-1, 0), (1, 1), INT32])
    table = numbers(d.rng, rows * columns, places)
    if d.chance(0.5):
        table = [t if d.chance(0.7) else INT32[0] for t in table]
    if near == INT32 and d.chance(0.8):  # an element, or the end of its reach
        end = d.rng.choice(table) + d.rng.choice((-reach, 0, reach))
        end = min(max(end, INT32[0] + 1), INT32[1] - 1)
        near = d.rng.choice([(end - 1, end + 1), (end, end)])
    row, column = (d.read(name, "i32", 1, d.rng.choice([(-2, count + 1), (-1, 0),
                                                        (count - 1, count)]))
                   for name, count in (("row", rows), ("column", columns)))  # fmt: skip
    out = d.out("i32", 1, INT32)
    d.b.step("stand", {"x": d.read("x", "i32", 1, near), "flag": d.read("flag", "i32", 1, flags),
                       "row": row, "column": column, "table": d.i32("table", table), "out": out},
             one=1, rows=rows, columns=columns, reach=reach)  # fmt: skip
    d.b.show("out", out)


def inside(d: Drawing) -> None:
    rows, columns = d.size(9), d.size(9)
    near = d.rng.choice([INT32, (-3, 3)])
    ends = [numbers(d.rng, rows * columns, near) for _ in (0, 1)]
    end = min(max(d.rng.choice(ends[0] + ends[1]), INT32[0] + 1), INT32[1] - 1)
    x = d.read("x", "i32", 1, d.rng.choice([near, (end - 1, end + 1), (end, end)]))
    flag = d.read("flag", "i32", 1, d.rng.choice([(0, 1), (1, 1), INT32]))
    out = d.out("i32", 1, INT32)
    d.b.step("inside", {"x": x, "flag": flag, "row": d.read("row", "i32", 1, (-2, rows + 1)),
                        "column": d.read("column", "i32", 1, (-2, columns + 1)),
                        "least": d.i32("least", ends[0]), "most": d.i32("most", ends[1]),
                        "out": out},
             one=1, rows=rows, columns=columns)  # fmt: skip
    d.b.show("out", out)


def _held(d: Drawing) -> dict[str, Slice]:
    """The two flags that hold something back; mostly neither is set."""
    flags = [(0, 0), (0, 0), (0, 0), (0, 1), (-1, 0), INT32]
    return {name: d.read(name, "i32", 1, d.rng.choice(flags)) for name in ("still", "flag")}


def fall(d: Drawing) -> None:
    states, entries = d.size(5), d.size(5)
    low = -1 if d.wild and d.chance(0.5) else 0
    most = d.rng.choice((3, 1 << 16, INT32[1]))
    gravity = numbers(d.rng, entries, (d.rng.choice((low, 1, 1)), most))
    terminal = numbers(d.rng, entries, (low, most))
    k = d.rng.randrange(entries)
    slowest = -max(terminal[k], 0)
    near = d.rng.choice([INT32, (slowest - 1, slowest + 1), (slowest, slowest + most), (0, most),
                         (slowest, slowest + max(gravity[k], 0))])  # fmt: skip
    weighs = d.any_i32("weighs", states, d.rng.choice([(1, 1), (0, 1), (0, 1), INT32]))
    state = d.rng.choice([(-2, states + 1), (-1, 0), (states - 1, states)])
    out = d.out("i32", 1, INT32)
    d.b.step("fall", {"x": d.read("x", "i32", 1, (near[0], min(near[1], INT32[1]))), **_held(d),
                      "state": d.read("state", "i32", 1, state),
                      "row": d.read("row", "i32", 1, d.rng.choice([(-2, entries + 1), (k, k)])),
                      "weighs": weighs,
                      "gravity": d.i32("gravity", gravity), "terminal": d.i32("terminal", terminal),
                      "out": out}, one=1, states=states, entries=entries)  # fmt: skip
    d.b.show("out", out)


def longest(n: int) -> int:
    """The largest size of n elements with which `fade` is proven."""

    def overflows(size: int) -> bool:
        length = isqrt(n * size**2)
        return max(n * size**2, 2 * size * length + length) > LARGEST

    return bisect_right(range(1 << 31), False, key=overflows) - 1


def fade(d: Drawing) -> None:
    n = d.size()
    size = d.rng.choice((3, 9, 1 << 16, longest(n)))
    around = INT32 if d.wild else (-size, size)
    amount = d.rng.choice((0, 1, size // 2, size, d.parameter("fade", "amount")))
    if d.chance(0.3):  # all of one size, and as long as what is taken away, or longer by one
        one = d.rng.choice((1, around[1]))
        around, amount = (one, one), min(isqrt(n * one**2) - d.rng.randrange(2), INT32[1])
    out = d.out("i32", n, INT32)
    d.b.step("fade", {"x": d.read("x", "i32", n, around), **_held(d), "out": out},
             n=n, one=1, amount=amount)  # fmt: skip
    d.b.show("out", out)


def hold_above(d: Drawing) -> None:
    entries = d.size(9)
    near = d.rng.choice([INT32, (-3, 3), (-3, 3)])
    least, most, level = (numbers(d.rng, entries, near) for _ in range(3))
    if d.chance(0.5):  # a floor between any two ends
        least, most = [min(p) for p in zip(least, most, strict=True)], [INT32[1]] * entries
    k = d.rng.randrange(entries)
    ends = [min(max(v, INT32[0] + 1), INT32[1] - 1) for v in (least[k], most[k], level[k])]
    end, at = d.rng.choice(ends[:2]), ends[2]
    x = d.read("x", "i32", 1, d.rng.choice([near, (end - 1, end + 1), (end, INT32[1])]))
    before = d.read("before", "i32", 1, d.rng.choice([near, (at - 1, at), (at, at + 1)]))
    y = d.read("y", "i32", 1, d.rng.choice([near, (at - 1, at), (at - 1, at - 1), (at, at + 1)]))
    row = d.read("row", "i32", 1, d.rng.choice([(-2, entries + 1), (k, k)]))
    out = d.out("i32", 1, INT32)
    d.b.step("hold_above", {"x": x, "before": before, "y": y, "row": row,
                            "least": d.i32("least", least), "most": d.i32("most", most),
                            "level": d.i32("level", level), "out": out},
             one=1, entries=entries)  # fmt: skip
    d.b.show("out", out)


def near(d: Drawing) -> None:
    rows, columns = d.size(9), d.size(9)
    reach = d.rng.choice((0, 1, 5, 1 << 16, d.parameter("near", "reach")))
    at = d.rng.choice((0, 0, 7, numbers(d.rng, 1, INT32)[0]))
    ends = [INT32[0], *(at + sign * (reach + more) for sign in (-1, 1) for more in (0, 1))]
    table = [min(max(d.rng.choice(ends), INT32[0]), INT32[1]) for _ in range(rows * columns)]
    row, column = (d.read(name, "i32", 1, d.rng.choice([(-2, count + 1), (-1, 0),
                                                        (count - 1, count)]))
                   for name, count in (("row", rows), ("column", columns)))  # fmt: skip
    flags = d.rng.choice([(1, 1), (1, 1), (0, 1), (-1, 0), INT32])
    out = d.out("i32", 1, INT32)
    d.b.step("near", {"x": d.read("x", "i32", 1, d.rng.choice([(at, at), (at, at), INT32])),
                      "flag": d.read("flag", "i32", 1, flags), "row": row, "column": column,
                      "table": d.i32("table", table), "out": out},
             one=1, rows=rows, columns=columns, reach=reach)  # fmt: skip
    d.b.show("out", out)


def override(d: Drawing) -> None:
    entries = d.size(9)
    table = d.any_i32("table", entries, d.rng.choice([(-1, 9), (0, 9), (-1, 0), INT32]))
    out = d.out("i32", 1, INT32)
    d.b.step("override", {"state": d.read("state", "i32", 1, (-2, entries + 1)),
                          "flag": d.read("flag", "i32", 1, d.rng.choice([(0, 0), (0, 1), (-1, 0),
                                                                         INT32])),
                          "x": d.read("x", "i32", 1), "table": table, "out": out},
             one=1, entries=entries)  # fmt: skip
    d.b.show("out", out)


def drift(d: Drawing) -> None:
    states, rows, modes = d.size(3), d.size(3), d.size(3)
    motion = d.rng.choice((_any_motion, _pushed, _pushed, _slowed))
    sizes, speeds = motion(d, rows * modes)
    tables = {name: d.i32(name, data) for name, data in sizes.items()}
    least = d.rng.choice((0, 0, 0, -1, -1 - d.wild))
    for name in ("loose", "held"):
        tables[name] = d.any_i32(name, states, (least, modes - (not d.wild or d.chance(0.7))))
    quarter = 1 << 14  # at an odd one an odd number's share is a tie
    points = [*INT32, *(k * quarter for k in (-3, 0, 1, 1, 2, 2, 3, 3, 4, 7))]
    lo, hi = sorted(d.rng.choices(points, k=2))
    flag, still = ([(0, 0)] * zeros + [(0, 1), (-1, 0), INT32] for zeros in (1, 9))
    read = {"x": speeds, "still": d.rng.choice(still), "flag": d.rng.choice(flag),
            "state": (-1, states), "row": (-1, rows)}  # fmt: skip
    out = d.out("i32", 1, INT32)
    d.b.step("drift", {**{name: d.read(name, "i32", 1, within) for name, within in read.items()},
                       "stick": d.b.read("stick", "i32", 1, (lo, hi)), **tables, "out": out},
             one=1, states=states, rows=rows, modes=modes)  # fmt: skip
    d.b.show("out", out)


Motion = tuple[dict[str, list[int]], Interval]  # the tables of drift, and speeds


def _any_motion(d: Drawing, count: int) -> Motion:
    top = d.rng.choice((9, 1 << 16, INT32[1]))
    low = -1 if d.wild and d.chance(0.5) else 0
    tables = {name: numbers(d.rng, count, (low, top))
              for name in ("friction", "walk", "most", "slope", "base")}  # fmt: skip
    return tables, d.rng.choice([INT32, (-top, top)])


def _spread(d: Drawing, count: int, lo: int, hi: int) -> list[int]:
    return [d.rng.randint(lo, hi) for _ in range(count)]


def _pushed(d: Drawing, count: int) -> Motion:
    """Speeds that a stick pushes, about as often short of what it asks for as up to it."""
    top = d.rng.choice((9, 1 << 16, 1 << 28))
    table = partial(_spread, d, count)
    most, slope = ([v | 1 for v in table(*ends)] for ends in ((1, 4 * top), (1, 2 * top)))
    tables = {"friction": table(0, top), "walk": table(0, top), "most": most, "slope": slope,
              "base": table(0, top)}  # fmt: skip
    return tables, (-top // 2, top // 2)


def _slowed(d: Drawing, count: int) -> Motion:
    """Speeds beyond what any stick asks for, at and beside the one that doubles friction."""
    top = d.rng.choice((9, 1 << 16, 1 << 28))
    at, sign = 4 * top + d.rng.randrange(top), d.rng.choice((-1, 1))
    table = partial(_spread, d, count)
    tables = {"friction": table(1, 2 * top), "walk": table(at - 1, at + 1),
              "most": table(1, 2 * top), "slope": table(0, top), "base": table(0, top)}  # fmt: skip
    return tables, (sign * at, sign * at)


RECIPES: dict[str, Recipe] = {
    "timed": timed, "cross": cross, "strike": strike, "frame_down": frame_down,
    "frame_move": frame_move, "threshold": threshold, "blank": blank,
    "stand": stand, "inside": inside, "fall": fall, "fade": fade,
    "hold_above": hold_above, "override": override, "near": near, "drift": drift,
}  # fmt: skip
