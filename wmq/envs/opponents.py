"""Who plays player 2 where only player 1 learns: a source of controllers, or a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from wmq.envs.actions import controllers_of
from wmq.envs.matches import Matches
from wmq.envs.observations import Observation, Observer
from wmq.errors import WmqError
from wmq.rollout.controllers import Source, parse_source, player_controllers

KINDS = ("idle", "random", "script:FILE")
SOURCES = ("idle", "random", "script")
FIRST_ROWS = 1024  # frames of random play that an episode begins with; then twice as many, ..
PLAYER = 1
Policy = Callable[[Observation], Mapping[str, Any]]


class Opponent(Protocol):
    """Controllers of player 2 in each match."""

    def begin(self, match: int, seed: int) -> None: ...

    def controllers(self, matches: Matches) -> np.ndarray:
        """Those for the next frame, (matches, 13) int32."""
        ...


def opponent_of(
    given: str | Policy, observer: Observer, count: int, max_frames: int, batched: bool
) -> Opponent:
    """Return the opponent that an environment was given: one of KINDS, or a policy.

    batched  whether the environment's own observations and actions are
    Raises WmqError.
    """
    if callable(given):
        return PolicyOpponent(given, observer, (count,) if batched else ())
    if not isinstance(given, str) or given.partition(":")[0] not in SOURCES:
        raise WmqError(f"opponent {given!r}: choose one of {', '.join(KINDS)}, or give a function")
    return SourceOpponent(parse_source(given, "opponent"), count, max_frames)


class SourceOpponent:
    """Plays the rows that `wmq rollout --p2 SOURCE --seed SEED` would.

    Those of idle and of a script are the same in every match; random play is drawn for each.
    """

    def __init__(self, source: Source, count: int, max_frames: int):
        self._source, self._max_frames = source, max_frames
        self._random = source.kind == "random"
        first = self._drawn(FIRST_ROWS if self._random else max_frames, 0)
        self._rows = [first] * (count if self._random else 1)
        self._seeds = [0] * count

    def _drawn(self, frames: int, seed: int) -> np.ndarray:
        frames = min(frames, self._max_frames)
        return player_controllers(self._source, frames, PLAYER, seed, replayed=None)

    def begin(self, match: int, seed: int) -> None:
        self._seeds[match] = seed
        if self._random:
            self._rows[match] = self._drawn(FIRST_ROWS, seed)

    def controllers(self, matches: Matches) -> np.ndarray:
        # A match that is over waits for its next beginning.
        ages = np.minimum(matches.ages, self._max_frames - 1)
        if not self._random:
            return self._rows[0][ages]
        return np.stack([self._row(match, age) for match, age in enumerate(ages.tolist())])

    def _row(self, match: int, age: int) -> np.ndarray:
        if age >= len(self._rows[match]):
            self._rows[match] = self._drawn(2 * age, self._seeds[match])
        return self._rows[match][age]


class PolicyOpponent:
    """Asks a function, which sees what player 1 would see in its place.

    lead  () if it takes one observation, (matches,) if it takes those of all matches
    """

    def __init__(self, policy: Policy, observer: Observer, lead: tuple[int, ...]):
        self._policy, self._observer, self._lead = policy, observer, lead

    def begin(self, match: int, seed: int) -> None:
        pass

    def controllers(self, matches: Matches) -> np.ndarray:
        seen = self._observer.observe(matches.frames, matches.controllers, PLAYER)
        if not self._lead:
            seen = {name: values[0] for name, values in seen.items()}
        rows = controllers_of(self._policy(seen), self._lead, "opponent")
        return rows.reshape(len(matches.frames), -1)
