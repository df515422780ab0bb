"""Agents: models that see a frame and give a player's next controller.

An `Agent` is a model file; its `Actors` play some seats side by side, each with a state of its
own.  Every actor sees himself as player 1.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wmq.errors import WmqError
from wmq.files.digest import file_sha256
from wmq.game.controls import control_pads
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.model_files import check_role, model_path, open_program
from wmq.inference.onnx_session import OnnxStep
from wmq_kernels.program import Draws

if TYPE_CHECKING:
    from wmq_kernels.engine import Engine


class Actors(Protocol):
    """Seats in progress, side by side."""

    def act(self, frames: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Give the controllers after some frames, (seats, 13) int32, and remember the frames.

        frames  (seats, n, frame_size) int32, as the seat sees them
        own     (seats, n, 13) int32: the seat's controller at each
        """
        ...


class Agent(Protocol):
    """A model file that plays: "int8" or "float32" by `arithmetic`."""

    arithmetic: str
    path: Path
    schema: Schema

    @property
    def sha256(self) -> str: ...

    def actors(self, sampling: Sampling) -> Actors:
        """Seat an actor for each key of the sampling."""
        ...


class IntegerAgent:
    """An agent as an integer program.  Raises ModelError for a file that is none."""

    arithmetic = "int8"

    def __init__(self, path: str | os.PathLike[str] | None = None, kernels: str = "auto"):
        """The embedded agent for None."""
        from wmq_kernels.engine import Engine

        opened = open_program(path, "agent")
        self.path, self.sha256, self.schema = opened.path, opened.sha256, opened.schema
        self.engine = Engine(opened.program, kernels)

    def actors(self, sampling: Sampling) -> IntegerActors:
        return IntegerActors(self.engine, DrawSource(self.schema, len(sampling.keys), sampling))


class IntegerActors:
    def __init__(self, engine: Engine, draws: DrawSource):
        self.engine, self.draws = engine, draws
        self.group = engine.zero_group(draws.count)

    def act(self, frames: np.ndarray, own: np.ndarray) -> np.ndarray:
        count = frames.shape[1]
        draws = self.draws.next(count)
        return self.engine.run_group(self.group, own, frames, count, draws=draws).made[:, -1]


class FloatAgent:
    """An agent in onnxruntime; the bits may differ between machines."""

    arithmetic = "float32"

    def __init__(self, path: str | os.PathLike[str]):
        """Raises ModelError or CalibrationError."""
        self.step = OnnxStep(model_path(path, ".onnx", "agent"))
        self.path, self.schema = self.step.path, self.step.schema
        check_role(self.path, self.schema, "agent")

    @cached_property
    def sha256(self) -> str:
        return file_sha256(self.path)

    def actors(self, sampling: Sampling) -> FloatActors:
        return FloatActors(self.step, DrawSource(self.schema, len(sampling.keys), sampling))


class FloatActors:
    def __init__(self, step: OnnxStep, draws: DrawSource):
        self.step, self.draws = step, draws
        self.state = step.zero_state(draws.count)

    def act(self, frames: np.ndarray, own: np.ndarray) -> np.ndarray:
        draws = self.draws.next(frames.shape[1])
        assert draws is not None  # an agent draws
        drawn = np.zeros((len(frames), 0), np.int64)
        for t in range(frames.shape[1]):
            row = Draws(draws.words[:, t], draws.forced[:, t])
            found, self.state = self.step.step(frames[:, t], own[:, t], own[:, t], self.state, row)
            drawn = found["drawn"]
        return control_pads(drawn)


def open_agent(path: str | None, arithmetic: str, kernels: str = "auto") -> Agent:
    """Open the agent of a player: the embedded one, in integers, for None.

    arithmetic  of the world: beside one in float32 an agent may be either
    Raises WmqError.
    """
    if path is None or path.lower().endswith(".wmq"):
        return IntegerAgent(path, kernels)
    if arithmetic == "int8":
        raise WmqError(f"agent {path}: the world runs in int8; give a .wmq file")
    return FloatAgent(path)
