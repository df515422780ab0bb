"""Plan a program: the rows of numbers that the compiled frame loop runs.

Two things are rearranged, neither of which changes a bit.  `dot` and `dot_add` become rows
of one kernel, and the pair of them that serves the two digits of an input becomes a single
row, so that the weights are read once.  And a team of threads gets a list of rows each:
large instructions are cut along their rows, elements or heads, small ones go to whom they
suit, and where a thread needs what another has written since they last met, all meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from wmq_kernels.engine import loop, vnni
from wmq_kernels.engine.operands import OPERANDS, PARAMETERS
from wmq_kernels.isa import DIGIT_BITS, OPCODE, TABLE
from wmq_kernels.program import NUMPY, PORTS, Program, Slice, Step

LINE = 64  # elements; every value begins at a multiple
EACH = 1000  # amount of work of an instruction without elements: some 100 ns
SAMPLED = 30  # of a class to draw from: one row of `allowed` is read, whatever its size
CODE_SIZE = 42  # opcode, place, up to 14 operands, up to 12 parameters
# What an instruction may be cut along, and into multiples of how many.
CUTS = {"add": ("n", 64), "gate": ("n", 64), "silu": ("n", 64), "requantize_i8": ("n", 64),
        "requantize_i16": ("n", 64), "requantize_i32": ("n", 64), "drive": ("heads", 1),
        "scan": ("heads", 1), "scan_carry": ("heads", 1), "hadamard": ("blocks", 1)}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where values stand: starts by name, sizes by (const or var, dtype) in elements."""

    starts: Mapping[str, int]
    sizes: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Span:
    """Elements from `first` to `last` of what changes of a type."""

    dtype: str
    first: int
    last: int

    def meets(self, others: Sequence[Span]) -> bool:
        return any(self.dtype == o.dtype and self.first < o.last and o.first < self.last
                   for o in others)  # fmt: skip


@dataclass
class Work:
    """A row, what it reads and writes, and about how much there is to do, in 0.1 ns."""

    row: list[int]
    reads: list[Span]
    writes: list[Span]
    amount: int


@dataclass
class _Thread:
    """The rows of one thread, and what it did since all last met."""

    rows: list[list[int]] = field(default_factory=list)
    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    amount: int = 0

    def disturbs(self, work: Work) -> bool:
        """Whether `work` of another thread has to wait for this one."""
        mine = self.reads + self.writes
        return any(s.meets(self.writes) for s in work.reads) or any(
            s.meets(mine) for s in work.writes
        )

    def take(self, work: Work) -> None:
        self.rows.append(work.row)
        self.reads += work.reads
        self.writes += work.writes
        self.amount += work.amount


def layout(program: Program) -> Layout:
    """Each value at a multiple of LINE; what changes lies world after world."""
    starts: dict[str, int] = {}
    sizes = {(kind, dtype): LINE for kind in ("const", "var") for dtype in NUMPY}
    for value in program.values.values():
        key = ("const" if value.kind == "const" else "var", value.dtype)
        starts[value.name] = sizes[key]
        sizes[key] += value.size + -value.size % LINE
    return Layout(starts, sizes)


class Plan:
    """The rows of a program for either kind of kernels.

    packed       the weights for `vnni`, or None
    bounds       place of each scan_carry's heads among those of a world, bounds_size in all
    """

    def __init__(self, program: Program, at: Layout, kind: str):
        self.program, self.layout = program, at
        self.packed: np.ndarray | None = None
        self._weights: dict[tuple[Slice, int], int] = {}
        heads = {place: step.parameters["heads"] for place, step in enumerate(program.steps)
                 if step.op == "scan_carry"}  # fmt: skip
        ends = list(accumulate(heads.values(), initial=0))
        self.bounds, self.bounds_size = dict(zip(heads, ends, strict=False)), ends[-1]
        if kind == "vnni":
            self._pack()

    def rows(self, team: int = 1) -> list[np.ndarray]:
        """(rows, CODE_SIZE) int64 for each thread of a team."""
        threads = [_Thread() for _ in range(team)]
        for works in self._works(team):
            if len(works) == 1:
                _give(threads, works[0])
            else:
                _share(threads, works)
        return [np.array(t.rows, np.int64).reshape(-1, CODE_SIZE) for t in threads]

    def working_space(self, worlds: int) -> dict[str, int]:
        """Elements that the kernels need to work in, by type."""
        widest = {"i16": 1, "i32": 256, "i64": 2 * worlds}
        for step in self.program.steps:
            p = step.parameters
            if step.op in ("dot", "dot_add"):
                widest["i16"] = max(widest["i16"], worlds * p["n"])
            elif step.op in ("conv", "silu"):
                widest["i64"] = max(widest["i64"], p["n"])
                widest["i32"] = max(widest["i32"], 2 * p["n"])
            elif step.op in ("scan", "scan_carry"):
                widest["i64"] = max(widest["i64"], p["headdim"])
                widest["i32"] = max(widest["i32"], 2 * p["d_state"])
            elif step.op == "hadamard":
                widest["i32"] = max(widest["i32"], p["block"])
            elif step.op == "sample":
                widest["i32"] = max(widest["i32"], p["n"])
        return widest

    def _pack(self) -> None:
        """Each weight once, however many instructions use it."""
        parts, size = [np.zeros(0, np.int8)], 0
        for step in self.program.steps:
            if step.op not in ("dot", "dot_add"):
                continue
            key = self._weight(step)
            if key not in self._weights:
                at, n = key
                data = self.program.data[at.value][at.start : at.start + at.count]
                part = vnni.packed(np.ascontiguousarray(data, np.int8).reshape(-1, n))
                self._weights[key] = size
                parts.append(part)
                size += len(part)
        self.packed = aligned(size + LINE, "i8")
        self.packed[:size] = np.concatenate(parts)

    @staticmethod
    def _weight(step: Step) -> tuple[Slice, int]:
        return step.operands["weight"], step.parameters["n"]

    def _works(self, team: int) -> Iterator[list[Work]]:
        """Each instruction, in shares for the threads or whole."""
        steps = self.program.steps
        pairs = _digit_pairs(self.program)
        for place, step in enumerate(steps):
            if place - 1 in pairs:
                continue
            if step.op in ("dot", "dot_add"):
                other = steps[place + 1] if place in pairs else None
                cuts = _cuts(step.parameters["o"], vnni.BLOCK, team)
                yield [self._dots(step, other, place, *cut) for cut in cuts]
                continue
            name, unit = CUTS.get(step.op, ("", 1))
            cuts = _cuts(step.parameters[name], unit, team) if name else [(0, 1)]
            yield [self._plain(step, place, name, *cut) for cut in cuts]

    def _plain(self, step: Step, place: int, name: str, first: int, last: int) -> Work:
        """An instruction, or its part from `first` to `last` along the dimension `name`."""
        row = TABLE[step.op]
        work = Work([OPCODE[step.op], place] + [0] * (CODE_SIZE - 2), [], [], EACH)
        for k, operand in enumerate(row.operands):
            at = step.operands[operand.name]
            if name and operand.shape[0] == name:
                each = at.count // step.parameters[name]
                at = Slice(at.value, at.start + first * each, (last - first) * each)
            start = self.layout.starts[at.value] + at.start
            place_of = OPERANDS + 2 * k
            work.row[place_of : place_of + 2] = [start, at.count]
            work.amount += at.count
            span = Span(operand.dtype, start, start + at.count)
            if operand.access in ("read", "update"):
                work.reads.append(span)
            if operand.access in ("write", "update"):
                work.writes.append(span)
        for k, parameter in enumerate(row.parameters):
            work.row[PARAMETERS + k] = step.parameters[parameter.name]
        if step.op == "sample":
            work.amount = EACH + SAMPLED * step.parameters["n"]
        if step.op == "scan_carry":
            work.row[loop.BOUNDS] = self.bounds[place] + first
            work.row[loop.BOUNDS + 1] = int(_alone(self.program, place, "state"))
        return work

    def _dots(self, step: Step, other: Step | None, place: int, first: int, last: int) -> Work:
        """Rows `first` to `last` of a dot or dot_add, or of a dot and the dot_add after it."""
        n = step.parameters["n"]
        base = step.operands["bias" if step.op == "dot" else "acc"]
        shift = (other or step).parameters.get("shift", 0)
        starts = {name: self._start(at) for name, at in step.operands.items()}
        x, y = starts["x"], self._start(other.operands["x"]) if other else -1
        out = self._start((other or step).operands["out"]) + first
        weight = starts["weight"] + first * n
        if self.packed is not None:
            weight = self._weights[self._weight(step)] + first * (-(-n // 4) * 4)
        start = self._start(base) + first
        size = self.layout.sizes
        row = [loop.OP_DOTS, place, x, y, weight, start, out, n, last - first, shift,
               int(step.op == "dot"), size["var", "i8"], size["var", "i32"]]  # fmt: skip
        reads = [Span("i8", at, at + n) for at in (x, y) if at >= 0]
        if step.op == "dot_add":
            reads.append(Span("i32", start, start + last - first))
        writes = [Span("i32", out, out + last - first)]
        return Work(row + [0] * (CODE_SIZE - len(row)), reads, writes,
                    EACH + n * (last - first) // 16)  # fmt: skip

    def _start(self, at: Slice) -> int:
        return self.layout.starts[at.value] + at.start


def _cuts(size: int, unit: int, team: int) -> list[tuple[int, int]]:
    """At most `team` about equal parts of 0 .. size, each of whole `unit`s."""
    pieces = -(-size // unit)
    if team == 1 or pieces < 2:
        return [(0, size)]
    ends = [min(size, -(-pieces * k // team) * unit) for k in range(team + 1)]
    return [(a, b) for a, b in pairwise(ends) if a < b]


def _give(threads: list[_Thread], work: Work) -> None:
    """A whole instruction to the thread with the least to do of those that needn't wait."""
    free = [t for t in threads if not any(o.disturbs(work) for o in threads if o is not t)]
    if not free:
        _meet(threads)
        free = threads
    min(free, key=lambda t: t.amount).take(work)


def _share(threads: list[_Thread], works: list[Work]) -> None:
    """A part of an instruction to each thread; there may be fewer parts than threads."""
    shares = list(zip(threads, works, strict=False))
    if any(o.disturbs(w) for t, w in shares for o in threads if o is not t):
        _meet(threads)
    for thread, work in shares:
        thread.take(work)


def _meet(threads: list[_Thread]) -> None:
    for thread in threads:
        thread.rows.append([loop.OP_MEET] + [0] * (CODE_SIZE - 1))
        thread.reads.clear()
        thread.writes.clear()
        thread.amount = 0


def _digit_pairs(program: Program) -> set[int]:
    """Places of each dot that the next instruction completes with a second digit.

    Both read the same weights, and the dot's result goes nowhere else, so that it need not
    be written.  2^shift times the second input and the first fit int16 together.
    """
    steps, found = program.steps, set()
    for place in range(len(steps) - 1):
        one, two = steps[place], steps[place + 1]
        if (one.op, two.op) != ("dot", "dot_add") or two.parameters["shift"] > DIGIT_BITS:
            continue
        out = one.operands["out"]
        alone = program.values[out.value].kind == "temp" and out.value not in PORTS
        same = one.operands["weight"] == two.operands["weight"] and out == two.operands["acc"]
        used = (at for k, step in enumerate(steps) if k != place + 1
                for operand in TABLE[step.op].operands if operand.access in ("read", "update")
                for at in [step.operands[operand.name]])  # fmt: skip
        if (
            alone
            and same
            and one.parameters["n"] == two.parameters["n"]
            and not any(_overlap(out, at) for at in used)
        ):
            found.add(place)
    return found


def _alone(program: Program, place: int, name: str) -> bool:
    """Whether nothing but a step, neither another nor who runs them, writes an operand of it."""
    mine = program.steps[place].operands[name]
    others = (step.operands[operand.name] for k, step in enumerate(program.steps) if k != place
              for operand in TABLE[step.op].operands
              if operand.access in ("write", "update"))  # fmt: skip
    return mine.value not in PORTS and not any(_overlap(mine, at) for at in others)


def _overlap(a: Slice, b: Slice) -> bool:
    return a.value == b.value and a.start < b.start + b.count and b.start < a.start + a.count


def aligned(size: int, dtype: str) -> np.ndarray:
    """Zeros, (size,), from the beginning of a cache line on."""
    kind = np.dtype(NUMPY[dtype])
    raw = np.zeros(size * kind.itemsize + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size * kind.itemsize].view(kind)
