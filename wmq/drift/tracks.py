"""A model on its way through the games: stages of one track, made once and kept.

A track is a predictor with a name.  Its walk through the true games, which gives its errors
one frame ahead and its states at all starts, happens when the first stage that is not kept
asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wmq.drift.free_rollouts import randomly_played
from wmq.drift.memo import Arrays, Shapes, Stages
from wmq.evaluation.teacher_forced import teacher_forced
from wmq.inference.predictor import Predictor, Spreads, StartRow, Tick
from wmq.progress import Counter, Progress
from wmq.replays.slippi import Game

ONE_AHEAD = "pos_mae"  # of the figures of `Tally`


@dataclass(frozen=True)
class Course:
    """What all tracks go through.

    starts, horizon  of the paired rollouts; worlds, frames: of the worlds
    spreads          of the float model's number heads, for `Tally`
    """

    games: Sequence[Game]
    starts: list[StartRow]
    horizon: int
    worlds: list[StartRow]
    frames: int
    spreads: Spreads
    stages: Stages
    progress: Progress


class Track:
    """One model: a name, what predicts, and the SHA-256 of its file or recipe."""

    def __init__(self, name: str, predictor: Predictor, sha256: str, course: Course):
        self.name, self.predictor, self.sha256, self.course = name, predictor, sha256, course
        self._beginning: Track = self

    @cached_property
    def _walked(self) -> tuple[Arrays, dict[StartRow, Any]]:
        """Errors one frame ahead, and the state at each start."""
        course = self.course
        starts = list(dict.fromkeys([*course.starts, *course.worlds]))
        total = sum(len(game.frames) - 1 for game in course.games)
        counter = Counter(course.progress, f"{self.name}: true games", total)
        tallies, states = teacher_forced(
            self.predictor, course.games, starts, course.spreads, counter.add
        )
        errors = [[t.sums[ONE_AHEAD], t.counts[ONE_AHEAD]] for t in tallies]
        return {ONE_AHEAD: np.array(errors)}, dict(zip(starts, states, strict=True))

    def forget(self) -> None:
        """Give the memory of the states back; a stage that is missing would walk again."""
        self.__dict__.pop("_walked", None)

    def begin_as(self, other: Track) -> None:
        """Take the states of another track, whose model has the same, instead of walking."""
        self._beginning = other

    def states(self, starts: Sequence[StartRow]) -> list[Any]:
        """The model's state at each start, before its row is read."""
        return [self._beginning._walked[1][start] for start in starts]

    def one_ahead(self) -> np.ndarray:
        """`pos_mae` of each game, (games, 2) float64: sum and count."""
        shape = (len(self.course.games), 2), np.dtype(np.float64)
        made = self._kept("one frame ahead", {ONE_AHEAD: shape}, lambda: self._walked[0])
        return made[ONE_AHEAD]

    def rolled(self) -> np.ndarray:
        """From the starts with the true controllers, (starts, horizon, frame_size)."""
        course = self.course

        def roll(tick: Tick) -> np.ndarray:
            states = self.states(course.starts)
            return self.predictor.roll(course.games, course.starts, states, course.horizon, tick)

        return self.frames("paired rollouts", len(course.starts), course.horizon, roll)

    def world_frames(self, controllers: str) -> np.ndarray:
        """Of the worlds with "real" or "random" controllers, (worlds, frames, frame_size)."""
        course = self.course

        def roll(tick: Tick) -> np.ndarray:
            states = self.states(course.worlds)
            games, starts = course.games, course.worlds
            if controllers == "random":
                games = randomly_played(games, starts, course.frames)
                starts = [StartRow(world, 0) for world in range(len(starts))]
            return self.predictor.roll(games, starts, states, course.frames, tick)

        title = f"worlds, {controllers} controllers"
        return self.frames(title, len(course.worlds), course.frames, roll)

    def frames(
        self, stage: str, count: int, frames: int, roll: Callable[[Tick], np.ndarray]
    ) -> np.ndarray:
        """`count` rollouts of this model, (count, frames, frame_size) int32, kept."""
        counter = Counter(self.course.progress, f"{self.name}: {stage}", count * frames)
        shape = (count, frames, self.predictor.schema.frame_size), np.dtype(np.int32)
        made = self._kept(stage, {"frames": shape}, lambda: {"frames": roll(counter.add)})
        return made["frames"]

    def _kept(self, stage: str, shapes: Shapes, make: Callable[[], Arrays]) -> Arrays:
        """A stage of this model."""
        name, key = f"{self.name} {stage}", {"model": self.sha256}
        return self.course.stages.kept(name, key, shapes, make)
