"""Lowering of the encoded frame: the int8 inputs of the two projections that read integers.

Numbers enter as two int8 digits (15 bits), classes as int8 rows of their embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calib.arithmetic.fixed import INT8_LIMIT, multipliers
from calib.lowering.builder import ProgramBuilder
from calib.step.schema import Q16, StepSchema
from wmq_kernels.isa import DIGITS_LIMIT
from wmq_kernels.program import Slice

STICK_CENTRE = Q16 // 2


@dataclass(frozen=True)
class Segment:
    """Neighbouring columns of one source: int8 elements that one step writes.

    columns  (c,) columns of the float weight; scale (c,) their natural units per integer
    source   what is read: a slice of frame or controllers, or of the index of an embedding
    part     "high" or "low" digit of the source's numbers, or an embedding's name
    """

    columns: np.ndarray
    scale: np.ndarray
    source: Slice
    part: str


@dataclass(frozen=True)
class Numbers:
    """Integers of a port that enter as digits, as many as `first` columns of the weight."""

    port: Slice
    first: int
    offset: np.ndarray  # int, subtracted
    unit: np.ndarray  # input units per integer unit
    reach: np.ndarray  # largest |integer - offset|

    @property
    def scale(self) -> np.ndarray:
        """Input units per unit of the 15-bit number."""
        return self.unit * self.reach / DIGITS_LIMIT


def frame_numbers(schema: StepSchema) -> list[Numbers]:
    """List both players' numbers, in frame order."""
    fields = schema.numbers
    quantum = np.array([field.quantum for field in fields])
    scale = np.array([field.scale for field in fields], dtype=np.float64)
    reach = np.array([field.reach for field in fields]) * quantum
    zero, n, size = np.zeros(len(fields), np.int64), len(fields), len(schema.fields)
    return [Numbers(Slice("frame", p * size, n), p * n, zero, scale / quantum, reach)
            for p in (0, 1)]  # fmt: skip


def controller_numbers(schema: StepSchema, port: str, first: int) -> Numbers:
    """Take sticks around their centre, triggers and buttons from 0."""
    names = schema.controllers * (1 if schema.controls else 2)
    stick = np.array([name.endswith(("_x", "_y")) for name in names])
    return Numbers(Slice(port, 0, len(names)), first, np.where(stick, STICK_CENTRE, 0),
                   np.full(len(names), 1 / Q16), np.where(stick, STICK_CENTRE, Q16))  # fmt: skip


def class_segments(schema: StepSchema, weights: Mapping[str, np.ndarray],
                   first: int) -> list[Segment]:  # fmt: skip
    """Make one segment per embedding that is read; the weight's columns begin at `first`."""
    found = []
    for index, name in zip(schema.class_index.tolist(), schema.class_inputs, strict=True):
        table = weights[f"embeddings.{name}.weight"]
        columns = np.arange(first, first + table.shape[1])
        scale = np.full(len(columns), max(float(np.abs(table).max()), 1e-9) / INT8_LIMIT)
        found.append(Segment(columns, scale, Slice("frame", index, 1), name))
        first += table.shape[1]
    return found


def digit_segments(numbers: Numbers, group: np.ndarray) -> list[Segment]:
    """Make segments of high and low digits, cut where the group, a number a column, changes."""
    cuts = [0, *(np.flatnonzero(np.diff(group)) + 1), len(group)]
    found = []
    for a, b in zip(cuts, cuts[1:], strict=False):
        source = Slice(numbers.port.value, numbers.port.start + int(a), int(b - a))
        columns = np.arange(numbers.first + a, numbers.first + b)
        for part, weight in (("high", 128), ("low", 1)):
            found.append(Segment(columns, numbers.scale[a:b] * weight, source, part))
    return found


def column_exponents(weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Find the power of two nearest to the largest |weight| * scale of each column."""
    size = np.abs(weight).max(0) * scale
    floor = max(float(size.max()), 1e-30) * 2.0**-40
    return np.rint(np.log2(np.maximum(size, floor))).astype(np.int64)


def write_inputs(b: ProgramBuilder, inputs: str, segments: Sequence[Segment],
                 starts: Mapping[int, int], numbers: Sequence[Numbers]) -> None:  # fmt: skip
    """Append the steps that fill the int8 input vector."""
    places = {}
    for i, s in enumerate(segments):
        where = Slice(inputs, starts[i], len(s.columns))
        if s.part not in ("high", "low"):
            table = f"embeddings.{s.part}.weight"
            classes = b.values[table].shape[0]
            b.step("embed", s.source, table, where, classes=classes)
        places[s.source, s.part] = where
    for part in numbers:
        m, shift = multipliers(DIGITS_LIMIT / part.reach)
        for source, which in list(places):
            if which != "high" or source.value != part.port.value:
                continue
            a = source.start - part.port.start
            if not 0 <= a < part.port.count:
                continue
            cut = slice(a, a + source.count)
            key = f"{inputs}.{source.value}.{source.start}"
            b.step("digits", source, b.const(f"{key}.offset", part.offset[cut], "i32"),
                   b.const(f"{key}.multiplier", m[cut], "i32"),
                   b.const(f"{key}.shift", shift[cut], "i32"),
                   places[source, "high"], places[source, "low"])  # fmt: skip


def embedding_tables(b: ProgramBuilder, weights: Mapping[str, np.ndarray]) -> None:
    """Add the int8 constants of all embeddings, one scale a table."""
    for name, table in weights.items():
        if name.startswith("embeddings."):
            scale = max(float(np.abs(table).max()), 1e-9) / INT8_LIMIT
            b.const(name, np.rint(table.astype(np.float64) / scale).astype(np.int8), "i8", scale)
