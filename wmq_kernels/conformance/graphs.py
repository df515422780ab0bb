"""Draw random small programs: instructions that feed one another, frame after frame.

Each instruction is drawn by its recipe; an operand that it reads is often what an earlier
one wrote, if that lies in the interval that the recipe asks for.  Parts of the next frame
are copied from what was computed, so that errors spread over frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from wmq_kernels.conformance.builder import Builder, Interval
from wmq_kernels.conformance.recipes import RECIPES, Drawing
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.program import Program, Slice
from wmq_kernels.rangecheck import certified

LARGEST_GRAPH = 12  # instructions, besides those that feed and show them
FRAMES = 3
REUSE = 0.7  # share of operands that take what was written, where anything fits
RETURN = 0.7  # share of the frame's parts that are computed


class GraphBuilder(Builder):
    """A builder whose `read` prefers what earlier steps wrote."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.written: list[Slice] = []

    def step(self, op: str, operands: dict[str, Slice], **parameters: int) -> None:
        super().step(op, operands, **parameters)
        self.written += [operands[o.name] for o in TABLE[op].operands
                         if o.access in ("write", "update")]  # fmt: skip

    def read(self, name: str, dtype: str, count: int, interval: Interval | None = None) -> Slice:
        if self.rng.random() < REUSE:
            fitting = [at for at in self.written if self._fits(at, dtype, count, interval)]
            if fitting:
                return self._part_of(self.rng.choice(fitting), count)
        return super().read(name, dtype, count, interval)

    def _fits(self, at: Slice, dtype: str, count: int, interval: Interval | None) -> bool:
        value = self.values[at.value]
        inside = interval is None or (interval[0] <= value.lo and value.hi <= interval[1])
        return value.dtype == dtype and at.count >= count and inside

    def _part_of(self, at: Slice, count: int) -> Slice:
        return Slice(at.value, at.start + self.rng.randint(0, at.count - count), count)

    def following(self, fed: str, counts: Sequence[int]) -> Slice:
        """What is fed back to a port of such parts: some computed, the others as they are."""
        after = self.value("after", "i32", sum(counts), "temp", INT32, around=0)
        sources = [at for at in self.written if self._fits(at, "i32", 1, None)]
        start = 0
        for count in counts:
            source = Slice(fed, start, count)
            fitting = [at for at in sources if at.count >= count]
            if fitting and self.rng.random() < RETURN:
                source = self._part_of(self.rng.choice(fitting), count)
            self.step("copy", {"x": source, "out": Slice(after.value, start, count)}, n=count)
            start += count
        return after


def graph(seed: int) -> tuple[Program, list[list[int]]]:
    """A certified program of 2 to 12 instructions, and three frames to give it."""
    rng = Random(seed)
    builder = GraphBuilder(rng)
    builder.part(1, INT32)
    draw = Drawing(rng, builder, wild=False)
    for op in rng.choices(sorted(RECIPES), k=rng.randint(2, LARGEST_GRAPH)):
        RECIPES[op](draw)
    after = builder.following("frame", [count for count, _ in builder.fed])
    return certified(builder.program(after)), builder.frames(FRAMES)
