"""Parse one Slippi replay (`.slp`) into integer frames.

A file comes in and leaves as a `Game`: int32 frames in the order of `wmq.game.schema` and the
controllers of both players in Q15.16, one row a frame id from -123.  A file that is no
usable one-against-one game leaves as a `ReplayError` that gives every reason found.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wmq.game.schema import (
    ANALOG_CONTROLS,
    CONTROLLER_FIELDS,
    FULL,
    PROJECTILE_FIELDS,
    Q16,
    Field,
    Schema,
)
from wmq.replays.fingerprint import match_fingerprint
from wmq.replays.refusals import UnusableError, bad_ids, bad_start, bad_values
from wmq.replays.replay_file import ReplayError, UnreadableError, held_copy, held_name

if TYPE_CHECKING:
    import pyarrow as pa

PORTS = ("P1", "P2", "P3", "P4")
NO_GROUND = 65535
DEFAULT_SCHEMA = Schema()
OF_THE_SYSTEM = re.compile(r"\(os error \d+\)")  # Rust's words for a failed system call


@dataclass(frozen=True)
class GameInfo:
    """Facts of one game.

    sha256      of the replay file's bytes
    split       "train" or "val"; "" for a replay outside a dataset
    frames      number of frame ids, the first of which is -123
    stage       external id, a key of `schema.LEGAL_STAGES`
    characters  internal ids at the first frame, player 1 and 2
    missing     names of the fields that the file's version lacks; zeros in the arrays
    idle        share of frames without any input, player 1 and 2
    fingerprint  of the match, see `wmq.replays.fingerprint`
    clamped     (field, player-frames whose value lay outside the schema's interval) of each
                field of the full schema that has any; a control is named "pad.trigger"
    """

    sha256: str
    split: str
    frames: int
    stage: int
    characters: tuple[int, int]
    version: str
    missing: tuple[str, ...]
    idle: tuple[float, float]
    fingerprint: str = ""
    clamped: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Game:
    """A whole game.

    frames       (info.frames, schema.frame_size) int32, units as in `wmq.game.schema`
    controllers  (info.frames, 26) int32 Q15.16; row t is what frame t was computed from
    """

    info: GameInfo
    frames: np.ndarray
    controllers: np.ndarray


def _as_is(values: np.ndarray) -> np.ndarray:
    return values


# Field of the schema -> column of the post-frame event, and what turns it into natural units.
POST_COLUMNS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "percent": ("percent", _as_is),
    "x": ("position.x", _as_is),
    "y": ("position.y", _as_is),
    "shield": ("shield", _as_is),
    "speed_air_x": ("velocities.self_x_air", _as_is),
    "speed_y": ("velocities.self_y", _as_is),
    "speed_ground_x": ("velocities.self_x_ground", _as_is),
    "speed_attack_x": ("velocities.knockback_x", _as_is),
    "speed_attack_y": ("velocities.knockback_y", _as_is),
    "hitlag": ("hitlag", _as_is),
    "stocks": ("stocks", _as_is),
    "combo": ("combo_count", _as_is),
    "facing": ("direction", lambda v: v > 0),
    "invulnerable": ("hurtbox_state", lambda v: v != 0),
    "on_ground": ("airborne", lambda v: v == 0),
    "action": ("state", _as_is),
    "jumps": ("jumps", _as_is),
    "l_cancel": ("l_cancel", _as_is),
    "hurtbox": ("hurtbox_state", _as_is),
    "ground": ("ground", lambda v: np.where(v == NO_GROUND, 0, v.astype(np.int32) + 1)),
    "last_attack": ("last_attack_landed", _as_is),
    "character": ("character", _as_is),
}
PRE_COLUMNS = {  # control -> column of the pre-frame event, and the value at rest
    "main_x": ("joystick.x", 0.5),
    "main_y": ("joystick.y", 0.5),
    "c_x": ("cstick.x", 0.5),
    "c_y": ("cstick.y", 0.5),
    "trigger": ("triggers", 0.0),
}
BUTTON_BITS = {
    "A": 0x0100, "B": 0x0200, "X": 0x0400, "Y": 0x0800,
    "Z": 0x0010, "L": 0x0040, "R": 0x0020, "D_UP": 0x0008,
}  # fmt: skip


def read_replay(
    path: str | os.PathLike[str], schema: Schema = DEFAULT_SCHEMA, expected: str = ""
) -> Game:
    """Read one replay in this process.

    expected  SHA-256 that the bytes need to have, if any
    peppi-py may loop or grow without end on a hostile file; `wmq.replays.worker_pool` therefore
    calls this in a worker.  Raises ReplayError, which is an UnreadableError unless the reason
    lies in the content.
    """
    copy, sha256 = held_copy(path)
    with copy:
        if expected not in ("", sha256):
            raise UnreadableError(path, "changed while it was read; run again")
        replay = _parse(path, held_name(copy))
    try:
        return _convert(replay, sha256, schema)
    except UnusableError as unusable:
        raise ReplayError(path, "; ".join(unusable.reasons)) from None


def _parse(path: str | os.PathLike[str], copy: str) -> Any:
    """peppi-py's raw game: `start` (dict) and `frames` (StructArray).

    path  of the replay, for messages
    copy  where its bytes are
    """
    from peppi_py import _peppi

    try:
        with _quiet_stderr():
            return _peppi.read_slippi(copy)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  (PanicException is no Exception)
        verb = "cannot read it" if isinstance(error, Exception) else "panicked"
        text = " ".join(str(error).split())
        kind = UnreadableError if OF_THE_SYSTEM.search(text) else ReplayError
        raise kind(path, f"peppi-py {verb}: {text[:160]}") from None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silence file descriptor 2: a Rust panic prints a backtrace past `sys.stderr`."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def state_age(action: np.ndarray) -> np.ndarray:
    """Count frames since the action last changed, (T,); the field holds at most 255.

    This is the rule of the frame update.  The column of that name in the replay is the
    animation's frame, which stands still, loops and skips: it differs on a fifth of all
    frames, and a rollout could not go on with it.
    """
    place = np.arange(len(action))
    changed = np.diff(action, prepend=action[:1]) != 0
    return place - np.maximum.accumulate(np.where(changed, place, 0))


def _convert(replay: Any, sha256: str, schema: Schema) -> Game:
    start, rows = replay.start, replay.frames
    reasons = bad_start(start)
    ports = [p["port"] for p in start["players"]]
    if len(ports) != 2:
        raise UnusableError(*reasons)
    present = [f.name for f in rows.field("ports").type]
    if sorted(ports) != sorted(present):
        raise UnusableError(*reasons, f"frames of ports {present}, players in ports {ports}")
    ports.sort()

    last = last_rows(rows.field("id").to_numpy())
    ids = rows.field("id").to_numpy()[last]
    reasons += bad_ids(ids)
    leaders = [rows.field("ports").field(port).field("leader") for port in ports]
    for port, leader in zip(ports, leaders, strict=True):
        parts = (rows.field("ports").field(port), leader, leader.field("pre"), leader.field("post"))
        if not all(part.is_valid().to_numpy(zero_copy_only=False)[last].all() for part in parts):
            reasons.append(f"{port} lacks rows of some frames")

    frames = np.zeros((len(ids), FULL.frame_size), dtype=np.int32)
    controllers = np.zeros((len(ids), FULL.controllers_size), dtype=np.int32)
    missing: set[str] = set()
    clamped: Counter[str] = Counter()

    def store(values: np.ndarray, field: Field, player: int) -> None:
        units, beyond = clamped_units(values, field)
        frames[:, FULL.index(field.name, player)] = units
        clamped[field.name] += beyond

    for player, (port, leader) in enumerate(zip(ports, leaders, strict=True)):
        for field in FULL.fields:
            if field in PROJECTILE_FIELDS or field.update == "age":
                continue
            column, convert = POST_COLUMNS[field.name]
            values = _column(leader.field("post"), column)
            if values is None:
                missing.add(field.name)
                continue
            natural = convert(values[last])
            bad = bad_values(natural, field, port, ids)
            reasons += bad
            store(natural, field, player)
        age = state_age(frames[:, FULL.index("action", player)])
        store(age, next(f for f in FULL.fields if f.update == "age"), player)
        width = len(CONTROLLER_FIELDS)
        pads, bad, beyond = _controllers(leader.field("pre"), last, port, ids)
        clamped += beyond
        controllers[:, player * width : (player + 1) * width] = pads
        reasons += bad
    if reasons:
        raise UnusableError(*reasons)

    items = _items(rows, last)
    if items is None:
        missing |= {f.name for f in PROJECTILE_FIELDS}
    else:
        for player in (0, 1):
            owner = PORTS.index(ports[1 - player])
            post = leaders[player].field("post")
            position = [_needed(post, f"position.{axis}")[last] for axis in "xy"]
            for field, values in zip(
                PROJECTILE_FIELDS, nearest_items(items, owner, *position), strict=True
            ):
                store(values, field, player)
    frames[:, FULL.stage_index] = start["stage"]

    chosen = [FULL.index(f.name, player) for player in (0, 1) for f in schema.fields]
    first, second = (int(frames[0, FULL.index("character", player)]) for player in (0, 1))
    one, two = np.hsplit(controllers, 2)
    info = GameInfo(
        sha256=sha256,
        split="",
        frames=len(ids),
        stage=start["stage"],
        characters=(first, second),
        version=".".join(map(str, start["slippi"]["version"])),
        missing=tuple(f.name for f in FULL.fields if f.name in missing),
        idle=(_idle_share(one), _idle_share(two)),
        fingerprint=match_fingerprint(
            start["stage"], start["random_seed"], (first, second), controllers
        ),
        clamped=tuple(sorted((name, count) for name, count in clamped.items() if count)),
    )
    held = np.ascontiguousarray(frames[:, [*chosen, FULL.stage_index]])
    if schema.version != FULL.version:  # whose intervals are narrower
        np.clip(held, schema.lo, schema.hi, out=held)
    return Game(info, held, controllers)


def last_rows(ids: np.ndarray) -> np.ndarray:
    """Find the last row of each frame id, in the order of the ids (rollbacks repeat ids)."""
    _, from_end = np.unique(ids[::-1], return_index=True)
    return len(ids) - 1 - from_end


def _column(node: pa.StructArray, path: str) -> np.ndarray | None:
    """Return a column by its dotted path, all rows; None if the file's version lacks it."""
    for name in path.split("."):
        index = node.type.get_field_index(name)
        if index < 0:
            return None
        node = node.field(index)
    return node.to_numpy(zero_copy_only=False)


def to_units(values: np.ndarray, field: Field) -> np.ndarray:
    """Convert natural units to a field's integer units: rounded half up, clamped, int32."""
    return clamped_units(values, field)[0]


def clamped_units(values: np.ndarray, field: Field) -> tuple[np.ndarray, int]:
    """Convert as `to_units`, and count the values outside the field's interval."""
    with np.errstate(invalid="ignore"):  # a game with NaN is refused after all is looked at
        units = np.floor(values.astype(np.float64) * field.quantum + 0.5)
        inside = np.clip(units, field.lo * field.quantum, field.hi * field.quantum)
        return inside.astype(np.int32), int(np.count_nonzero(inside != units))


def _needed(node: pa.StructArray, path: str) -> np.ndarray:
    """Return a column that every version has."""
    values = _column(node, path)
    if values is None:
        raise UnusableError(f"no column {path}")
    return values


def _controllers(
    pre: pa.StructArray, last: np.ndarray, port: str, ids: np.ndarray
) -> tuple[np.ndarray, list[str], Counter[str]]:
    """One player's controller, (T, 13) int32 Q15.16, what is wrong with it, what is clamped."""
    controls, reasons, clamped = [], [], Counter[str]()
    for name in CONTROLLER_FIELDS[:ANALOG_CONTROLS]:
        column, centre = PRE_COLUMNS[name]
        values = _needed(pre, column)[last].astype(np.float64)
        control = Field(name, "0..1", "fixed", "", "", 1.0, 0, 1)
        reasons += bad_values(values, control, port, ids)
        units, clamped[f"pad.{name}"] = clamped_units(
            (values + 1) / 2 if centre else values, control
        )
        controls.append(units)
    pressed = _needed(pre, "buttons_physical")[last]
    for name in CONTROLLER_FIELDS[ANALOG_CONTROLS:]:
        controls.append(np.where(pressed & BUTTON_BITS[name], Q16, 0))
    return np.stack(controls, axis=1).astype(np.int32), reasons, clamped


def _idle_share(controllers: np.ndarray) -> float:
    """Share of frames in which all 13 controls of a player are at rest."""
    rest = [int(PRE_COLUMNS[n][1] * Q16) if n in PRE_COLUMNS else 0 for n in CONTROLLER_FIELDS]
    return round(float((controllers == rest).all(axis=1).mean()), 4)


@dataclass(frozen=True)
class Items:
    """All items of the kept rows: frame index, owner (0..3, or -1) and position of each."""

    frame: np.ndarray
    owner: np.ndarray
    x: np.ndarray
    y: np.ndarray


def _items(rows: pa.StructArray, last: np.ndarray) -> Items | None:
    if rows.type.get_field_index("item") < 0:
        return None
    lists = rows.field("item")
    offsets, values = lists.offsets.to_numpy(), lists.values
    owner = _column(values, "owner")  # since 3.6; items since 3.0
    if owner is None:
        return None
    frame_of_row = np.full(len(rows), -1)
    frame_of_row[last] = np.arange(len(last))
    frame = np.repeat(frame_of_row, np.diff(offsets))
    inside = slice(offsets[0], offsets[-1])
    x, y = (_needed(values, f"position.{axis}")[inside].astype(np.float64) for axis in "xy")
    kept = (frame >= 0) & np.isfinite(x) & np.isfinite(y)
    return Items(frame[kept], owner[inside][kept], x[kept], y[kept])


def nearest_items(
    items: Items, owner: int, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find dx, dy of `owner`'s item nearest to (x, y) in each frame, and count his items.

    Zeros where there is none; the first in the file among equally near ones.
    """
    mine = items.owner == owner
    frame = items.frame[mine]
    dx, dy = items.x[mine] - x[frame], items.y[mine] - y[frame]
    order = np.lexsort((dx * dx + dy * dy, frame))  # stable: file order among equals
    found, first = np.unique(frame[order], return_index=True)
    near_dx, near_dy = np.zeros(len(x)), np.zeros(len(x))
    near_dx[found], near_dy[found] = dx[order][first], dy[order][first]
    return near_dx, near_dy, np.bincount(frame, minlength=len(x))
