"""Slippi `.slp` bytes from columns: the event stream, its UBJSON wrapper, the metadata.

A `Recording` comes in, with the columns of the newest version known here; bytes leave, laid out
as any version from 2.0.0 on lays them out.  The tables follow the public specification
(github.com/project-slippi/slippi-wiki, SPEC.md); columns have the names that peppi gives them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

Version = tuple[int, int, int]
PAYLOADS, START, PRE, POST, END, FRAME_START, ITEM, BOOKEND = (
    0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C,
)  # fmt: skip
FIRST_FRAME = -123
WRAPPER = b"{U\x03raw[$U#l"  # then the stream's length, four bytes

# Event -> its columns in order: name, type, and the version that added it.
COLUMNS: dict[int, tuple[tuple[str, str, tuple[int, int]], ...]] = {
    PRE: (
        ("id", ">i4", (0, 1)), ("port", "u1", (0, 1)), ("follower", "u1", (0, 1)),
        ("random_seed", ">u4", (0, 1)), ("state", ">u2", (0, 1)),
        ("position.x", ">f4", (0, 1)), ("position.y", ">f4", (0, 1)), ("direction", ">f4", (0, 1)),
        ("joystick.x", ">f4", (0, 1)), ("joystick.y", ">f4", (0, 1)),
        ("cstick.x", ">f4", (0, 1)), ("cstick.y", ">f4", (0, 1)), ("triggers", ">f4", (0, 1)),
        ("buttons", ">u4", (0, 1)), ("buttons_physical", ">u2", (0, 1)),
        ("triggers_physical.l", ">f4", (0, 1)), ("triggers_physical.r", ">f4", (0, 1)),
        ("raw_analog_x", "i1", (1, 2)), ("percent", ">f4", (1, 4)),
        ("raw_analog_y", "i1", (3, 15)),
        ("raw_analog_cstick_x", "i1", (3, 17)), ("raw_analog_cstick_y", "i1", (3, 17)),
    ),
    POST: (
        ("id", ">i4", (0, 1)), ("port", "u1", (0, 1)), ("follower", "u1", (0, 1)),
        ("character", "u1", (0, 1)), ("state", ">u2", (0, 1)),
        ("position.x", ">f4", (0, 1)), ("position.y", ">f4", (0, 1)), ("direction", ">f4", (0, 1)),
        ("percent", ">f4", (0, 1)), ("shield", ">f4", (0, 1)),
        ("last_attack_landed", "u1", (0, 1)), ("combo_count", "u1", (0, 1)),
        ("last_hit_by", "u1", (0, 1)), ("stocks", "u1", (0, 1)), ("state_age", ">f4", (0, 2)),
        *((f"state_flags.{k}", "u1", (2, 0)) for k in range(5)),
        ("misc_as", ">f4", (2, 0)), ("airborne", "u1", (2, 0)), ("ground", ">u2", (2, 0)),
        ("jumps", "u1", (2, 0)), ("l_cancel", "u1", (2, 0)), ("hurtbox_state", "u1", (2, 1)),
        ("velocities.self_x_air", ">f4", (3, 5)), ("velocities.self_y", ">f4", (3, 5)),
        ("velocities.knockback_x", ">f4", (3, 5)), ("velocities.knockback_y", ">f4", (3, 5)),
        ("velocities.self_x_ground", ">f4", (3, 5)), ("hitlag", ">f4", (3, 8)),
        ("animation_index", ">u4", (3, 11)),
        ("last_hit_by_instance", ">u2", (3, 16)), ("instance_id", ">u2", (3, 16)),
    ),
    FRAME_START: (
        ("id", ">i4", (2, 2)), ("random_seed", ">u4", (2, 2)),
        ("scene_frame_counter", ">u4", (3, 10)),
    ),
    ITEM: (
        ("id", ">i4", (3, 0)), ("type", ">u2", (3, 0)), ("state", "u1", (3, 0)),
        ("direction", ">f4", (3, 0)), ("velocity.x", ">f4", (3, 0)), ("velocity.y", ">f4", (3, 0)),
        ("position.x", ">f4", (3, 0)), ("position.y", ">f4", (3, 0)), ("damage", ">u2", (3, 0)),
        ("timer", ">f4", (3, 0)), ("spawn", ">u4", (3, 0)),
        *((f"misc.{k}", "u1", (3, 2)) for k in range(4)),
        ("owner", "i1", (3, 6)), ("instance_id", ">u2", (3, 16)),
    ),
    BOOKEND: (("id", ">i4", (3, 0)), ("latest_finalized_frame", ">i4", (3, 7))),
}  # fmt: skip
START_SIZES = (  # bytes of Game Start's payload, by the version that first had them
    ((2, 0), 418), ((3, 7), 420), ((3, 9), 584), ((3, 11), 701), ((3, 14), 760),
)  # fmt: skip
PLAYER_TYPES = {"human": 0, "cpu": 1, "demo": 2, "empty": 3}
NEWEST = (99, 0, 0)


def layout(event: int, version: Version = NEWEST) -> np.dtype:
    """The payload of a frame event in that version, without padding."""
    return np.dtype([(name, kind) for name, kind, since in COLUMNS[event] if since <= version[:2]])


@dataclass
class Recording:
    """One game as its columns, a row an entry of the file: rollbacks repeat ids.

    version     (major, minor, patch)
    stage       external id
    ports       of the players, ascending, 0 to 3
    characters  external ids, in the order of `ports`
    ids         (rows,) frame ids in the order of the file
    pre, post   one structured array (rows,) a player, of `layout(PRE)` and `layout(POST)`;
                `id`, `port` and `follower` are filled in when the bytes are made
    items       structured array of `layout(ITEM)`
    item_rows   (items,) the row that each item belongs to, ascending
    kinds       of the players, keys of PLAYER_TYPES
    """

    version: Version
    stage: int
    ports: tuple[int, ...]
    characters: tuple[int, ...]
    ids: np.ndarray
    pre: list[np.ndarray]
    post: list[np.ndarray]
    items: np.ndarray
    item_rows: np.ndarray
    kinds: tuple[str, ...] = ("human", "human")
    teams: bool = False
    random_seed: int = 1
    started: str = "2021-06-20T01:29:39Z"
    end_method: int = 2  # "GAME!"

    def to_bytes(self) -> bytes:
        """The whole file."""
        stream = self.stream()
        return WRAPPER + struct.pack(">i", len(stream)) + stream + self.metadata()

    def stream(self) -> bytes:
        """The events from Event Payloads to Game End."""
        parts = [self._payloads(), self._start()]
        rows = len(self.ids)
        plain = {event: np.zeros(rows, layout(event)) for event in (FRAME_START, BOOKEND)}
        for events in plain.values():
            events["id"] = self.ids
        plain[FRAME_START]["random_seed"] = self.random_seed + 7 * np.arange(rows)
        plain[FRAME_START]["scene_frame_counter"] = self.ids - FIRST_FRAME
        plain[BOOKEND]["latest_finalized_frame"] = np.maximum.accumulate(self.ids)
        pre, post = [[p.copy() for p in side] for side in (self.pre, self.post)]
        for player, port in enumerate(self.ports):
            for events in (pre[player], post[player]):
                events["id"], events["port"], events["follower"] = self.ids, port, 0
        shown = self.items.copy()
        shown["id"] = self.ids[self.item_rows]
        first = np.searchsorted(self.item_rows, np.arange(rows + 1))
        per_row = [
            self._events(FRAME_START, plain[FRAME_START]),
            *(self._events(PRE, events) for events in pre),
            (items := self._events(ITEM, shown)),
            *(self._events(POST, events) for events in post),
            self._events(BOOKEND, plain[BOOKEND]),
        ]
        for row in range(rows):
            for events in per_row:
                if events is items:
                    parts += events[first[row] : first[row + 1]]
                elif events:
                    parts.append(events[row])
        return b"".join([*parts, self._end()])

    def metadata(self) -> bytes:
        """The UBJSON after the stream, and the brace that closes the file."""
        last = struct.pack(">i", int(self.ids.max(initial=FIRST_FRAME)))
        started = self.started.encode()
        return (
            b"U\x08metadata{U\x07startAtSU" + bytes([len(started)]) + started
            + b"U\x09lastFramel" + last + b"U\x07players{}U\x08playedOnSU\x07dolphin}}"
        )  # fmt: skip

    def _events(self, event: int, columns: np.ndarray) -> list[bytes]:
        """One payload a row with its command byte; none if the version lacks the event."""
        kept = layout(event, self.version)
        if not kept.names:
            return []
        rows = np.zeros(len(columns), np.dtype([("command", "u1"), *kept.descr]))
        rows["command"] = event
        for name in kept.names:
            rows[name] = columns[name]
        data, size = rows.tobytes(), rows.itemsize
        return [data[at : at + size] for at in range(0, len(data), size)]

    def _payloads(self) -> bytes:
        sizes = {event: layout(event, self.version).itemsize for event in COLUMNS}
        sizes |= {START: len(self._start()) - 1, END: len(self._end()) - 1}
        table = b"".join(struct.pack(">BH", *pair) for pair in sorted(sizes.items()) if pair[1])
        return bytes([PAYLOADS, len(table) + 1]) + table

    def _start(self) -> bytes:
        size = max(size for since, size in START_SIZES if since <= self.version[:2])
        data = bytearray(1 + size)  # offsets count from the command byte
        data[0], data[1:4] = START, bytes(self.version)
        data[0x05:0x09] = bytes((0x32, 0x01, 0x86, 0x4C))
        data[0x0D] = self.teams
        data[0x10] = data[0x11] = 0xFF  # no items; a self-destruct costs nothing more
        struct.pack_into(">HI", data, 0x13, self.stage, 480)
        data[0x28:0x2D] = b"\xff" * 5
        struct.pack_into(">f", data, 0x35, 1.0)
        for port in range(6):
            data[0x66 + 0x24 * port] = PLAYER_TYPES["empty"]
        for port, character, kind in zip(self.ports, self.characters, self.kinds, strict=True):
            at = 0x65 + 0x24 * port
            data[at : at + 4] = bytes((character, PLAYER_TYPES[kind], 4, 0))
            data[at + 8] = 9  # handicap
            struct.pack_into(">fff", data, at + 0x14, 1.0, 1.0, 1.0)
        struct.pack_into(">I", data, 0x13D, self.random_seed)
        return bytes(data)

    def _end(self) -> bytes:
        placements = bytes(self.ports.index(p) if p in self.ports else 0xFF for p in range(4))
        return bytes((END, self.end_method, 0xFF)) + placements * (self.version[:2] >= (3, 13))
