"""The instructions of a game's rules: fade and drift by their meaning, roots, and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor, isqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wmq_kernels.conformance.builder import Builder, Interval
from wmq_kernels.conformance.rule_recipes import longest
from wmq_kernels.engine import kernels
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import Program
from wmq_kernels.rangecheck import bounds

INT64_MAX = (1 << 63) - 1
ROOTS = sorted({r for k in range(32) for r in ((1 << k) - 1, 1 << k, (1 << k) + 1, 3 << k)
                if r * r <= INT64_MAX} | {isqrt(INT64_MAX)})  # fmt: skip


@pytest.mark.parametrize("root", ROOTS)
def test_the_root_turns_exactly_at_a_square(root: int) -> None:
    for t in (root * root - 1, root * root, root * root + 1, root * (root + 2)):
        if 0 <= t <= INT64_MAX:
            assert kernels.isqrt(np.int64(t)) == isqrt(t)


@given(st.integers(0, INT64_MAX))
def test_the_root_of_63_bits_is_that_of_the_library(t: int) -> None:
    assert kernels.isqrt(np.int64(t)) == isqrt(t)


def fade(x: list[int], amount: int) -> list[int]:
    written, _ = ORACLE["fade"](x=x, still=[0], flag=[0], n=len(x), one=1, amount=amount)
    return written["out"]


@given(st.data())
def test_fade_is_the_nearest_vector_of_the_shorter_length(data: st.DataObject) -> None:
    """A half goes up; each element stays between 0 and what it was."""
    n = data.draw(st.integers(1, 5))
    size = data.draw(st.sampled_from([3, 9, 1 << 16, longest(n)]))
    x = data.draw(st.lists(st.integers(-size, size), min_size=n, max_size=n))
    length = isqrt(sum(v * v for v in x))
    amount = data.draw(st.integers(0, min(length + 1, INT32[1])))
    share = Fraction(length - amount, length) if length > amount else 0
    out = fade(x, amount)
    assert out == [floor(v * share + Fraction(1, 2)) for v in x]
    assert all(min(v, 0) <= made <= max(v, 0) for v, made in zip(x, out, strict=True))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 64])
def test_the_longest_vector_that_is_proven_fits_and_one_that_is_longer_is_refused(n: int) -> None:
    most = longest(n)
    bounds(program("fade", {"x": (-most, most)}, {}, n=n, one=1, amount=0))
    assert fade([-most] * n, 0) == [-most] * n
    with pytest.raises(ProgramError, match="the limit is 9223372036854775807"):
        bounds(program("fade", {"x": (-most - 1, 0)}, {}, n=n, one=1, amount=0))


def program(op: str, intervals: Mapping[str, Interval], tables: Mapping[str, list[int]],
            **parameters: int) -> Program:  # fmt: skip
    b, lengths = Builder(Random(0)), {**parameters}
    operands = {}
    for o in TABLE[op].operands:
        count = int(np.prod([lengths[name] for name in o.shape]))
        if o.access == "const":
            operands[o.name] = b.const(o.name, "i32", tables[o.name])
        elif o.access == "read":
            operands[o.name] = b.read(o.name, "i32", count, intervals.get(o.name, (-1, 1)))
        else:
            operands[o.name] = b.temp(o.name, "i32", count, INT32)
    b.step(op, operands, **parameters)
    return b.program()


LENGTHS = {"n": 2, "one": 1, "states": 2, "entries": 3, "rows": 1, "columns": 3}
SMALL = st.integers(-6, 6)
STICKS = st.sampled_from([0, 1, 1 << 14, (1 << 15) - 1, 1 << 15, (1 << 15) + 1, 1 << 16])


@pytest.mark.parametrize("op", ["fall", "fade", "hold_above", "override", "near", "drift"])
@given(data=st.data())
def test_what_is_made_lies_in_the_interval_that_is_proven(op: str, data: st.DataObject) -> None:
    row = TABLE[op]
    parameters = {p.name: LENGTHS.get(p.name, 2) for p in row.parameters}
    intervals, given_, tables = {}, {}, {}
    for o in row.operands:
        count = int(np.prod([parameters[name] for name in o.shape]))
        if o.access == "read":
            ends = STICKS if o.name == "stick" else SMALL
            lo, hi = intervals[o.name] = tuple(sorted(data.draw(st.tuples(ends, ends))))
            one = st.integers(lo, hi)
            given_[o.name] = data.draw(st.lists(one, min_size=count, max_size=count))
        elif o.access == "const":
            one = st.integers(0, 6) if op in ("fall", "drift") else SMALL | st.just(INT32[0])
            one = st.integers(-1, 1) if o.name in ("loose", "held") else one
            tables[o.name] = data.draw(st.lists(one, min_size=count, max_size=count))
    proven = bounds(program(op, intervals, tables, **parameters))
    made, _ = ORACLE[op](**given_, **tables, **parameters)
    lo, hi = next(found["out"] for found in proven[len(given_) :] if "out" in found)
    assert all(lo <= v <= hi for v in made["out"])


def test_the_bounds_of_fall_are_reached() -> None:
    """By a speed at the end of its interval, in the row that pulls it furthest."""
    tables = {"weighs": [1, 1], "gravity": [3, 9, 0], "terminal": [20, 12, 99]}
    found = bounds(program("fall", {"x": (-5, 7)}, tables, one=1, states=2, entries=3))
    assert [-12, 7] in [entry.get("out") for entry in found]
    made, _ = ORACLE["fall"](x=[-5], still=[0], flag=[0], state=[0], row=[1], **tables, one=1,
                             states=2, entries=3)  # fmt: skip
    assert made == {"out": [-12]}


SIZES = ("friction", "walk", "most", "slope", "base")


def drift(v: int, stick: int, sizes: Mapping[str, int]) -> int:
    written, _ = ORACLE["drift"](
        x=[v], still=[0], flag=[0], state=[0], row=[0], stick=[stick], loose=[0], held=[-1],
        **{name: [size] for name, size in sizes.items()}, one=1, states=1, rows=1, modes=1,
    )  # fmt: skip
    return written["out"][0]


def sign(v: int) -> int:
    return (v > 0) - (v < 0)


@given(st.data())
def test_drift_is_the_motion_that_its_sentences_say(data: st.DataObject) -> None:
    """By signs and sizes, and to the nearest unit of the exact shares of the stick."""
    top = data.draw(st.sampled_from([3, 40, 1 << 16, INT32[1]]))
    v = data.draw(st.integers(-top, top) | st.sampled_from(INT32))
    stick = data.draw(STICKS | st.integers(0, 1 << 16) | st.integers(*INT32))
    sizes = {name: data.draw(st.integers(0, top)) for name in SIZES}
    share = max(min(Fraction(2 * stick, 1 << 16) - 1, Fraction(1)), Fraction(-1))
    asked = floor(sizes["most"] * share + Fraction(1, 2))
    lost = sizes["friction"] * (1 if abs(v) <= sizes["walk"] else 2)
    slow = sign(v) * max(abs(v) - lost, 0)
    way = (share > 0) - (share < 0)
    if way == 0:
        expected = slow
    elif sign(v) == way and abs(v) > abs(asked):
        expected = asked if abs(slow) < abs(asked) else slow
    else:
        pushed = v + floor(sizes["slope"] * share + Fraction(1, 2)) + way * sizes["base"]
        expected = asked if sign(pushed) == way and abs(pushed) > abs(asked) else pushed
    assert drift(v, stick, sizes) == expected


def test_a_stick_that_is_held_leads_to_the_speed_that_it_asks_for_and_rest_to_none() -> None:
    sizes = {"friction": 3, "walk": 20, "most": 40, "slope": 8, "base": 2}
    for stick, asked in ((1 << 16, 40), (0, -40), (3 << 14, 20), (1 << 14, -20), (1 << 15, 0)):
        for v in (-99, -7, 0, 1, 50):
            for _ in range(40):
                v = drift(v, stick, sizes)
            assert v == asked


@pytest.mark.parametrize(
    "x, slope, base, most, proven",
    [
        ((-5, 7), 3, 2, 99, (-10, 12)),  # pushed from either end
        ((-5, 7), 30, 20, 9, (-9, 9)),  # as far as the stick asks for
        ((2, 50), 3, 2, 9, (-3, 50)),  # beyond that already
        (INT32, INT32[1], INT32[1], INT32[1], INT32),
    ],
)
def test_the_bounds_of_drift_are_reached(
    x: Interval, slope: int, base: int, most: int, proven: Interval
) -> None:
    sizes = {"friction": 0, "walk": 0, "most": most, "slope": slope, "base": base}
    tables = {"loose": [0], "held": [-1], **{name: [size] for name, size in sizes.items()}}
    found = bounds(program("drift", {"x": x}, tables, one=1, states=1, rows=1, modes=1))
    assert list(proven) in [entry.get("out") for entry in found]
    made = [drift(v, stick, sizes) for v in x for stick in (0, 1 << 15, 1 << 16)]
    assert (min(made), max(made)) == proven


@pytest.mark.parametrize("name", [*SIZES, "loose", "held"])
def test_a_table_of_drift_that_is_out_of_range_is_refused(name: str) -> None:
    tables = {"loose": [0, -1], "held": [-1, 2], **{name: [0] * 3 for name in SIZES}}
    rest = {"one": 1, "states": 2, "rows": 1, "modes": 3}
    bounds(program("drift", {"x": (0, 9)}, tables, **rest))
    for wrong in (-2, 3) if name in ("loose", "held") else (-1,):
        tables[name][0] = wrong
        with pytest.raises(ProgramError, match=f"{name} has .*, the limit is"):
            bounds(program("drift", {"x": (0, 9)}, tables, **rest))
