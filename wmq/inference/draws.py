"""Give a sampled model the random words of its draws: counter-based, so that any can be computed.

docs/SPEC.md, G6: a word is a function of a seed, a slot (the model's role in a match), the number
of the step and the number of the draw.  Float models and integer programs take the same words, so
that their rollouts part only where a word falls between their probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wmq.game.frame_update import forced_actions
from wmq.game.schema import Schema
from wmq_kernels.program import BY_WORD, LIKELIEST, Draws

Decode = Literal["sample", "mode"]
Decoding = tuple[float, float]  # temperature and min-p of a model's draws
DECODES: tuple[Decode, ...] = ("sample", "mode")
WORLD_SLOT, AGENT_SLOTS = 3, (4, 5)  # 1 and 2 are random play (G3)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
AHEAD = 64  # steps whose words are computed together, where fewer are asked for


@dataclass(frozen=True)
class Sampling:
    """How worlds draw: the seed and the slot of each, and whether by words or the likeliest."""

    keys: tuple[tuple[int, int], ...]
    decode: Decode = "sample"

    @classmethod
    def of_worlds(cls, seeds: Iterable[int], decode: Decode = "sample") -> Sampling:
        return cls(tuple((seed, WORLD_SLOT) for seed in seeds), decode)


class DrawSource:
    """The draws of worlds side by side, step after step; each world counts its own steps."""

    def __init__(self, schema: Schema, count: int, sampling: Sampling | None):
        """sampling None: the likeliest class always."""
        self.draws, self.count = len(schema.draws), count
        self.sampled = sampling is not None and sampling.decode == "sample"
        self.keys = [] if sampling is None else list(sampling.keys)
        self._first, self._at = np.zeros(count, np.int64), 0  # of the block; steps since then
        self._forget()

    @property
    def steps(self) -> np.ndarray:
        """Steps that each world has drawn for, (worlds,) int64."""
        return self._first + self._at

    def go_to(self, steps: np.ndarray | int) -> None:
        """Go on from these steps, (worlds,) or one of all."""
        self._first, self._at = np.broadcast_to(steps, self.count).astype(np.int64), 0
        self._forget()

    def begin(self, world: int, seed: int) -> None:
        """Begin one world's draws again, by another seed."""
        if self.keys:
            self.keys[world] = seed, self.keys[world][1]
        steps = self.steps
        steps[world] = 0
        self.go_to(steps)

    def next(self, frames: int) -> Draws | None:
        """Give what the next steps draw by, (worlds, frames, draws) each; None without draws."""
        if not self.draws:
            return None
        at, end = self._at, self._at + frames
        if end > len(self._block):
            self._fill(frames)
            at, end = 0, frames
        self._at = end
        if frames == 1:
            return Draws(self._block[at], self._forced)
        words = self._block[at:end, :, 0].swapaxes(0, 1)
        return Draws(words, np.repeat(self._forced, frames, axis=1))

    def _forget(self) -> None:
        self._block = np.zeros((0, self.count, 1, self.draws), np.int32)  # step after step

    def _fill(self, frames: int) -> None:
        """Compute a block of words that begins with the next step."""
        self._first, self._at = self.steps, 0
        steps, shape = max(frames, AHEAD), (self.count, 1, self.draws)
        self._forced = np.full(shape, BY_WORD if self.sampled else LIKELIEST, np.int32)
        self._block = np.zeros((steps, *shape), np.int32)
        if self.sampled:
            self._block[:, :, 0] = words_of(self.keys, self._first, steps, self.draws).swapaxes(
                0, 1
            )


def draw_words(seed: int, slot: int, first: int, steps: int, draws: int) -> np.ndarray:
    """Compute the words of steps first .. first + steps - 1, (steps, draws) int32."""
    return words_of([(seed, slot)], np.array([first]), steps, draws)[0]


def words_of(
    keys: Sequence[tuple[int, int]], first: np.ndarray, steps: int, draws: int
) -> np.ndarray:
    """Compute the words of `steps` steps of each seed and slot, (keys, steps, draws) int32.

    first  (keys,) int64: the step at which each begins
    """
    seeds, slots = np.array(keys, np.uint64).T
    with np.errstate(over="ignore"):
        key = _mix(seeds + GOLDEN * slots)
        begin = first.astype(np.uint64) * np.uint64(draws) + np.uint64(1)
        counter = begin[:, None] + np.arange(steps * draws, dtype=np.uint64)
        words = _mix(key[:, None] + GOLDEN * counter) >> np.uint64(32)
    return words.astype(np.uint32).view(np.int32).reshape(len(keys), steps, draws)


def uniforms(words: np.ndarray) -> np.ndarray:
    """Convert words to float32 in [0, 1): their upper 24 bits."""
    return (words.view(np.uint32) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def forced_draws(classes: np.ndarray) -> Draws:
    """Force classes (.., draws) int64: for the true frames of a game."""
    return Draws(np.zeros(classes.shape, np.int32), classes.astype(np.int32))


def ruled(schema: Schema, frames: np.ndarray, draws: Draws, step: int) -> Draws:
    """Take one step of draws (worlds, steps, draws), with the actions that a clock decides forced.

    The integer program has `timed` for that.  frames: (worlds, frame_size), the present ones
    """
    words, forced = draws.words[:, step], draws.forced[:, step].copy()
    for column, draw in enumerate(schema.draws):
        if schema.rules is not None and draw.field == "action":
            clocked = forced_actions(schema, frames, draw.player)
            decided = (clocked >= 0) & (forced[:, column] < 0)
            forced[:, column] = np.where(decided, clocked, forced[:, column])
    return Draws(words, forced)


def _mix(z: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014), as in G3."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
