"""A match in our engine, one world and one thread: by random controllers, or by two agents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wmq.bench.speed.contenders import AGENTS, EMBEDDED
from wmq.bench.worker.matches import LENGTH, beginnings
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.timing import measured
from wmq.inference.agents import IntegerAgent
from wmq.inference.draws import Sampling
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.match import Seats, play_frames


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Open the world, and for the variant AGENTS what plays it.

    Raises ModelError or ProgramError.
    """
    world = IntegerPredictor(None if setup.variant == EMBEDDED else setup.program)
    agent = IntegerAgent(setup.agent) if setup.variant == AGENTS else None
    match = TimedMatch(world, agent)
    return lambda request: measured(match.advance, 1, request.seconds)


class TimedMatch:
    """A match in progress.

    frame, controllers  (1, n) int32: the present ones
    """

    def __init__(self, world: IntegerPredictor, agent: IntegerAgent | None):
        """Let random controllers play where there is no agent."""
        schema, seeds = world.schema, [0]
        self.frame, self._pads = beginnings(schema, 1)
        self.controllers, self._turn = self._pads[:, 0], 0
        self._worlds = world.worlds(1, sampling=Sampling.of_worlds(seeds))
        self._seats = Seats(schema, (agent, agent), seeds, "sample")

    def advance(self, steps: int) -> None:
        """Play `steps` frames."""
        pads = self._pads[:, (self._turn + np.arange(steps + 1)) % LENGTH]
        pads[:, 0] = self.controllers
        if self._seats.played:
            frames = np.empty((1, steps + 1, self.frame.shape[1]), np.int32)
            frames[:, 0] = self.frame
            play_frames(self._worlds, self._seats, frames, pads, 0, steps, 1)
        else:
            frames = self._worlds.advance(self.frame[:, None], pads, steps)
        self.frame, self.controllers = frames[:, -1], pads[:, -1]
        self._turn += steps
