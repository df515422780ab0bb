"""The engine: a proven program and frames in, frames out, through compiled kernels.

`Engine` lays the values of a program out in flat arenas and translates its steps to rows
of numbers (`plan`); `State` is everything that changes in one world, `Group` in some that
are computed side by side.  One engine serves many of them at once, each in a thread of its
own, or a single one with a team of threads.  The bits depend on none of this.
"""

from __future__ import annotations

from wmq_kernels.engine import numba_settings  # noqa: F401  before any other import of numba

# isort: split
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from wmq_kernels.engine import barrier, loop
from wmq_kernels.engine.cpu import chosen
from wmq_kernels.engine.plan import Plan, aligned, layout
from wmq_kernels.errors import ProgramError
from wmq_kernels.program import NUMPY, PORTS, Program
from wmq_kernels.rangecheck import prove

CHANGING = ("i8", "i16", "i32")  # types of what changes


@dataclass
class State:
    """All values that change, and the saturations counted so far, one count a step."""

    arenas: dict[str, np.ndarray]
    saturations: np.ndarray

    def copy(self) -> State:
        copied = {dtype: aligned(len(arena), dtype) for dtype, arena in self.arenas.items()}
        for dtype, arena in self.arenas.items():
            copied[dtype][:] = arena
        return State(copied, self.saturations.copy())


@dataclass
class Group:
    """States of some worlds, one after the other: arenas (worlds * size,) by type.

    saturations  (worlds, steps)
    """

    arenas: dict[str, np.ndarray]
    saturations: np.ndarray
    _crews: dict[tuple[int, int], ThreadPoolExecutor] = field(
        default_factory=dict, repr=False, compare=False
    )

    def crew(self, threads: int) -> ThreadPoolExecutor:
        """Threads of its own, which stay on their cores from one run to the next.

        A process that forks keeps them; the child has none of them and gets others.
        """
        key = os.getpid(), threads
        if key not in self._crews:
            self._crews[key] = ThreadPoolExecutor(threads)
        return self._crews[key]

    def __len__(self) -> int:
        return len(self.saturations)

    def world(self, number: int) -> State:
        """The state of one world, which goes on sharing its memory with the group."""
        rows = {d: arena.reshape(len(self), -1)[number] for d, arena in self.arenas.items()}
        return State(rows, self.saturations[number])

    def put(self, number: int, state: State) -> None:
        """Give a world the content of a state."""
        mine = self.world(number)
        for dtype, arena in state.arenas.items():
            mine.arenas[dtype][:] = arena
        mine.saturations[:] = state.saturations


@dataclass(frozen=True)
class Run:
    """What the program made of each step, a row a step: frames and heads, int32.

    frames  (T, frame_size), or (worlds, T, frame_size) of a group; heads (.., n) or None
    """

    frames: np.ndarray
    heads: np.ndarray | None


class Engine:
    """A program ready to run.

    kernels  "vnni" or "portable"; "auto" takes the former where the processor has it
    Raises ProgramError if the program's ranges cannot be proven, or if this machine has
    not the kernels that are asked for.
    """

    def __init__(self, program: Program, kernels: str = "auto"):
        prove(program)
        self.program, self.kernels = program, chosen(kernels)
        self._layout = layout(program)
        self._plan = Plan(program, self._layout, self.kernels)
        sizes, starts = self._layout.sizes, self._layout.starts
        self._constants = {d: aligned(sizes["const", d], d) for d in NUMPY}
        for name, array in program.data.items():
            dtype, start = program.values[name].dtype, starts[name]
            self._constants[dtype][start : start + len(array)] = array
        self._sizes = np.array([sizes["var", d] for d in CHANGING], np.int64)
        self._ports = np.array([starts[name] for name in PORTS], dtype=np.int64)
        self._rows = cache(self._plan.rows)
        self._space = cache(self._plan.working_space)

    def zero_state(self) -> State:
        """The state before a game's first frame."""
        group = self.zero_group(1)
        return State(group.arenas, group.saturations[0])

    def zero_group(self, worlds: int) -> Group:
        """States of so many worlds, each before its game's first frame."""
        sizes = zip(CHANGING, self._sizes.tolist(), strict=True)
        arenas = {dtype: aligned(worlds * size, dtype) for dtype, size in sizes}
        return Group(arenas, np.zeros((worlds, len(self.program.steps)), np.int64))

    def value(self, state: State, name: str) -> np.ndarray:
        """The present content of a value that lives from frame to frame, in its shape."""
        value, start = self.program.values[name], self._layout.starts[name]
        return state.arenas[value.dtype][start : start + value.size].reshape(value.shape)

    def run(self, state: State, given: np.ndarray, controllers: np.ndarray, frames: int,
            heads: bool = False, threads: int = 1) -> Run:  # fmt: skip
        """Advance `state` in place by `frames` steps.

        given        (g, frame_size) int32, 1 <= g <= frames: the present frame of steps
                     0..g-1; each later step takes the frame that the step before made
        controllers  (frames + 1, n) int32: row t at the present frame, row t + 1 the next
        threads      that share the work of each frame; more than cores are of no use
        Raises ProgramError if a shape or an element is out of the declared interval.
        """
        group = Group(state.arenas, state.saturations[None])
        run = self.run_group(group, given[None], controllers[None], frames, heads, threads)
        return Run(run.frames[0], run.heads[0] if run.heads is not None else None)

    def run_group(self, group: Group, given: np.ndarray, controllers: np.ndarray, frames: int,
                  heads: bool = False, threads: int = 1) -> Run:  # fmt: skip
        """As `run`, for all worlds of a group: every array has worlds as its first dimension."""
        worlds = len(group)
        given = self._checked(given, worlds, "frame")
        controllers = self._checked(controllers, worlds, "controllers", "next_controllers")
        if not 1 <= given.shape[1] <= frames or controllers.shape[1] != frames + 1:
            raise ProgramError(f"{frames} frames need 1 to {frames} given frames and "
                               f"{frames + 1} controllers")  # fmt: skip
        out = np.empty((worlds, frames, given.shape[2]), np.int32)
        width = self.program.values["heads"].size if heads else 0
        recorded = np.empty((worlds, frames, width), np.int32)
        self._run_team(group, given, controllers, out, recorded, threads)
        return Run(out, recorded if heads else None)

    def _run_team(self, group: Group, given: np.ndarray, controllers: np.ndarray,
                  frames: np.ndarray, heads: np.ndarray, team: int) -> None:  # fmt: skip
        """Each thread with rows and counts of its own; one that fails frees the others."""
        rows, shared = self._rows(team), barrier.new()
        counts = [group.saturations, *(np.zeros_like(group.saturations) for _ in range(team - 1))]
        c, v = self._constants, group.arenas

        def work(rank: int) -> None:
            try:
                space = self._space(len(group))
                s16, s32, s64 = (aligned(space[d], d) for d in ("i16", "i32", "i64"))
                bounds = np.zeros((len(group), self._plan.bounds_size), np.int64)
                loop.run_frames(rows[rank], self._sizes, c["i8"], c["i16"], c["i32"], c["i64"],
                                   self._plan.packed, v["i8"], v["i16"], v["i32"], self._ports,
                                   given, controllers, frames, heads, counts[rank], s16, s32, s64,
                                   bounds, rank, team, shared)  # fmt: skip
            except BaseException:
                barrier.abandon(shared)
                raise

        if team == 1:
            work(0)
            return
        waiting: list[Future[None]] = []
        try:
            crew = group.crew(team - 1)
            waiting += (crew.submit(work, rank) for rank in range(1, team))
            work(0)
        except BaseException:
            barrier.abandon(shared)
            raise
        finally:
            wait(waiting)
        for future in waiting:
            future.result()
        for extra in counts[1:]:
            group.saturations += extra

    def _checked(self, rows: np.ndarray, worlds: int, *ports: str) -> np.ndarray:
        """Rows for all of these ports, whose intervals may differ."""
        for port in ports:
            value = self.program.values[port]
            if rows.ndim != 3 or len(rows) != worlds or rows.shape[2] != value.size:
                raise ProgramError(f"{port}: rows of {value.size} numbers are needed")
            if rows.size and not value.lo <= rows.min() <= rows.max() <= value.hi:
                raise ProgramError(f"{port}: a number outside of [{value.lo}, {value.hi}]")
        return np.ascontiguousarray(rows, dtype=np.int32)
