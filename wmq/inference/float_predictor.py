"""Games walked and rolled out by whatever computes one frame of some games side by side.

Games are dealt to lanes, lanes to groups, and groups to threads.  Which games share a call
depends on the games alone: matrix products of other sizes have other last bits, and a
dynamically quantized model has one scale for the whole call, so that figures would otherwise
depend on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from wmq.evaluation.rollout_error import Start
from wmq.game.frame_update import next_frames
from wmq.game.schema import Schema
from wmq.game.targets import head_widths
from wmq.inference.baselines import Heads
from wmq.inference.onnx_session import State
from wmq.replays.slippi import Game

CHUNK = 256  # frames that `walk` hands out at a time
LANES = 16  # games, or starts, side by side: more push the states out of a core's cache
Spreads = dict[str, np.ndarray]  # of the targets of each number head, natural units, (width,)
Take = Callable[[int, int, Heads], None]  # (number of the game, first row, heads of some rows)
Tick = Callable[[int], None]  # frames done since the last call


class Step(Protocol):
    """One frame of some games; called from many threads."""

    schema: Schema

    def zero_state(self, batch: int = 1) -> State:
        """The state at the start of a game, arrays (batch, ..)."""
        ...

    def step(
        self, frames: np.ndarray, controllers: np.ndarray, next_controllers: np.ndarray,
        state: State,
    ) -> tuple[Heads, State]:  # fmt: skip
        """Heads (batch, width) float32 and the new state; `state` is not changed."""
        ...


class StepPredictor:
    """A `Predictor` of a step, `lanes` games side by side in each thread."""

    def __init__(self, step: Step, spreads: Spreads, threads: int, lanes: int = LANES):
        self.step, self.threads, self.lanes = step, threads, lanes
        self.schema = step.schema
        self.spreads: Spreads | None = spreads

    def walk(self, games: Sequence[Game], starts: Sequence[Start], take: Take) -> list[State]:
        found: dict[Start, State] = dict.fromkeys(starts, {})
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        stop = threading.Event()

        def together(numbers: list[int]) -> None:
            self._walk_together(numbers, games, found, take, stop)

        in_threads(together, grouped(by_length, self.lanes), self.threads, stop)
        return [found[start] for start in starts]

    def _walk_together(
        self, numbers: list[int], games: Sequence[Game], found: dict[Start, State], take: Take,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        """One lane a game, the longest first; a lane closes when its game ends."""
        widths = head_widths(self.schema)
        state = self.step.zero_state(len(numbers))
        begin = 0
        while numbers and not stop.is_set():
            end = min(begin + CHUNK, len(games[numbers[-1]].frames) - 1)
            frames = np.stack([games[n].frames[begin:end] for n in numbers], axis=1)
            pads = np.stack([games[n].controllers[begin : end + 1] for n in numbers], axis=1)
            kept = {h: np.empty((*frames.shape[:2], w), np.float32) for h, w in widths.items()}
            for row in range(end - begin):
                for lane, number in enumerate(numbers):
                    if (start := Start(number, begin + row)) in found:
                        found[start] = {k: v[lane : lane + 1].copy() for k, v in state.items()}
                heads, state = self.step.step(frames[row], pads[row], pads[row + 1], state)
                for head, values in heads.items():
                    kept[head][row] = values
            for lane, number in enumerate(numbers):
                take(number, begin, {head: values[:, lane] for head, values in kept.items()})
            begin = end
            numbers = [n for n in numbers if len(games[n].frames) - 1 > end]
            state = {name: value[: len(numbers)] for name, value in state.items()}

    def roll(
        self, games: Sequence[Game], starts: Sequence[Start], states: list[State], count: int,
        tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        rolled = np.empty((len(starts), count, self.schema.frame_size), np.int32)
        stop = threading.Event()

        def together(places: list[int]) -> None:
            at = [(games[starts[place].game], starts[place].row) for place in places]
            frames = np.stack([game.frames[row] for game, row in at])
            pads = np.stack([game.controllers[row : row + count + 1] for game, row in at], axis=1)
            state = {name: np.concatenate([states[place][name] for place in places])
                     for name in states[places[0]]}  # fmt: skip
            for row in range(count):
                if stop.is_set():
                    return
                heads, state = self.step.step(frames, pads[row], pads[row + 1], state)
                frames = next_frames(self.schema, frames, heads)
                rolled[places, row] = frames
                tick(len(frames))

        in_threads(together, grouped(range(len(starts)), self.lanes), self.threads, stop)
        return rolled


def grouped(members: Sequence[int], lanes: int) -> list[list[int]]:
    """Neighbours, up to `lanes` together."""
    return [list(members[first : first + lanes]) for first in range(0, len(members), lanes)]


def in_threads(
    work: Callable[[list[int]], None], groups: Sequence[list[int]], threads: int,
    stop: threading.Event,
) -> None:  # fmt: skip
    """All groups, some at a time; an error or Ctrl-C ends the rest at once."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(work, groups):
                pass
        except BaseException:
            stop.set()
            raise
