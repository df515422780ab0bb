"""A program and its file form, `.wmq`.

    offset  0  magic 89 57 4D 51 0D 0A 1A 0A
            8  u32 format version
           12  u32 length of the header in bytes
           16  header: JSON in ASCII, keys sorted, no spaces
               zeros up to a multiple of 64, then the data of the constants in header
               order, little-endian, row-major, each beginning at a multiple of 64

Equal programs have equal bytes.  `decode` trusts nothing: a program that it returns is
whole, typed and within bounds; `rangecheck.prove` then shows that no value overflows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import DTYPES, TABLE, Operand

MAGIC = b"\x89WMQ\r\n\x1a\n"
FORMAT_VERSION = 1
ALIGN = 64
LARGEST = 1 << 30  # bytes of a file, and elements of all values of a type
NUMPY = {"i8": "<i1", "i16": "<i2", "i32": "<i4", "i64": "<i8"}
KINDS = ("const", "state", "temp")
PORTS = ("frame", "controllers", "next_controllers", "next_frame", "heads")


@dataclass(frozen=True)
class Value:
    """A named array.

    kind    "const" (data in the file), "state" (zeros at the start, lives on) or "temp"
    lo, hi  the declared interval, both ends included
    scale   natural units in one integer unit, for people; 0 if it has none or many
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str
    lo: int
    hi: int
    scale: float = 0.0

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Slice:
    """`count` elements of a value from `start` on, in row-major order."""

    value: str
    start: int
    count: int


@dataclass(frozen=True)
class Step:
    """One instruction: a row of the table with its operands and parameters."""

    op: str
    operands: Mapping[str, Slice]
    parameters: Mapping[str, int]


@dataclass(frozen=True)
class Program:
    """steps run in order once a frame; data holds the constants' arrays (flat).

    The caller sets the values `frame`, `controllers` and `next_controllers` before a
    frame, and finds `next_frame` and `heads` after it; all five are int32.
    heads  name of each head and its (start, count) in the value `heads`
    meta   what the machine does not read: schema, provenance, scales of heads
    """

    values: Mapping[str, Value]
    steps: tuple[Step, ...]
    data: Mapping[str, np.ndarray]
    heads: Mapping[str, tuple[int, int]]
    meta: Mapping[str, Any] = field(default_factory=dict)


def encode(program: Program) -> bytes:
    """The bytes of a `.wmq` file."""
    blobs = [program.data[v.name].astype(NUMPY[v.dtype], casting="equiv").tobytes()
             for v in program.values.values() if v.kind == "const"]  # fmt: skip
    data = b"".join(blob + bytes(-len(blob) % ALIGN) for blob in blobs)
    header = {
        "values": [[v.name, v.dtype, list(v.shape), v.kind, v.lo, v.hi, float(v.scale)]
                   for v in program.values.values()],
        "steps": [[s.op, {k: [o.value, o.start, o.count] for k, o in s.operands.items()},
                   dict(s.parameters)] for s in program.steps],
        "heads": {name: list(at) for name, at in program.heads.items()},
        "meta": dict(program.meta),
        "data_sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    lengths = FORMAT_VERSION.to_bytes(4, "little") + len(text).to_bytes(4, "little")
    head = MAGIC + lengths + text
    return head + bytes(-len(head) % ALIGN) + data


def model_sha256(content: bytes) -> str:
    """The identity of a program: SHA-256 of the whole file."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes) -> Program:
    """The program in a `.wmq` file, checked in structure.  Raises ProgramError."""
    header, data = _split(content)
    try:
        values = _values(header["values"])
        steps = tuple(_step(row, number, values) for number, row in enumerate(header["steps"]))
        heads = {str(k): (_int(v[0]), _int(v[1])) for k, v in header["heads"].items()}
        meta = header["meta"]
        if not isinstance(meta, dict):
            raise ProgramError("meta: not an object")
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ProgramError(f"header: malformed ({type(error).__name__}: {error})") from None
    if header.get("data_sha256") != hashlib.sha256(data).hexdigest():
        raise ProgramError("data: SHA-256 differs from the header's; the file is damaged")
    program = Program(values, steps, _constants(values, data), heads, meta)
    _check_ports(program)
    _check_canonical(program, content)
    return program


def _check_canonical(program: Program, content: bytes) -> None:
    """One program has one file: another spelling, NaN or stray bytes give no second hash."""
    try:
        same = encode(program) == content
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise ProgramError("not in the canonical form that wmq writes")


def _split(content: bytes) -> tuple[dict, bytes]:
    if len(content) > LARGEST:
        raise ProgramError(f"larger than {LARGEST} bytes")
    if content[:8] != MAGIC:
        raise ProgramError("not a .wmq file (its first bytes differ)")
    version = int.from_bytes(content[8:12], "little")
    if version != FORMAT_VERSION:
        raise ProgramError(f"format version {version}, this program reads {FORMAT_VERSION}")
    end = 16 + int.from_bytes(content[12:16], "little")
    if len(content) < end:
        raise ProgramError(f"truncated: the header ends at {end}, the file at {len(content)}")
    try:
        header = json.loads(content[16:end].decode("ascii"))
    except (ValueError, RecursionError):
        raise ProgramError("header: not JSON in ASCII") from None
    if not isinstance(header, dict):
        raise ProgramError("header: not an object")
    first = end + -end % ALIGN
    if any(content[end:first]):
        raise ProgramError("bytes between header and data are not zeros")
    return header, content[first:]


def _int(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not an integer")
    return value


def _values(rows: list) -> dict[str, Value]:
    values: dict[str, Value] = {}
    sizes = dict.fromkeys(DTYPES, 0)
    for name, dtype, shape, kind, lo, hi, scale in rows:
        if not isinstance(name, str) or not name.isprintable() or name in values:
            raise ProgramError(f"values: {name!r} is not a printable name that occurs once")
        where = f"values.{name}"
        if dtype not in DTYPES or kind not in KINDS:
            raise ProgramError(f"{where}: unknown type {dtype!r} or kind {kind!r}")
        value = Value(name, dtype, tuple(_int(n) for n in shape), kind, _int(lo), _int(hi),
                      float(scale))  # fmt: skip
        limit = 1 << (DTYPES[dtype] - 1)
        if not -limit <= lo <= hi < limit:
            raise ProgramError(f"{where}: [{lo}, {hi}] is not an interval of {dtype}")
        if kind == "state" and not lo <= 0 <= hi:
            raise ProgramError(f"{where}: a state begins at 0, outside of [{lo}, {hi}]")
        if len(value.shape) > 4 or any(not 1 <= n <= LARGEST for n in value.shape):
            raise ProgramError(f"{where}: bad shape {shape}")
        sizes[dtype] += value.size
        if sizes[dtype] * DTYPES[dtype] // 8 > LARGEST:
            raise ProgramError(f"{where}: the values are larger than {LARGEST} bytes in all")
        values[name] = value
    return values


def _step(row: list, number: int, values: dict[str, Value]) -> Step:
    op, operands, parameters = row
    where = f"steps[{number}]"
    if op not in TABLE:
        raise ProgramError(f"{where}: unknown instruction {op!r}")
    rule = TABLE[op]
    where = f"{where} ({op})"
    if {o.name for o in rule.operands} != set(operands):
        raise ProgramError(f"{where}: operands must be {[o.name for o in rule.operands]}")
    if {p.name for p in rule.parameters} != set(parameters):
        raise ProgramError(f"{where}: parameters must be {[p.name for p in rule.parameters]}")
    for p in rule.parameters:
        if not p.lo <= _int(parameters[p.name]) <= p.hi:
            raise ProgramError(f"{where}: {p.name} = {parameters[p.name]} is not in "
                               f"[{p.lo}, {p.hi}]")  # fmt: skip
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
        raise ProgramError(f"{where}: no value named {at.value!r}")
    if value.dtype != operand.dtype:
        raise ProgramError(f"{where}: {at.value} is {value.dtype}, not {operand.dtype}")
    if (value.kind == "const") != (operand.access == "const"):
        raise ProgramError(f"{where}: {at.value} is {value.kind}, wanted {operand.access}")
    if at.count != prod(parameters[p] for p in operand.shape):
        raise ProgramError(f"{where}: {at.count} elements, not {'*'.join(operand.shape)}")
    if not 0 <= at.start <= at.start + at.count <= value.size:
        raise ProgramError(f"{where}: {at.start}+{at.count} exceeds {at.value}")


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
                raise ProgramError(f"{where}: {operand.name} overlaps {name}")


def _constants(values: dict[str, Value], data: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for value in values.values():
        if value.kind != "const":
            continue
        length = value.size * DTYPES[value.dtype] // 8
        if at + length > len(data):
            raise ProgramError(f"truncated: {value.name} ends beyond the file")
        array = np.frombuffer(data, NUMPY[value.dtype], value.size, at)
        if array.size and not value.lo <= int(array.min()) <= int(array.max()) <= value.hi:
            raise ProgramError(f"values.{value.name}: data outside of [{value.lo}, {value.hi}]")
        found[value.name] = array
        at += length + -length % ALIGN
    if at != len(data):
        raise ProgramError(f"{len(data) - at} bytes after the last constant")
    return found


def _check_ports(program: Program) -> None:
    for name in PORTS:
        value = program.values.get(name)
        if value is None or value.dtype != "i32" or value.kind != "temp":
            raise ProgramError(f"values.{name}: must be there, a temp of type i32")
    sizes = {name: program.values[name].size for name in PORTS}
    if sizes["frame"] != sizes["next_frame"]:
        raise ProgramError("frame and next_frame differ in size")
    if sizes["controllers"] != sizes["next_controllers"]:
        raise ProgramError("controllers and next_controllers differ in size")
    for name, (start, count) in program.heads.items():
        if not 0 <= start <= start + count <= sizes["heads"]:
            raise ProgramError(f"heads.{name!r}: exceeds the value heads")
