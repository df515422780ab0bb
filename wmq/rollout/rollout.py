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
from wmq.inference.draws import Decode, Sampling
from wmq.inference.predictor import Tick, Worlds
from wmq.inference.scheduling import results_in_threads, shares
from wmq.progress import Counter, Progress, silent
from wmq.rollout import hash_chain
from wmq.rollout.controllers import Source, player_controllers
from wmq.rollout.match import NO_AGENTS, Agents, Seats, play_frames
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
        self, count: int, threads: int = 1, states: Sequence[Any] | None = None,
        sampling: Sampling | None = None,
    ) -> Worlds: ...  # fmt: skip

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
    """All worlds from one start; steps and seconds count the given frames too.

    agents  SHA-256 of the agent of each player, hex; "" for other controllers
    delay   in frames, by which they saw late
    """

    arithmetic: str
    kernels: str | None
    model: Path
    model_sha256: str
    schema: Schema
    start: Start
    worlds: tuple[Rolled, ...]
    steps: int
    seconds: float
    decode: Decode = "sample"
    agents: tuple[str, str] = ("", "")
    delay: int = 0

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
    agents: Agents = NO_AGENTS,
    decode: Decode = "sample",
    delay: int = 0,
) -> Rollout:
    """Roll out one world for each (n, 26) array of controllers, of the same n.

    seeds   of what the models draw, and labels
    agents  play in the place of a player's controllers
    decode  how models that draw do it
    delay   in frames, by which the agents see late
    A single world may have several threads.
    """
    steps = sum(len(start.given) - 1 + len(pads) for pads in controllers)
    groups = shares(len(controllers), threads, model.side_by_side)
    team = threads if len(controllers) == 1 else 1
    counter, stop = Counter(progress, "rolling out", steps), Event()
    counter.add(0)

    def play(group: list[int]) -> list[Rolled]:
        pads = [controllers[world] for world in group]
        own = [seeds[world] for world in group]
        return _play(model, start, pads, own, team, counter.add, stop, agents, decode,
                     delay)  # fmt: skip

    began = time.perf_counter()
    rolled: dict[int, Rolled] = {}
    with closing(results_in_threads(play, groups, threads, stop)) as results:
        for group, played in results:
            rolled.update(zip(group, played, strict=True))
    seconds = time.perf_counter() - began
    worlds = tuple(rolled[world] for world in range(len(controllers)))
    return Rollout(model.arithmetic, model.kernels, model.path, model.sha256, model.schema, start,
                   worlds, steps, seconds, decode, agent_sha256(agents), delay)  # fmt: skip


def match_of(
    schema: Schema, seed: int, agents: tuple[str, str], decode: Decode, delay: int = 0
) -> hash_chain.Match | None:
    """Say what a world's hash covers besides its file: None for worlds that do not draw."""
    return hash_chain.Match(seed, agents, decode, delay) if schema.draws else None


def agent_sha256(agents: Agents) -> tuple[str, str]:
    """Name the agents of both players by their hashes."""
    one, two = ("" if agent is None else agent.sha256 for agent in agents)
    return one, two


def _play(
    model: RolloutModel, start: Start, controllers: Sequence[np.ndarray], seeds: Sequence[int],
    team: int, tick: Tick, stop: Event, agents: Agents, decode: Decode,
    delay: int,
) -> list[Rolled]:  # fmt: skip
    """Play some worlds side by side; between two blocks, tell the steps done and look at `stop`."""
    count, given = len(controllers), len(start.given)
    worlds = model.worlds(count, team, sampling=Sampling.of_worlds(seeds, decode))
    pads = np.stack([np.concatenate([start.controllers, own]) for own in controllers])
    frames = np.empty((count, pads.shape[1], start.given.shape[1]), dtype=np.int32)
    frames[:, :given] = start.given
    seats = Seats(model.schema, agents, seeds, decode)
    steps = pads.shape[1] - 1
    for first in range(0, steps, BLOCK):
        last = min(first + BLOCK, steps)
        if seats.played:
            play_frames(worlds, seats, frames, pads, first, last, given, delay)
        else:
            now = frames[:, first : max(min(last, given), first + 1)]
            made = worlds.advance(now, pads[:, first : last + 1], last - first)
            fresh = max(given - 1 - first, 0)  # steps whose frames are given
            frames[:, first + fresh + 1 : last + 1] = made[:, fresh:]
        tick(count * (last - first))
        if stop.is_set():
            return []  # which no one reads
    played = frames[:, given:]
    new = np.ascontiguousarray(pads[:, given:])
    sha256 = [
        hash_chain.rollout_sha256(
            model.sha256, start.given, start.controllers, own, made,
            match_of(model.schema, seed, agent_sha256(agents), decode, delay),
        )
        for seed, own, made in zip(seeds, new, played, strict=True)
    ]  # fmt: skip
    return list(map(Rolled, seeds, new, played, sha256, worlds.saturations))
