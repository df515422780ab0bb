"""Real replays for tests, and copies of them with single values changed.

The games are unpacked from `../shared/replays`, beside the repository; without that folder
the tests that need them are skipped.  Named in `pytest_plugins` by the tests that use its
fixtures; PYTEST_DONT_REWRITE, as they import it as well.
"""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPLAYS = ROOT.parent / "shared" / "replays"
EDGE = REPLAYS / "edge"
START, PRE, POST, FRAME_START, ITEM, BOOKEND = 0x36, 0x37, 0x38, 0x3A, 0x3B, 0x3C
FRAME_EVENTS = (PRE, POST, FRAME_START, ITEM, BOOKEND)
RAW = 15  # bytes of UBJSON before the event stream


def unpack(folder: Path, which: str, limit: int) -> list[Path]:
    """The first `limit` games of a set, or skip."""
    if not (REPLAYS / "unpack").exists():
        pytest.skip(f"no replays at {REPLAYS}")
    command = [sys.executable, str(REPLAYS / "unpack"), str(folder)]
    subprocess.run([*command, "--set", which, "--limit", str(limit)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return sorted((folder / which).glob("*.slp"))


@pytest.fixture(scope="session")
def val_games(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return unpack(tmp_path_factory.mktemp("val"), "val", 6)


@pytest.fixture(scope="session")
def old_game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of version 2.0.1."""
    if not REPLAYS.exists():
        pytest.skip(f"no replays at {REPLAYS}")
    with open(REPLAYS / "index.csv", newline="") as file:
        train = [row for row in csv.DictReader(file) if row["set"] == "train"]
    place = next(i for i, row in enumerate(train) if row["version"] == "2.0.1")
    games = unpack(tmp_path_factory.mktemp("train"), "train", place + 1)
    return next(game for game in games if game.stem == train[place]["name"])


def events(data: bytes) -> Iterator[tuple[int, int]]:
    """(command, offset of its byte) of every event up to Game End."""
    sizes = {0x35: data[RAW + 1]}
    for at in range(RAW + 2, RAW + 1 + data[RAW + 1], 3):
        sizes[data[at]] = int.from_bytes(data[at + 1 : at + 3], "big")
    at = RAW
    while data[at] != 0x39:
        yield data[at], at
        at += 1 + sizes[data[at]]


def frame_id(data: bytes, at: int) -> int:
    return struct.unpack_from(">i", data, at + 1)[0]


def changed(game: Path, copy: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """A copy of a game on which `change(data, command, offset)` was called for each event."""
    data = bytearray(game.read_bytes())
    for command, at in list(events(bytes(data))):
        change(data, command, at)
    copy.write_bytes(data)
    return copy


def with_start(offset: int, value: bytes) -> Callable[[bytearray, int, int], None]:
    """Change bytes of Game Start; offsets count from the command byte."""

    def change(data: bytearray, command: int, at: int) -> None:
        if command == START:
            data[at + offset : at + offset + len(value)] = value

    return change


def with_post(frame: int, offset: int, value: bytes) -> Callable[[bytearray, int, int], None]:
    """Change bytes of the post-frame events of one frame, both players."""

    def change(data: bytearray, command: int, at: int) -> None:
        if command == POST and frame_id(data, at) == frame:
            data[at + offset : at + offset + len(value)] = value

    return change


def with_ids(shift: int, first: int) -> Callable[[bytearray, int, int], None]:
    """Add `shift` to all frame ids from `first` on."""

    def change(data: bytearray, command: int, at: int) -> None:
        if command in FRAME_EVENTS and frame_id(data, at) >= first:
            struct.pack_into(">i", data, at + 1, frame_id(data, at) + shift)

    return change
