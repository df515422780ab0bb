"""What float32 says on every frame: computed once, kept on the disk, and read by every row.

    record.json    manifest of the others (`wmq.memo.manifest`)
    heads-N.f32    heads of game N, (steps, sum of widths) float32 in the schema's order
    rolled.npy     rollouts from all starts, (starts, LONGEST, frame_size) int32

About 4 KB a frame: 1.4 GB for the 336,549 frames of 37 games.  Half floats would take half,
but their logits are no nearer than 0.01, far wider apart than the rows that are compared.
Rows are written as they come, by threads at their places, and mapped into memory when they are
read: as one value of a store, the record would be in memory twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from wmq.bench.quantization.play import Play, games_of, part_of, roll, starts_of
from wmq.evaluation.metrics import Tally
from wmq.evaluation.teacher_forced import add_rows
from wmq.game.targets import Heads
from wmq.inference.predictor import Tick, cuts
from wmq.memo.manifest import make_files, read_manifest
from wmq.toolkits.methods import Method

MANIFEST = "record.json"
ROLLED = "rolled.npy"


class Record:
    """A record that is whole, opened for reading."""

    def __init__(self, folder: Path, play: Play):
        self.play = play
        self.columns = columns(play)
        width = sum(play.schema.heads.values())
        self.kept = [np.memmap(_heads_path(folder, number), np.float32, "r", shape=(steps, width))
                     for number, steps in enumerate(play.steps)]  # fmt: skip
        self.rolled = np.load(folder / ROLLED)
        self.tallied: dict[tuple[int, ...], list[Tally]] = {}

    def heads(self, number: int, first: int, last: int) -> Heads:
        """Read the heads of rows [first, last) of a game."""
        rows = np.array(self.kept[number][first:last])
        return {name: rows[:, at] for name, at in self.columns.items()}

    def tallies(self, steps: Sequence[int]) -> list[Tally]:
        """Tally the first steps of each game."""
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
    """Find where each head is in a row."""
    found, at = {}, 0
    for name, width in play.schema.heads.items():
        found[name] = slice(at, at + width)
        at += width
    return found


def is_kept(folder: Path, key: str) -> bool:
    """Tell whether the record of this key is there, whole."""
    return read_manifest(folder / MANIFEST, key) is not None


def seconds_of(folder: Path, key: str) -> float:
    """Read how long the record took that is kept there; 0 if it is not of this key."""
    found = read_manifest(folder / MANIFEST, key)
    return found.seconds if found else 0.0


def make_record(
    folder: Path, key: str, play: Play, make: Callable[[], Method], tick: Tick
) -> Method:
    """Write the record, over an older one, and return the method that made it.

    Raises WmqError if the folder cannot be written.
    """
    made: list[Method] = []

    def write() -> list[Path]:
        for path in folder.glob("heads-*.f32"):
            path.unlink()
        made.append(make())
        return _write(folder, play, made[0], tick)

    make_files(folder / MANIFEST, key, write)
    return made[0]


def _write(folder: Path, play: Play, method: Method, tick: Tick) -> list[Path]:
    """Write all but the manifest.  Raises OSError."""
    order = columns(play)
    width = sum(play.schema.heads.values())

    def take(number: int, first: int, heads: Heads) -> None:
        rows = np.concatenate([heads[name] for name in order], axis=1).astype(np.float32)
        path = _heads_path(folder, number)
        with open(path, "r+b" if path.exists() else "w+b") as file:
            file.seek(first * width * rows.itemsize)
            file.write(rows.tobytes())
        tick(len(rows))

    part = part_of(play, 1.0)
    states = method.predictor.walk(games_of(play, part), starts_of(play, part), take)
    rolled = roll(method.predictor, play, part, states, tick)
    with open(folder / ROLLED, "wb") as file:
        np.save(file, rolled)
    return [*(_heads_path(folder, number) for number in range(len(play.steps))), folder / ROLLED]


def _heads_path(folder: Path, number: int) -> Path:
    return folder / f"heads-{number}.f32"
