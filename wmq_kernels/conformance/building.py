"""Plan and build the pack: every expected number is the oracle's.

`plan` lists what there is, without computing anything; `build` has workers make each trial
and run it on the reference, and writes what they send in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from wmq_kernels.conformance.graphs import graph
from wmq_kernels.conformance.network import START, network
from wmq_kernels.conformance.pack import Header, Writer, folder_beside
from wmq_kernels.conformance.ports import KINDS_OF_PORTS, run_of
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.conformance.refusals.damage import made, refusals
from wmq_kernels.conformance.running import Outcome, by_oracle
from wmq_kernels.conformance.trials import boundaries, exhaustive, remembering, rules, sampling
from wmq_kernels.conformance.trials.trial import Trial, pads
from wmq_kernels.conformance.workers import in_order
from wmq_kernels.program import encode

DRAWS = 176  # programs of each recipe
GRAPHS = 640
PORTED = 32  # programs of each kind of ports
NETWORKS, NETWORK_FRAMES = 8, 60
GIVEN = 2  # frames that a graph is given; the last one is its own
SEEDS = 1 << 32  # apart: pack seeds share no graph


@dataclass(frozen=True)
class Job:
    kind: str
    name: str
    make: Callable[[], Trial]


def plan(seed: int) -> list[Job]:
    """All cases of the pack, in order."""
    first = seed * SEEDS
    jobs = [Job("exhaustive", name, make) for name, make in exhaustive.TRIALS.items()]
    jobs += [Job("boundaries", name, make) for room in (boundaries, remembering, rules, sampling)
             for name, make in room.TRIALS.items()]  # fmt: skip
    jobs += [Job("graphs", f"{op} {number}", partial(drawn, op, first + number))
             for op in RECIPES for number in range(DRAWS)]  # fmt: skip
    jobs += [Job("graphs", f"graph {number}", partial(chained, first + number))
             for number in range(GRAPHS)]  # fmt: skip
    jobs += [Job("ports", f"{kind} {number}", partial(run_of, kind, first + number))
             for kind in KINDS_OF_PORTS for number in range(PORTED)]  # fmt: skip
    jobs += [Job("networks", f"network {number}", partial(rolled, first + number))
             for number in range(NETWORKS)]  # fmt: skip
    return jobs


def drawn(op: str, seed: int) -> Trial:
    """One instruction; its next frame is the present one."""
    program, given = draw(op, seed)
    return Trial(program, given, pads(len(given)))


def chained(seed: int) -> Trial:
    """Instructions that feed each other; the last frame is the program's own."""
    program, given = graph(seed)
    return Trial(program, given[:GIVEN], pads(GIVEN + 1))


def rolled(seed: int) -> Trial:
    """A rollout of a network from one frame."""
    rng = Random(seed)
    rows = [[rng.randint(-3_000_000, 3_000_000) for _ in range(2)]
            for _ in range(NETWORK_FRAMES + 1)]  # fmt: skip
    return Trial(network(seed), [START], rows)


@dataclass(frozen=True)
class _Made:
    content: bytes
    numbers: dict[str, np.ndarray]
    outcome: Outcome


def _make(job: Job) -> _Made:
    trial = job.make()
    numbers = {"given": np.array(trial.given), "inputs": np.array(trial.inputs)}
    if trial.draws is not None:
        numbers |= {"words": trial.draws.words, "forced": trial.draws.forced}
    outcome = by_oracle(trial.program, numbers["given"], numbers["inputs"], trial.frames,
                        trial.draws)  # fmt: skip
    return _Made(encode(trial.program), numbers, outcome)


def build(folder: Path, seed: int, processes: int, progress: Callable[[str, int, int], None],
          every: int = 1) -> Header:  # fmt: skip
    """Write a pack; `every` > 1 takes only each such case.  Raises PackError if it is there."""
    jobs, refused = plan(seed)[::every], refusals()[::every]
    total = len(jobs) + len(refused)
    with folder_beside(folder) as beside:
        writer = Writer(beside)
        try:
            for done, (job, case) in enumerate(
                zip(jobs, in_order(_make, jobs, processes, chunk=4), strict=True), 1
            ):
                _write(writer, job, case)
                progress("build", done, total)
            for done, one in enumerate(refused, len(jobs) + 1):
                writer.refusal(one.name, one.reason, made(one))
                progress("build", done, total)
            return writer.finish(seed)
        finally:
            writer.close()


def _write(writer: Writer, job: Job, case: _Made) -> None:
    o = case.outcome
    numbers = case.numbers | {"made": o.made, "heads": o.heads,
                              "saturations": o.saturations[None]}  # fmt: skip
    states = {name: state[None] for name, state in o.states.items()}
    writer.case(job.kind, job.name, case.content, len(o.made), numbers, states)
