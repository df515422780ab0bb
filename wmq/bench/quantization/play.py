"""What every method is given: the same games, and the same starts of rollouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.rollout_error import LEAST_FRAMES, LONGEST, choose_starts
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.inference.model_files import schema_of
from wmq.inference.predictor import Predictor, Spreads, StartRow, Tick
from wmq.replays.slippi import Game


@dataclass(frozen=True)
class Extent:
    """games, frames  no more validation games than that, by their hash, and frames of each; 0: all
    starts         of rollouts over LONGEST frames
    calibration    frames of calibration play, at most
    """

    games: int
    frames: int
    starts: int
    calibration: int


@dataclass(frozen=True)
class Play:
    """scales  spreads of the number heads, which val_loss is measured in"""

    schema: Schema
    scales: Spreads
    games: list[Game]
    starts: list[StartRow]

    @property
    def steps(self) -> list[int]:
        """Count the frames of each game that have a next one."""
        return [len(game.frames) - 1 for game in self.games]


@dataclass(frozen=True)
class Part:
    """The beginning of every game, which is all of it where a method is worth the time.

    steps   of each game
    starts  places in `Play.starts` of those that lie there
    """

    steps: tuple[int, ...]
    starts: tuple[int, ...]


def read_play(data: Path, onnx: Path, extent: Extent) -> Play:
    """Read the games and choose the starts.  Raises WmqError or CalibrationError."""
    from calib.step.graph import read_step

    step = read_step(onnx)
    schema = schema_of(step.schema, onnx)
    dataset = Dataset.open(data)
    infos = dataset.select("val")[: extent.games or None]
    if not infos:
        raise WmqError(f"{data}: no validation game; prepare more replays")
    games = [beginning(dataset.load(info, schema), extent.frames) for info in infos]
    starts = choose_starts(games, extent.starts, LONGEST)
    if not starts:
        raise WmqError(f"{data}: no validation game has {LEAST_FRAMES} frames, as a rollout "
                       "after the entry needs; prepare longer replays")  # fmt: skip
    scales = {head: np.array(step.weights[f"{head}_scale"]) for head in NUMBER_HEADS}
    return Play(schema, scales, games, starts)


def part_of(play: Play, share: float) -> Part:
    steps = tuple(math.ceil(share * count) for count in play.steps)
    starts = tuple(place for place, s in enumerate(play.starts) if s.row < steps[s.game])
    return Part(steps, starts)


def games_of(play: Play, part: Part) -> list[Game]:
    """Cut the games to a part."""
    return [beginning(game, steps) for game, steps in zip(play.games, part.steps, strict=True)]


def starts_of(play: Play, part: Part) -> list[StartRow]:
    return [play.starts[place] for place in part.starts]


def roll(
    predictor: Predictor, play: Play, part: Part, states: list[Any], tick: Tick
) -> np.ndarray:  # fmt: skip
    """Roll out LONGEST frames after each start of a part, (starts, LONGEST, frame_size) int32."""
    starts = starts_of(play, part)
    if not starts:
        return np.empty((0, LONGEST, play.schema.frame_size), np.int32)
    return predictor.roll(play.games, starts, states, LONGEST, tick)
