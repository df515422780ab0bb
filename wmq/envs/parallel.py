"""`wmq/Melee-v0` for PettingZoo: both players of one world."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from wmq.envs.actions import action_space, controllers_of
from wmq.envs.matches import Matches
from wmq.envs.observations import Observation, Observer
from wmq.envs.options import MatchOptions, drawn_seed
from wmq.errors import WmqError
from wmq.game.schema import FRAMES_PER_SECOND

AGENTS = ("p1", "p2")


class MeleeParallelEnv(ParallelEnv):
    """One frame a step (docs/environments.md).

    options  those of `MatchOptions`

    Each info holds the integer "frame" and the "seed" with which `reset` begins this episode.
    Raises WmqError for bad options and actions.
    """

    metadata = {
        "name": "melee_v0",
        "render_modes": [],
        "render_fps": FRAMES_PER_SECOND,
        "is_parallelizable": True,
    }
    render_mode = None

    def __init__(self, **options: Any):
        self._matches = Matches(MatchOptions(**options), 1)
        self._observer = Observer(self._matches.schema)
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        self.observation_spaces = {agent: self._observer.space() for agent in AGENTS}
        self.action_spaces = {agent: action_space() for agent in AGENTS}
        schema = self._matches.schema
        self.state_space = spaces.Box(schema.lo, schema.hi, dtype=np.int32)
        self._generator: np.random.Generator | None = None

    def observation_space(self, agent: str) -> spaces.Dict:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Dict:
        return self.action_spaces[agent]

    def state(self) -> np.ndarray:
        """Return the integer frame (docs/frames.md)."""
        return self._matches.frames[0].copy()

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begin a match; without a seed, one is drawn from the generator of the last seed."""
        if seed is not None or self._generator is None:
            self._generator, _ = seeding.np_random(seed)
        self._matches.begin(0, drawn_seed(self._generator) if seed is None else seed)
        self.agents = list(AGENTS)
        return self._seen(), self._infos()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Observation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        if not self.agents:
            raise WmqError("no match is being played; call reset first")
        if not isinstance(actions, dict) or set(actions) != set(AGENTS):
            raise WmqError(f"actions of {' and '.join(AGENTS)} are needed, and no others")
        rows = [controllers_of(actions[agent], (), agent) for agent in AGENTS]
        self.agents = []  # an interrupted step leaves no match that could go on
        outcome = self._matches.step(np.concatenate(rows)[None])
        terminated, truncated = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        if not (terminated or truncated):
            self.agents = list(AGENTS)
        return (
            self._seen(),
            dict(zip(AGENTS, outcome.rewards[0].tolist(), strict=True)),
            dict.fromkeys(AGENTS, terminated),
            dict.fromkeys(AGENTS, truncated),
            self._infos(),
        )

    def close(self) -> None:
        self.agents = []
        self._matches.close()

    def _seen(self) -> dict[str, Observation]:
        both = self._observer.observe(self._matches.frames, self._matches.controllers, slice(None))
        return {
            agent: {name: values[0, player] for name, values in both.items()}
            for player, agent in enumerate(AGENTS)
        }

    def _infos(self) -> dict[str, dict[str, Any]]:
        seed = int(self._matches.seeds[0])
        return {agent: {"frame": self.state(), "seed": seed} for agent in AGENTS}
