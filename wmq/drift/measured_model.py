"""One model of a drift measurement, and its stages, made once and kept.

A model walks through the true games when the first stage that is not kept asks for it; the walk
gives its errors one frame ahead and its states at all starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wmq.drift.free_rollouts import randomly_played, sampled_worlds
from wmq.drift.stage_store import StageStore
from wmq.evaluation.results import played_by
from wmq.evaluation.teacher_forced import teacher_forced
from wmq.inference.agents import Agent
from wmq.inference.predictor import Predictor, Spreads, StartRow, Tick
from wmq.memo.forms import Arrays, Shapes
from wmq.memo.provenance import digest
from wmq.progress import Counter, Progress
from wmq.replays.slippi import Game

ONE_AHEAD = "pos_mae"  # of the figures of `Tally`


@dataclass(frozen=True)
class DriftPlan:
    """What all models are measured on.

    starts, horizon  of the paired rollouts; worlds, frames: of the worlds
    spreads          of the float model's number heads, for `Tally`
    agent            plays worlds of models that draw; None for others
    """

    games: Sequence[Game]
    starts: list[StartRow]
    horizon: int
    worlds: list[StartRow]
    frames: int
    spreads: Spreads
    agent: Agent | None
    stages: StageStore
    progress: Progress


class MeasuredModel:
    """A name, what predicts, and the SHA-256 of its file or recipe."""

    def __init__(self, name: str, predictor: Predictor, sha256: str, plan: DriftPlan):
        self.name, self.predictor, self.sha256, self.plan = name, predictor, sha256, plan
        self._beginning: MeasuredModel = self

    @cached_property
    def _walked(self) -> tuple[Arrays, dict[StartRow, Any]]:
        """Errors one frame ahead, and the state at each start."""
        plan = self.plan
        starts = list(dict.fromkeys([*plan.starts, *plan.worlds]))
        total = sum(len(game.frames) - 1 for game in plan.games)
        counter = Counter(plan.progress, f"{self.name}: true games", total)
        tallies, states = teacher_forced(
            self.predictor, plan.games, starts, plan.spreads, counter.add
        )
        errors = [[t.sums[ONE_AHEAD], t.counts[ONE_AHEAD]] for t in tallies]
        return {ONE_AHEAD: np.array(errors)}, dict(zip(starts, states, strict=True))

    def forget(self) -> None:
        """Give the memory of the states back; a stage that is missing would walk again."""
        self.__dict__.pop("_walked", None)

    def begin_as(self, other: MeasuredModel) -> None:
        """Take the states of another model that has the same instead of walking."""
        self._beginning = other

    def states(self, starts: Sequence[StartRow]) -> list[Any]:
        """Return the model's state at each start, before its row is read."""
        return [self._beginning._walked[1][start] for start in starts]

    def one_ahead(self) -> np.ndarray:
        """`pos_mae` of each game, (games, 2) float64: sum and count."""
        shape = (len(self.plan.games), 2), np.dtype(np.float64)
        made = self._kept("one frame ahead", {ONE_AHEAD: shape}, lambda: self._walked[0])
        return made[ONE_AHEAD]

    def rolled(self) -> np.ndarray:
        """From the starts with the true controllers, (starts, horizon, frame_size)."""
        plan = self.plan

        def roll(tick: Tick) -> np.ndarray:
            states = self.states(plan.starts)
            return self.predictor.roll(plan.games, plan.starts, states, plan.horizon, tick)

        return self.frames("paired rollouts", len(plan.starts), plan.horizon, roll)

    def world_frames(self, controllers: str) -> np.ndarray:
        """Of the worlds that "real" or "random" controllers or "agents" play.

        (worlds, frames, frame_size)
        """
        plan = self.plan
        agent = plan.agent if controllers == "agents" else None

        def roll(tick: Tick) -> np.ndarray:
            states = self.states(plan.worlds)
            games, starts = plan.games, plan.worlds
            if self.predictor.schema.draws:
                return sampled_worlds(self.predictor, games, starts, states, plan.frames, agent,
                                      tick)  # fmt: skip
            if controllers == "random":
                games = randomly_played(games, starts, plan.frames)
                starts = [StartRow(world, 0) for world in range(len(starts))]
            return self.predictor.roll(games, starts, states, plan.frames, tick)

        made_of = digest(self.sha256, agent.sha256) if agent else self.sha256
        return self.frames(f"worlds, {played_by(controllers)}", len(plan.worlds), plan.frames, roll,
                           made_of)  # fmt: skip

    def frames(
        self, stage: str, count: int, frames: int, roll: Callable[[Tick], np.ndarray],
        made_of: str = "",
    ) -> np.ndarray:  # fmt: skip
        """`count` rollouts of this model, (count, frames, frame_size) int32, kept.

        made_of  SHA-256 of all models that take part; "" for this one alone
        """
        counter = Counter(self.plan.progress, f"{self.name}: {stage}", count * frames)
        shape = (count, frames, self.predictor.schema.frame_size), np.dtype(np.int32)
        made = self._kept(stage, {"frames": shape}, lambda: {"frames": roll(counter.add)}, made_of)
        return made["frames"]

    def _kept(
        self, stage: str, shapes: Shapes, make: Callable[[], Arrays], made_of: str = ""
    ) -> Arrays:
        """Return a stage of this model."""
        return self.plan.stages.kept(f"{self.name} {stage}", made_of or self.sha256, shapes, make)
