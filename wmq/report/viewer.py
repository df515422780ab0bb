"""Write the comparison format that public viewers of such worlds read.

    {"comparison": true, "tracks": {"float": [frame, ..], "int8": [frame, ..]}}

A frame is {"players": [P, P], "stage": n}, n the external stage id of the replay format; P has
a finite number for each of VIEWER_FIELDS, in natural units.  The page's player gets the same
numbers in columns (`columns`), a tenth of the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wmq.files.atomic import write_atomically
from wmq.game.schema import Schema

# Key of the format -> field of the schema; facing and on_ground are 1 or 0.
VIEWER_FIELDS = {
    "x": "x",
    "y": "y",
    "percent": "percent",
    "shield_strength": "shield",
    "speed_air_x": "speed_air_x",
    "speed_y": "speed_y",
    "speed_ground_x": "speed_ground_x",
    "speed_attack_x": "speed_attack_x",
    "speed_attack_y": "speed_attack_y",
    "state_age": "state_age",
    "hitlag": "hitlag",
    "stocks": "stocks",
    "facing": "facing",
    "on_ground": "on_ground",
    "action_state": "action",
    "jumps_left": "jumps",
    "character": "character",
}
Tracks = Mapping[str, np.ndarray]  # name -> (frames, frame_size) int32


def viewer_document(schema: Schema, tracks: Tracks) -> dict[str, Any]:
    """Return the document as plain data."""
    made = {name: _frames(schema, frames) for name, frames in tracks.items()}
    return {"comparison": True, "tracks": made}


def write_viewer(path: Path, schema: Schema, tracks: Tracks) -> int:
    """Write the document, whole or not at all; returns its bytes.  Raises WmqError."""
    content = msgspec.json.encode(viewer_document(schema, tracks)) + b"\n"
    write_atomically(path, content)
    return len(content)


def _frames(schema: Schema, frames: np.ndarray) -> list[dict[str, Any]]:
    players = [_players(schema, frames, player) for player in (0, 1)]
    stages = frames[:, schema.stage_index].tolist()
    return [
        {"players": [one, other], "stage": stage}
        for one, other, stage in zip(*players, stages, strict=True)
    ]


def _players(schema: Schema, frames: np.ndarray, player: int) -> list[dict[str, float]]:
    """Of each frame; Q15.16 becomes the float64 that is exactly the same number."""
    names = list(VIEWER_FIELDS)
    listed = []
    for name in names:
        field = schema.fields[schema.index(VIEWER_FIELDS[name])]
        values = frames[:, schema.index(field.name, player)]
        listed.append((values if field.quantum == 1 else values / field.quantum).tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]


def columns(schema: Schema, tracks: Tracks) -> dict[str, Any]:
    """Return the same numbers as columns, for `player.js`.

    quanta  key -> integer units in one natural unit
    tracks  name -> for each player, key -> the first value, then the differences from frame to
            frame, in integer units; stage -> of all frames
    """
    made = {}
    for name, frames in tracks.items():
        players = [
            {key: _differences(frames[:, schema.index(field, player)])
             for key, field in VIEWER_FIELDS.items()}
            for player in (0, 1)
        ]  # fmt: skip
        made[name] = {"players": players, "stage": _differences(frames[:, schema.stage_index])}
    quanta = {
        key: schema.fields[schema.index(field)].quantum for key, field in VIEWER_FIELDS.items()
    }
    return {"quanta": quanta, "tracks": made}


def _differences(values: np.ndarray) -> list[int]:
    return np.diff(values.astype(np.int64), prepend=0).tolist()
