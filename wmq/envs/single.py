"""`wmq/Melee-v0` for Gymnasium: player 1 in one world, against an opponent."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from wmq.envs.actions import action_space, controllers_of
from wmq.envs.matches import Matches
from wmq.envs.observations import Observation, Observer
from wmq.envs.opponents import Policy, opponent_of
from wmq.envs.options import MatchOptions, drawn_seed
from wmq.errors import WmqError
from wmq.game.schema import FRAMES_PER_SECOND


class MeleeEnv(gymnasium.Env):
    """One frame a step (docs/environments.md).

    opponent  "idle", "random", "script:FILE", or a function from the observation of player 2
              to his action
    options   those of `MatchOptions`

    Each info holds the integer "frame" and the "seed" with which `reset` begins this episode.
    Raises WmqError for bad options and actions.
    """

    metadata = {"render_modes": [], "render_fps": FRAMES_PER_SECOND}

    def __init__(self, opponent: str | Policy = "random", **options: Any):
        chosen = MatchOptions(**options)
        self._matches = Matches(chosen, 1)
        self._observer = Observer(self._matches.schema)
        self._opponent = opponent_of(opponent, self._observer, 1, chosen.max_frames, False)
        self.action_space = action_space()
        self.observation_space = self._observer.space()
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a match; without a seed, one is drawn from the generator of the last seed."""
        super().reset(seed=seed)
        episode = drawn_seed(self.np_random) if seed is None else seed
        self._matches.begin(0, episode)
        self._opponent.begin(0, episode)
        self._playing = True
        return self._seen(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if not self._playing:
            raise WmqError("no match is being played; call reset first")
        own = controllers_of(action)
        others = self._opponent.controllers(self._matches)
        self._playing = False  # an interrupted step leaves no match that could go on
        outcome = self._matches.step(np.concatenate([own[None], others], axis=1))
        terminated, truncated = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        self._playing = not (terminated or truncated)
        return self._seen(), float(outcome.rewards[0, 0]), terminated, truncated, self._info()

    def close(self) -> None:
        self._playing = False
        self._matches.close()

    def _seen(self) -> Observation:
        seen = self._observer.observe(self._matches.frames, self._matches.controllers, 0)
        return {name: values[0] for name, values in seen.items()}

    def _info(self) -> dict[str, Any]:
        return {"frame": self._matches.frames[0].copy(), "seed": int(self._matches.seeds[0])}
