"""Rollouts in files: written as a table, or whole for `wmq verify`.

`.csv`, `.arrow` and `.parquet` hold a row a new frame and world, the same columns in the same
natural units (`wmq.game.schema`; sticks and triggers 0..1, buttons 0 or 1).  These are exact: a
value times its quantum is the integer of the frame.  In `.arrow` and `.parquet` each column says
its unit and its quantum in the metadata of the field.  `.npz` holds those integers themselves,
with everything else that the hashes cover, and is read back.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wmq.errors import WmqError
from wmq.extras import require
from wmq.files.atomic import write_atomically
from wmq.files.output_path import checked_place
from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16, SCHEMA_VERSION, Schema
from wmq.progress import Progress, silent
from wmq.rollout import hash_chain
from wmq.rollout.rollout import Rollout, RolloutModel, roll
from wmq.rollout.starts import Start

FORMAT_VERSION = 1
SUFFIXES = (".npz", ".csv", ".arrow", ".parquet")
LARGEST = 1 << 31  # bytes of a rollout that is read back
HEADER = ("format", "schema", "projectiles", "first_frame")  # one integer each


@dataclass(frozen=True)
class Stored:
    """A rollout that was read back and is consistent in itself, except for its hashes.

    frames       (worlds, n, frame_size) int32
    controllers  (worlds, n, 26) int32
    worlds       hex SHA-256 of each world, as stored
    """

    path: Path
    arithmetic: str
    model_sha256: str
    schema: Schema
    start: Start
    seeds: tuple[int, ...]
    controllers: np.ndarray
    frames: np.ndarray
    worlds: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """The first element that differs: frame id, place in the frame, and both values."""

    world: int
    frame: int
    field: str
    stored: int
    computed: int


def check_output(path: str | os.PathLike[str]) -> Path:
    """A path that `write_rollout` can write, looked at before the work.  Raises WmqError."""
    path = checked_place(path, "-o", SUFFIXES)
    if path.suffix.lower() in (".arrow", ".parquet"):
        require(f"-o {path}", ["pyarrow"], ", or write .npz or .csv")
    return path


def write_rollout(path: Path, rollout: Rollout) -> None:
    """Write in the form that the suffix names.  Raises WmqError."""
    sink = io.BytesIO()
    suffix = path.suffix.lower()
    if suffix == ".npz":
        np.savez_compressed(sink, allow_pickle=False, **_arrays(rollout))
    elif suffix == ".csv":
        sink.write(_csv(rollout).encode())
    else:
        _write_table(sink, rollout, suffix)
    write_atomically(path, sink.getvalue())


def _arrays(rollout: Rollout) -> dict[str, np.ndarray]:
    start, worlds = rollout.start, rollout.worlds
    digest = [np.frombuffer(bytes.fromhex(world.sha256), np.uint8) for world in worlds]
    return {
        "format": np.array(FORMAT_VERSION),
        "schema": np.array(SCHEMA_VERSION),
        "projectiles": np.array(int(rollout.schema.projectiles)),
        "first_frame": np.array(start.first),
        "arithmetic": np.frombuffer(rollout.arithmetic.encode(), np.uint8),
        "model_sha256": np.frombuffer(bytes.fromhex(rollout.model_sha256), np.uint8),
        "given": start.given,
        "given_controllers": start.controllers,
        "seeds": np.array([world.seed for world in worlds], dtype=np.int64),
        "controllers": np.stack([world.controllers for world in worlds]),
        "frames": np.stack([world.frames for world in worlds]),
        "world_sha256": np.stack(digest),
    }


def frame_names(schema: Schema) -> list[str]:
    """Names of the elements of the integer frame: p1.x, .., p2.x, .., stage."""
    return [*(f"p{p + 1}.{f.name}" for p in (0, 1) for f in schema.fields), "stage"]


def controller_names() -> list[str]:
    return [f"p{p}.pad.{name}" for p in (1, 2) for name in CONTROLLER_FIELDS]


@dataclass(frozen=True)
class _Column:
    """A column of a table: values, in units of 1/quantum of the unit, int32."""

    integers: np.ndarray
    quantum: int = 1
    unit: str = ""

    @property
    def values(self) -> np.ndarray:
        """In the natural unit: int32, or float64, which holds any int32 over 2^16 exactly."""
        return self.integers if self.quantum == 1 else self.integers / self.quantum


def _columns(rollout: Rollout) -> dict[str, _Column]:
    """All worlds one after the other."""
    schema, worlds = rollout.schema, rollout.worlds
    count = len(worlds[0].frames)
    frames = np.concatenate([world.frames for world in worlds])
    pads = np.concatenate([world.controllers for world in worlds])
    ids = np.arange(rollout.start.first, rollout.start.first + count, dtype=np.int32)
    columns = {
        "world": _Column(np.repeat(np.arange(len(worlds), dtype=np.int32), count)),
        "frame": _Column(np.tile(ids, len(worlds)), unit="1/60 s"),
    }
    kinds = [(field.quantum, field.unit) for field in schema.fields] * 2 + [(1, "class")]
    for at, (name, kind) in enumerate(zip(frame_names(schema), kinds, strict=True)):
        columns[name] = _Column(frames[:, at], *kind)
    for at, name in enumerate(controller_names()):
        analog = at % len(CONTROLLER_FIELDS) < ANALOG_CONTROLS
        given = (pads[:, at], Q16, "0..1") if analog else (pads[:, at] // Q16, 1, "bit")
        columns[name] = _Column(*given)
    return columns


def _csv(rollout: Rollout) -> str:
    columns = _columns(rollout)
    texts = [map(repr, column.values.tolist()) for column in columns.values()]
    rows = (",".join(row) for row in zip(*texts, strict=True))
    return "\n".join([",".join(columns), *rows, ""])


def _write_table(sink: io.BytesIO, rollout: Rollout, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = {
        "wmq.arithmetic": rollout.arithmetic,
        "wmq.model_sha256": rollout.model_sha256,
        "wmq.rollout_sha256": rollout.sha256,
        "wmq.start": rollout.start.label,
    }
    columns = _columns(rollout)
    arrays = [pa.array(column.values) for column in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": column.unit, "quantum": str(column.quantum)})
        for (name, column), array in zip(columns.items(), arrays, strict=True)
    ]
    table = pa.table(arrays, schema=pa.schema(fields, metadata=facts))
    if suffix == ".parquet":
        pq.write_table(table, sink)
        return
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_rollout(path: str | os.PathLike[str]) -> Stored:
    """An `.npz` file of `write_rollout`, trusted in nothing.  Raises WmqError."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise WmqError(f"{path}: not a stored rollout; give the .npz that `wmq rollout -o` wrote, "
                       "after the model")  # fmt: skip
    if not path.is_file():
        what = "not a regular file" if path.exists() else "no such file"
        raise WmqError(f"{path}: {what}; give the .npz that `wmq rollout -o` wrote")
    try:
        return _stored(path, _read_arrays(path))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, NotImplementedError,
            RuntimeError, MemoryError, zlib.error) as error:  # fmt: skip
        text = " ".join(str(error).split())[:120]
        raise WmqError(f"{path}: damaged or no stored rollout ({text}); write it again") from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _stored(path: Path, arrays: dict[str, np.ndarray]) -> Stored:
    header = {}
    for name in HEADER:
        if arrays[name].shape != () or arrays[name].dtype != np.int64:
            raise ValueError(f"{name} is not one integer")
        header[name] = int(arrays[name])
    found = (header["format"], header["schema"])
    if found != (FORMAT_VERSION, SCHEMA_VERSION):
        raise WmqError(
            f"{path}: rollout of format {found[0]}, schema {found[1]}; this program has format "
            f"{FORMAT_VERSION}, schema {SCHEMA_VERSION}: make it again"
        )
    schema = Schema(projectiles=bool(header["projectiles"]))
    worlds, count = arrays["frames"].shape[:2]
    g = len(arrays["given"])
    if not (worlds and count and g):
        raise ValueError("it holds no frame")
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "given": ((g, schema.frame_size), np.int32),
        "given_controllers": ((g, schema.controllers_size), np.int32),
        "frames": ((worlds, count, schema.frame_size), np.int32),
        "controllers": ((worlds, count, schema.controllers_size), np.int32),
        "seeds": ((worlds,), np.int64),
        "model_sha256": ((32,), np.uint8),
        "world_sha256": ((worlds, 32), np.uint8),
        "arithmetic": (arrays["arithmetic"].shape, np.uint8),
    }
    for name, (shape, dtype) in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} is not {np.dtype(dtype).name} of shape {shape}")
    given, pads = arrays["given"], arrays["given_controllers"]
    if (given < schema.lo).any() or (given > schema.hi).any():
        raise ValueError("given frames are outside of the schema's intervals")
    for name in ("given_controllers", "controllers"):
        if (arrays[name] < 0).any() or (arrays[name] > Q16).any():
            raise ValueError(f"{name} are outside of 0..{Q16}")
    return Stored(
        path=path,
        arithmetic=arrays["arithmetic"].tobytes().decode("ascii"),
        model_sha256=arrays["model_sha256"].tobytes().hex(),
        schema=schema,
        start=Start("stored start", given, pads, header["first_frame"]),
        seeds=tuple(arrays["seeds"].tolist()),
        controllers=arrays["controllers"],
        frames=arrays["frames"],
        worlds=tuple(row.tobytes().hex() for row in arrays["world_sha256"]),
    )


def altered_worlds(stored: Stored) -> list[int]:
    """Worlds whose stored frames do not give the stored hash: the file was changed."""
    start = stored.start
    return [
        world
        for world, (pads, frames) in enumerate(zip(stored.controllers, stored.frames, strict=True))
        if stored.worlds[world]
        != hash_chain.rollout_sha256(
            stored.model_sha256, start.given, start.controllers, pads, frames
        )
    ]


def check_model(stored: Stored, model: RolloutModel) -> None:
    """Raises WmqError if the rollout cannot be one of this model."""
    if model.arithmetic != stored.arithmetic:
        raise WmqError(
            f"{stored.path}: was made in {stored.arithmetic}; only integer rollouts are the same "
            "on every machine: make one with `wmq rollout --int8`"
        )
    if model.sha256 != stored.model_sha256:
        raise WmqError(
            f"{stored.path}: was made by the model {stored.model_sha256[:16]}.., "
            f"{model.path} is {model.sha256[:16]}..; give that model"
        )


def recompute(
    stored: Stored,
    model: RolloutModel,
    threads: int = 1,
    progress: Progress = silent,
) -> tuple[Rollout, list[Difference]]:
    """Roll out again from the stored start and controllers; the first difference of each world.

    Raises WmqError if the model is another one.
    """
    check_model(stored, model)
    rollout = roll(model, stored.start, list(stored.controllers), stored.seeds, threads, progress)
    names = frame_names(stored.schema)
    differences = []
    for number, world in enumerate(rollout.worlds):
        unequal = np.argwhere(world.frames != stored.frames[number])
        if len(unequal):
            t, at = unequal[0]
            values = int(stored.frames[number, t, at]), int(world.frames[t, at])
            differences.append(Difference(number, stored.start.first + int(t), names[at], *values))
    return rollout, differences
