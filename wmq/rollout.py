"""Rollouts: a start and controllers in, the frames that a model makes of them out.

A model is asked for one `World` after the other; each world carries its own state, takes
the given frames as they are and from then on its own frames.  Worlds are independent, so
that any number of threads gives the same frames; every world has the hash of its own chain
(`wmq.hashes`).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wmq import hashes
from wmq.controllers import Source, player_controllers
from wmq.opening import IntegerModel, model_path
from wmq.schema import Schema
from wmq.starts import Start

if TYPE_CHECKING:
    from wmq.onnx_step import OnnxStep

BLOCK = 120  # frames between two looks at the progress
Progress = Callable[[str, int, int], None]  # (what is done, frames done, frames in all)


class World(Protocol):
    """A game in progress."""

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        """`frames` further frames, (frames, frame_size) int32.

        given        (g, frame_size), 1 <= g <= frames: the present frame of the first g steps
        controllers  (frames + 1, 26): of the present frame and of each next one
        """
        ...

    @property
    def saturations(self) -> int | None:
        """Values clamped so far inside the program; None where nothing is counted."""
        ...


class Model(Protocol):
    """What `roll` needs of a model."""

    arithmetic: str  # "int8" or "float32"
    path: Path
    sha256: str
    schema: Schema

    def world(self) -> World: ...


class IntegerWorlds:
    """Worlds of an integer program in the compiled engine."""

    arithmetic = "int8"

    def __init__(self, model: IntegerModel):
        from wmq_kernels.engine import Engine

        self.path, self.sha256, self.schema = model.path, model.sha256, model.schema
        self.engine = Engine(model.program)

    def world(self) -> World:
        return _IntegerWorld(self)


class _IntegerWorld:
    def __init__(self, worlds: IntegerWorlds):
        self.engine = worlds.engine
        self.state = worlds.engine.zero_state()

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        return self.engine.run(self.state, given, controllers, frames).frames

    @property
    def saturations(self) -> int:
        return int(self.state.saturations.sum())


class FloatWorlds:
    """Worlds of a float model in onnxruntime; the bits may differ between machines."""

    arithmetic = "float32"

    def __init__(self, path: str | os.PathLike[str] | None = None):
        """The embedded model for None.  Raises ModelError or CalibrationError."""
        from wmq.onnx_step import OnnxStep

        self.path = model_path(path, ".onnx")
        self.step = OnnxStep(self.path)
        self.schema = self.step.schema
        self.sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()

    def world(self) -> World:
        return _FloatWorld(self.step)


class _FloatWorld:
    saturations = None

    def __init__(self, step: OnnxStep):
        self.step = step
        self.state = step.zero_state(1)

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        from wmq.onnx_step import next_frames

        made = np.empty((frames, given.shape[1]), dtype=np.int32)
        for t in range(frames):
            now = given[t : t + 1] if t < len(given) else made[t - 1 : t]
            pads = controllers[t : t + 1], controllers[t + 1 : t + 2]
            heads, self.state = self.step.step(now, *pads, self.state)
            made[t] = next_frames(self.step.schema, now, heads)[0]
        return made


@dataclass(frozen=True)
class Rolled:
    """One world's rollout of n frames.

    controllers  (n, 26) int32: row t is what frame t was computed from
    frames       (n, frame_size) int32
    """

    seed: int
    controllers: np.ndarray
    frames: np.ndarray
    sha256: str
    saturations: int | None


@dataclass(frozen=True)
class Rollout:
    """All worlds from one start; steps and seconds count the given frames too."""

    arithmetic: str
    model: Path
    model_sha256: str
    schema: Schema
    start: Start
    worlds: tuple[Rolled, ...]
    steps: int
    seconds: float

    @property
    def sha256(self) -> str:
        return hashes.worlds_sha256([world.sha256 for world in self.worlds])

    @property
    def frames_per_second(self) -> float:
        return self.steps / max(self.seconds, 1e-9)

    @property
    def saturations(self) -> int | None:
        counts = [world.saturations for world in self.worlds]
        return None if None in counts else sum(c for c in counts if c is not None)


def both_controllers(
    sources: tuple[Source, Source], start: Start, frames: int, seed: int
) -> np.ndarray:
    """Controllers of the new frames, (frames, 26) int32.  Raises WmqError."""
    halves = [
        player_controllers(source, frames, player, seed, start.following)
        for player, source in enumerate(sources)
    ]
    return np.ascontiguousarray(np.concatenate(halves, axis=1))


def roll(
    model: Model,
    start: Start,
    controllers: Sequence[np.ndarray],
    seeds: Sequence[int],
    threads: int = 1,
    progress: Progress = lambda what, done, total: None,
) -> Rollout:
    """Roll out one world for each (n, 26) array of controllers; `seeds` are their labels."""
    steps = sum(len(start.given) - 1 + len(pads) for pads in controllers)
    done = [0] * len(controllers)
    stop = Event()

    def play(number: int) -> Rolled:
        def report(count: int) -> bool:
            done[number] = count
            return not stop.is_set()

        return _play(model, start, controllers[number], seeds[number], report)

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(play, number) for number in range(len(controllers))]
        try:
            _watch(futures, lambda: progress("rolling out", sum(done), steps))
            worlds = tuple(future.result() for future in futures)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    seconds = time.perf_counter() - began
    return Rollout(model.arithmetic, model.path, model.sha256, model.schema, start, worlds,
                   steps, seconds)  # fmt: skip


def _watch(futures: list[Future[Rolled]], show: Callable[[], None]) -> None:
    """Wait for all, or for the first that fails."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.2)
        show()
        for future in finished:
            future.result()


def _play(
    model: Model, start: Start, controllers: np.ndarray, seed: int, report: Callable[[int], bool]
) -> Rolled:
    """One world; `report(steps done)` is asked after each block whether to go on."""
    world = model.world()
    pads = np.concatenate([start.controllers, controllers])
    steps = len(pads) - 1
    made = np.empty((steps, start.given.shape[1]), dtype=np.int32)
    given = start.given
    for first in range(0, steps, BLOCK):
        count = min(BLOCK, steps - first)
        now = given[first : first + count] if first < len(given) else made[first - 1 : first]
        block = world.advance(now, pads[first : first + count + 1], count)
        made[first : first + count] = block
        if not report(first + count):
            raise InterruptedError
    frames = made[len(given) - 1 :]
    sha256 = hashes.rollout_sha256(model.sha256, given, start.controllers, controllers, frames)
    return Rolled(seed, controllers, frames, sha256, world.saturations)


def compile_engine(model: Model, start: Start) -> float:
    """Run one frame, so that what is compiled once is; the seconds that it took."""
    began = time.perf_counter()
    pads = np.repeat(start.controllers[-1:], 2, axis=0)
    model.world().advance(start.given[-1:], pads, 1)
    return time.perf_counter() - began
