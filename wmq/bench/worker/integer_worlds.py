"""The integer program in our engine: whole frames always."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wmq.bench.speed.hardware_limit import group_size
from wmq.bench.worker.matches import LENGTH, beginnings
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.profile import profile
from wmq.bench.worker.timing import measured
from wmq.game.schema import Schema
from wmq.inference.model_files import open_program
from wmq_kernels.engine import Engine

STRETCH = 60  # frames, at least, that a group of worlds goes on by itself


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Open the program for setup.variant, "vnni" or "portable".

    Raises ProgramError if this machine lacks it.
    """
    opened = open_program(setup.program)
    engine = Engine(opened.program, setup.variant)

    def answer(request: Request) -> Answer:
        if request.do == "profile":
            frames, pads = beginnings(opened.schema, 1)
            return Answer(table=profile(engine, frames[:, None], pads, request.seconds))
        if request.batch == 1:
            advance = _one_world(engine, opened.schema, setup.threads)
            return measured(advance, 1, request.seconds)
        with ThreadPoolExecutor(setup.threads) as pool:
            worlds = _ManyWorlds(engine, opened.schema, request.batch, pool, setup.threads)
            return measured(worlds.advance, request.batch, request.seconds, STRETCH)

    return answer


def _one_world(engine: Engine, schema: Schema, threads: int) -> Callable[[int], object]:
    """Play one world; `threads` share the work of each frame."""
    frames, pads = beginnings(schema, 1)
    state, now = engine.zero_state(), frames[:1].copy()

    def advance(steps: int) -> None:
        run = engine.run(state, now, pads[0, np.arange(steps + 1) % LENGTH], steps, threads=threads)
        now[:] = run.frames[-1:]

    return advance


class _ManyWorlds:
    """Groups of worlds, each advanced by a thread of its own or by one after the other.

    frames  (worlds, frame_size) int32, the present ones
    """

    def __init__(self, engine: Engine, schema: Schema, worlds: int, pool: ThreadPoolExecutor,
                 threads: int):  # fmt: skip
        self._engine, self._pool, self._threads = engine, pool, threads
        self.frames, self._pads = beginnings(schema, worlds)
        size = group_size(worlds, threads)
        cuts = [slice(first, min(first + size, worlds)) for first in range(0, worlds, size)]
        self._groups = [(cut, engine.zero_group(cut.stop - cut.start)) for cut in cuts]

    def advance(self, steps: int) -> None:
        """Play `steps` frames of every world."""
        ranks = range(self._threads)
        list(self._pool.map(self._advance, ranks, [steps] * self._threads))

    def _advance(self, rank: int, steps: int) -> None:
        """Play one thread's groups."""
        turns = np.arange(steps + 1) % LENGTH
        for cut, group in self._groups[rank :: self._threads]:
            now, pads = self.frames[cut][:, None], self._pads[cut][:, turns]
            self.frames[cut] = self._engine.run_group(group, now, pads, steps).frames[:, -1]
