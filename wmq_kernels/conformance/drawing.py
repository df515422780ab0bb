"""Draw lengths, intervals, constants, multipliers and shifts for one instruction.

Ends of ranges and ties of the rounding are far likelier than chance would have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from wmq_kernels.conformance.builder import Builder, Interval, numbers, whole
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.program import Slice

SIZES = (1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
LARGEST = (1 << 63) - 1


@dataclass
class Drawing:
    """Random choices for one instruction."""

    rng: Random
    b: Builder
    wild: bool

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def size(self, *most: int) -> int:
        return min(self.rng.choice(SIZES), *most, 65)

    def interval(self, lo: int, hi: int) -> Interval:
        """An interval within [lo, hi], often the whole."""
        if self.rng.random() < 0.5:
            return lo, hi
        ends = sorted(numbers(self.rng, 2, (lo, hi)))
        return ends[0], ends[1]

    def read(self, name: str, dtype: str, count: int, within: Interval | None = None) -> Slice:
        return self.b.read(name, dtype, count, self.interval(*(within or whole(dtype))))

    def reach(self, at: Slice) -> int:
        value = self.b.values[at.value]
        return max(abs(value.lo), abs(value.hi), 1)

    def i32(self, name: str, data: list[int]) -> Slice:
        return self.b.const(name, "i32", data)

    def any_i32(self, name: str, count: int, interval: Interval = INT32) -> Slice:
        return self.i32(name, numbers(self.rng, count, interval))

    def out(self, dtype: str, count: int, interval: Interval, name: str = "out") -> Slice:
        if self.wild and self.rng.random() < 0.3:
            interval = self.interval(*whole(dtype))
        return self.b.temp(name, dtype, count, interval)

    def shift(self, reach: int, bits: int) -> int:
        """One that brings numbers up to `reach` near to `bits` bits, or any."""
        if self.rng.random() < 0.2:
            return self.rng.randrange(63)
        return min(max(reach.bit_length() - bits + self.rng.randrange(-2, 3), 0), 62)

    def factor(self, reach: int, shift: int, most: int = INT32[1]) -> int:
        """The largest multiplier that the range proof allows."""
        return most if self.wild else min(most, (LARGEST - (1 << shift >> 1)) // reach)

    def scale(self, reach: int, count: int, bits: int) -> dict[str, Slice]:
        """Operands multiplier and shift, one a column."""
        if self.chance(0.2):  # every second odd product is a tie of the rounding
            ones = [self.rng.choice((-1, 1)) for _ in range(count)]
            return {"multiplier": self.i32("multiplier", ones),
                    "shift": self.i32("shift", [self.rng.randint(1, 3) for _ in ones])}  # fmt: skip
        top = self.factor(reach, self.rng.choice((0, 40, 62)))
        most = self.rng.choice((1, 1 << 15, top))
        multipliers = numbers(self.rng, count, (-min(most, top), min(most, top)))
        shifts = [self.shift(max(reach * abs(m), 1), bits) for m in multipliers]
        room = LARGEST - reach * max(map(abs, multipliers))
        if not self.wild:
            shifts = [min(s, room.bit_length() - 1) for s in shifts]
        return {"multiplier": self.i32("multiplier", multipliers),
                "shift": self.i32("shift", shifts)}  # fmt: skip

    def clamp(self, dtype: str, least: int | None = None) -> tuple[Interval, dict[str, int]]:
        lo, hi = self.interval(*whole(dtype))
        return (lo, hi), {"lo": lo, "hi": hi}

    def parameter(self, op: str, name: str) -> int:
        """Any value that the table allows."""
        rule = next(p for p in TABLE[op].parameters if p.name == name)
        return numbers(self.rng, 1, (rule.lo, rule.hi))[0]


Recipe = Callable[[Drawing], None]
