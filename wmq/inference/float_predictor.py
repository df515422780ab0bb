"""Games walked and rolled out by whatever computes one frame of some games side by side.

Games are dealt to lanes, lanes to groups, and groups to threads.  Which games share a call
depends on the games alone: matrix products of other sizes have other last bits, and a
dynamically quantized model has one scale for the whole call, so that figures would otherwise
depend on the number of threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from wmq.files.digest import file_sha256
from wmq.game.frame_update import next_frames
from wmq.game.schema import Schema
from wmq.game.targets import Heads, true_draws
from wmq.inference.draws import DrawSource, Sampling, forced_draws, ruled
from wmq.inference.model_files import check_role, model_path
from wmq.inference.onnx_session import OnnxStep, State
from wmq.inference.predictor import CHUNK, Predictor, Spreads, StartRow, Take
from wmq.inference.scheduling import grouped, in_threads
from wmq.replays.slippi import Game
from wmq_kernels.program import Draws

LANES = 16  # games, or starts, side by side: more push the states out of a core's cache
LOG = logging.getLogger(__name__)


class FloatStep(Protocol):
    """One frame of some games; called from many threads."""

    schema: Schema

    def zero_state(self, batch: int = 1) -> State:
        """Return the state at the start of a game, arrays (batch, ..)."""
        ...

    def step(
        self, frames: np.ndarray, controllers: np.ndarray, next_controllers: np.ndarray,
        state: State, draws: Draws | None = None,
    ) -> tuple[Heads, State]:  # fmt: skip
        """Heads (batch, width) float32 and the new state; `state` is not changed.

        draws  (batch, draws) each, of a model that draws, whose heads hold "drawn" int64 too
        """
        ...


class StepPredictor(Predictor):
    """A `Predictor` of a step, `lanes` games side by side in each thread."""

    def __init__(self, step: FloatStep, spreads: Spreads, threads: int, lanes: int = LANES):
        self.step, self.threads, self.lanes = step, threads, lanes
        self.schema = step.schema
        self.spreads: Spreads | None = spreads

    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[State]:
        found: dict[StartRow, State] = dict.fromkeys(starts, {})
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        stop = threading.Event()

        def together(numbers: list[int]) -> None:
            self._walk_together(numbers, games, found, take, stop)

        in_threads(together, grouped(by_length, self.lanes), self.threads, stop)
        return [found[start] for start in starts]

    def _walk_together(
        self, numbers: list[int], games: Sequence[Game], found: dict[StartRow, State], take: Take,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        """One lane a game, the longest first; a lane closes when its game ends."""
        widths = self.schema.heads
        state = self.step.zero_state(len(numbers))
        begin = 0
        drawn = {n: true_draws(self.schema, games[n].frames, games[n].controllers)
                 for n in numbers}  # fmt: skip
        while numbers and not stop.is_set():
            end = min(begin + CHUNK, len(games[numbers[-1]].frames) - 1)
            frames = np.stack([games[n].frames[begin:end] for n in numbers], axis=1)
            pads = np.stack([games[n].controllers[begin : end + 1] for n in numbers], axis=1)
            forced = np.stack([drawn[n][begin:end] for n in numbers], axis=1)
            draws = forced_draws(forced) if self.schema.draws else None
            kept = {h: np.empty((*frames.shape[:2], w), np.float32) for h, w in widths.items()}
            for row in range(end - begin):
                for lane, number in enumerate(numbers):
                    if (start := StartRow(number, begin + row)) in found:
                        found[start] = {k: v[lane : lane + 1].copy() for k, v in state.items()}
                own = Draws(draws.words[row], draws.forced[row]) if draws else None
                heads, state = self.step.step(frames[row], pads[row], pads[row + 1], state, own)
                for head in kept:
                    kept[head][row] = heads[head]
            for lane, number in enumerate(numbers):
                take(number, begin, {head: values[:, lane] for head, values in kept.items()})
            begin = end
            numbers = [n for n in numbers if len(games[n].frames) - 1 > end]
            state = {name: value[: len(numbers)] for name, value in state.items()}

    def worlds(
        self, count: int, threads: int = 1, states: Sequence[State] | None = None,
        sampling: Sampling | None = None,
    ) -> StepWorlds:  # fmt: skip
        if states is None:
            return StepWorlds(self.step, self.step.zero_state(count), count, sampling)
        joined = {name: np.concatenate([state[name] for state in states]) for name in states[0]}
        return StepWorlds(self.step, joined, count, sampling)

    def groups(self, count: int) -> list[list[int]]:
        return grouped(range(count), self.lanes)


class StepWorlds:
    """Worlds of a step; `state` is that of all of them."""

    def __init__(self, step: FloatStep, state: State, count: int, sampling: Sampling | None):
        self.step, self.state = step, state
        self.draws = DrawSource(step.schema, count, sampling)
        self.saturations: list[int | None] = [None] * count

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        made = np.empty((len(given), frames, given.shape[2]), dtype=np.int32)
        draws, schema = self.draws.next(frames), self.step.schema
        for t in range(frames):
            now = given[:, t] if t < given.shape[1] else made[:, t - 1]
            pads = controllers[:, t], controllers[:, t + 1]
            own = ruled(schema, now, draws, t) if draws else None
            heads, self.state = self.step.step(now, *pads, self.state, own)
            made[:, t] = next_frames(schema, now, heads, heads.get("drawn"), pads[1])
        return made

    def states(self) -> list[State]:
        return [
            {name: values[lane : lane + 1].copy() for name, values in self.state.items()}
            for lane in range(len(self.saturations))
        ]


class OnnxPredictor(StepPredictor):
    """A float step in onnxruntime; the bits may differ between machines."""

    arithmetic = "float32"
    kernels: str | None = None
    side_by_side = 1  # a world has the same bits whatever company it has
    step: OnnxStep

    def __init__(self, path: str | os.PathLike[str] | None = None, threads: int = 1):
        """The embedded float step for None.  Raises ModelError or CalibrationError."""
        step = OnnxStep(model_path(path, ".onnx"))  # one thread of its own, whoever calls
        check_role(step.path, step.schema, "world")
        super().__init__(step, step.spreads, threads)
        self.path = step.path

    @cached_property
    def sha256(self) -> str:
        found = file_sha256(self.path)
        LOG.info("%s: sha256 %s", self.path, found)
        return found
