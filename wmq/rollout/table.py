"""Rollouts as tables: a row a new frame and world, in natural units.

The same columns in `.csv`, `.arrow` and `.parquet` (`wmq.game.schema`; sticks and triggers 0..1,
buttons 0 or 1).  Values are exact: times its quantum, each is the integer of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16, Schema
from wmq.rollout.rollout import Rollout

if TYPE_CHECKING:
    import pyarrow as pa


def frame_names(schema: Schema) -> list[str]:
    """Names of the elements of the integer frame: p1.x, .., p2.x, .., stage."""
    return [*(f"p{p + 1}.{f.name}" for p in (0, 1) for f in schema.fields), "stage"]


def controller_names() -> list[str]:
    return [f"p{p}.pad.{name}" for p in (1, 2) for name in CONTROLLER_FIELDS]


@dataclass(frozen=True)
class Column:
    """A column of a table: values, in units of 1/quantum of the unit, int32."""

    integers: np.ndarray
    quantum: int = 1
    unit: str = ""

    @property
    def values(self) -> np.ndarray:
        """In the natural unit: int32, or float64, which holds any int32 over 2^16 exactly."""
        return self.integers if self.quantum == 1 else self.integers / self.quantum


def columns_of(rollout: Rollout) -> dict[str, Column]:
    """Return the columns of all worlds, one world after the other."""
    schema, worlds = rollout.schema, rollout.worlds
    count = len(worlds[0].frames)
    frames = np.concatenate([world.frames for world in worlds])
    pads = np.concatenate([world.controllers for world in worlds])
    ids = np.arange(rollout.start.first, rollout.start.first + count, dtype=np.int32)
    columns = {
        "world": Column(np.repeat(np.arange(len(worlds), dtype=np.int32), count)),
        "frame": Column(np.tile(ids, len(worlds)), unit="1/60 s"),
    }
    kinds = [(field.quantum, field.unit) for field in schema.fields] * 2 + [(1, "class")]
    for at, (name, kind) in enumerate(zip(frame_names(schema), kinds, strict=True)):
        columns[name] = Column(frames[:, at], *kind)
    for at, name in enumerate(controller_names()):
        analog = at % len(CONTROLLER_FIELDS) < ANALOG_CONTROLS
        given = (pads[:, at], Q16, "0..1") if analog else (pads[:, at] // Q16, 1, "bit")
        columns[name] = Column(*given)
    return columns


def csv_text(rollout: Rollout) -> str:
    columns = columns_of(rollout)
    texts = [map(repr, column.values.tolist()) for column in columns.values()]
    rows = (",".join(row) for row in zip(*texts, strict=True))
    return "\n".join([",".join(columns), *rows, ""])


def arrow_table(rollout: Rollout) -> pa.Table:
    """Return all worlds as one Arrow table; each column says its unit and its quantum."""
    import pyarrow as pa

    facts = {
        "wmq.arithmetic": rollout.arithmetic,
        "wmq.model_sha256": rollout.model_sha256,
        "wmq.rollout_sha256": rollout.sha256,
        "wmq.start": rollout.start.label,
    }
    columns = columns_of(rollout)
    arrays = [pa.array(column.values) for column in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": column.unit, "quantum": str(column.quantum)})
        for (name, column), array in zip(columns.items(), arrays, strict=True)
    ]
    return pa.table(arrays, schema=pa.schema(fields, metadata=facts))
