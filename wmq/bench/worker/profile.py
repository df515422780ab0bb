"""Where a frame's time goes, instruction by instruction."""

from __future__ import annotations

import copy
import time
from functools import cache

import numpy as np

from wmq.bench.worker.matches import ports
from wmq.bench.worker.messages import EMPTY, WHOLE
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource, Sampling
from wmq_kernels.engine import Engine, Group, loop
from wmq_kernels.isa import OPCODE

REPEATS = 5
WARM = 60  # frames before, so that values are those of a game
COUNT = 50  # frames at once, at least


def profile(engine: Engine, schema: Schema, seconds: float = 1.0) -> dict[str, float]:
    """Measure the microseconds of one world's frame by kind of instruction, the most first.

    Each row of the plan runs again and again by itself, less what a frame without rows
    takes.  What it reads is then nearer than in a whole frame, so that the sum comes to
    less than `WHOLE`, which stands in the table too, as `EMPTY` does.
    """
    names = {number: name for name, number in OPCODE.items()} | {loop.OP_DOTS: "dots"}
    # A name of the engine's own, since it has no way to run a part of a frame.
    rows = engine._rows(1)[0]
    group, (first, given) = engine.zero_group(1), ports(schema, 1)
    draws, needed = DrawSource(schema, 1, Sampling.of_worlds([0])), engine.program.roles.rows
    warm = engine.run_group(
        group, first[:, None], given[:, : needed(WARM)], WARM, draws=draws.next(WARM)
    )
    now = warm.made[:, -1:]
    alone = copy.copy(engine)
    each = seconds / (len(rows) + 2) / REPEATS  # seconds

    def microseconds(some: np.ndarray) -> float:
        """Time a frame of these rows: the least of REPEATS."""
        alone._rows = cache(lambda team: [some])
        found, count = [], COUNT
        for _ in range(1 + REPEATS):
            mine, drawn = _copied(engine, group), draws.next(count)
            rows_given = np.repeat(given[:, :1], needed(count), axis=1)
            began = time.perf_counter()
            alone.run_group(mine, now, rows_given, count, draws=drawn)
            spent = time.perf_counter() - began
            found.append(1e6 * spent / count)
            count = max(COUNT, int(count * each / spent))
        return min(found[1:])

    empty = microseconds(rows[:0])
    kinds: dict[str, float] = {}
    for number, row in enumerate(rows):
        name = names[int(row[0])]
        spent = microseconds(rows[number : number + 1]) - empty
        kinds[name] = kinds.get(name, 0.0) + max(spent, 0.0)
    ordered = dict(sorted(kinds.items(), key=lambda kind: -kind[1]))
    return {WHOLE: microseconds(rows), EMPTY: empty} | ordered


def _copied(engine: Engine, group: Group) -> Group:
    """Copy what a row writes: alone, again and again, it drives values astray."""
    found = engine.zero_group(len(group))
    for number in range(len(group)):
        found.put(number, group.copy(number))
    return found
