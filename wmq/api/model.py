"""Open a model file for worlds and rollouts.

A path, or nothing for the embedded model, comes in; a `Model` leaves, which makes worlds that are
stepped one frame at a time, and trajectories of many frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wmq.api.checks import FilePath, file_path, one_of, whole
from wmq.api.controllers import Controllers, controller_rows
from wmq.api.trajectory import Trajectory
from wmq.api.world import World
from wmq.errors import WmqError
from wmq.extras import require
from wmq.files.names import printable
from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import Schema
from wmq.inference.draws import DECODES, Decode
from wmq.rollout.controllers import Source, parse_source
from wmq.rollout.limits import (
    LARGEST,
    LARGEST_SEED,
    LONGEST_DELAY,
    LONGEST_WARMUP,
    MOST_THREADS,
    MOST_WORLDS,
    PLAYERS,
    STAGE,
)
from wmq.rollout.match import NO_AGENTS, open_agents
from wmq.rollout.rollout import RolloutModel, both_controllers, roll
from wmq.rollout.starts import WARMUP, Start, match_start, replay_start

Replay = tuple[FilePath, int]


def load(path: FilePath | None = None, *, kernels: str = "auto", threads: int = 1) -> Model:
    """Open a model: a .wmq or .onnx file, or the embedded .wmq for None.

    kernels  what computes the integers of a .wmq: "auto", "vnni" or "portable"; the bits are
             the same
    threads  that share a rollout's worlds, or the frames of a single one; the result does not
             depend on it
    The engine is compiled at the first frame, once for this machine.
    Raises WmqError.
    """
    threads = whole("threads", threads, 1, MOST_THREADS)
    path = None if path is None else file_path("path", path)
    if path is None or path.suffix.lower() != ".onnx":
        from wmq.inference.integer_predictor import IntegerPredictor

        return Model(IntegerPredictor(path, threads, kernels), threads)
    require(str(path), ["onnx", "onnxruntime"])
    if kernels != "auto":
        raise WmqError(f"kernels {kernels}: only for integer programs; leave it out")
    from wmq.inference.float_predictor import OnnxPredictor

    return Model(OnnxPredictor(path, threads), threads)


class Model:
    """A model file, opened by `load`."""

    def __init__(self, predictor: RolloutModel, threads: int):
        self._predictor, self._threads = predictor, threads

    @property
    def path(self) -> Path:
        """The file."""
        return self._predictor.path

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, hex: the `model_sha256` of its rollouts."""
        return self._predictor.sha256

    @property
    def arithmetic(self) -> str:
        """ "int8" of a .wmq, whose bits are the same everywhere, or "float32" of a .onnx."""
        return self._predictor.arithmetic

    @property
    def kernels(self) -> str | None:
        """What computes the integers, "vnni" or "portable"; None for a float model."""
        return self._predictor.kernels

    @property
    def schema(self) -> Schema:
        """The fields of a frame, with their units and intervals."""
        return self._predictor.schema

    @property
    def heads(self) -> dict[str, int]:
        """Name and width of each of the model's heads, in their order."""
        return dict(self.schema.heads)

    def start(self, stage: str = STAGE, players: Sequence[str] = PLAYERS, *, seed: int = 0,
              decode: Decode = "sample") -> World:  # fmt: skip
        """Start a world at frame -123 of a match.  Raises WmqError for an unknown name.

        seed, decode  how a model that draws does it: "sample" by the seed's words, or "mode", the
                      likeliest always
        """
        return self._world(self._match(stage, players), seed, decode)

    def start_at(self, replay: FilePath, frame: int, *, warmup: int = WARMUP, seed: int = 0,
                 decode: Decode = "sample") -> World:  # fmt: skip
        """Start a world at a frame of a real game (.slp).

        warmup  real frames at most, ending in `frame`, that warm the state up
        seed, decode  as in `start`
        Raises WmqError.
        """
        return self._world(self._at((replay, frame), warmup), seed, decode)

    def _world(self, start: Start, seed: int, decode: Decode) -> World:
        seed = whole("seed", seed, 0, LARGEST_SEED)
        one_of("decode", decode, list(DECODES))
        return World(self._predictor, start, self._threads, seed, decode)

    def rollout(
        self,
        frames: int | None = None,
        *,
        stage: str | None = None,
        players: Sequence[str] | None = None,
        start: Replay | None = None,
        warmup: int = WARMUP,
        controllers: str | tuple[str, str] | ArrayLike | Sequence[Controllers] | None = None,
        seed: int = 0,
        worlds: int | None = None,
        decode: Decode = "sample",
        delay: int = 0,
    ) -> Trajectory:
        """Roll the model out: each frame from the one it made before.

        frames       new frames of each world; by default 3600, or as many as the controllers
                     or the replay have
        stage, players  of a match, by default Battlefield, fox and falco
        start        (replay, frame) for a frame of a real game instead; warmup as in `start_at`
        controllers  "agent", "agent:FILE", "random", "idle", "replay" or "script:FILE" for both
                     players or a pair of them; or those of all frames: integers (n, 26) or
                     (n, 2, 13), or a list with one entry a frame as `World.step` takes it; with
                     `worlds`, one of these for each.  By default "replay" of a real game;
                     "agent" in a match of a world that draws; else "random"
        seed, worlds  of what is drawn and of random controllers: world k has seed + k
        decode       as in `start`
        delay        frames by which agents see the match late, up to 60
        Raises WmqError.
        """
        begin = self._begin(stage, players, start, warmup)
        seed = whole("seed", seed, 0, LARGEST_SEED)
        count = 1 if worlds is None else whole("worlds", worlds, 1, MOST_WORLDS)
        if frames is not None:
            frames = whole("frames", frames, 1, LARGEST // count)
        seeds = [seed + world for world in range(count)]
        one_of("decode", decode, list(DECODES))
        delay = whole("delay", delay, 0, LONGEST_DELAY)
        agents = NO_AGENTS
        if controllers is None:
            controllers = begin.usual_source(self.schema)
        if _is_sources(controllers):
            sources, frames = _sources(controllers, begin, frames)
            pads = [both_controllers(sources, begin, frames, own) for own in seeds]
            agents = open_agents(sources, self.arithmetic, self.kernels or "auto", self.schema,
                                 delay)  # fmt: skip
        elif delay:
            raise WmqError(f"delay {delay}: only agents see late, and none plays; leave it out")
        else:
            pads = _from_rows(controllers, frames, worlds)
        rolled = roll(self._predictor, begin, pads, seeds, self._threads, agents=agents,
                      decode=decode, delay=delay)  # fmt: skip
        return Trajectory(rolled, worlds is not None, self.path)

    def _begin(self, stage: str | None, players: Sequence[str] | None, start: Replay | None,
               warmup: int) -> Start:  # fmt: skip
        if start is None:
            return self._match(STAGE if stage is None else stage,
                               PLAYERS if players is None else players)  # fmt: skip
        for name, value in (("stage", stage), ("players", players)):
            if value is not None:
                raise WmqError(f"{name} {value!r}: only of a match; the game has its own")
        return self._at(start, warmup)

    def _match(self, stage: str, players: Sequence[str]) -> Start:
        one_of("stage", stage, sorted(STAGES))
        if isinstance(players, str) or not isinstance(players, Sequence) or len(players) != 2:
            raise WmqError(f"players {players!r}: give two characters, as {PLAYERS}")
        for name in players:
            one_of("players", name, sorted(CHARACTERS))
        return match_start(self.schema, stage, (players[0], players[1]))

    def _at(self, start: Replay, warmup: int) -> Start:
        if isinstance(start, str) or not isinstance(start, Sequence) or len(start) != 2:
            raise WmqError(f'start {start!r}: give a replay and a frame, as ("game.slp", 1200)')
        frame = whole("frame", start[1], -(2**31), 2**31)
        warmup = whole("warmup", warmup, 1, LONGEST_WARMUP)
        return replay_start(self.schema, file_path("replay", start[0]), frame, warmup)

    def __reduce__(self) -> tuple[Any, ...]:
        kernels = "auto" if self.kernels is None else self.kernels
        return _reopen, (self.path.absolute(), kernels, self._threads, self.sha256)

    def __repr__(self) -> str:
        how = " ".join(filter(None, (self.arithmetic, self.kernels)))
        return f"<Model {printable(self.path.name)}, {how}, {self.sha256[:16]}..>"


def _reopen(path: Path, kernels: str, threads: int, sha256: str) -> Model:
    """Open the file of a model that was pickled or copied.  Raises WmqError if it has changed."""
    model = load(path, kernels=kernels, threads=threads)
    if model.sha256 != sha256:
        raise WmqError(f"{path}: is no longer the model {sha256[:16]}.. that was pickled; "
                       "put that file back, or pickle the model again")  # fmt: skip
    return model


def _is_sources(controllers: Any) -> bool:
    """Tell names of sources from rows of controllers."""
    return isinstance(controllers, str) or (
        isinstance(controllers, Sequence) and any(isinstance(one, str) for one in controllers)
    )


def _sources(
    controllers: Any, begin: Start, frames: int | None
) -> tuple[tuple[Source, Source], int]:
    """Read the sources of both players, and for how many frames."""
    pair = (controllers, controllers) if isinstance(controllers, str) else tuple(controllers)
    if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise WmqError(f"controllers {controllers!r}: give one source, or one for each player")
    sources = parse_source(pair[0], "controllers"), parse_source(pair[1], "controllers")
    return sources, begin.usual_frames(pair) if frames is None else frames


def _from_rows(controllers: Any, frames: int | None, worlds: int | None) -> list[np.ndarray]:
    """Take the controllers of each world as they are given."""
    rows = controller_rows(controllers, worlds is not None)
    several = rows if worlds is not None else rows[None]
    if len(several) != (worlds or 1):
        raise WmqError(f"controllers: of {len(several)} worlds, not of {worlds}")
    if frames is not None and several.shape[1] != frames:
        raise WmqError(f"controllers: {several.shape[1]} frames, not {frames}; leave frames out, "
                       "or give as many")  # fmt: skip
    return list(several)
