"""Build small whole programs, step by step.

`Builder` collects values and steps around the instruction under test.  Operands that are
read come from the frame through a requantize step of factor 1, which gives them their
declared interval; what is written is widened to int32 and shown in `heads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from wmq_kernels.isa import DTYPES, INT32
from wmq_kernels.program import NUMPY, ROLES, Program, Slice, Step, Value

Interval = tuple[int, int]
Rows = list[list[int]]
PADS = 2  # numbers in a row of controllers


def whole(dtype: str) -> Interval:
    """All numbers of a type."""
    return -(1 << DTYPES[dtype] - 1), (1 << DTYPES[dtype] - 1) - 1


def numbers(rng: Random, count: int, interval: Interval) -> list[int]:
    """Numbers of an interval; its ends, zero and small sizes are likely."""
    lo, hi = interval
    kind = rng.choice(["lo", "hi", "ends", "any", "sizes", "sizes"])
    if kind == "ends":
        return [rng.choice(interval) for _ in range(count)]
    if kind == "sizes":
        widths = [rng.randrange(max(abs(lo), abs(hi)).bit_length() + 1) for _ in range(count)]
        drawn = [rng.choice((-1, 1)) * rng.getrandbits(w) if w else 0 for w in widths]
        return [min(max(v, lo), hi) for v in drawn]
    choices = {"lo": (lo, lo), "hi": (hi, hi), "any": interval}
    return [rng.randint(*choices[kind]) for _ in range(count)]


class Builder:
    """Values, steps and constants of a program under construction."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.data: dict[str, np.ndarray] = {}
        self.fed: list[tuple[int, Interval]] = []  # count, interval: parts of the frame
        self.shown: list[tuple[str, Slice]] = []

    def value(self, name: str, dtype: str, count: int, kind: str, interval: Interval,
              around: int | None = None) -> Slice:  # fmt: skip
        """A value, and a slice of it that leaves up to 3 elements free on either side."""
        before, after = (self.rng.randrange(4) if around is None else around for _ in range(2))
        name = f"{name}.{len(self.values)}"
        size = before + count + after
        self.values[name] = Value(name, dtype, (size,), kind, *interval)
        return Slice(name, before, count)

    def const(self, name: str, dtype: str, data: Sequence[int]) -> Slice:
        at = self.value(name, dtype, len(data), "const", (0, 0))
        size = self.values[at.value].size
        array = np.full(size, data[0], NUMPY[dtype])  # so that a read beyond the slice shows
        array[at.start : at.start + at.count] = data
        lo, hi = int(array.min()), int(array.max())
        self.values[at.value] = Value(at.value, dtype, (size,), "const", lo, hi)
        self.data[at.value] = array
        return at

    def temp(self, name: str, dtype: str, count: int, interval: Interval) -> Slice:
        return self.value(name, dtype, count, "temp", interval)

    def state(self, name: str, dtype: str, count: int, interval: Interval) -> Slice:
        return self.value(name, dtype, count, "state", interval)

    def part(self, count: int, interval: Interval) -> Slice:
        """The next elements of the frame, which the inputs will keep in the interval."""
        start = sum(count for count, _ in self.fed)
        self.fed.append((count, interval))
        return Slice("frame", start, count)

    def read(self, name: str, dtype: str, count: int, interval: Interval | None = None) -> Slice:
        """A value of any type and interval that follows the frame."""
        interval = whole(dtype) if interval is None else interval
        at = self.temp(name, dtype, count, interval)
        self.requantize(self.part(count, interval), at, interval)
        return at

    def requantize(self, x: Slice, out: Slice, interval: Interval) -> None:
        n = x.count
        operands = {"x": x, "multiplier": self.const("one", "i32", [1] * n),
                    "shift": self.const("zero", "i32", [0] * n), "out": out}  # fmt: skip
        dtype = self.values[out.value].dtype
        self.step(f"requantize_{dtype}", operands, n=n, lo=interval[0], hi=interval[1])

    def step(self, op: str, operands: dict[str, Slice], **parameters: int) -> None:
        self.steps.append(Step(op, operands, parameters))

    def show(self, name: str, at: Slice) -> None:
        """Let the program's heads carry a value."""
        dtype, n = self.values[at.value].dtype, at.count
        out = at
        if dtype == "i16":
            ones = self.read("ones", "i16", n, (1, 1))
            scale = {"multiplier": self.const("one", "i32", [1] * n),
                     "shift": self.const("zero", "i32", [0] * n)}  # fmt: skip
            out = self.temp("wide", "i32", n, INT32)
            self.step("gate", {"a": at, "b": ones, **scale, "out": out}, n=n, lo=INT32[0],
                      hi=INT32[1])  # fmt: skip
        if dtype == "i8":
            unit = [int(i == j) for i in range(n) for j in range(n)]
            out = self.temp("wide", "i32", n, INT32)
            self.step("dot", {"x": at, "weight": self.const("unit", "i8", unit),
                              "bias": self.const("zero", "i32", [0] * n), "out": out},
                      n=n, o=n)  # fmt: skip
        self.shown.append((name, out))

    def draws(self, count: int, forced: Interval) -> tuple[Slice, Slice]:
        """The ports `words` and `forced`, of that many draws a frame."""
        found = []
        for name, interval in (("words", INT32), ("forced", forced)):
            self.values[name] = Value(name, "i32", (count,), "temp", *interval)
            found.append(Slice(name, 0, count))
        return found[0], found[1]

    def program(self, following: Slice | None = None, frame_interval: Interval = INT32,
                controllers: Interval = INT32, kind: str = "world") -> Program:  # fmt: skip
        """The whole; what is fed back is `following`, or what it is now once more."""
        roles = ROLES[kind]
        size = sum(count for count, _ in self.fed)
        heads: dict[str, tuple[int, int]] = {}
        width = sum(at.count for _, at in self.shown) or 1
        shown = self.shown or [("frame", Slice("frame", 0, 1))]
        ports = {"frame": size, "next_frame": size, "controllers": PADS,
                 "next_controllers": PADS, "heads": width}  # fmt: skip
        bounds = {"frame": frame_interval, "next_frame": frame_interval,
                  "controllers": controllers, "next_controllers": controllers}  # fmt: skip
        for name, count in ports.items():
            if name in roles.ports:
                interval = bounds.get(name, INT32)
                self.values[name] = Value(name, "i32", (count,), "temp", *interval)
        at = 0
        for name, source in shown:
            heads[name] = (at, source.count)
            self.step("copy", {"x": source, "out": Slice("heads", at, source.count)},
                      n=source.count)  # fmt: skip
            at += source.count
        n = ports[roles.fed]
        fed = Slice(roles.fed, 0, n) if following is None else following
        self.step("copy", {"x": fed, "out": Slice(roles.made, 0, n)}, n=n)
        return Program(self.values, tuple(self.steps), self.data, heads, {"test": True})

    def frames(self, count: int) -> Rows:
        """Random frames that keep each part in its interval."""
        return [[v for size, interval in self.fed for v in numbers(self.rng, size, interval)]
                for _ in range(count)]  # fmt: skip
