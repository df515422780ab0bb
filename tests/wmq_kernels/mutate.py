"""The mutation test: changes in the kernels, one at a time, that the comparisons must notice.

    make mutate
    python -m tests.wmq_kernels.mutate [--sample N] [--seed S] [--json]

The kernels run interpreted, as compiling each of a thousand mutants would take hours; this is
also why no mutation library is used: mutmut and cosmic-ray start the test runner anew for
each mutant and know nothing of kernels that numba compiles and caches.  The oracle's results
for a fixed set of programs are computed once; each mutant then runs in a fork of its own.
"""

from __future__ import annotations

import os

os.environ["NUMBA_DISABLE_JIT"] = "1"

import argparse
import ast
import json
import multiprocessing
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.wmq_kernels.mutants import Mutant, mutants
from tests.wmq_kernels.programs import Case, case_of_ports
from wmq_kernels import engine
from wmq_kernels.conformance.network import START, network
from wmq_kernels.conformance.ports import KINDS_OF_PORTS
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.engine import frame_kernels, frame_steps, kernels, loop

SOURCES = {Path(one.__file__).name: Path(one.__file__).read_text("utf-8")
           for one in (kernels, frame_kernels, frame_steps, loop)}  # fmt: skip
SEEDS = range(24)  # of each instruction's recipe
TIMEOUT = 30  # seconds of one mutant's comparisons, after which it counts as noticed
ENOUGH = 0.95
# Function, part of the line, change: why no program that is proven can show it.
ONE = "the operand has one element, so its last is its first"
LONGER = "the callee reads as many elements as its other operand has"
ALONE = "the interpreted kernels run in one thread; teams have tests of their own"
PLAIN = "the interpreted kernels are the plain ones; the others have tests of their own"
NARROW = "what is multiplied or subtracted fits int32"
EQUIVALENT = (
    *(
        (function, "[0]", "0 -> -1", ONE)
        for function in (
            "embed",
            "argmax",
            "age",
            "place",
            "frame_move",
            "sample",
            "timed",
            "cross",
            "strike",
            "blank",
            "stand",
            "inside",
            "fall",
            "fade",
            "hold_above",
            "override",
            "near",
            "drift",
        )
    ),
    ("embed", "(row + 1) * dim", "1 -> 2", LONGER),
    ("run_frames", "turn", "", ALONE),
    ("run_frames", "rank", "", ALONE),
    ("run_frames", "team", "", ALONE),
    ("run_frames", "meet(", "", ALONE),
    ("dots", "y >= 0", "y >= 0 -> y > 0", "no value stands at 0"),
    ("dots", "y >= 0", "0 -> 1", "no value stands at 0"),
    ("take_in", ">= 0", "] > 0", "no value stands at 0"),
    ("take_in", ">= 0", "0 -> 1", "no value stands at 0"),
    ("leaves", "", "", "what is compared are sound runs; refusals have tests of their own"),
    ("dots", "range(0, o, ROWS)", "ROWS - 1)", "a row that is computed twice stays the same"),
    ("dots", "(world + 1) * n", "1 -> 2", LONGER),
    ("run_step", "vnni_scan.", "", PLAIN),
    ("place", "(k + 1) * n", "1 -> 2", LONGER),
    ("sample", "(row + 1) * n", "1 -> 2", LONGER),
    ("conv", "np.int64(x[i])", "np.int32(x[i])", NARROW),
    ("convolve_row", "np.int64(history[i])", "np.int32(history[i])", NARROW),
    ("silu", "np.int64(far[i])", "np.int32(near[i])", NARROW),
    ("gate", "np.int64(a[i])", "np.int32(a[i]) * np.int32(b[i])", NARROW),
    ("silu", "if v < 0", "v < 0 -> v <= 0", "x = 0 gives 0 whatever g is"),
    ("silu", "if v < 0", "0 -> 1", "x = 0 gives 0 whatever g is"),
    ("hadamard", "passes = 0", "0 -> 1", "a block has two elements at least"),
    ("fall", "v >= lowest", "v > lowest", "a speed that is the terminal one stays it"),
    ("fade", "m <= amount", "m < amount", "amount - amount is 0, and so is the quotient"),
    ("hold_above", "level[k] > y[0]", "level[k] >= y[0]", "a height at the level stays there"),
    ("drift", "v > asked", "v >= asked", "the speed that is asked for stays it"),
    ("drift", "v < asked", "v <= asked", "the speed that is asked for stays it"),
    ("drift", "s > 0", "0 -> 1", "s is even"),
    ("drift", "s < 0", "0 -> -1", "s is even"),
    ("argmax", "range(1, len(x))", "1 -> 0", "the first element is not above itself"),
)


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    killed_by: str  # "" if nothing noticed

    @property
    def equivalent(self) -> str:
        m = self.mutant
        reasons = (
            why
            for function, code, text, why in EQUIVALENT
            if function == m.function and code in m.code and m.text.endswith(text)
        )
        return "" if self.killed_by else next(reasons, "")


def cases(seeds: range = SEEDS) -> dict[str, list[Case]]:
    """What each instruction is compared on, and under "ports" and "network" what all are."""
    found = {op: [Case(*draw(op, seed), frames=4) for seed in seeds] for op in RECIPES}
    found["ports"] = [case_of_ports(of, seed) for of in KINDS_OF_PORTS for seed in range(4)]
    found["network"] = [Case(network(seed), [START], frames=4) for seed in range(2)]
    return found


def all_mutants() -> list[Mutant]:
    return [mutant for file, source in SOURCES.items() for mutant in mutants(source, file)]


def first_of(function: str) -> list[str]:
    """The instructions that a function of the kernels serves, which are compared first."""
    helpers = {"dots": ["dot", "dot_add"], "widen": ["dot"], "add_digit": ["dot", "dot_add"],
               "accumulate": ["dot_add"],
               "convolve_row": ["conv"], "scan_row": ["scan"], "scan_carry_row": ["scan_carry"],
               "scan_carry_rows": ["scan_carry"], "pass_by": ["scan", "scan_carry"],
               "products": ["dot"],
               "read_out": ["scan", "scan_carry"], "norm_factor": ["rms_norm"],
               "isqrt": ["rms_norm", "fade"], "butterflies": ["hadamard"],
               "embed": ["embed", "lookup"],
               "greatest": ["sample"], "weigh": ["sample"]}  # fmt: skip
    return helpers.get(function) or [
        op for op in RECIPES if op == function or op.startswith(f"{function}_i")
    ]


def noticed(mutant: Mutant, programs: Mapping[str, Sequence[Case]]) -> str:
    """What shows the change first: a difference, an exception, or time running out."""
    first = first_of(mutant.function)
    signal.signal(signal.SIGALRM, _ring)
    signal.alarm(TIMEOUT)
    try:
        engine.loop = loop_of(mutant)  # type: ignore[assignment]
        for name in [*first, *(name for name in programs if name not in first)]:
            for case in programs[name]:
                difference = case.difference()
                if difference:
                    return f"{name}: {difference}"
    except Exception as error:
        return type(error).__name__
    finally:
        signal.alarm(0)
        engine.loop = loop
    return ""


def loop_of(mutant: Mutant) -> types.ModuleType:
    """The frame loop and its kernels with the change made in one of them."""
    made = {}
    for file, source in SOURCES.items():
        tree = mutant.tree(source) if file == mutant.file else ast.parse(source)
        made[file] = types.ModuleType(file)
        exec(compile(tree, file, "exec"), made[file].__dict__)
    changed = made["loop.py"]
    changed.kernels = made["kernels.py"]  # type: ignore[attr-defined]
    changed.frame_kernels = made["frame_kernels.py"]  # type: ignore[attr-defined]
    steps = made["frame_steps.py"]
    steps.frame_kernels = made["frame_kernels.py"]  # type: ignore[attr-defined]
    changed.run_frame_step = steps.run_frame_step  # type: ignore[attr-defined]
    return changed


def _ring(*_: object) -> None:
    raise TimeoutError


def run(
    chosen: Sequence[Mutant], programs: Mapping[str, Sequence[Case]], workers: int = 2
) -> Iterator[Outcome]:
    """Each mutant in a fork of its own, as it may write where it should not."""
    context = multiprocessing.get_context("fork")  # which hands over what no pipe can carry
    with context.Pool(workers, _begin, (chosen, programs), maxtasksperchild=1) as pool:
        for mutant, by in zip(chosen, pool.imap(_work, range(len(chosen))), strict=True):
            yield Outcome(mutant, by)


def _begin(chosen: Sequence[Mutant], programs: Mapping[str, Sequence[Case]]) -> None:
    global _given
    _given = chosen, programs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    warnings.simplefilter("ignore")  # numpy warns when a mutant's scalar wraps around


def _work(number: int) -> str:
    chosen, programs = _given
    return noticed(chosen[number], programs)


def score(outcomes: Sequence[Outcome]) -> float:
    """Share of the mutants that were noticed, of those that could be."""
    counted = [o for o in outcomes if not o.equivalent]
    return sum(o.killed_by != "" for o in counted) / max(len(counted), 1)


def report(outcomes: Sequence[Outcome]) -> str:
    """A line for each kind of change, each survivor, and the share."""
    lines = [f"{'change':12} {'mutants':>8} {'noticed':>8} {'equivalent':>11}"]
    for kind in sorted({o.mutant.kind for o in outcomes}):
        mine = [o for o in outcomes if o.mutant.kind == kind]
        killed = sum(o.killed_by != "" for o in mine)
        equivalent = sum(o.equivalent != "" for o in mine)
        lines.append(f"{kind:12} {len(mine):8} {killed:8} {equivalent:11}")
    for o in outcomes:
        if not o.killed_by:
            why = f"  equivalent: {o.equivalent}" if o.equivalent else ""
            m = o.mutant
            lines.append(f"survived: {m.file}:{m.line} {m.function}: {m.text}{why}")
    return "\n".join([*lines, f"noticed: {100 * score(outcomes):.2f} % of those that could be"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, metavar="N", help="mutants drawn (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    chosen = all_mutants()
    if options.sample is not None:
        chosen = Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    programs = cases()
    wrong = [f"{name}: {d}" for name, group in programs.items() for d in
             (case.difference() for case in group) if d]  # fmt: skip
    if wrong:
        print(f"the kernels differ from the oracle without any change: {wrong[0]}", file=sys.stderr)
        return 1
    outcomes: list[Outcome] = []
    began = shown = time.monotonic()
    for outcome in run(chosen, programs):
        outcomes.append(outcome)
        now = time.monotonic()
        if now - shown > 5:
            shown, left = now, (now - began) / len(outcomes) * (len(chosen) - len(outcomes))
            alive = sum(not o.killed_by for o in outcomes)
            print(f"{len(outcomes)} of {len(chosen)} mutants, {alive} not noticed, "
                  f"{left:.0f} s left", file=sys.stderr)  # fmt: skip
    if options.json:
        rows = [{"kind": o.mutant.kind, "function": o.mutant.function, "line": o.mutant.line,
                 "change": o.mutant.text, "noticed_by": o.killed_by, "equivalent": o.equivalent}
                for o in outcomes]  # fmt: skip
        print(json.dumps({"score": score(outcomes), "mutants": rows}, indent=1))
    else:
        print(report(outcomes))
    return int(score(outcomes) < ENOUGH)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
