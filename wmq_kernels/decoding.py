"""Decode the bytes of a `.wmq` file into a program, trusting nothing.

A program that `decode` returns is whole, typed and within bounds; `rangecheck.prove` then
shows that no value overflows.  Every refusal has a class (`errors.REASONS`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import numpy as np

from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import DTYPES, TABLE, Operand
from wmq_kernels.program import (
    ALIGN,
    DRAWS,
    FORMAT_VERSION,
    KINDS,
    LARGEST,
    MAGIC,
    NUMPY,
    Bounds,
    Program,
    Slice,
    Step,
    Value,
    encode,
)

KEYS = {"values", "steps", "heads", "meta", "certificate", "data_sha256"}
T = TypeVar("T")


def decode(content: bytes) -> Program:
    """Decode a `.wmq` file into a program, checked in structure.  Raises ProgramError."""
    header, data = _split(content)
    if set(header) != KEYS:
        raise ProgramError(f"header: keys must be {sorted(KEYS)}", "header")
    if header["data_sha256"] != hashlib.sha256(data).hexdigest():
        raise ProgramError("data: SHA-256 differs from the header's; damaged", "digest")
    if not isinstance(header["meta"], dict):
        raise ProgramError("meta: not an object", "header")
    values = _part(header, "values", "value", _values)
    program = Program(
        values=values,
        steps=_part(header, "steps", "step",
                    lambda rows: tuple(_step(row, number, values)
                                       for number, row in enumerate(_list(rows)))),
        data=_constants(values, data),
        heads=_part(header, "heads", "port", _heads),
        meta=header["meta"],
        certificate=_part(header, "certificate", "certificate", _certificate),
    )  # fmt: skip
    _check_ports(program)
    _check_canonical(program, content)
    return program


def _part(header: dict, key: str, reason: str, read: Callable[[Any], T]) -> T:
    """A key of the header, whose malformed content is refused with `reason`."""
    try:
        return read(header[key])
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ProgramError(f"{key}: malformed ({type(error).__name__}: {error})", reason) from None


def _check_canonical(program: Program, content: bytes) -> None:
    """One program has one file: another spelling, NaN or stray bytes give no second hash."""
    try:
        same = encode(program) == content
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise ProgramError("not in the canonical form that wmq writes", "canonical")


def _split(content: bytes) -> tuple[dict, bytes]:
    if len(content) > LARGEST:
        raise ProgramError(f"larger than {LARGEST} bytes", "length")
    if content[:8] != MAGIC:
        raise ProgramError("not a .wmq file (its first bytes differ)", "magic")
    if len(content) < 16:
        raise ProgramError(f"truncated: {len(content)} bytes", "length")
    version = int.from_bytes(content[8:12], "little")
    if version != FORMAT_VERSION:
        raise ProgramError(f"format version {version}, this wmq reads {FORMAT_VERSION}", "version")
    end = 16 + int.from_bytes(content[12:16], "little")
    if len(content) < end:
        raise ProgramError(f"truncated: the header ends at {end}, the file at {len(content)}",
                           "length")  # fmt: skip
    try:
        header = json.loads(content[16:end].decode("ascii"))
    except (ValueError, RecursionError):
        raise ProgramError("header: not JSON in ASCII", "header") from None
    if not isinstance(header, dict):
        raise ProgramError("header: not an object", "header")
    first = end + -end % ALIGN
    if any(content[end:first]):
        raise ProgramError("bytes between header and data are not zeros", "canonical")
    return header, content[first:]


def _int(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not an integer")
    return value


def _list(value: Any) -> list:
    if type(value) is not list:
        raise ValueError("not a list")
    return value


def _values(rows: Any) -> dict[str, Value]:
    values: dict[str, Value] = {}
    sizes = dict.fromkeys(DTYPES, 0)
    for row in _list(rows):
        value = _value(row)
        if value.name in values:
            raise ProgramError(f"values.{value.name}: occurs twice", "value")
        sizes[value.dtype] += value.size * DTYPES[value.dtype] // 8
        if sizes[value.dtype] > LARGEST:
            raise ProgramError(f"values.{value.name}: the values of type {value.dtype} are larger "
                               f"than {LARGEST} bytes in all", "value")  # fmt: skip
        values[value.name] = value
    return values


def _value(row: list) -> Value:
    name, dtype, shape, kind, lo, hi, scale = row
    if not _is_name(name):
        raise ProgramError(f"values: {name!r} is not a name in printable ASCII", "value")
    where = f"values.{name}"
    if dtype not in DTYPES or kind not in KINDS:
        raise ProgramError(f"{where}: unknown type {dtype!r} or kind {kind!r}", "value")
    if kind != "const" and dtype == "i64":
        raise ProgramError(f"{where}: only a constant may be i64", "value")
    value = Value(name, dtype, tuple(_int(n) for n in _list(shape)), kind, _int(lo), _int(hi),
                  float(scale))  # fmt: skip
    limit = 1 << (DTYPES[dtype] - 1)
    if not -limit <= lo <= hi < limit:
        raise ProgramError(f"{where}: [{lo}, {hi}] is not an interval of {dtype}", "value")
    if kind == "state" and not lo <= 0 <= hi:
        raise ProgramError(f"{where}: a state begins at 0, outside of [{lo}, {hi}]", "value")
    if len(value.shape) > 4 or any(not 1 <= n <= LARGEST for n in value.shape):
        raise ProgramError(f"{where}: bad shape {shape}", "value")
    return value


def _step(row: list, number: int, values: dict[str, Value]) -> Step:
    op, operands, parameters = row
    where = f"steps[{number}]"
    if op not in TABLE:
        raise ProgramError(f"{where}: unknown instruction {op!r}", "step")
    rule = TABLE[op]
    where = f"{where} ({op})"
    if {o.name for o in rule.operands} != set(operands):
        raise ProgramError(f"{where}: operands must be {[o.name for o in rule.operands]}", "step")
    if {p.name for p in rule.parameters} != set(parameters):
        raise ProgramError(f"{where}: parameters must be {[p.name for p in rule.parameters]}",
                           "step")  # fmt: skip
    for p in rule.parameters:
        if not p.lo <= _int(parameters[p.name]) <= p.hi:
            raise ProgramError(f"{where}: {p.name} = {parameters[p.name]} is not in "
                               f"[{p.lo}, {p.hi}]", "step")  # fmt: skip
    slices = {}
    for operand in rule.operands:
        name, start, count = operands[operand.name]
        slices[operand.name] = Slice(name, _int(start), _int(count))
        _check_slice(slices[operand.name], operand, parameters, values, where)
    _check_apart(rule.operands, slices, where)
    return Step(op, slices, dict(parameters))


def _check_slice(at: Slice, operand: Operand, parameters: dict, values: dict, where: str) -> None:
    where = f"{where}.{operand.name}"
    value = values.get(at.value)
    if value is None:
        raise ProgramError(f"{where}: no value named {at.value!r}", "slice")
    if value.dtype != operand.dtype:
        raise ProgramError(f"{where}: {at.value} is {value.dtype}, not {operand.dtype}", "slice")
    if (value.kind == "const") != (operand.access == "const"):
        raise ProgramError(f"{where}: {at.value} is {value.kind}, wanted {operand.access}", "slice")
    if at.count != prod(parameters[p] for p in operand.shape):
        raise ProgramError(f"{where}: {at.count} elements, not {'*'.join(operand.shape)}", "slice")
    if not 0 <= at.start <= at.start + at.count <= value.size:
        raise ProgramError(f"{where}: {at.start}+{at.count} exceeds {at.value}", "slice")


def _check_apart(operands: tuple[Operand, ...], slices: dict[str, Slice], where: str) -> None:
    """What is written overlaps no other operand, so that the order of work cannot matter."""
    for operand in operands:
        if operand.access not in ("write", "update"):
            continue
        mine = slices[operand.name]
        for name, other in slices.items():
            overlap = (mine.value == other.value and mine.start < other.start + other.count
                       and other.start < mine.start + mine.count)  # fmt: skip
            if name != operand.name and overlap:
                raise ProgramError(f"{where}: {operand.name} overlaps {name}", "slice")


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isascii() and name.isprintable() and name != ""


def _heads(found: dict) -> dict[str, tuple[int, int]]:
    if not all(map(_is_name, found)):
        raise ProgramError("heads: a name is not in printable ASCII", "port")
    return {name: (_int(start), _int(count)) for name, (start, count) in found.items()}


def _certificate(rows: Any) -> tuple[Bounds, ...]:
    return tuple({name: [_int(v) for v in bound] if type(bound) is list else _int(bound)
                  for name, bound in row.items()} for row in _list(rows))  # fmt: skip


def _constants(values: dict[str, Value], data: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for value in values.values():
        if value.kind != "const":
            continue
        length = value.size * DTYPES[value.dtype] // 8
        if at + length > len(data):
            raise ProgramError(f"truncated: {value.name} ends beyond the file", "length")
        array = np.frombuffer(data, NUMPY[value.dtype], value.size, at)
        if array.size and not value.lo <= int(array.min()) <= int(array.max()) <= value.hi:
            raise ProgramError(f"values.{value.name}: data outside of [{value.lo}, {value.hi}]",
                               "constant")  # fmt: skip
        found[value.name] = array
        at += length + -length % ALIGN
    if at != len(data):
        raise ProgramError(f"{len(data) - at} bytes after the last constant", "length")
    return found


def _check_ports(program: Program) -> None:
    roles, draws = program.roles, DRAWS if program.draws else ()
    for name in (*roles.ports, *draws):
        value = program.values.get(name)
        if value is None or value.dtype != "i32" or value.kind != "temp":
            raise ProgramError(f"values.{name}: must be there, a temp of type i32", "port")
    for alike in ((roles.fed, roles.made), roles.inputs, draws):
        if len({program.values[name].size for name in alike}) > 1:
            raise ProgramError(f"{' and '.join(alike)} differ in size", "port")
    size = program.values["heads"].size
    for name, (start, count) in program.heads.items():
        if not 0 <= start <= start + count <= size:
            raise ProgramError(f"heads.{name!r}: exceeds the value heads", "port")
