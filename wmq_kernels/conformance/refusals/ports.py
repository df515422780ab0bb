"""Damage the ports of worlds, agents and programs with draws: docs/SPEC.md L1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from wmq_kernels.conformance.ports import KINDS_OF_PORTS, ports_program
from wmq_kernels.conformance.refusals.hostile import (
    Base,
    Fields,
    Refused,
    changed,
    file_of,
    value_of,
)
from wmq_kernels.isa import INT32
from wmq_kernels.program import BY_WORD, DRAWS, LIKELIEST, ROLES, encode


def ports() -> Iterator[Refused]:
    """Ports that are missing, of another type or kind, or do not match; heads that go too far."""
    for op in ("add", "scan", "copy", "silu"):
        yield from _of_a_world(op)
    for of in KINDS_OF_PORTS:
        yield from _of(of)


def _rename(fields: Fields, op: str, port: str) -> None:
    value_of(fields, port)[0] = "elsewhere"
    for step in fields["steps"]:
        for operand in step[1].values():
            if operand[0] == port:
                operand[0] = "elsewhere"


def _longer(fields: Fields, op: str, port: str) -> None:
    value_of(fields, port)[2][0] += 1


def _state(fields: Fields, op: str, port: str) -> None:
    value_of(fields, port)[3] = "state"


def _narrow_type(fields: Fields, op: str, port: str) -> None:
    value_of(fields, port)[1:] = ["i16", [2], "temp", -9, 9, 0.0]


def _narrower(fields: Fields, op: str, port: str, end: int) -> None:
    value_of(fields, port)[4 + end] += 1 - 2 * end


def _interval(fields: Fields, op: str, port: str, lo: int, hi: int) -> None:
    value_of(fields, port)[4:6] = lo, hi


def _without_last_step(fields: Fields, op: str) -> None:
    for key in ("steps", "certificate"):
        fields[key].pop()


def _head(fields: Fields, op: str, start: int, count: int) -> None:
    """Counted from the end of the value."""
    fields["heads"]["more"] = [value_of(fields, "heads")[2][0] + start, count]


def _more(fields: Fields, op: str, name: str, dtype: str, kind: str) -> None:
    fields["values"].append([name, dtype, [1], kind, -2, 0, 0.0])


def _of_a_world(op: str) -> Iterator[Refused]:
    for port in ROLES["world"].ports:
        # Without next_frame it is an agent, which writes no next_controllers.
        reason = "order" if port == "next_frame" else "port"
        yield changed(op, 7, f"no {port}", reason, _rename, port=port)
        yield changed(op, 7, f"{port} a state", "port", _state, port=port)
        reason = "order" if port == "heads" else "port"  # the rest of heads is unwritten
        yield changed(op, 7, f"{port} longer", reason, _longer, port=port)
    for port in ("controllers", "next_controllers"):
        yield changed(op, 7, f"{port} of int16", "port", _narrow_type, port=port)
    for end in (0, 1):
        yield changed(op, 7, f"frame narrower than next_frame, end {end}", "port", _narrower,
                      port="frame", end=end)  # fmt: skip
    for start, size in ((0, 1), (1, 0), (-1, 2), (1 << 40, 1)):
        yield changed(op, 7, f"a head of {size} at {start} from the end", "port", _head,
                      start=start, count=size)  # fmt: skip
    for name in DRAWS:
        yield changed(op, 7, f"{name} alone", "port", _more, name=name, dtype="i32", kind="temp")
    yield changed(op, 7, "words an i8", "port", _more, name="words", dtype="i8", kind="temp")


def _of(of: str) -> Iterator[Refused]:
    """Of a program of a kind of KINDS_OF_PORTS."""
    kind, draws = KINDS_OF_PORTS[of]
    roles = ROLES[kind]

    def other(name: str, reason: str, change: Callable[..., object], **arguments: Any) -> Refused:
        def make() -> bytes:
            base = _base(of)
            fields = base.fields()
            change(fields, "", **arguments)
            return file_of(fields, base.data)

        return Refused(f"{of}: {name}", reason, make)

    names = (*roles.ports, *DRAWS) if draws else roles.ports
    for port in names:
        if port != "next_frame":  # see _of_a_world
            yield other(f"no {port}", "port", _rename, port=port)
        if port != "forced":  # whose interval may leave out 0
            yield other(f"{port} a state", "port", _state, port=port)
        if port not in ("frame", "heads") or kind == "world" and port != "heads":
            yield other(f"{port} longer", "port", _longer, port=port)
    for end in (0, 1):
        yield other(f"{roles.fed} narrower than {roles.made}, end {end}", "port", _narrower,
                    port=roles.fed, end=end)  # fmt: skip
    yield other(f"{roles.made} not written", "order", _without_last_step)
    if draws:
        for end in (0, 1):
            yield other(f"words narrower than int32, end {end}", "port", _narrower, port="words",
                        end=end)  # fmt: skip
        for lo, hi in ((BY_WORD, INT32[1]), (LIKELIEST, LIKELIEST), (0, 9), (-9, -3)):
            yield other(f"forced in [{lo}, {hi}]", "port", _interval, port="forced", lo=lo, hi=hi)


def _base(of: str) -> Base:
    program, _ = ports_program(of, Random(7))
    return Base(of, encode(program))
