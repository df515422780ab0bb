"""Hostile files: one thing of a proven program changed, everything else made right again.

The writer of such a file knows the format: `data_sha256` fits, and half of the time the
certificate is made anew, if the changed program can still be proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from wmq_kernels.conformance.builder import numbers, whole
from wmq_kernels.decoding import decode
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import TABLE
from wmq_kernels.program import Program, encode
from wmq_kernels.rangecheck import certified, prove
from wmq_kernels.reference import Reference

FRAMES = 6
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Tampered:
    """what  the kind of change and its place; program  with the certificate that the file has."""

    what: str
    program: Program


@dataclass(frozen=True)
class Verdict:
    """reason  the class of the refusal, or ACCEPTED
    broke   whether extreme inputs make the oracle raise, for whoever runs it all the same
    """

    what: str
    reason: str
    broke: bool


def tampered(program: Program, rng: Random) -> Tampered:
    """A program with one change, drawn from all kinds."""
    kind = rng.choice([k for k in sorted(KINDS) if program.data or k != "constant"])
    what, changed = KINDS[kind](program, rng)
    if kind != "certificate" and rng.random() < 0.5:
        try:
            changed = certified(decode(encode(changed)))
        except ProgramError:
            pass  # the file is refused before, or no certificate would do: the old one stays
    return Tampered(f"{kind} {what}", changed)


def read(program: Program) -> str:
    """The class for which the program's file is refused, or ACCEPTED."""
    try:
        prove(decode(encode(program)))
    except ProgramError as error:
        return error.reason
    return ACCEPTED


def judge(found: Tampered, rng: Random) -> Verdict:
    """What the reader says of the file; an accepted one is run, as is one refused as unsafe."""
    reason = read(found.program)
    return Verdict(found.what, reason, reason in (ACCEPTED, "range") and breaks(found.program, rng))


def breaks(program: Program, rng: Random) -> bool:
    """Whether the oracle raises over some frames at the ends of the inputs' intervals."""
    frame, pads = program.values["frame"], program.values["controllers"]
    ends = [[frame.lo] * frame.size, [frame.hi] * frame.size]
    mixed = [numbers(rng, frame.size, (frame.lo, frame.hi)) for _ in range(FRAMES - 2)]
    rows = [numbers(rng, pads.size, (max(pads.lo, program.values["next_controllers"].lo),
                                     min(pads.hi, program.values["next_controllers"].hi)))
            for _ in range(FRAMES + 1)]  # fmt: skip
    try:
        Reference(program).run([*ends, *mixed], rows, FRAMES)
    except ProgramError:
        return True
    return False


# --- the kinds of change ----------------------------------------------------------------


def _number(rng: Random, old: int, lo: int, hi: int) -> int:
    """Another number of an interval, near to the old one or anywhere."""
    near = [v for v in (old - 1, old + 1, 2 * old, -old) if lo <= v <= hi and v != old]
    if near and rng.random() < 0.5:
        return rng.choice(near)
    drawn = numbers(rng, 1, (lo, hi))[0]
    return drawn if drawn != old else (lo if old != lo else hi)


def _constant(program: Program, rng: Random) -> tuple[str, Program]:
    """A weight, multiplier, shift, bias or table entry; its interval is widened, or left."""
    name = rng.choice(sorted(program.data))
    value, array = program.values[name], program.data[name].copy()
    at = rng.randrange(len(array))
    new = _number(rng, int(array[at]), *whole(value.dtype))
    array[at] = new
    values = dict(program.values)
    if rng.random() < 0.8:
        values[name] = replace(value, lo=min(value.lo, new), hi=max(value.hi, new))
    changed = replace(program, values=values, data={**program.data, name: array})
    return f"{name}[{at}] = {new}", changed


def _interval(program: Program, rng: Random) -> tuple[str, Program]:
    name = rng.choice(sorted(program.values))
    value = program.values[name]
    end = rng.choice(("lo", "hi"))
    new = _number(rng, getattr(value, end), *whole(value.dtype))
    values = {**program.values, name: replace(value, **{end: new})}
    return f"{name}.{end} = {new}", replace(program, values=values)


def _parameter(program: Program, rng: Random) -> tuple[str, Program]:
    number = rng.randrange(len(program.steps))
    step = program.steps[number]
    rule = rng.choice(TABLE[step.op].parameters)
    new = _number(rng, step.parameters[rule.name], rule.lo, rule.hi)
    changed = replace(step, parameters={**step.parameters, rule.name: new})
    return f"steps[{number}].{rule.name} = {new}", _with_step(program, number, changed)


def _slice(program: Program, rng: Random) -> tuple[str, Program]:
    number = rng.randrange(len(program.steps))
    step = program.steps[number]
    name = rng.choice(sorted(step.operands))
    at = step.operands[name]
    moved = replace(at, start=at.start + rng.choice((-1, 1)))
    changed = replace(step, operands={**step.operands, name: moved})
    return f"steps[{number}].{name}", _with_step(program, number, changed)


def _order(program: Program, rng: Random) -> tuple[str, Program]:
    """Two steps exchanged, with their certificates."""
    a, b = rng.randrange(len(program.steps)), rng.randrange(len(program.steps))
    places = list(range(len(program.steps)))
    places[a], places[b] = b, a
    return f"steps[{a}], steps[{b}]", replace(
        program,
        steps=tuple(program.steps[k] for k in places),
        certificate=tuple(program.certificate[k] for k in places),
    )


def _certificate(program: Program, rng: Random) -> tuple[str, Program]:
    entries: list[Any] = [dict(entry) for entry in program.certificate]
    number = rng.randrange(len(entries))
    entry = entries[number]
    name = rng.choice(sorted(entry))
    how = rng.choice(("number", "drop", "add", "drop step", "add step"))
    if how == "number" and isinstance(entry[name], list):
        bound = list(entry[name])
        at = rng.randrange(len(bound))
        bound[at] += rng.choice((-1, 1))
        entry[name] = bound
    elif how == "number":
        entry[name] += rng.choice((-1, 1))
    elif how == "drop":
        del entry[name]
    elif how == "add":
        entry["more"] = 0
    elif how == "drop step":
        del entries[number]
    else:
        entries.insert(number, {})
    return f"[{number}].{name} {how}", replace(program, certificate=tuple(entries))


def _with_step(program: Program, number: int, step: Any) -> Program:
    steps = list(program.steps)
    steps[number] = step
    return replace(program, steps=tuple(steps))


KINDS: dict[str, Callable[[Program, Random], tuple[str, Program]]] = {
    "constant": _constant, "interval": _interval, "parameter": _parameter, "slice": _slice,
    "order": _order, "certificate": _certificate,
}  # fmt: skip
