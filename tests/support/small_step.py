"""A small world model with random weights, as a float step, and random play for it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from calib.statistics.tensors import observed_tensors
from calib.step.graph import StepModel, build_step, read_step, to_bytes
from calib.step.runner import CalibrationGame
from calib.step.sizes import sizes_of
from wmq.calibration.play import calibration_game
from wmq.game.schema import Q16, Schema

CONFIG = {"d_model": 64, "n_layer": 2, "d_state": 16, "d_conv": 4, "expand": 2, "headdim": 16}


def random_weights(config: dict, schema: Schema, seed: int = 0) -> dict[str, np.ndarray]:
    """Sizes as in a fresh model: projections keep the size of what they read."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in sizes_of(config, schema.step).weights().items():
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
    model = build_step(config, schema.step, random_weights(config, schema, seed), metadata)
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


def random_game(frames: int, seed: int) -> CalibrationGame:
    """A game of `frames` steps."""
    schema = Schema()
    return calibration_game(schema, *random_play(schema, frames + 1, seed))


def alone(
    step: StepModel, games: list[CalibrationGame], carried: bool = True
) -> dict[str, np.ndarray]:
    """All observed tensors of all frames, computed one game and one frame at a time.

    carried  the state goes from frame to frame; else each begins with an empty one
    """
    names = [*observed_tensors(step.sizes), "next_controllers"]
    inside = names[:-1]
    state_names = list(step.sizes.zero_state())
    outputs = [*inside, *(f"next_{n}" for n in state_names if f"next_{n}" not in inside)]
    model = onnx.ModelProto.FromString(step.model.SerializeToString())
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in inside
        if n not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for game in games:
        state = step.sizes.zero_state()
        for at in range(len(game.numbers)):
            feeds = {
                key: getattr(game, key)[at : at + 1]
                for key in ("numbers", "classes", "controllers", "next_controllers")
            }
            found = feeds | dict(zip(outputs, session.run(outputs, feeds | state), strict=True))
            if carried:
                state = {name: found[f"next_{name}"] for name in state_names}
            for name in names:
                rows[name].append(found[name])
    return {name: np.concatenate(values) for name, values in rows.items()}
