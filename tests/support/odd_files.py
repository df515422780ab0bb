"""Odd replay files, each with what a reader says against it.

The bytes are those of made games, cut, changed or continued; they leave as a table from a
name to the bytes and to words of the reason, as peppi-py 0.8.6 and `wmq.replays.slippi` state it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.support.made_games import made_game
from tests.support.slp import END, FIRST_FRAME, POST, START, WRAPPER, Recording

RAW = len(WRAPPER) + 4  # bytes before the event stream
FRAMES = 315
CUT, FOREIGN, SHORT = "failed to fill whole buffer", "cannot read it: invalid data", "fewer than"


def events(data: bytes) -> Iterator[tuple[int, int]]:
    """(command, offset of its byte) of every event up to Game End."""
    sizes = {0x35: data[RAW + 1]}
    for at in range(RAW + 2, RAW + 1 + data[RAW + 1], 3):
        sizes[data[at]] = int.from_bytes(data[at + 1 : at + 3], "big")
    at = RAW
    while data[at] != END:
        yield data[at], at
        at += 1 + sizes[data[at]]


def place(data: bytes, wanted: int, number: int = 0) -> int:
    """Offset of the command byte of one event, by its kind and number."""
    return [at for command, at in events(data) if command == wanted][number]


def odd_files() -> dict[str, tuple[bytes, str]]:
    """Name without suffix -> bytes, words of the reason."""
    game = made_game(3, FRAMES, version=(3, 9, 0))
    whole = game.to_bytes()
    end = RAW + len(game.stream())
    start = place(whole, START)

    def changed(*changes: tuple[int, bytes]) -> bytes:
        data = bytearray(whole)
        for at, value in changes:
            data[at : at + len(value)] = value
        return bytes(data)

    def remade(**columns: object) -> bytes:
        return replace(game, **columns).to_bytes()  # type: ignore[arg-type]

    def without(taken: Callable[[int, int], bool]) -> bytes:
        """Without the events for which `taken(command, number of that kind)`."""
        places = [*events(whole), (END, end - 3)]
        parts, count = [], {}
        for (command, at), (_, following) in zip(places, [*places[1:], (0, end)], strict=True):
            count[command] = count.get(command, -1) + 1
            if not taken(command, count[command]):
                parts.append(whole[at:following])
        stream = b"".join(parts)
        return WRAPPER + struct.pack(">i", len(stream)) + stream + whole[end:]

    short = f"{FRAMES} frames, {SHORT} 1200"
    four = {"characters": (2, 20, 9, 12), "pre": game.pre * 2, "post": game.post * 2}
    three = {"characters": (2, 20, 9), "pre": game.pre[:1] * 3, "post": game.post[:1] * 3}
    nan, inf = struct.pack(">f", np.nan), struct.pack(">f", np.inf)
    x_place = [place(whole, POST, number) + 0x0A for number in (150, 152)]
    return {
        "empty": (b"", CUT),
        "text": (b"this is no replay file", FOREIGN),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, FOREIGN),
        "web_page": (b"<!DOCTYPE html><html><body>Not found</body></html>", FOREIGN),
        "no_wrapper": (whole[RAW:end], FOREIGN),
        "cut_in_payload_sizes": (whole[: RAW + 7], CUT),
        "cut_in_game_start": (whole[: start + 200], CUT),
        "cut_in_an_event": (whole[: place(whole, POST, 300) + 20], CUT),
        "cut_in_metadata": (whole[: end + 20], CUT),
        "length_too_big": (changed((RAW - 4, struct.pack(">i", end + 10_000))), CUT),
        "length_zero": (changed((RAW - 4, bytes(4))), short),
        "never_closed": (changed((RAW - 4, bytes(4)))[: place(whole, POST, 200) + 5], CUT),
        "payload_of_no_bytes": (changed((RAW + 3, b"\0\0")), "zero-size event payload"),
        "unknown_event": (changed((place(whole, POST, 99), b"\xfe")), "unknown event: 0xfe"),
        "spliced": (whole[: place(whole, POST, 50) + 9] + whole[place(whole, POST, 90) :],
                    "unknown event: "),
        "port_out_of_range": (changed((place(whole, POST, 9) + 5, b"\5")), "panicked: "),
        "first_format": (changed((start + 1, b"\0\1\0")), "panicked: "),
        "missing_rows": (without(lambda command, number: command == POST and number == 200),
                         "panicked: "),
        "no_game_end": (without(lambda command, number: command == END), short),
        "bytes_after_the_end": (whole + bytes(range(256)) * 2, short),
        "nan_positions": (changed((x_place[0], nan), (x_place[1], inf)), "x is nan in frame"),
        "ended_at_once": (made_game(4, 124).to_bytes(), "124 frames, fewer than 1200"),
        "with_rollbacks": (made_game(5, 157, rollbacks=14).to_bytes(), "157 frames, fewer"),
        "newest_version": (made_game(6, 847, version=(3, 19, 0)).to_bytes(), "847 frames, fewer"),
        "computer_player": (remade(kinds=("human", "cpu")), "P2 is not a human player (Cpu)"),
        "four_players": (remade(ports=(0, 1, 2, 3), kinds=("human",) * 4, **four),
                         "4 players, not 2"),
        "teams": (remade(ports=(0, 1, 3), kinds=("human",) * 3, teams=True, **three),
                  "3 players, not 2; team mode"),
        "ice_climbers": (remade(characters=(14, 20)), "P1 plays Ice Climbers"),
        "odd_stage": (remade(stage=5), "stage 5 is not a tournament stage"),
        "odd_end": (remade(end_method=9), "invalid game end method: 9"),
        "slow_motion": (remade(ids=game.ids + 262_433 - FIRST_FRAME),
                        "first frame id is 262433, not -123"),
        "frame_gap": (_gap(), "frame ids jump from 99 to 131"),
    }  # fmt: skip


def _gap() -> bytes:
    """A game long enough, of whose frames 100 to 130 nothing was recorded."""
    game: Recording = made_game(7, 1400, version=(3, 9, 0))
    kept = (game.ids < 100) | (game.ids > 130)
    held = kept[game.item_rows]
    rows = np.cumsum(kept) - 1
    return replace(
        game, ids=game.ids[kept], pre=[p[kept] for p in game.pre],
        post=[p[kept] for p in game.post], items=game.items[held],
        item_rows=rows[game.item_rows[held]],
    ).to_bytes()  # fmt: skip


def write_odd_files(folder: Path) -> dict[str, str]:
    """Write all of them as `NAME.slp`; returns words of each file's reason by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    table = odd_files()
    for name, (data, _) in table.items():
        (folder / f"{name}.slp").write_bytes(data)
    return {f"{name}.slp": reason for name, (_, reason) in table.items()}
