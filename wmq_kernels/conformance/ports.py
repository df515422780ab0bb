"""Draw random small programs of each kind and with draws, and a run of each.

They are graphs (`graphs`) whose instructions read every port, and what is fed back is
computed, so that a port that is set wrongly, late or not at all is an error everywhere.
"""

from __future__ import annotations

from random import Random

import numpy as np

from wmq_kernels.conformance.builder import PADS, Builder, Interval, Rows, numbers
from wmq_kernels.conformance.graphs import GraphBuilder
from wmq_kernels.conformance.recipes import RECIPES, Drawing
from wmq_kernels.conformance.trials.trial import Trial
from wmq_kernels.isa import INT32
from wmq_kernels.program import BY_WORD, LIKELIEST, ROLES, Draws, Program, Slice, Value
from wmq_kernels.rangecheck import certified

KINDS_OF_PORTS = {"world with draws": ("world", True), "agent": ("agent", False),
                  "agent with draws": ("agent", True)}  # fmt: skip
FRAMES, GIVEN = 5, 2
LARGEST_GRAPH = 6  # instructions, besides those that feed and show them


def ports_program(of: str, rng: Random) -> tuple[Program, GraphBuilder]:
    """A certified program of a kind of KINDS_OF_PORTS, and its builder."""
    kind, draws = KINDS_OF_PORTS[of]
    roles, b = ROLES[kind], GraphBuilder(rng)
    b.part(1, INT32)
    for name in sorted({roles.fed, *roles.inputs} - {"frame"}):
        b.values[name] = Value(name, "i32", (PADS,), "temp", *INT32)
        b.written.append(Slice(name, 0, PADS))
    if draws:
        b.written += b.draws(rng.choice((1, 2, 5, 64)), _forced(rng))
    for at in list(b.written):
        seen = b.temp("seen", "i32", at.count, INT32)
        b.step("copy", {"x": at, "out": seen}, n=at.count)
        b.show(at.value, seen)
    for op in rng.choices(sorted(RECIPES), k=rng.randint(1, LARGEST_GRAPH)):
        RECIPES[op](Drawing(rng, b, wild=False))
    counts = [count for count, _ in b.fed] if roles.fed == "frame" else [1] * PADS
    after = b.following(roles.fed, counts)
    one, other = (Slice(name, 0, 1) for name in (roles.fed, roles.inputs[0]))
    b.step("add", {"a": one, "b": other, "out": Slice(after.value, 0, 1)}, n=1, lo=INT32[0],
           hi=INT32[1])  # fmt: skip
    _write_over_a_port(b, draws)
    return certified(b.program(after, kind=kind)), b


def _forced(rng: Random) -> Interval:
    """The least interval, an odd one or the widest."""
    return rng.choice(((LIKELIEST, BY_WORD), (-7, 542), INT32))


def _write_over_a_port(b: Builder, draws: bool) -> None:
    """Ports are temps like any other, and set anew before each frame."""
    for name in ("controllers", "words") if draws else ("controllers",):
        if b.rng.random() < 0.5:
            b.step("copy", {"x": Slice("frame", 0, 1), "out": Slice(name, 0, 1)}, n=1)


def run_of(of: str, seed: int) -> Trial:
    """A program and its run, of whose frames the last ones are fed what it made."""
    rng = Random(seed)
    program, b = ports_program(of, rng)
    pads = [numbers(rng, PADS, INT32) for _ in range(FRAMES + 1)]
    draws = None
    if program.draws:
        size, forced = program.values["words"].size, program.values["forced"]
        draws = Draws(_rows([numbers(rng, size, INT32) for _ in range(FRAMES)]),
                      _rows([_choices(rng, size, (forced.lo, forced.hi))
                             for _ in range(FRAMES)]))  # fmt: skip
    if program.kind == "world":
        return Trial(program, b.frames(GIVEN), pads, draws)
    return Trial(program, pads[:GIVEN], b.frames(FRAMES), draws)


def _choices(rng: Random, count: int, interval: Interval) -> list[int]:
    """Numbers for `forced`, of which many leave the choice to the word or the likeliest."""
    free = numbers(rng, count, interval)
    return [rng.choice((LIKELIEST, BY_WORD, number)) for number in free]


def _rows(rows: Rows) -> np.ndarray:
    return np.array(rows, np.int32)
