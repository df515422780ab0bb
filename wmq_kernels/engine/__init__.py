"""The engine: a proven program and rows in, rows out, through compiled kernels.

`Engine` lays the values of a program out in flat arenas and translates its steps to rows
of numbers (`plan`); `State` is everything that changes in one world (or of one agent), `Group`
in some that are computed side by side.  One engine serves many of them at once, each in a
thread of its own, or a single one with a team of threads.  The bits depend on none of this.
"""

from __future__ import annotations

from wmq_kernels.engine import numba_settings  # noqa: F401  before any other import of numba

# isort: split
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from wmq_kernels.engine import barrier, loop
from wmq_kernels.engine.cpu import chosen
from wmq_kernels.engine.plan import Plan, aligned, layout
from wmq_kernels.errors import ProgramError
from wmq_kernels.program import DRAWS, NUMPY, Draws, Program
from wmq_kernels.rangecheck import prove

CHANGING = ("i8", "i16", "i32")  # types of what changes
INT32 = np.dtype(np.int32)
NO_DRAWS = np.zeros((1, 1, 0), np.int32)


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
class Desk:
    """What a team works with from one run of a group to the next.

    first, last  arguments of `loop.run_frames` before and after those of a run, a rank each
    bounds       (worlds, n) int64: see `loop.run_frames`
    shared       for the team to meet; counts (team - 1, worlds, steps) of all but rank 0
    """

    engine: Engine
    team: int
    first: list[tuple[Any, ...]]
    last: list[tuple[Any, ...]]
    bounds: np.ndarray
    shared: np.ndarray
    counts: np.ndarray


@dataclass
class Group:
    """States of some worlds, one after the other: arenas (worlds * size,) by type.

    saturations  (worlds, steps)
    """

    _arenas: dict[str, np.ndarray]
    saturations: np.ndarray
    _desk: Desk | None = field(default=None, repr=False, compare=False)
    _lent: bool = field(default=False, repr=False, compare=False)
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
        """The state of one world, which goes on sharing its memory with the group.

        A run then has to look again for what it would know of the states: where reading is
        all that is wanted, `copy` is the better.
        """
        self._lent = True
        return self._world(number)

    def copy(self, number: int) -> State:
        """A copy of the state of one world."""
        return self._world(number).copy()

    def put(self, number: int, state: State) -> None:
        """Give a world the content of a state."""
        mine = self._world(number)
        for dtype, arena in state.arenas.items():
            mine.arenas[dtype][:] = arena
        mine.saturations[:] = state.saturations
        if self._desk is not None:
            self._desk.bounds[number] = 0

    def _world(self, number: int) -> State:
        rows = {d: arena.reshape(len(self), -1)[number] for d, arena in self._arenas.items()}
        return State(rows, self.saturations[number])


@dataclass(frozen=True)
class Run:
    """What the program made of each step, a row a step, int32.

    made   (T, n), or (worlds, T, n) of a group: what is fed back, the next frames of a world
           or the next controllers of an agent
    heads  (.., n) or None
    """

    made: np.ndarray
    heads: np.ndarray | None

    @property
    def frames(self) -> np.ndarray:
        """What a world made: its frames."""
        return self.made


class Engine:
    """A program ready to run: a world, or an agent in it (`program.kind`).

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
        self._roles, self._draws = program.roles, program.draws
        self._ports = np.full(loop.HEADS + 1, -1, np.int64)
        for places, names in (((loop.FED, loop.MADE), (self._roles.fed, self._roles.made)),
                              ((loop.NOW, loop.NEXT), self._roles.inputs),
                              ((loop.WORDS, loop.FORCED), self._draws),
                              ((loop.HEADS,), ("heads",))):  # fmt: skip
            for place, name in zip(places, names, strict=False):
                self._ports[place] = starts[name]
        taken = (self._roles.fed,), self._roles.inputs, *((name,) for name in self._draws)
        self._limits = {ports: self._limits_of(ports) for ports in taken}
        self._width = program.values["heads"].size
        self._rows = cache(self._plan.rows)
        self._space = cache(self._plan.working_space)

    @property
    def kind(self) -> str:
        """What it computes: "world" or "agent"."""
        return self.program.kind

    def zero_state(self) -> State:
        """The state before a game's first frame."""
        group = self.zero_group(1)
        return group.world(0)

    def zero_group(self, worlds: int) -> Group:
        """States of so many worlds, each before its game's first frame."""
        sizes = zip(CHANGING, self._sizes.tolist(), strict=True)
        arenas = {dtype: aligned(worlds * size, dtype) for dtype, size in sizes}
        return Group(arenas, np.zeros((worlds, len(self.program.steps)), np.int64))

    def value(self, state: State, name: str) -> np.ndarray:
        """The present content of a value that lives from frame to frame, in its shape."""
        value, start = self.program.values[name], self._layout.starts[name]
        return state.arenas[value.dtype][start : start + value.size].reshape(value.shape)

    def run(self, state: State, given: np.ndarray, inputs: np.ndarray, frames: int,
            heads: bool = False, threads: int = 1, draws: Draws | None = None) -> Run:  # fmt: skip
        """Advance `state` in place by `frames` steps.

        given    (g, n) int32, 1 <= g <= frames: the present frame of a world, or the present
                 controllers of an agent, for steps 0..g-1; each later step takes what the step
                 before made
        inputs   (frames + 1, n) int32, a world's controllers: row t at the present frame, row
                 t + 1 the next; or (frames, n) int32, what an agent sees at each step
        threads  that share the work of each frame; more than cores are of no use
        draws    for a program with the ports of draws, and only for one
        Raises ProgramError if a shape or an element is out of the declared interval.
        """
        group = Group(state.arenas, state.saturations[None], _lent=True)
        if draws is not None:
            draws = Draws(draws.words[None], draws.forced[None])
        run = self.run_group(group, given[None], inputs[None], frames, heads, threads, draws)
        return Run(run.made[0], run.heads[0] if run.heads is not None else None)

    def run_group(
        self, group: Group, given: np.ndarray, inputs: np.ndarray, frames: int,
        heads: bool = False, threads: int = 1, draws: Draws | None = None,
    ) -> Run:  # fmt: skip
        """As `run`, for all worlds of a group: every array has worlds as its first dimension."""
        worlds, roles = len(group), self._roles
        given = self._checked(given, worlds, roles.fed)
        inputs = self._checked(inputs, worlds, *roles.inputs)
        if not 1 <= given.shape[1] <= frames or inputs.shape[1] != roles.rows(frames):
            raise ProgramError(f"{frames} frames need 1 to {frames} rows of {roles.fed} and "
                               f"{roles.rows(frames)} of {roles.inputs[0]}")  # fmt: skip
        words, forced = self._drawn(draws, worlds, frames)
        made = np.empty((worlds, frames, given.shape[2]), np.int32)
        recorded = np.empty((worlds, frames, self._width if heads else 0), np.int32)
        self._run_team(group, (given, inputs, words, forced, made, recorded), threads)
        return Run(made, recorded if heads else None)

    def _run_team(self, group: Group, rows: tuple[np.ndarray, ...], team: int) -> None:
        """Each thread with rows and counts of its own; one that fails frees the others."""
        desk = self._desk(group, team)

        def work(rank: int) -> None:
            loop.run_frames(*desk.first[rank], *rows, *desk.last[rank])

        if team == 1:
            work(0)
            return
        desk.shared[:], desk.counts[:] = 0, 0

        def guarded(rank: int) -> None:
            try:
                work(rank)
            except BaseException:
                barrier.abandon(desk.shared)
                raise

        waiting: list[Future[None]] = []
        try:
            crew = group.crew(team - 1)
            waiting += (crew.submit(guarded, rank) for rank in range(1, team))
            work(0)
        except BaseException:
            barrier.abandon(desk.shared)
            raise
        finally:
            wait(waiting)
        for future in waiting:
            future.result()
        group.saturations += desk.counts.sum(0)

    def _desk(self, group: Group, team: int) -> Desk:
        """The group's desk if it is this engine's and team's, else a new one.

        Nothing is known of the states if another may have written them since the last run.
        """
        desk = group._desk
        if desk is None or desk.engine is not self or desk.team != team:
            desk = group._desk = self._new_desk(group, team)
        elif group._lent:
            desk.bounds[:] = 0
        return desk

    def _new_desk(self, group: Group, team: int) -> Desk:
        plan, space, shared = self._plan, self._space(len(group)), barrier.new()
        constants, arenas = self._constants, group._arenas
        counts = np.zeros((team - 1, *group.saturations.shape), np.int64)
        bounds = np.zeros((len(group), plan.bounds_size), np.int64)
        first = [(rows, self._sizes, *(constants[d] for d in NUMPY), plan.packed,
                  *(arenas[d] for d in CHANGING), self._ports)
                 for rows in self._rows(team)]  # fmt: skip
        last = [(count, *(aligned(space[d], d) for d in ("i16", "i32", "i64")), bounds, rank, team,
                 shared)
                for rank, count in enumerate((group.saturations, *counts))]  # fmt: skip
        return Desk(self, team, first, last, bounds, shared, counts)

    def _drawn(
        self, draws: Draws | None, worlds: int, frames: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if not self._draws:
            if draws is not None:
                raise ProgramError("this program has no ports words and forced: run it without "
                                   "draws")  # fmt: skip
            return NO_DRAWS, NO_DRAWS
        if draws is None:
            raise ProgramError("this program draws: give it words and forced for each frame")
        words, forced = (self._checked(getattr(draws, name), worlds, name) for name in DRAWS)
        if not words.shape[1] == forced.shape[1] == frames:
            raise ProgramError(f"{frames} frames need {frames} rows of words and of forced")
        return words, forced

    def _limits_of(self, ports: tuple[str, ...]) -> tuple[int, int, int]:
        """Size, and the interval of what all of these ports take."""
        values = [self.program.values[name] for name in ports]
        return values[0].size, max(v.lo for v in values), min(v.hi for v in values)

    def _checked(self, rows: np.ndarray, worlds: int, *ports: str) -> np.ndarray:
        """Rows for all of these ports, whose intervals may differ."""
        size, lo, hi = self._limits[ports]
        if rows.ndim != 3 or len(rows) != worlds or rows.shape[2] != size:
            raise ProgramError(f"{ports[0]}: rows of {size} numbers are needed")
        if rows.dtype != INT32:
            self._check_interval(rows, ports)  # before a conversion wraps around
        if rows.dtype != INT32 or not rows.flags.carray:
            rows = np.array(rows, INT32, order="C")
        if loop.leaves(rows, lo, hi):
            self._check_interval(rows, ports)
        return rows

    def _check_interval(self, rows: np.ndarray, ports: tuple[str, ...]) -> None:
        for port in ports:
            value = self.program.values[port]
            if rows.size and not value.lo <= rows.min() <= rows.max() <= value.hi:
                raise ProgramError(f"{port}: a number outside of [{value.lo}, {value.hi}]")
