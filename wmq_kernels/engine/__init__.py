"""The engine: a proven program and frames in, frames out, through compiled kernels.

`Engine` lays the values of a program out in flat arenas and translates its steps to rows
of numbers; `State` is everything that changes.  One engine serves many states at once,
each in a thread of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wmq_kernels.engine import kernels
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import OPCODE, TABLE
from wmq_kernels.program import NUMPY, PORTS, Program, Step
from wmq_kernels.rangecheck import prove

ALIGN = 64  # elements; every value begins at a multiple
CODE_SIZE = 35  # opcode, up to 11 operands, up to 12 parameters


@dataclass
class State:
    """All values that change, and the saturations counted so far, one count a step."""

    arenas: dict[str, np.ndarray]
    saturations: np.ndarray

    def copy(self) -> State:
        return State({k: v.copy() for k, v in self.arenas.items()}, self.saturations.copy())


@dataclass(frozen=True)
class Run:
    """frames (T, frame_size) int32: what the program made of each step; heads (T, n) int32."""

    frames: np.ndarray
    heads: np.ndarray | None


class Engine:
    """A program ready to run.  Raises ProgramError if its ranges cannot be proven."""

    def __init__(self, program: Program):
        prove(program)
        self.program = program
        self._starts, sizes = _layout(program)
        self._constants = {d: np.zeros(sizes["const", d], NUMPY[d]) for d in NUMPY}
        for name, array in program.data.items():
            dtype, start = program.values[name].dtype, self._starts[name]
            self._constants[dtype][start : start + len(array)] = array
        self._sizes = {d: sizes["var", d] for d in NUMPY}
        self._steps = np.array([self._code(step) for step in program.steps], dtype=np.int64)
        self._ports = np.array([self._starts[name] for name in PORTS], dtype=np.int64)

    def zero_state(self) -> State:
        """The state before a game's first frame."""
        arenas = {d: np.zeros(self._sizes[d], NUMPY[d]) for d in ("i8", "i16", "i32")}
        return State(arenas, np.zeros(len(self.program.steps), np.int64))

    def value(self, state: State, name: str) -> np.ndarray:
        """The present content of a value that changes, in its shape."""
        value, start = self.program.values[name], self._starts[name]
        return state.arenas[value.dtype][start : start + value.size].reshape(value.shape)

    def run(self, state: State, given: np.ndarray, controllers: np.ndarray, frames: int,
            heads: bool = False) -> Run:  # fmt: skip
        """Advance `state` in place by `frames` steps.

        given        (g, frame_size) int32, 1 <= g <= frames: the present frame of steps
                     0..g-1; each later step takes the frame that the step before made
        controllers  (frames + 1, n) int32: row t at the present frame, row t + 1 the next
        Raises ProgramError if a shape or an element is out of the declared interval.
        """
        given = self._checked("frame", given)
        controllers = self._checked("controllers", controllers)
        if not 1 <= len(given) <= frames or len(controllers) != frames + 1:
            raise ProgramError(f"{frames} frames need 1 to {frames} given frames and "
                               f"{frames + 1} controllers")  # fmt: skip
        out = np.empty((frames, given.shape[1]), np.int32)
        width = self.program.values["heads"].size if heads else 0
        recorded = np.empty((frames, width), np.int32)
        c, v = self._constants, state.arenas
        kernels.run_frames(self._steps, c["i8"], c["i16"], c["i32"], c["i64"], v["i8"], v["i16"],
                           v["i32"], self._ports, given, controllers, out, recorded,
                           state.saturations)  # fmt: skip
        return Run(out, recorded if heads else None)

    def _checked(self, port: str, rows: np.ndarray) -> np.ndarray:
        value = self.program.values[port]
        if rows.ndim != 2 or rows.shape[1] != value.size:
            raise ProgramError(f"{port}: rows of {value.size} numbers are needed")
        if rows.size and not value.lo <= rows.min() <= rows.max() <= value.hi:
            raise ProgramError(f"{port}: a number outside of [{value.lo}, {value.hi}]")
        return np.ascontiguousarray(rows, dtype=np.int32)

    def _code(self, step: Step) -> list[int]:
        row = TABLE[step.op]
        code = [OPCODE[step.op]] + [0] * (CODE_SIZE - 1)
        for k, operand in enumerate(row.operands):
            at = step.operands[operand.name]
            code[1 + 2 * k : 3 + 2 * k] = [self._starts[at.value] + at.start, at.count]
        for k, parameter in enumerate(row.parameters):
            code[kernels.PARAMETERS + k] = step.parameters[parameter.name]
        return code


def _layout(program: Program) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Start of each value in its arena, and the arenas' sizes."""
    starts: dict[str, int] = {}
    sizes = {(kind, dtype): ALIGN for kind in ("const", "var") for dtype in NUMPY}
    for value in program.values.values():
        key = ("const" if value.kind == "const" else "var", value.dtype)
        starts[value.name] = sizes[key]
        sizes[key] += value.size + -value.size % ALIGN
    return starts, sizes
