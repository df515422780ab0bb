"""What is played to find ranges: real games, the model's own play, or an embedded set.

A dataset or a set's name comes in; a `CalibrationPlay` leaves, whose games are loaded one after
the other when they are needed.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from calib.sets import read_set
from calib.step.runner import CalibrationGame
from wmq.calibration.self_play import GIVEN, Pair
from wmq.dataset.select import usable
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.game.encoding import float_inputs
from wmq.game.schema import FULL, Schema
from wmq.game.targets import true_draws
from wmq.replays.slippi import GameInfo

PLAYS = ("real", "self", "mixed")  # of a dataset's games
LEAST_GAMES = 16
LONGEST_CUT = 4000  # frames of one game: longer than a rollout of a minute, as the state grows
OwnPlay = Callable[[Iterable[Pair], int], Iterator[Pair]]  # from real games of so many frames


@dataclass(frozen=True)
class Cut:
    """`count` steps of a game from frame index `first` on; a step needs the frame after it."""

    info: GameInfo
    first: int
    count: int


@dataclass(frozen=True)
class CalibrationPlay:
    """Play to calibrate on.

    games       a new pass over the games; each is loaded, or played, when it is needed
    frames      how many there are
    provenance  plain data that the program keeps
    """

    games: Callable[[], Iterator[CalibrationGame]]
    frames: int
    provenance: dict


def choose_cuts(games: Sequence[GameInfo], frames: int) -> list[Cut]:
    """Choose cuts of together `frames` steps or a few more, or all there is.

    Games are taken evenly from the order given; cuts are of one length where the games are
    long enough, and lie at the beginning, at one and two thirds, and at the end in turn.
    """
    wanted = min(len(games), max(LEAST_GAMES, math.ceil(frames / LONGEST_CUT)))
    while True:
        chosen = [games[i * len(games) // wanted] for i in range(wanted)]
        steps = np.array([g.frames - 1 for g in chosen])
        if wanted == len(games) or steps.sum() >= frames:
            break
        wanted = min(2 * wanted, len(games))
    longest = int(steps.max())
    length = 1 + bisect_left(
        range(1, longest), frames, key=lambda n: int(np.minimum(steps, n).sum())
    )
    cuts = []
    for number, info in enumerate(chosen):
        count = min(length, info.frames - 1)
        cuts.append(Cut(info, (info.frames - 1 - count) * (number % 4) // 3, count))
    return cuts


def from_dataset(
    path: Path, schema: Schema, frames: int, play: str = "real", own_play: OwnPlay | None = None
) -> CalibrationPlay:
    """Take cuts of the usable training games: as they are, as the model plays them, or both.

    play      one of PLAYS; "mixed" takes cuts of half as many frames, each once real and
              once the model's own
    own_play  is needed for all but "real"
    Raises DatasetError, or WmqError if there is no such game.
    """
    dataset = Dataset.open(path)
    games = [g for g in usable(dataset.select("train")) if g.frames > 1]
    if not games:
        raise WmqError(
            f"{path}: no training game with velocities and two active players; "
            "prepare more replays, or give --set NAME"
        )
    cuts = choose_cuts(games, math.ceil(frames / 2) if play == "mixed" else frames)
    total = sum(cut.count for cut in cuts)

    def real() -> Iterator[Pair]:
        for cut in cuts:
            game = dataset.load(cut.info, schema)
            rows = slice(cut.first, cut.first + cut.count + 1)
            yield game.frames[rows], game.controllers[rows]

    def load() -> Iterator[CalibrationGame]:
        own = own_play(real(), total + len(cuts)) if own_play and play != "real" else iter(())
        if play == "self":
            yield from (calibration_game(schema, *pair) for pair in own)
        else:
            for pair in real():
                yield calibration_game(schema, *pair)
                yield from (calibration_game(schema, *other) for other in islice(own, 1))

    provenance: dict = {"games": sorted(cut.info.sha256 for cut in cuts)}
    if play != "real":
        provenance |= {"play": play, "given": GIVEN}
    return CalibrationPlay(load, 2 * total if play == "mixed" else total, provenance)


def from_set(name: str, schema: Schema) -> CalibrationPlay:
    """Take an embedded set.  Raises CalibrationError, or WmqError if it is of another schema."""
    found = read_set(name, schema.version)
    widths = found.frames.shape[2], found.controllers.shape[2]
    if widths != (schema.frame_size, FULL.controllers_size):
        raise WmqError(f"{name}: the set has other fields than the model; give --data DATASET")
    if ((found.frames < schema.lo) | (found.frames > schema.hi)).any():
        raise WmqError(f"{name}: the set has values outside the schema; reinstall wmq")

    def load() -> Iterator[CalibrationGame]:
        for frames, controllers in zip(found.frames, found.controllers, strict=True):
            yield calibration_game(schema, frames, controllers)

    games, length = found.frames.shape[:2]
    return CalibrationPlay(load, games * (length - 1), {"set": found.name, "sha256": found.sha256})


def content_sha256(play: CalibrationPlay) -> str:
    """Digest all that is played, in hex."""
    digest = hashlib.sha256()
    for game in play.games():
        drawn = [game.drawn] if game.drawn.size else []
        for array in (game.numbers, game.classes, game.controllers, game.next_controllers, *drawn):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def calibration_game(
    schema: Schema, frames: np.ndarray, controllers: np.ndarray
) -> CalibrationGame:
    """Convert T + 1 integer frames and controllers to T steps."""
    own = controllers[:, : schema.controllers_size]  # an agent's: of player 1
    numbers, classes, pads = float_inputs(schema, frames, own)
    drawn = true_draws(schema, frames, controllers)
    return CalibrationGame(numbers[:-1], classes[:-1], pads[:-1], pads[1:], drawn)
