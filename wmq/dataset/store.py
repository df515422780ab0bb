"""Store and open datasets: a folder that `wmq prepare` writes and everything else reads.

    index.json             format, schema version, facts of all games, rejected files, copies
    games/<sha256>.arrow   one game: a column a field, facts in the schema's metadata
    rejected/<sha256>.json one refused file: base name and reason

`<sha256>` is that of the replay file.  A shard's bytes depend on the replay alone; which split
a game is in, and whether it belongs to the dataset at all, stands in the index.  Copies are
other recordings of the match of a game (`wmq.replays.fingerprint`).  Every file is written beside
its place and renamed, so a name that is there is whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.game.schema import (
    ANALOG_CONTROLS,
    CONTROLLER_FIELDS,
    FULL,
    Q16,
    Field,
    Schema,
)
from wmq.replays.slippi import DEFAULT_SCHEMA, Game, GameInfo

FORMAT_VERSION = 2
REJECTION_FORM = 1  # one more when a reason that was kept may no longer hold
INDEX = "index.json"
SPLITS = ("train", "val")
BUSY = "another `wmq prepare` or `wmq dataset split` is writing it; wait for it"
FACTS = b"wmq.game"  # key of the game's facts in a shard's schema metadata

__all__ = ["Dataset", "DatasetError", "Game", "GameInfo", "Rejection"]


class DatasetError(WmqError):
    """A dataset that cannot be read or written."""


class DamagedShardError(DatasetError):
    """A shard that is not there or holds no game of this program: prepare makes it again."""


@dataclass(frozen=True)
class Rejection:
    """A file left out.  `sha256` is "" when the content could not be read.

    seconds  the time limit in force if that was the reason, else 0; a run with a longer
             limit tries again
    """

    name: str
    sha256: str
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Dataset:
    """A dataset opened for reading; games are in the order of their sha256.

    copies  sha256 of a file left out -> fingerprint of its match, of which a game is there
    """

    path: Path
    games: tuple[GameInfo, ...]
    rejected: tuple[Rejection, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | os.PathLike[str], may_be_empty: bool = False) -> Dataset:
        """Read the index.  Raises DatasetError."""
        path = Path(path)
        index = read_index(path)
        if index is None:
            raise DatasetError(f"{path}: no dataset here; make one with `wmq prepare`")
        try:
            games = tuple(_info_from_json(facts, facts["split"]) for facts in index["games"])
            rejected = tuple(Rejection(**facts) for facts in index["rejected"])
            copies = dict(index["copies"])
        except (KeyError, TypeError, ValueError):
            raise DatasetError(
                f"{path / INDEX}: not an index of this program; run `wmq prepare` again"
            ) from None
        if not games and not may_be_empty:
            raise DatasetError(f"{path}: the dataset has no game; run `wmq prepare` again")
        return cls(path, games, rejected, copies)

    def select(self, split: str | None) -> list[GameInfo]:
        """Select the games of a split, or all for None."""
        return [info for info in self.games if split in (None, info.split)]

    def load(self, info: GameInfo, schema: Schema = DEFAULT_SCHEMA) -> Game:
        """Load the arrays of one game, in the fields of `schema`.  Raises DatasetError."""
        path = shard_path(self.path, info.sha256)
        game = read_game(path, schema)
        if replace(game.info, split=info.split) != info:
            raise _damaged(path, ValueError("facts differ from the index"))
        return replace(game, info=info)


def shard_path(root: Path, sha256: str) -> Path:
    return root / "games" / f"{sha256}.arrow"


def rejection_path(root: Path, sha256: str) -> Path:
    return root / "rejected" / f"{sha256}.json"


def read_index(root: Path) -> dict | None:
    """Read the index as plain data, or None if there is none.  Raises DatasetError."""
    path = root / INDEX
    try:
        index = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except ValueError:
        index = None
    if not isinstance(index, dict) or "format" not in index:
        raise DatasetError(f"{path}: not an index of this program; choose another folder")
    found = (index["format"], index.get("schema"))
    if found != (FORMAT_VERSION, FULL.version):
        raise DatasetError(
            f"{root}: dataset of format {found[0]}, schema {found[1]}; this program has format "
            f"{FORMAT_VERSION}, schema {FULL.version}: prepare the replays into a new folder"
        )
    return index


def write_index(
    root: Path,
    games: list[GameInfo],
    rejected: list[Rejection],
    copies: Mapping[str, str] | None = None,
) -> None:
    """Write the index atomically, sorted, so that it depends on the set alone."""
    index = {
        "format": FORMAT_VERSION,
        "schema": FULL.version,
        "games": [asdict(info) for info in sorted(games, key=lambda i: i.sha256)],
        "rejected": [asdict(r) for r in sorted(rejected, key=lambda r: (r.name, r.sha256))],
        "copies": dict(sorted((copies or {}).items())),
    }
    write_atomically(root / INDEX, (json.dumps(index, indent=1) + "\n").encode())


def write_rejection(root: Path, rejection: Rejection) -> None:
    text = json.dumps(asdict(rejection) | {"form": REJECTION_FORM}) + "\n"
    write_atomically(rejection_path(root, rejection.sha256), text.encode())


def read_rejection(path: Path) -> Rejection | None:
    """Read a rejection; None if it is damaged or of another form, so the replay is read again.

    Files without a form come from programs that also kept faults of the disk and of the name.
    """
    try:
        facts = json.loads(path.read_text("utf-8"))
        if facts.pop("form", None) != REJECTION_FORM:
            return None
        rejection = Rejection(**facts)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    texts = (rejection.name, rejection.sha256, rejection.reason)
    sound = all(isinstance(text, str) for text in texts) and rejection.sha256 == path.stem
    return rejection if sound and isinstance(rejection.seconds, int | float) else None


def write_game(root: Path, game: Game) -> None:
    """Write one shard; `game.frames` must be in the order of FULL.  Raises DatasetError."""
    import pyarrow as pa

    columns: dict[str, np.ndarray] = {
        name: game.frames[:, at].astype(dtype) for name, at, dtype in _frame_columns(FULL)
    }
    for name, at, button in _controller_columns():
        values = game.controllers[:, at]
        columns[name] = (values != 0).astype(np.uint8) if button else values
    batch = pa.record_batch({name: pa.array(values) for name, values in columns.items()})
    facts = {"format": FORMAT_VERSION, "schema": FULL.version} | asdict(game.info)
    del facts["split"]
    batch = batch.replace_schema_metadata({FACTS: json.dumps(facts, sort_keys=True).encode()})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    write_atomically(shard_path(root, game.info.sha256), sink.getvalue())


def read_info(path: Path) -> GameInfo:
    """Read the facts of one shard, without its columns or split.  Raises DatasetError."""
    import pyarrow as pa

    try:
        with pa.memory_map(os.fsencode(path)) as file:
            return _info_from_json(json.loads(pa.ipc.open_file(file).schema.metadata[FACTS]), "")
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def read_game(path: Path, schema: Schema) -> Game:
    """Read one shard, without a split.  Raises DatasetError."""
    import pyarrow as pa

    names = [*_frame_columns(schema), *_controller_columns()]
    try:
        with pa.memory_map(os.fsencode(path)) as file:
            stored = pa.ipc.open_file(file).schema
            options = pa.ipc.IpcReadOptions(
                use_threads=False,
                included_fields=[stored.get_field_index(name) for name, _, _ in names],
            )
            batch = pa.ipc.open_file(file, options=options).get_batch(0)
            info = _info_from_json(json.loads(stored.metadata[FACTS]), "")
            if batch.num_rows != info.frames:
                raise ValueError(f"{batch.num_rows} rows, {info.frames} expected")
            frames = np.empty((info.frames, schema.frame_size), dtype=np.int32)
            controllers = np.empty((info.frames, FULL.controllers_size), dtype=np.int32)
            for name, at, _ in _frame_columns(schema):
                frames[:, at] = batch.column(name).to_numpy()
            for name, at, button in _controller_columns():
                values = batch.column(name).to_numpy()
                controllers[:, at] = values.astype(np.int32) * Q16 if button else values
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    frames[:, schema.stage_index] = info.stage
    if schema.version != FULL.version:  # whose intervals are narrower
        np.clip(frames, schema.lo, schema.hi, out=frames)
    return Game(info, frames, controllers)


def _damaged(path: Path, error: Exception) -> DatasetError:
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):  # Arrow's have none
        return DatasetError(f"{path}: cannot be read ({error.strerror}); make it readable")
    reason = " ".join(str(error).split())[:120]
    return DamagedShardError(
        f"{path}: damaged or missing shard ({reason}); run `wmq prepare` again"
    )


def _info_from_json(facts: dict, split: str) -> GameInfo:
    return GameInfo(
        sha256=str(facts["sha256"]),
        split=str(split),
        frames=int(facts["frames"]),
        stage=int(facts["stage"]),
        characters=tuple(facts["characters"]),
        version=str(facts["version"]),
        missing=tuple(facts["missing"]),
        idle=tuple(facts["idle"]),
        fingerprint=str(facts["fingerprint"]),
        clamped=tuple((str(name), int(count)) for name, count in facts["clamped"]),
    )


def _storage_type(field: Field) -> type:
    """Return the narrowest integer type that holds a field's interval."""
    if field.kind == "fixed":
        return np.int32
    return np.uint8 if field.hi < 256 else np.int16


def _frame_columns(schema: Schema) -> list[tuple[str, int, type]]:
    """(column, place in the integer frame, stored type) of every player field."""
    return [
        (f"p{player + 1}.{field.name}", schema.index(field.name, player), _storage_type(field))
        for player in (0, 1)
        for field in schema.fields
    ]


def _controller_columns() -> list[tuple[str, int, bool]]:
    """(column, place in the controllers, is a button); buttons are stored as 0 or 1."""
    return [
        (f"p{player + 1}.pad.{name}", player * len(CONTROLLER_FIELDS) + at, at >= ANALOG_CONTROLS)
        for player in (0, 1)
        for at, name in enumerate(CONTROLLER_FIELDS)
    ]
