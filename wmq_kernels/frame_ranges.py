"""Bound what the instructions of `frame_isa` write: the range rules of a game's rules."""

from __future__ import annotations

from math import isqrt

import numpy as np

from wmq_kernels.context import Context, Interval, Rule
from wmq_kernels.isa import INT32


def timed(c: Context) -> dict[str, Interval]:
    following = c.data("next")
    lo, hi = c.interval("forced")
    most = max(int(following.max()), c.parameter("entries") - 1)
    return {"out": (min(lo, int(following.min()), 0), max(hi, most))}


def cross(c: Context) -> dict[str, Interval]:
    axes, sides = c.parameter("axes"), c.parameter("sides")
    c.need(sides == 2 * axes, f"sides is {sides}, {axes} axes have {2 * axes}")
    fate = c.data("fate").tolist()
    reached = [*c.interval("after"), *(f for f in fate if f >= 0)]
    return {"out": (min(reached), max(reached))}


def strike(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    return {"out": (min(lo, max(lo - 1, 0)), max(hi, 0))}


def threshold(c: Context) -> dict[str, Interval]:
    c.within("least", 0, INT32[1])
    return blank(c)


def blank(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("x")
    return {"out": (min(lo, 0), max(hi, 0))}


def stand(c: Context) -> dict[str, Interval]:
    places = (t for t in c.data("table").tolist() if t != INT32[0])
    reached = [*c.interval("x"), *places]
    return {"out": (min(reached), max(reached))}


def inside(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("flag")
    return {"out": (min(lo, 0), max(hi, 0))}


def fall(c: Context) -> dict[str, Interval]:
    c.within("gravity", 0, INT32[1])
    c.within("terminal", 0, INT32[1])
    lo, hi = c.interval("x")
    pulled = np.maximum(lo - c.data("gravity"), -c.data("terminal"))
    return {"out": (min(lo, int(pulled.min())), hi)}


def fade(c: Context) -> dict[str, Interval]:
    c.fits("squares", c.parameter("n") * c.size("x") ** 2)
    longest = isqrt(c.parameter("n") * c.size("x") ** 2)
    c.fits("product", 2 * c.size("x") * longest + longest)
    return blank(c)


def hold_above(c: Context) -> dict[str, Interval]:
    lo, hi = c.interval("y")
    return {"out": (lo, max(hi, int(c.data("level").max())))}


def override(c: Context) -> dict[str, Interval]:
    reached = [*c.interval("x"), *(t for t in c.data("table").tolist() if t >= 0)]
    return {"out": (min(reached), max(reached))}


def drift(c: Context) -> dict[str, Interval]:
    for mode in ("loose", "held"):
        c.within(mode, -1, c.parameter("modes") - 1)
    for size in ("friction", "walk", "most", "slope", "base"):
        c.within(size, 0, INT32[1])
    lo, hi = c.interval("x")
    most, push = c.data("most"), c.data("slope") + c.data("base")
    left, right = np.maximum(lo - push, -most), np.minimum(hi + push, most)
    return {"out": (min(lo, 0, int(left.min())), max(hi, 0, int(right.max())))}


FRAME_RULES: dict[str, Rule] = {
    "timed": timed, "cross": cross, "strike": strike, "threshold": threshold, "blank": blank,
    "stand": stand, "inside": inside, "fall": fall, "fade": fade, "hold_above": hold_above,
    "override": override, "near": inside, "drift": drift,
}  # fmt: skip
