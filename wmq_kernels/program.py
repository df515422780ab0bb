"""Hold a program, and encode it as a `.wmq` file.

    offset  0  magic 89 57 4D 51 0D 0A 1A 0A
            8  u32 format version
           12  u32 length of the header in bytes
           16  header: JSON in ASCII, keys sorted, no spaces
               zeros up to a multiple of 64, then the data of the constants in header
               order, little-endian, row-major, each beginning at a multiple of 64

Equal programs have equal bytes.  `decoding.decode` reads them back and trusts nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

MAGIC = b"\x89WMQ\r\n\x1a\n"
FORMAT_VERSION = 3
ALIGN = 64
LARGEST = 1 << 30  # bytes of a file, and elements of all values of a type
NUMPY = {"i8": "<i1", "i16": "<i2", "i32": "<i4", "i64": "<i8"}
KINDS = ("const", "state", "temp")
Bounds = Mapping[str, int | list[int]]


@dataclass(frozen=True)
class Roles:
    """What the ports of a kind of program are for.

    fed     takes the given rows, and after them what `made` held at the end of a frame
    inputs  the caller's rows: row t of them in the first, row t + 1 in the second
    """

    fed: str
    made: str
    inputs: tuple[str, ...]

    @property
    def ports(self) -> tuple[str, ...]:
        """All that each program of the kind has."""
        return self.fed, *self.inputs, self.made, "heads"

    def rows(self, frames: int) -> int:
        """How many rows of the inputs a run of so many frames takes."""
        return frames + len(self.inputs) - 1


ROLES = {
    "world": Roles("frame", "next_frame", ("controllers", "next_controllers")),
    "agent": Roles("controllers", "next_controllers", ("frame",)),
}
DRAWS = ("words", "forced")  # ports that a program of either kind has both of, or neither
LIKELIEST, BY_WORD = -2, -1  # in `forced`: no number is forced, and how to choose one
PORTS = (*ROLES["world"].ports, *DRAWS)


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

    The caller sets some values before a frame and reads others after it, the ports, which
    are all int32: `Roles` says which.  A program with the port `next_frame` is a world, any
    other an agent.
    heads  name of each head and its (start, count) in the value `heads`
    certificate  a step's proven bounds by name, one entry a step (`rangecheck.bounds`)
    meta   what the machine does not read: schema, provenance, scales of heads
    """

    values: Mapping[str, Value]
    steps: tuple[Step, ...]
    data: Mapping[str, np.ndarray]
    heads: Mapping[str, tuple[int, int]]
    meta: Mapping[str, Any] = field(default_factory=dict)
    certificate: tuple[Bounds, ...] = ()

    @property
    def kind(self) -> str:
        """What it computes: "world" or "agent"."""
        return "world" if "next_frame" in self.values else "agent"

    @property
    def roles(self) -> Roles:
        return ROLES[self.kind]

    @property
    def draws(self) -> tuple[str, ...]:
        """The ports of draws that it has: both or none in a sound program."""
        return tuple(name for name in DRAWS if name in self.values)


@dataclass(frozen=True)
class Draws:
    """What a program with the ports `words` and `forced` is given for each frame.

    words   (frames, D) int32, or (worlds, frames, D) for a group: random 32-bit words
    forced  the same shape: what is to be drawn whatever the word, or LIKELIEST or BY_WORD
    """

    words: np.ndarray
    forced: np.ndarray


def encode(program: Program) -> bytes:
    """Encode a program as the bytes of a `.wmq` file."""
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
        "certificate": [dict(entry) for entry in program.certificate],
        "data_sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    lengths = FORMAT_VERSION.to_bytes(4, "little") + len(text).to_bytes(4, "little")
    head = MAGIC + lengths + text
    return head + bytes(-len(head) % ALIGN) + data


def model_sha256(content: bytes) -> str:
    """Hash a program's whole file with SHA-256: its identity."""
    return hashlib.sha256(content).hexdigest()
