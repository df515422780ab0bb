"""What all environments can be asked for, and the seeds of their episodes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from wmq.api.checks import one_of, whole
from wmq.errors import WmqError
from wmq.game.names import CHARACTERS, STAGES
from wmq.rollout.controllers import random_words
from wmq.rollout.limits import MOST_THREADS, PLAYERS, STAGE

if TYPE_CHECKING:
    from wmq.api.model import Model
    from wmq.inference.integer_predictor import IntegerPredictor

EIGHT_MINUTES = 28_800  # frames, the time limit of a tournament match
LONGEST = 2**31  # frames, more than a year
RANDOM = "random"  # as a stage or character: drawn for each episode, from its seed
CHOICES = 2  # the player, for `random_words`, whose words choose stage and characters


@dataclass(frozen=True)
class MatchOptions:
    """model          a `.wmq` file, a model of `wmq.load`, or None for the embedded model
    stage          a name of `wmq rollout -h`, or "random"
    characters     of player 1 and player 2: names of `wmq rollout -h`, or "random"
    max_frames     after which an episode is truncated
    damage_reward  for each percent that the opponent takes more than the player
    stock_reward   for each stock that the opponent loses more than the player
    threads        None: one for a single world, else as many as there are cores
    kernels        "auto", "vnni" or "portable", for a model that is loaded here

    Raises WmqError for a value that no environment can have.
    """

    model: str | os.PathLike[str] | Model | IntegerPredictor | None = None
    stage: str = STAGE
    characters: tuple[str, str] = PLAYERS
    max_frames: int = EIGHT_MINUTES
    damage_reward: float = 0.01
    stock_reward: float = 1.0
    threads: int | None = None
    kernels: str = "auto"

    def __post_init__(self) -> None:
        one_of("stage", self.stage, (*sorted(STAGES), RANDOM))
        names = self.characters
        if not isinstance(names, tuple | list) or len(names) != 2:
            raise WmqError(f"characters {names!r}: give two names, of player 1 and player 2")
        for name in names:
            one_of("characters", name, (*sorted(CHARACTERS), RANDOM))
        whole("max_frames", self.max_frames, 1, LONGEST)
        if self.threads is not None:
            whole("threads", self.threads, 1, MOST_THREADS)
        for option in ("damage_reward", "stock_reward"):
            value = getattr(self, option)
            if not isinstance(value, Real) or not math.isfinite(value):
                raise WmqError(f"{option} {value!r}: not a finite number")

    def drawn(self, seed: int) -> tuple[str, tuple[str, str]]:
        """Stage and characters of the episode with this seed."""
        words = random_words(seed, CHOICES, 3)
        named = (self.stage, STAGES), *((name, CHARACTERS) for name in self.characters)
        stage, first, second = (
            sorted(table)[int(word % np.uint64(len(table)))] if name == RANDOM else name
            for word, (name, table) in zip(words, named, strict=True)
        )
        return stage, (first, second)


def drawn_seed(generator: np.random.Generator) -> int:
    """Return the seed of an episode that was given none, below 2^62.

    From the raw words of the generator, which numpy keeps the same from version to version.
    """
    return int(generator.bit_generator.random_raw()) >> 2
