"""What float32 says on every frame: computed once, kept on the disk, and read by every row.

    record.json    the key of what is kept, and how long it took; written last, so that what it
                   names is whole
    heads-N.f32    heads of game N, (steps, sum of widths) float32 in the order of `head_widths`
    rolled.npy     rollouts from all starts, (starts, LONGEST, frame_size) int32

About 4 KB a frame: 1.4 GB for the 336,549 frames of 37 games.  Half floats would take half,
but their logits are no nearer than 0.01, far wider apart than the rows that are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from wmq.bench.quantization.play import Play, games_of, part_of, roll, starts_of
from wmq.evaluation.metrics import Tally
from wmq.evaluation.rollout_error import LONGEST
from wmq.evaluation.teacher_forced import add_rows
from wmq.files.atomic import cannot_write, write_atomically
from wmq.game.targets import Heads, head_widths
from wmq.inference.predictor import Tick, cuts
from wmq.toolkits.methods import Way

KEY = "record.json"
ROLLED = "rolled.npy"


class Kept(msgspec.Struct, frozen=True):
    """key of what is kept; seconds: that it took"""

    key: str
    seconds: float = 0.0


class Record:
    """A record that is whole, opened for reading."""

    def __init__(self, folder: Path, play: Play):
        self.play = play
        self.columns = columns(play)
        width = sum(head_widths(play.schema).values())
        self.kept = [np.memmap(_heads_path(folder, number), np.float32, "r", shape=(steps, width))
                     for number, steps in enumerate(play.steps)]  # fmt: skip
        self.rolled = np.load(folder / ROLLED)
        self.tallied: dict[tuple[int, ...], list[Tally]] = {}

    def heads(self, number: int, first: int, last: int) -> Heads:
        """Heads of rows [first, last) of a game."""
        rows = np.array(self.kept[number][first:last])
        return {name: rows[:, at] for name, at in self.columns.items()}

    def tallies(self, steps: Sequence[int]) -> list[Tally]:
        """A tally of the first steps of each game."""
        if (key := tuple(steps)) not in self.tallied:
            self.tallied[key] = [self._tally(number, count) for number, count in enumerate(key)]
        return self.tallied[key]

    def _tally(self, number: int, steps: int) -> Tally:
        game, tally = self.play.games[number], Tally(self.play.schema, self.play.scales)
        for first, last in pairwise(cuts(game)):
            last = min(last, steps)
            if first < last:
                add_rows(tally, game, first, self.heads(number, first, last))
        return tally


def columns(play: Play) -> dict[str, slice]:
    """Where each head is in a row."""
    found, at = {}, 0
    for name, width in head_widths(play.schema).items():
        found[name] = slice(at, at + width)
        at += width
    return found


def is_kept(folder: Path, key: str, play: Play) -> bool:
    """Whether the record of this key is there, whole."""
    row_bytes = 4 * sum(head_widths(play.schema).values())
    try:
        sizes = [_heads_path(folder, number).stat().st_size for number in range(len(play.steps))]
        rolled = np.load(folder / ROLLED, mmap_mode="r").shape
        return (_read(folder).key == key and sizes == [steps * row_bytes for steps in play.steps]
                and rolled == (len(play.starts), LONGEST, play.schema.frame_size))  # fmt: skip
    except (OSError, ValueError, EOFError):
        return False


def seconds_of(folder: Path) -> float:
    """How long the record took that is kept there."""
    return _read(folder).seconds


def make_record(folder: Path, key: str, play: Play, make: Callable[[], Way], tick: Tick) -> Way:
    """Write the record, over an older one; returns the way that it was made with.

    Raises WmqError if the folder cannot be written.
    """
    began = time.monotonic()
    try:
        way = _write(folder, play, make, tick)
    except OSError as error:
        raise cannot_write(folder, error) from None
    kept = Kept(key, time.monotonic() - began)
    write_atomically(folder / KEY, msgspec.json.encode(kept))
    return way


def _write(folder: Path, play: Play, make: Callable[[], Way], tick: Tick) -> Way:
    """All but `KEY`.  Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).unlink(missing_ok=True)
    for path in folder.glob("heads-*.f32"):
        path.unlink()
    way, order = make(), columns(play)
    width = sum(head_widths(play.schema).values())

    def take(number: int, first: int, heads: Heads) -> None:
        rows = np.concatenate([heads[name] for name in order], axis=1).astype(np.float32)
        path = _heads_path(folder, number)
        with open(path, "r+b" if path.exists() else "w+b") as file:
            file.seek(first * width * rows.itemsize)
            file.write(rows.tobytes())
        tick(len(rows))

    part = part_of(play, 1.0)
    states = way.predictor.walk(games_of(play, part), starts_of(play, part), take)
    rolled = roll(way.predictor, play, part, states, tick)
    with open(folder / ROLLED, "wb") as file:
        np.save(file, rolled)
    return way


def _read(folder: Path) -> Kept:
    """Raises OSError, or ValueError for another file."""
    return msgspec.json.decode((folder / KEY).read_bytes(), type=Kept)


def _heads_path(folder: Path, number: int) -> Path:
    return folder / f"heads-{number}.f32"
