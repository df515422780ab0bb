"""Many worlds at once for Gymnasium: player 1 against an opponent, or both players.

All worlds advance together in the engine's groups.  Autoreset is Gymnasium's next-step mode: the
step after an episode's end begins the next one, ignores the action and gives no reward.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from wmq.api.checks import whole
from wmq.envs.actions import action_space, controllers_of
from wmq.envs.matches import Matches
from wmq.envs.observations import Observation, Observer
from wmq.envs.opponents import Policy, opponent_of
from wmq.envs.options import MatchOptions, drawn_seed
from wmq.errors import WmqError
from wmq.game.schema import CONTROLLER_FIELDS, FRAMES_PER_SECOND
from wmq.rollout.limits import MOST_WORLDS

Seeds = int | Sequence[int | None] | None
BOTH = slice(None)


class _Worlds(VectorEnv):
    """Some players of many worlds, a row of each batch for each.

    worlds   how many
    players  0 for player 1 alone, BOTH for both
    """

    metadata: dict[str, Any] = {
        "render_modes": [],
        "render_fps": FRAMES_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    closed = True  # until it is open: some versions of VectorEnv close what could not be made

    def __init__(self, worlds: int, players: int | slice, options: MatchOptions):
        self._matches = Matches(options, worlds)
        self._observer = Observer(self._matches.schema)
        self._players, self._rows = players, 2 if players == BOTH else 1  # rows of each world
        self.num_envs = self._rows * worlds
        self.single_action_space = action_space()
        self.single_observation_space = self._observer.space()
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._generators: list[np.random.Generator | None] = [None] * worlds
        self._over: np.ndarray | None = None  # (worlds,); None before the first reset
        self.closed = False

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a match in every world: of seed, seed + 1, .., or of a seed for each world."""
        worlds = len(self._generators)
        seeds: list[int | None]
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + world for world in range(worlds)]
        elif isinstance(seed, Sequence | np.ndarray):
            seeds = [int(own) if isinstance(own, np.integer) else own for own in seed]
        else:
            raise WmqError(f"seed {seed!r}: give a whole number, or one for each world")
        if len(seeds) != worlds:
            raise WmqError(f"{len(seeds)} seeds for {worlds} worlds: give one for each")
        for world, own in enumerate(seeds):
            if own is not None or self._generators[world] is None:
                self._generators[world], _ = seeding.np_random(own)
            self._begin(world, own)
        self._over = np.zeros(worlds, bool)
        return self._seen(), self._infos()

    def step(
        self, actions: Any
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._over is None:
            raise WmqError("no match is being played; call reset first")
        rows = self._controllers(actions)
        begun, self._over = self._over, None  # an interrupted step leaves nothing that could go on
        outcome = self._matches.step(rows)
        for world in np.flatnonzero(begun):
            self._begin(int(world), None)
        rewards = np.where(begun[:, None], 0.0, outcome.rewards)[:, self._players]
        terminated, truncated = outcome.terminated & ~begun, outcome.truncated & ~begun
        self._over = terminated | truncated
        ended, cut = (np.repeat(end, self._rows) for end in (terminated, truncated))
        return self._seen(), rewards.reshape(-1), ended, cut, self._infos()

    def close_extras(self, **kwargs: Any) -> None:
        self._over = None
        self._matches.close()

    def _begin(self, world: int, seed: int | None) -> None:
        generator = self._generators[world]
        assert generator is not None  # since reset
        self._begun(world, drawn_seed(generator) if seed is None else seed)

    def _begun(self, world: int, seed: int) -> None:
        self._matches.begin(world, seed)

    @abstractmethod
    def _controllers(self, actions: Any) -> np.ndarray:
        """Of both players for the next frame, (worlds, 26) int32.  Raises WmqError."""

    def _seen(self) -> Observation:
        seen = self._observer.observe(
            self._matches.frames, self._matches.controllers, self._players
        )
        return {name: values.reshape(self.num_envs, -1) for name, values in seen.items()}

    def _infos(self) -> dict[str, Any]:
        given = np.ones(self.num_envs, bool)
        frames, seeds = (np.repeat(values, self._rows, axis=0)
                         for values in (self._matches.frames, self._matches.seeds))  # fmt: skip
        return {"frame": frames, "_frame": given, "seed": seeds, "_seed": given.copy()}


class MeleeVectorEnv(_Worlds):
    """Player 1 of `num_envs` worlds; equal to as many `MeleeEnv`, world by world.

    opponent  as that of `MeleeEnv`; a function takes and gives batches
    options   those of `MatchOptions`
    """

    def __init__(self, num_envs: int = 1, opponent: str | Policy = "random", **options: Any):
        chosen = MatchOptions(**options)
        super().__init__(whole("num_envs", num_envs, 1, MOST_WORLDS), 0, chosen)
        self._opponent = opponent_of(opponent, self._observer, num_envs, chosen.max_frames, True)

    def _begun(self, world: int, seed: int) -> None:
        super()._begun(world, seed)
        self._opponent.begin(world, seed)

    def _controllers(self, actions: Any) -> np.ndarray:
        own = controllers_of(actions, (self.num_envs,))
        return np.concatenate([own, self._opponent.controllers(self._matches)], axis=1)


class MeleeSelfPlayVectorEnv(_Worlds):
    """Both players of `num_worlds` worlds: row 2w is player 1 of world w, row 2w + 1 player 2.

    options  those of `MatchOptions`
    Seeds are those of the worlds.
    """

    def __init__(self, num_worlds: int = 1, **options: Any):
        super().__init__(
            whole("num_worlds", num_worlds, 1, MOST_WORLDS), BOTH, MatchOptions(**options)
        )

    def _controllers(self, actions: Any) -> np.ndarray:
        rows = controllers_of(actions, (self.num_envs,))
        return rows.reshape(-1, 2 * len(CONTROLLER_FIELDS))
