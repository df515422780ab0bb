"""Rollouts: a start and controllers in, the frames that a model makes of them out.

A model is asked for `Worlds`, some at a time; each world carries its own state, takes the
given frames as they are and from then on its own frames.  Worlds are independent, so that
any number of them side by side and any number of threads gives the same frames; every world
has the hash of its own chain (`wmq.rollout.hash_chain`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np

from wmq.game.schema import Schema
from wmq.inference.predictor import Tick, Worlds
from wmq.inference.scheduling import results_in_threads, shares
from wmq.progress import Counter, Progress, silent
from wmq.rollout import hash_chain
from wmq.rollout.controllers import Source, player_controllers
from wmq.rollout.starts import Start

LOG = logging.getLogger(__name__)
BLOCK = 120  # frames between two looks at the progress


class RolloutModel(Protocol):
    """What `roll` needs of a model: an `IntegerPredictor` or an `OnnxPredictor`."""

    arithmetic: str  # "int8" or "float32"
    kernels: str | None  # "vnni" or "portable"; None where none of ours compute
    side_by_side: int  # worlds that one thread had best compute together
    path: Path
    schema: Schema

    @property
    def sha256(self) -> str: ...

    def worlds(
        self, count: int, threads: int = 1, states: Sequence[Any] | None = None
    ) -> Worlds: ...

    def compile(self) -> None: ...


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
    kernels: str | None
    model: Path
    model_sha256: str
    schema: Schema
    start: Start
    worlds: tuple[Rolled, ...]
    steps: int
    seconds: float

    @property
    def sha256(self) -> str:
        return hash_chain.worlds_sha256([world.sha256 for world in self.worlds])

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
    model: RolloutModel,
    start: Start,
    controllers: Sequence[np.ndarray],
    seeds: Sequence[int],
    threads: int = 1,
    progress: Progress = silent,
) -> Rollout:
    """Roll out one world for each (n, 26) array of controllers, of the same n.

    `seeds` are their labels; a single world may have several threads.
    """
    steps = sum(len(start.given) - 1 + len(pads) for pads in controllers)
    groups = shares(len(controllers), threads, model.side_by_side)
    team = threads if len(controllers) == 1 else 1
    counter, stop = Counter(progress, "rolling out", steps), Event()
    counter.add(0)

    def play(group: list[int]) -> list[Rolled]:
        pads = [controllers[world] for world in group]
        return _play(model, start, pads, [seeds[world] for world in group], team, counter.add, stop)

    began = time.perf_counter()
    rolled: dict[int, Rolled] = {}
    with closing(results_in_threads(play, groups, threads, stop)) as results:
        for group, played in results:
            rolled.update(zip(group, played, strict=True))
    seconds = time.perf_counter() - began
    worlds = tuple(rolled[world] for world in range(len(controllers)))
    return Rollout(model.arithmetic, model.kernels, model.path, model.sha256, model.schema, start,
                   worlds, steps, seconds)  # fmt: skip


def _play(
    model: RolloutModel, start: Start, controllers: Sequence[np.ndarray], seeds: Sequence[int],
    team: int, tick: Tick, stop: Event,
) -> list[Rolled]:  # fmt: skip
    """Play some worlds side by side; between two blocks, tell the steps done and look at `stop`."""
    count = len(controllers)
    worlds = model.worlds(count, team)
    pads = np.stack([np.concatenate([start.controllers, own]) for own in controllers])
    given = np.stack([start.given] * count)
    steps = pads.shape[1] - 1
    made = np.empty((count, steps, start.given.shape[1]), dtype=np.int32)
    for first in range(0, steps, BLOCK):
        last = min(first + BLOCK, steps)
        now = given[:, first:last] if first < len(start.given) else made[:, first - 1 : first]
        made[:, first:last] = worlds.advance(now, pads[:, first : last + 1], last - first)
        tick(count * (last - first))
        if stop.is_set():
            return []  # which no one reads
    frames = made[:, len(start.given) - 1 :]
    sha256 = [
        hash_chain.rollout_sha256(model.sha256, start.given, start.controllers, *played)
        for played in zip(controllers, frames, strict=True)
    ]
    return list(map(Rolled, seeds, controllers, frames, sha256, worlds.saturations))
