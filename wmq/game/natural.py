"""Show frames by field name, in natural units.

Integer frames come in as `wmq.game.schema` defines them; numpy records leave, in which
`frame["p1"]["percent"]` is a float64 in % and `frame["integers"]` is the frame that it was made
from.  Nothing is rounded: a value times its field's quantum is the integer again.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np

from wmq.errors import WmqError
from wmq.game.schema import Field, Schema
from wmq.game.targets import PLAYERS


def frame_dtype(schema: Schema) -> np.dtype:
    """Return the dtype of a frame in natural units: p1, p2, stage, integers.

    p1, p2    a record with every field of a player in schema order: float64 in the field's unit
              for those of kind "fixed", int32 for counts, bits and classes
    stage     int32, the external id
    integers  int32 (frame_size,), the integer frame
    Raises WmqError for what is no schema.
    """
    if not isinstance(schema, Schema):
        raise WmqError(f"schema is {schema!r}; give the schema of a model or a trajectory")
    player = np.dtype([(f.name, _format(f)) for f in schema.fields], align=True)
    fields = [*((name, player) for name in PLAYERS), ("stage", "<i4"),
              ("integers", "<i4", (schema.frame_size,))]  # fmt: skip
    return np.dtype(fields, align=True)


def natural_frames(schema: Schema, integers: np.ndarray) -> np.ndarray:
    """Make records of `frame_dtype`, shape (..), of integer frames (.., frame_size) int32."""
    dtype, runs, overlay = _layout(schema)
    records = np.zeros(integers.shape[:-1], dtype)
    blocks = records.view(overlay)
    for name, first, last, quantum in runs:
        values = integers[..., first:last]
        blocks[name] = values / quantum if quantum > 1 else values
    records["stage"] = integers[..., schema.stage_index]
    records["integers"] = integers
    return records


def _format(field: Field) -> str:
    return "<f8" if field.quantum > 1 else "<i4"


@lru_cache(maxsize=2)  # with and without projectiles
def _layout(schema: Schema) -> tuple[np.dtype, list[tuple[str, int, int, int]], np.dtype]:
    """Return the dtype, and the same memory as blocks of neighbours that share a quantum.

    A block is (name, first and last place in the integer frame, quantum): so few assignments
    fill a frame that a rollout of one frame at a time hardly notices.
    """
    dtype = frame_dtype(schema)
    runs, formats, offsets = [], [], []
    for player, prefix in enumerate(PLAYERS):
        inside, begin = dtype.fields[prefix][:2]  # type: ignore[index]
        for quantum, group in groupby(schema.fields, key=lambda field: field.quantum):
            names = [field.name for field in group]
            first = schema.index(names[0], player)
            runs.append((f"{prefix}.{names[0]}", first, first + len(names), quantum))
            formats.append(("<f8" if quantum > 1 else "<i4", (len(names),)))
            offsets.append(begin + inside.fields[names[0]][1])  # type: ignore[index]
    overlay = np.dtype({"names": [run[0] for run in runs], "formats": formats,
                        "offsets": offsets, "itemsize": dtype.itemsize})  # fmt: skip
    return dtype, runs, overlay
