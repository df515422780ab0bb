"""Run a pack on an engine, and say where the first number differs.

A row of ENGINES is a way to run a proven program; another engine is one more row.  Files
are read by `decode` and `prove`, whichever engine runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from wmq_kernels.conformance.pack import Case, Pack, Refusal
from wmq_kernels.conformance.workers import in_order
from wmq_kernels.decoding import decode
from wmq_kernels.errors import ProgramError
from wmq_kernels.program import Draws, Program
from wmq_kernels.rangecheck import prove
from wmq_kernels.reference import Reference

CHUNK = 8  # cases that a worker takes at a time


@dataclass(frozen=True)
class Outcome:
    """What a run gave: made (T, size), heads (T, n), saturations (steps,), states."""

    made: np.ndarray
    heads: np.ndarray
    saturations: np.ndarray
    states: dict[str, np.ndarray]


# A program, given rows, rows of inputs, how many frames, and draws if it has the ports.
EngineRow = Callable[[Program, np.ndarray, np.ndarray, int, Draws | None], Outcome]


def by_oracle(program: Program, given: np.ndarray, inputs: np.ndarray, frames: int,
              draws: Draws | None = None) -> Outcome:  # fmt: skip
    reference = Reference(program)
    run = reference.run(given.tolist(), inputs.tolist(), frames, heads=True, draws=draws)
    states = {name: np.array(numbers, np.int64) for name, numbers in reference.state.items()}
    return Outcome(np.array(run.made, np.int64), np.array(run.heads, np.int64),
                   np.array(run.saturations, np.int64), states)  # fmt: skip


def by_numba(program: Program, given: np.ndarray, inputs: np.ndarray, frames: int,
             draws: Draws | None = None, kernels: str = "auto") -> Outcome:  # fmt: skip
    """In the compiled engine, with the kernels of that name."""
    from wmq_kernels.engine import Engine

    engine = Engine(program, kernels)
    state = engine.zero_state()
    run = engine.run(state, given, inputs, frames, heads=True, draws=draws)
    assert run.heads is not None
    kept = [v.name for v in program.values.values() if v.kind == "state"]
    return Outcome(run.made, run.heads, state.saturations,
                   {name: engine.value(state, name).ravel() for name in kept})  # fmt: skip


ENGINES: dict[str, EngineRow] = {
    "numba": by_numba,
    "vnni": partial(by_numba, kernels="vnni"),
    "portable": partial(by_numba, kernels="portable"),
    "oracle": by_oracle,
}


@dataclass(frozen=True)
class Difference:
    """frame, value, element, expected and found are None where the run did not begin."""

    kind: str
    case: str
    what: str
    frame: int | None = None
    value: str | None = None
    element: int | None = None
    expected: int | None = None
    found: int | None = None


@dataclass(frozen=True)
class Report:
    """passed: cases of each kind that agree, refusals among them.

    other_class  refused files for which the reader gives another class, which it may
    """

    passed: dict[str, int]
    differences: list[Difference]
    other_class: int


def run_pack(pack: Pack, engine: str, processes: int,
             progress: Callable[[str, int, int], None]) -> Report:  # fmt: skip
    """All cases and refusals; `progress` hears how many of how many are done.

    The first case runs here before workers begin, so that an engine is compiled once.
    """
    total = len(pack.cases) + len(pack.refusals)
    passed = dict.fromkeys(pack.header.counts, 0)
    differences, other_class = [], 0
    progress("compile", 0, 1)
    if total:
        _try(0, pack, engine)
    progress("compile", 1, 1)
    tried = in_order(_try, range(total), processes, (pack, engine), CHUNK)
    for done, (kind, difference, same_class) in enumerate(tried, 1):
        other_class += not same_class
        if difference is None:
            passed[kind] += 1
        else:
            differences.append(difference)
        progress("run", done, total)
    return Report(passed, differences, other_class)


def _try(number: int, pack: Pack, engine: str) -> tuple[str, Difference | None, bool]:
    if number < len(pack.cases):
        case = pack.cases[number]
        return case.kind, _try_case(pack, case, ENGINES[engine]), True
    refusal = pack.refusals[number - len(pack.cases)]
    return "refusals", *_try_refusal(pack, refusal)


def _try_case(pack: Pack, case: Case, run: EngineRow) -> Difference | None:
    try:
        program = decode(pack.file(case.program))
        prove(program)
    except ProgramError as error:
        return Difference(case.kind, case.name, f"is refused: {error}")
    misfit = _misfit(case, program)
    if misfit:
        return Difference(case.kind, case.name, misfit)
    try:
        draws = Draws(*map(pack.array, case.draws)) if case.draws else None
        outcome = run(program, pack.array(case.given), pack.array(case.inputs), case.frames, draws)
    except ProgramError as error:
        return Difference(case.kind, case.name, f"does not run: {error}")
    return next(_differences(pack, case, program.roles.made, outcome), None)


def _misfit(case: Case, program: Program) -> str | None:
    """Which of the case's arrays has not the size that the program gives it, if any."""
    roles = program.roles
    if bool(case.draws) != bool(program.draws):
        return "the case or the program has draws, the other none"
    sizes = {name: program.values[port].size for name, port in (
        ("given", roles.fed), ("inputs", roles.inputs[0]), ("made", roles.made),
        ("heads", "heads"), *((name, name) for name in program.draws))}  # fmt: skip
    sizes["saturations"] = len(program.steps)
    columns = {name: getattr(case, name).columns for name in sizes}
    states = {v.name: v.size for v in program.values.values() if v.kind == "state"}
    if set(states) != set(case.states):
        return "the program has other states"
    sizes |= {_state(name): size for name, size in states.items()}
    columns |= {_state(name): array.columns for name, array in case.states.items()}
    for name, size in sizes.items():
        if columns[name] != size:
            return f"{name} has {columns[name]} numbers a row, the program {size}"
    return None


def _state(name: str) -> str:
    return f"state {name!r}"


def _differences(pack: Pack, case: Case, made: str, outcome: Outcome) -> Iterator[Difference]:
    """In the order of frames, then what is left after the last one."""
    last = case.frames - 1
    rows = [*_first(case, made, pack.array(case.made), outcome.made),
            *_first(case, "heads", pack.array(case.heads), outcome.heads)]  # fmt: skip
    yield from sorted(rows, key=lambda difference: difference.frame or 0)
    yield from _first(case, "saturations", pack.array(case.saturations),
                      outcome.saturations[None], last)  # fmt: skip
    for name, array in sorted(case.states.items()):
        yield from _first(case, _state(name), pack.array(array), outcome.states[name][None], last)


def _first(case: Case, name: str, wanted: np.ndarray, found: np.ndarray,
           frame: int = 0) -> Iterator[Difference]:  # fmt: skip
    """The first number that differs, if any; row 0 is that of `frame`."""
    for row, column in np.argwhere(wanted != found)[:1].tolist():
        expected, got = int(wanted[row, column]), int(found[row, column])
        yield Difference(case.kind, case.name,
                         f"frame {frame + row}, {name}[{column}]: expected {expected}, "
                         f"found {got}", frame + row, name, column, expected, got)  # fmt: skip


def _try_refusal(pack: Pack, refusal: Refusal) -> tuple[Difference | None, bool]:
    """What is wrong, if the file is not refused; and whether the class is the pack's."""
    try:
        prove(decode(pack.file(refusal.program)))
    except ProgramError as error:
        return None, error.reason == refusal.reason
    except Exception as error:  # F7: no input may make a reader fail in another way
        what = f"fails with {type(error).__name__} where it must refuse ({refusal.reason})"
        return Difference("refusals", refusal.name, what), True
    what = f"is accepted, must be refused ({refusal.reason})"
    return Difference("refusals", refusal.name, what), True
