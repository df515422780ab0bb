"""The integer program in our engine, a world or an agent by itself: whole frames always."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wmq.bench.speed.hardware_limit import group_size
from wmq.bench.worker.matches import LENGTH, ports
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.profile import profile
from wmq.bench.worker.timing import measured
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.model_files import open_program
from wmq_kernels.engine import Engine

STRETCH = 60  # frames, at least, that a group of worlds goes on by itself


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Open the program for setup.variant, "vnni" or "portable".

    Raises ProgramError if this machine lacks it.
    """
    opened = open_program(setup.program, None)
    engine = Engine(opened.program, setup.variant)

    def answer(request: Request) -> Answer:
        if request.do == "profile":
            return Answer(table=profile(engine, opened.schema, request.seconds))
        if request.batch == 1:
            world = WorldGroup(engine, opened.schema, *ports(opened.schema, 1))
            return measured(lambda n: world.advance(n, setup.threads), 1, request.seconds)
        with ThreadPoolExecutor(setup.threads) as pool:
            worlds = _ManyWorlds(engine, opened.schema, request.batch, pool, setup.threads)
            return measured(worlds.advance, request.batch, request.seconds, STRETCH)

    return answer


class WorldGroup:
    """Some of all worlds side by side; the seed of what they draw is their number.

    now  (worlds, n) int32: the present frames, or an agent's present controllers
    """

    def __init__(self, engine: Engine, schema: Schema, first: np.ndarray, given: np.ndarray,
                 number: int = 0):  # fmt: skip
        """first, given: see `ports`; number: of the first of these worlds."""
        self.now, self._given = first.copy(), given
        self._engine, self._group = engine, engine.zero_group(len(first))
        seeds = range(number, number + len(first))
        self._draws = DrawSource(schema, len(first), Sampling.of_worlds(seeds))

    def advance(self, steps: int, threads: int = 1) -> None:
        """Play `steps` frames; `threads` share the work of each."""
        given = self._given[:, np.arange(self._engine.program.roles.rows(steps)) % LENGTH]
        run = self._engine.run_group(self._group, self.now[:, None], given, steps,
                                     threads=threads, draws=self._draws.next(steps))  # fmt: skip
        self.now[:] = run.made[:, -1]


class _ManyWorlds:
    """Groups of worlds, each advanced by a thread of its own or by one after the other."""

    def __init__(self, engine: Engine, schema: Schema, worlds: int, pool: ThreadPoolExecutor,
                 threads: int):  # fmt: skip
        self._pool, self._threads = pool, threads
        size = group_size(worlds, threads)
        first, given = ports(schema, worlds)
        self.groups = [WorldGroup(engine, schema, first[at : at + size], given[at : at + size], at)
                       for at in range(0, worlds, size)]  # fmt: skip

    def advance(self, steps: int) -> None:
        """Play `steps` frames of every world."""
        ranks = range(self._threads)
        list(self._pool.map(self._advance, ranks, [steps] * self._threads))

    def _advance(self, rank: int, steps: int) -> None:
        """Play one thread's groups."""
        for group in self.groups[rank :: self._threads]:
            group.advance(steps)
