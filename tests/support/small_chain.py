"""A small world and a small agent with random weights, whose heads are chains, and made play."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from calib.step.graph import StepModel, build_step, read_step, to_bytes
from tests.support.made_games import made_game
from tests.support.ruled_frames import AGENT, RULED
from tests.support.small_step import random_weights
from wmq.export.onnx import size_of
from wmq.game.encoding import float_inputs
from wmq.game.schema import Q16, Schema
from wmq.game.transitions import drawable_actions
from wmq.models.presets import ModelConfig
from wmq.replays.slippi import read_replay

SMALL = {"d_model": 32, "n_layer": 1, "d_state": 16, "headdim": 16, "d_mix": 16}
WORLD, SMALL_AGENT = ModelConfig(**SMALL), ModelConfig(**SMALL, agent=True)
CONFIGS = {"world": WORLD, "agent": SMALL_AGENT}
SCHEMAS = {"world": RULED, "agent": AGENT}


def chain_weights(kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights; what nothing trains is as in a fresh model."""
    config, schema = CONFIGS[kind], SCHEMAS[kind]
    weights = random_weights(size_of(config), schema, seed)
    weights["decode"] = np.array(config.decoding, np.float32)
    if schema.rules:
        weights["allowed"] = drawable_actions(schema.rules)
    return weights


def small_chain(kind: str, folder: Path, seed: int = 0, **changed: np.ndarray) -> StepModel:
    """Write and read a step, some of whose weights are given by their names, "." as "__"."""
    weights = chain_weights(kind, seed)
    weights |= {name.replace("__", "."): array for name, array in changed.items()}
    metadata = {"wmq.run": "0" * 64, "wmq.training": "{}"}
    config, schema = size_of(CONFIGS[kind]), SCHEMAS[kind].step
    path = folder / f"{kind}.onnx"
    path.write_bytes(to_bytes(build_step(config, schema, weights, metadata)))
    return read_step(path)


@cache
def made_play(schema: Schema, seed: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Frames (1300, frame_size) and both controllers (1300, 26) of a made game."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.slp"
        path.write_bytes(made_game(seed, 1300).to_bytes())
        game = read_replay(path, schema)
    return game.frames, game.controllers


class Session:
    """A step in onnxruntime, the state carried from call to call."""

    def __init__(self, step: StepModel, schema: Schema, batch: int = 1):
        self.schema, self.batch = schema, batch
        self.session = onnxruntime.InferenceSession(to_bytes(step.model))
        self.inputs = [port.name for port in self.session.get_inputs()]
        self.names = [port.name for port in self.session.get_outputs()]
        self.state = step.sizes.zero_state(batch)

    def run(self, frames: np.ndarray, pads: np.ndarray, following: np.ndarray,
            uniforms: np.ndarray | None = None,
            forced: np.ndarray | int = -1) -> dict[str, np.ndarray]:  # fmt: skip
        """Heads and draws of one frame of each row; integer frames and controllers."""
        shape = (self.batch, len(self.schema.draws))
        numbers, classes, controllers = float_inputs(self.schema, frames, pads)
        feeds = {
            "numbers": numbers,
            "classes": classes,
            "controllers": controllers,
            "next_controllers": following.astype(np.float32) / Q16,
            "uniforms": np.zeros(shape, np.float32) if uniforms is None else uniforms,
            "forced": np.broadcast_to(np.asarray(forced, np.int64), shape),
        } | self.state
        feeds = {name: feeds[name] for name in self.inputs}
        found = dict(zip(self.names, self.session.run(None, feeds), strict=True))
        self.state = {name: found[f"next_{name}"] for name in self.state}
        return {name: value for name, value in found.items() if not name.startswith("next_")}
