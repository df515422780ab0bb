"""Matches side by side in the integer world, one frame of all of them at a time.

Controllers of both players come in; the next frames, rewards and ends leave.  Each match begins,
and begins again, on its own; the others never show in its frames.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from wmq.api.model import Model
from wmq.envs.options import MatchOptions
from wmq.errors import WmqError
from wmq.game.schema import Q16
from wmq.inference.draws import Sampling
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.scheduling import shares
from wmq.memo.machine import cores
from wmq.rollout.limits import LARGEST_SEED
from wmq.rollout.starts import match_start

# More than a rollout's groups have, for here the caller comes between any two frames: what a call
# costs is shared by more worlds, and states do not stay in a core's cache anyway.
SIDE_BY_SIDE = 8  # worlds


@dataclass(frozen=True)
class FrameOutcome:
    """What a frame brought: rewards (matches, 2) float64; terminated and truncated (matches,)."""

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Matches:
    """frames       the present ones, (matches, frame_size) int32
    controllers  those that led to them, (matches, 26) int32
    ages         frames played since each match began, (matches,)
    seeds        of the episodes, (matches,) uint64

    Raises WmqError or ProgramError for a model that cannot be used.
    """

    def __init__(self, options: MatchOptions, count: int):
        self.options = options
        self.predictor = _predictor(options)
        self.predictor.compile()
        self.schema = schema = self.predictor.schema
        self.frames = np.zeros((count, schema.frame_size), np.int32)
        self.controllers = np.zeros((count, schema.controllers_size), np.int32)
        self.ages = np.zeros(count, np.int64)
        self.seeds = np.zeros(count, np.uint64)
        threads = options.threads or (1 if count == 1 else cores())
        team = threads if count == 1 else 1
        groups = [np.array(group) for group in shares(count, threads, SIDE_BY_SIDE)]
        self._groups = [
            (self.predictor.worlds(len(at), team, sampling=Sampling.of_worlds([0] * len(at))), at)
            for at in groups
        ]
        self._place = {int(world): (number, lane) for number, at in enumerate(groups)
                       for lane, world in enumerate(at)}  # fmt: skip
        self._threads = min(threads, len(groups))
        self._pool = ThreadPoolExecutor(self._threads)
        self._closed = False
        self._percent, self._stocks = ([schema.index(name, player) for player in (0, 1)]
                                       for name in ("percent", "stocks"))  # fmt: skip

    def begin(self, match: int, seed: int) -> None:
        """Begin a match: frame -123, controllers at rest.  Raises WmqError after `close`."""
        if self._closed:
            raise WmqError("this environment is closed; make another")
        start = match_start(self.schema, *self.options.drawn(seed))
        number, lane = self._place[match]
        self._groups[number][0].begin(lane, seed & LARGEST_SEED)
        self.frames[match], self.controllers[match] = start.given[-1], start.controllers[-1]
        self.ages[match], self.seeds[match] = 0, seed & 0xFFFF_FFFF_FFFF_FFFF

    def step(self, controllers: np.ndarray) -> FrameOutcome:
        """Play one frame of all matches with the controllers (matches, 26) int32 for it."""
        before, made = self.frames, np.empty_like(self.frames)
        pads = np.stack([self.controllers, controllers], axis=1)
        waiting = deque(self._groups)

        def play() -> None:
            while True:
                try:
                    worlds, at = waiting.popleft()
                except IndexError:
                    return
                made[at] = worlds.advance(before[at, None], pads[at], 1)[:, 0]

        self._in_threads(play)
        self.frames, self.controllers = made, controllers
        self.ages += 1
        terminated = (made[:, self._stocks] == 0).any(axis=1)
        truncated = ~terminated & (self.ages >= self.options.max_frames)
        return FrameOutcome(self._rewards(before, made), terminated, truncated)

    def _rewards(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """What the opponent loses less what the player loses, (matches, 2)."""
        change = after.astype(np.int64) - before
        damage = np.maximum(change[:, self._percent], 0) / Q16
        stocks = np.maximum(-change[:, self._stocks], 0)
        lost = self.options.damage_reward * damage + self.options.stock_reward * stocks
        return lost[:, ::-1] - lost

    def _in_threads(self, play: Callable[[], None]) -> None:
        """In the caller's own thread and the others."""
        others = [self._pool.submit(play) for _ in range(1, self._threads)]
        try:
            play()
        finally:
            wait(others)
        for other in others:
            other.result()

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown()

    def __reduce__(self) -> NoReturn:
        raise WmqError("an environment is neither copied nor pickled; make another, reset it with "
                       "the same seed and repeat the actions")  # fmt: skip


def _predictor(options: MatchOptions) -> IntegerPredictor:
    model = options.model._predictor if isinstance(options.model, Model) else options.model
    if model is None or isinstance(model, str | os.PathLike):
        return IntegerPredictor(model, kernels=options.kernels)
    if not isinstance(model, IntegerPredictor):
        raise WmqError(f"model {options.model!r}: give a .wmq file, one that wmq.load has opened, "
                       "or None for the embedded model")  # fmt: skip
    return model
