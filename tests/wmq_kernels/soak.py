"""The long fuzz: random programs, engine against oracle, for a given time.

    make soak MINUTES=10
    python -m tests.wmq_kernels.soak [--minutes M] [--seed S]
    python -m tests.wmq_kernels.soak --only SEED      one program again

A seed says all about a program: a single instruction drawn with care or without (which must
then be proven, or is left out), a graph of several, or one that is an agent or draws.  What
is compared are frames, heads, states and saturations; an execution is one instruction in one
frame, done by both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from random import Random

from tests.wmq_kernels.programs import Case, case_of_ports
from wmq_kernels.conformance.graphs import graph
from wmq_kernels.conformance.ports import KINDS_OF_PORTS
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import ROWS
from wmq_kernels.rangecheck import certified

FRAMES = 5
CHUNK = 25  # seeds that a worker does at a time


@dataclass
class Tally:
    """executions by instruction; programs compared and refused; the first difference."""

    executions: Counter[str] = field(default_factory=Counter)
    programs: int = 0
    refused: int = 0
    seed: int | None = None
    difference: str = ""

    def add(self, other: Tally) -> None:
        self.executions += other.executions
        self.programs += other.programs
        self.refused += other.refused
        if other.difference and not self.difference:
            self.seed, self.difference = other.seed, other.difference


def case_of(seed: int) -> Case | None:
    """The program of a seed with what the oracle makes of it; None if it cannot be proven."""
    rng = Random(seed)
    kind = rng.choices(("graph", "careful", "wild", "ports"), (5, 3, 2, 1))[0]
    if kind == "ports":
        return case_of_ports(rng.choice(sorted(KINDS_OF_PORTS)), seed)
    if kind == "graph":
        program, given = graph(seed)
        return Case(program, given, FRAMES)
    program, given = draw(rng.choice(sorted(RECIPES)), seed, wild=kind == "wild")
    try:
        program = certified(program)
    except ProgramError:
        return None
    return Case(program, given, FRAMES)


def compare(seeds: range) -> Tally:
    """Engine against oracle for each seed, until one differs."""
    tally = Tally()
    for seed in seeds:
        try:
            case = case_of(seed)
            difference = case.difference() if case else ""
        except Exception as error:  # the oracle refuses what was proven, or worse
            return Tally(seed=seed, difference=f"{type(error).__name__}: {error}")
        if case is None:
            tally.refused += 1
            continue
        tally.programs += 1
        for step in case.program.steps:
            tally.executions[step.op] += FRAMES
        if difference:
            tally.seed, tally.difference = seed, difference
            return tally
    return tally


def soak(first: int, seconds: float, workers: int = 2) -> Tally:
    """Compare seeds from `first` on until the time is over or one differs."""
    total = Tally()
    began = shown = time.monotonic()
    chunks = (range(at, at + CHUNK) for at in count(first, CHUNK))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _leave_interrupts) as pool:
        running = {pool.submit(compare, next(chunks)) for _ in range(2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            now = time.monotonic()
            left = seconds - (now - began)
            if left > 0 and not total.difference:
                running |= {pool.submit(compare, next(chunks)) for _ in done}
            if now - shown > 10:
                shown = now
                print(progress(total, now - began, left), file=sys.stderr)
    return total


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool


def progress(total: Tally, passed: float, left: float) -> str:
    done = total.executions.total()
    return (f"{done:,} executions of {total.programs:,} programs, {done / max(passed, 1e-9):,.0f} "
            f"a second, {max(left, 0):.0f} s left")  # fmt: skip


def report(total: Tally, first: int, seconds: float) -> str:
    lines = [f"{'instruction':16} {'executions':>12}"]
    lines += [f"{row.name:16} {total.executions[row.name]:12,}" for row in ROWS]
    seeds = total.programs + total.refused
    lines.append(f"{total.executions.total():,} instruction executions of {total.programs:,} "
                 f"programs compared in {seconds:.0f} s; {total.refused:,} were not proven; "
                 f"about {seeds:,} seeds from {first} on")  # fmt: skip
    if total.difference:
        lines.append(f"DIFFERENCE at seed {total.seed}: {total.difference}\n"
                     f"again: python -m tests.wmq_kernels.soak --only {total.seed}")  # fmt: skip
    else:
        lines.append("no difference")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="(default 10)")
    parser.add_argument("--seed", type=int, default=0, help="the first (default 0)")
    parser.add_argument("--only", type=int, metavar="SEED", help="compare this one alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    began = time.monotonic()
    first = options.seed if options.only is None else options.only
    if options.only is None:
        total = soak(first, 60 * options.minutes)
    else:
        total = compare(range(first, first + 1))
    seconds = time.monotonic() - began
    if options.json:
        print(
            json.dumps(
                {
                    "executions": total.executions.total(),
                    "seconds": round(seconds, 1),
                    "by_instruction": total.executions,
                    "programs": total.programs,
                    "refused": total.refused,
                    "first_seed": first,
                    "difference": total.difference,
                    "seed": total.seed,
                },
                indent=1,
            )
        )
    else:
        print(report(total, first, seconds))
    return int(bool(total.difference))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
