"""The integer program in our engine: whole frames always."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from wmq.bench.limit import group_size
from wmq.bench.messages import Answer, Request, Setup
from wmq.bench.worker.play import LENGTH, beginnings
from wmq.bench.worker.profile import profile
from wmq.bench.worker.timing import measured
from wmq.opening import open_program
from wmq.schema import Schema
from wmq_kernels.engine import Engine

STRETCH = 16  # frames, at least, that a group of worlds goes on by itself


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """setup.variant: "vnni" or "portable".  Raises ProgramError if this machine lacks it."""
    opened = open_program(setup.program)
    engine = Engine(opened.program, setup.variant)

    def answer(request: Request) -> Answer:
        if request.do == "profile":
            frames, pads = beginnings(opened.schema, 1)
            return Answer(table=profile(engine, frames[:, None], pads, request.seconds))
        if request.batch == 1:
            advance = _one_world(engine, opened.schema, setup.threads)
            return measured(advance, 1, request.seconds)
        with _many_worlds(engine, opened.schema, request.batch, setup.threads) as advance:
            return measured(advance, request.batch, request.seconds, STRETCH)

    return answer


def _one_world(engine: Engine, schema: Schema, threads: int) -> Callable[[int], object]:
    """`threads` share the work of each frame."""
    frames, pads = beginnings(schema, 1)
    state, now = engine.zero_state(), frames[:1].copy()

    def advance(steps: int) -> None:
        run = engine.run(state, now, pads[0, np.arange(steps + 1) % LENGTH], steps, threads=threads)
        now[:] = run.frames[-1:]

    return advance


@contextmanager
def _many_worlds(engine: Engine, schema: Schema, worlds: int,
                 threads: int) -> Iterator[Callable[[int], object]]:  # fmt: skip
    """Groups of worlds that each thread advances by `steps` frames, one group after the other."""
    size = group_size(worlds, threads)
    frames, pads = beginnings(schema, worlds)
    cuts = [slice(first, min(first + size, worlds)) for first in range(0, worlds, size)]
    groups = [engine.zero_group(cut.stop - cut.start) for cut in cuts]

    def run(rank: int, steps: int) -> None:
        turns = np.arange(steps + 1) % LENGTH
        for cut, group in list(zip(cuts, groups, strict=True))[rank::threads]:
            made = engine.run_group(group, frames[cut][:, None], pads[cut][:, turns], steps)
            frames[cut] = made.frames[:, -1]

    with ThreadPoolExecutor(threads) as pool:
        yield lambda steps: list(pool.map(run, range(threads), [steps] * threads))
