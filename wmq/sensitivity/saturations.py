"""How often the integer engine saturates on real games, by instruction and value."""

from __future__ import annotations

from collections.abc import Sequence

from wmq.game.schema import Schema
from wmq.game.targets import true_draws
from wmq.inference.draws import forced_draws
from wmq.progress import Progress, silent
from wmq.replays.slippi import Game
from wmq_kernels.engine import Engine
from wmq_kernels.isa import TABLE
from wmq_kernels.program import Program, Step

PIECE = 4096  # frames that the engine runs at a time


def count_saturations(
    program: Program, schema: Schema, games: Sequence[Game], progress: Progress = silent
) -> dict[str, int]:
    """Tell how often each instruction of the engine saturated over the games, by "op value".

    schema  of the program; what it draws is what the games drew
    """
    engine = Engine(program)
    title, total = "counting saturations", sum(len(game.frames) - 1 for game in games)
    counts = engine.zero_state().saturations
    done = 0
    for game in games:
        state, last = engine.zero_state(), len(game.frames) - 1
        drawn = true_draws(schema, game.frames, game.controllers)
        for first in range(0, last, PIECE):
            end = min(first + PIECE, last)
            draws = forced_draws(drawn[first:end]) if schema.draws else None
            engine.run(state, game.frames[first:end], game.controllers[first : end + 1],
                       end - first, draws=draws)  # fmt: skip
            done += end - first
            progress(title, done, total)
        counts += state.saturations
    found: dict[str, int] = {}
    for made, count in zip(program.steps, counts.tolist(), strict=True):
        found[_label(program, made)] = found.get(_label(program, made), 0) + count
    return found


def _label(program: Program, made: Step) -> str:
    """Return the instruction and what it writes, or what it reads if it writes digits."""
    out = made.operands.get("out") or made.operands["x"]
    if out.count == program.values[out.value].size:
        return f"{made.op} {out.value}"
    return f"{made.op} {out.value}[{out.start}:{out.start + out.count}]"


def saturable(program: Program) -> int:
    """Tell how many elements a frame's instructions write that may have been clamped."""
    return sum(
        made.operands[operand.name].count
        for made in program.steps
        if TABLE[made.op].saturates
        for operand in TABLE[made.op].operands
        if operand.access == "write"
    )
