"""Rollouts in files: written as a table, or whole for `wmq verify`.

`.csv`, `.arrow` and `.parquet` hold the table of `wmq.rollout.table`.  `.npz` holds the integers
themselves, with everything else that the hashes cover, and is read back.
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
from wmq.files.output_path import output_path
from wmq.game.schema import Q16, VERSIONS, Schema
from wmq.inference.draws import DECODES, Decode
from wmq.rollout.hash_chain import NOBODY, Match
from wmq.rollout.limits import LONGEST_DELAY
from wmq.rollout.rollout import Rolled, Rollout, match_of
from wmq.rollout.starts import Start
from wmq.rollout.table import arrow_table, csv_text

FORMAT_VERSION = 2
SUFFIXES = (".npz", ".csv", ".arrow", ".parquet")
LARGEST = 1 << 31  # bytes of a rollout that is read back
HEADER = ("format", "schema", "projectiles", "first_frame", "sampled", "delay")  # one integer each


@dataclass(frozen=True)
class Stored:
    """A rollout that was read back and is consistent in itself, except for its hashes.

    frames       (worlds, n, frame_size) int32
    controllers  (worlds, n, 26) int32
    worlds       hex SHA-256 of each world, as stored
    decode, agents, delay  as in `Rollout`
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
    decode: Decode
    agents: tuple[str, str]
    delay: int = 0

    def match(self, world: int) -> Match | None:
        """What the hash of a world covers besides the model's file."""
        return match_of(self.schema, self.seeds[world], self.agents, self.decode, self.delay)


def check_output(path: str | os.PathLike[str], option: str = "-o") -> Path:
    """Check before the work that `write_rollout` can write a path.  Raises WmqError."""
    path = output_path(path, option, SUFFIXES)
    if path.suffix.lower() in (".arrow", ".parquet"):
        require(f"{option} {path}", ["pyarrow"], ", or write .npz or .csv")
    return path


def write_rollout(path: Path, rollout: Rollout) -> None:
    """Write in the form that the suffix names.  Raises WmqError."""
    sink = io.BytesIO()
    suffix = path.suffix.lower()
    if suffix == ".npz":
        np.savez_compressed(sink, allow_pickle=False, **_arrays(rollout))
    elif suffix == ".csv":
        sink.write(csv_text(rollout).encode())
    else:
        _write_table(sink, rollout, suffix)
    write_atomically(path, sink.getvalue())


def _write_table(sink: io.BytesIO, rollout: Rollout, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = arrow_table(rollout)
    if suffix == ".parquet":
        pq.write_table(table, sink)
        return
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _arrays(rollout: Rollout) -> dict[str, np.ndarray]:
    start, worlds = rollout.start, rollout.worlds
    late = {"delay": np.array(rollout.delay)} if rollout.delay else {}
    digest = [np.frombuffer(bytes.fromhex(world.sha256), np.uint8) for world in worlds]
    return {
        "format": np.array(FORMAT_VERSION),
        "schema": np.array(rollout.schema.version),
        "projectiles": np.array(int(rollout.schema.projectiles)),
        "first_frame": np.array(start.first),
        "arithmetic": np.frombuffer(rollout.arithmetic.encode(), np.uint8),
        "sampled": np.array(int(rollout.decode == "sample")),
        **late,
        "model_sha256": np.frombuffer(bytes.fromhex(rollout.model_sha256), np.uint8),
        "agents_sha256": np.stack(
            [np.frombuffer(bytes.fromhex(agent or NOBODY), np.uint8) for agent in rollout.agents]
        ),
        "given": start.given,
        "given_controllers": start.controllers,
        "seeds": np.array([world.seed for world in worlds], dtype=np.int64),
        "controllers": np.stack([world.controllers for world in worlds]),
        "frames": np.stack([world.frames for world in worlds]),
        "world_sha256": np.stack(digest),
    }


def as_stored(rollout: Rollout) -> Stored:
    """Return a rollout as `read_rollout` would, without a file."""
    worlds = rollout.worlds
    return Stored(
        path=Path("this rollout"),
        arithmetic=rollout.arithmetic,
        model_sha256=rollout.model_sha256,
        schema=rollout.schema,
        start=rollout.start,
        seeds=tuple(world.seed for world in worlds),
        controllers=np.stack([world.controllers for world in worlds]),
        frames=np.stack([world.frames for world in worlds]),
        worlds=tuple(world.sha256 for world in worlds),
        decode=rollout.decode,
        agents=rollout.agents,
        delay=rollout.delay,
    )


def as_rollout(stored: Stored) -> Rollout:
    """A stored rollout as it was when it was made, without kernels, saturations and seconds."""
    worlds = zip(stored.seeds, stored.controllers, stored.frames, stored.worlds, strict=True)
    count, frames = stored.frames.shape[:2]
    return Rollout(
        arithmetic=stored.arithmetic,
        kernels=None,
        model=stored.path,
        model_sha256=stored.model_sha256,
        schema=stored.schema,
        start=stored.start,
        worlds=tuple(Rolled(*world, saturations=None) for world in worlds),
        steps=count * (len(stored.start.given) - 1 + frames),
        seconds=0.0,
        decode=stored.decode,
        agents=stored.agents,
        delay=stored.delay,
    )


def read_rollout(path: str | os.PathLike[str]) -> Stored:
    """Read an `.npz` file of `write_rollout`, trusting nothing in it.  Raises WmqError."""
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
    arrays.setdefault("delay", np.array(0))  # is there only where agents saw late
    for name in HEADER:
        if arrays[name].shape != () or arrays[name].dtype != np.int64:
            raise ValueError(f"{name} is not one integer")
        header[name] = int(arrays[name])
    if header["format"] != FORMAT_VERSION or header["schema"] not in VERSIONS:
        raise WmqError(
            f"{path}: rollout of format {header['format']}, schema {header['schema']}; this "
            f"program has format {FORMAT_VERSION}, schema {' and '.join(map(str, VERSIONS))}: "
            "make it again"
        )
    if not 0 <= header["delay"] <= LONGEST_DELAY:
        raise ValueError(f"delay {header['delay']} is not in 0..{LONGEST_DELAY}")
    schema = Schema(bool(header["projectiles"]), header["schema"])
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
        "agents_sha256": ((2, 32), np.uint8),
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
        decode=DECODES[0 if header["sampled"] else 1],
        agents=_agents(arrays["agents_sha256"]),
        delay=header["delay"],
    )


def _agents(stored: np.ndarray) -> tuple[str, str]:
    one, two = (row.tobytes().hex() if row.any() else "" for row in stored)
    return one, two
