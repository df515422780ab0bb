"""A small world model with random weights, as a float step, and random play for it."""

from __future__ import annotations

import numpy as np

from calib.statistics import CalibrationGame
from calib.step_graph import StepModel, build_step, read_step, to_bytes
from calib.step_sizes import sizes_of
from wmq.encoding import float_inputs
from wmq.schema import Q16, Schema

CONFIG = {"d_model": 64, "n_layer": 2, "d_state": 16, "d_conv": 4, "expand": 2, "headdim": 16}


def random_weights(config: dict, schema: Schema, seed: int = 0) -> dict[str, np.ndarray]:
    """Sizes as in a fresh model: projections keep the size of what they read."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in sizes_of(config, schema.to_json()).weights().items():
        values = rng.normal(size=shape) / np.sqrt(shape[-1])
        if name.endswith(("norm.weight", "norm_f.weight", ".D", "_scale")):
            values = rng.uniform(0.5, 1.5, shape)
        elif name.endswith("A_log"):
            values = np.log(rng.uniform(1, 16, shape))
        elif name.endswith("dt_bias"):
            values = rng.uniform(-6, -2, shape)
        weights[name] = values.astype(np.float32)
    return weights


def small_step(folder, projectiles: bool = False, seed: int = 0) -> StepModel:
    schema = Schema(projectiles=projectiles)
    config = CONFIG | {"projectiles": projectiles}
    metadata = {"wmq.run": "0" * 64, "wmq.training": "{}"}
    model = build_step(config, schema.to_json(), random_weights(config, schema, seed), metadata)
    path = folder / "small.onnx"
    path.write_bytes(to_bytes(model))
    return read_step(path)


def random_play(schema: Schema, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """frames (T, frame_size) that wander within a tenth of their intervals, and pads (T, 26)."""
    rng = np.random.default_rng(seed)
    lo, hi = schema.lo.astype(np.int64), schema.hi.astype(np.int64)
    middle, reach = (lo + hi) // 2, np.maximum((hi - lo) // 10, 1)
    walk = rng.integers(-reach, reach + 1, (frames, len(lo)))
    rows = np.clip(middle + walk, lo, hi)
    classes = np.array(schema.class_index)
    rows[:, classes] = rng.integers(0, hi[classes] + 1, (frames, len(classes)))
    pads = rng.integers(0, Q16 + 1, (frames, schema.controllers_size))
    return rows.astype(np.int32), pads.astype(np.int32)


def as_game(schema: Schema, frames: np.ndarray, pads: np.ndarray) -> CalibrationGame:
    numbers, classes, controllers = float_inputs(schema, frames, pads)
    return CalibrationGame(numbers[:-1], classes[:-1], controllers[:-1], controllers[1:])
