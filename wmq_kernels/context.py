"""Show a step of a program to its range rule, which proves that nothing in it overflows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from wmq_kernels.errors import ProgramError
from wmq_kernels.program import Program, Step

INT64_MAX = (1 << 63) - 1
Interval = tuple[int, int]


@dataclass(frozen=True)
class Context:
    """A step seen by its rule: declared intervals, constants, parameters.

    found  what the rule has shown: the largest size of each intermediate, by name
    """

    program: Program
    step: Step
    where: str
    found: dict[str, int | list[int]] = field(default_factory=dict)

    def interval(self, operand: str) -> Interval:
        value = self.program.values[self.step.operands[operand].value]
        return value.lo, value.hi

    def size(self, operand: str) -> int:
        """Return the largest absolute value that the operand's interval allows."""
        return max(abs(end) for end in self.interval(operand))

    def data(self, operand: str) -> np.ndarray:
        """Return a constant operand's elements as int64."""
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

    def within(self, operand: str, lo: int, hi: int) -> None:
        """Show that a constant operand's elements are in [lo, hi]."""
        data = self.data(operand)
        least, most = int(data.min()), int(data.max())
        self.need(lo <= least and most <= hi,
                  f"{operand} has [{least}, {most}], the limit is [{lo}, {hi}]")  # fmt: skip

    def shifts(self, operand: str = "shift") -> int:
        """Return the largest of a constant operand's shifts; all must be 0 to 62."""
        self.within(operand, 0, 62)
        return int(self.data(operand).max())

    def entries(self, operand: str, count: int) -> None:
        have = self.step.operands[operand].count
        self.need(have == count, f"{operand} has {have} entries, {count} are needed")

    def need(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ProgramError(f"{self.where}: {otherwise}", "range")

    def fits(self, name: str, size: int, shift: int = 0, limit: int = INT64_MAX) -> None:
        """|exact| <= size, and with the rounding term of `shift` it stays within the limit."""
        bound = size + ((1 << shift) >> 1)
        self.need(bound <= limit, f"{name} reaches {bound}, the limit is {limit}")
        self.found[name] = bound


Rule = Callable[[Context], dict[str, Interval]]
