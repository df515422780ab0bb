"""Replays for tests: made ones always, and real ones where `../shared` has them.

Real games are unpacked from `../shared/replays`, beside the repository.  `changed` copies a game
with single bytes changed.  Named in `pytest_plugins` by the tests that use its fixtures;
PYTEST_DONT_REWRITE, as they import it as well.
"""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.made_games import made_game
from tests.support.odd_files import RAW as RAW
from tests.support.odd_files import events, write_odd_files
from tests.support.slp import BOOKEND, FRAME_START, ITEM, POST, PRE, START

ROOT = Path(__file__).resolve().parents[2]
REPLAYS = ROOT.parent / "shared" / "replays"
EDGE = REPLAYS / "edge"
FRAME_EVENTS = (PRE, POST, FRAME_START, ITEM, BOOKEND)
KINDS = ["made", "real"] if (REPLAYS / "unpack").exists() else ["made"]
# Of the made games: stage and characters by external id.
GAMES = (
    (31, (2, 20)), (32, (9, 0)), (8, (20, 19)), (28, (15, 2)), (2, (12, 16)), (3, (20, 4)),
)  # fmt: skip


def unpack(folder: Path, which: str, limit: int) -> list[Path]:
    """The first `limit` real games of a set, or skip."""
    if not (REPLAYS / "unpack").exists():
        pytest.skip(f"no real replays at {REPLAYS}")
    command = [sys.executable, str(REPLAYS / "unpack"), str(folder)]
    subprocess.run([*command, "--set", which, "--limit", str(limit)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return sorted((folder / which).glob("*.slp"))


def write_games(folder: Path, frames: int = 1700) -> list[Path]:
    """Six made games, one a stage, of 3.9 to 3.17."""
    paths = []
    for k, (stage, characters) in enumerate(GAMES):
        version = (3, (14, 9, 16, 13, 17, 12)[k], 0)
        path = folder / f"made{k}.slp"
        path.write_bytes(
            made_game(k, frames, stage, characters, (0, 1 + k % 3), version).to_bytes()
        )
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def val_games(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_games(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session", params=KINDS)
def made_or_real(
    request: pytest.FixtureRequest, val_games: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Six games; for what real ones might contradict."""
    return (
        val_games if request.param == "made" else unpack(tmp_path_factory.mktemp("val"), "val", 6)
    )


@pytest.fixture(scope="session", params=KINDS)
def old_game(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of version 2.0.1."""
    if request.param == "made":
        path = tmp_path_factory.mktemp("old") / "old.slp"
        path.write_bytes(made_game(20, 1300, version=(2, 0, 1)).to_bytes())
        return path
    with open(REPLAYS / "index.csv", newline="") as file:
        train = [row for row in csv.DictReader(file) if row["set"] == "train"]
    place = next(i for i, row in enumerate(train) if row["version"] == "2.0.1")
    games = unpack(tmp_path_factory.mktemp("train"), "train", place + 1)
    return next(game for game in games if game.stem == train[place]["name"])


@dataclass(frozen=True)
class OddFiles:
    """A folder of files that are no usable games: name -> words of the reason."""

    folder: Path
    reasons: dict[str, str]


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> OddFiles:
    folder = tmp_path_factory.mktemp("odd")
    return OddFiles(folder, write_odd_files(folder))


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
