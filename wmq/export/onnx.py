"""Export a training run as a float step: torch weights in, `model.onnx` out.

The graph is built by `calib.step.graph`; what is written was run beside the torch model
over carried frames first, and gave the same heads.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from calib.step.graph import build_step, half_weights, to_bytes
from calib.step.sizes import sizes_of
from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.game.schema import Q16, Schema
from wmq.models.heads import Choose
from wmq.models.presets import ModelConfig
from wmq.models.world import WorldModel
from wmq.training.batches import model_inputs
from wmq.training.config import RunConfig
from wmq.training.run_folder import load_model

CHECKED_FRAMES = 60  # run beside torch on every export
TOLERANCE = 1e-4  # of a head's largest value
# Intervals of a usual frame's numbers, natural units; the schema's ends are wider.
USUAL = {"continuous": (-100, 150), "velocity": (-4, 4), "dynamics": (0, 10), "binary": (0, 1),
         "draw": (-100, 150), "": (0, 10)}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What was written.  difference: to torch, in shares of a head's largest value."""

    path: str
    size: int
    sha256: str
    half: bool
    preset: str
    step: int
    parameters: int
    difference: float


def export_run(run: Path, out: Path, half: bool = False) -> Exported:
    """Write the newest checkpoint of a run as a float step.  Raises WmqError."""
    model, config, step = load_model(run)
    content = step_bytes(model, config, step, half)
    difference = difference_to_torch(content, model, CHECKED_FRAMES, half)
    if not difference <= TOLERANCE:
        raise WmqError(
            f"{run}: onnxruntime and torch differ by {difference:.1e}, more than {TOLERANCE}; "
            "nothing was written: install the versions of constraints.txt"
        )
    write_atomically(out, content)
    sha256 = hashlib.sha256(content).hexdigest()
    parameters = sum(p.numel() for p in model.parameters())
    return Exported(
        str(out), len(content), sha256, half, config.preset, step, parameters, difference
    )


def step_bytes(model: WorldModel, config: RunConfig, step: int, half: bool = False) -> bytes:
    """Return the bytes of `model.onnx`; the same checkpoint gives the same bytes."""
    weights = weights_of(model)
    training = msgspec.structs.asdict(config) | {
        "step": step,
        "frames": step * config.streams * config.chunk,
    }
    metadata = {
        "wmq.run": weights_sha256(weights),
        "wmq.training": json.dumps(training, sort_keys=True),
    }
    size = size_of(model.config)
    return to_bytes(build_step(size, model.schema.step, weights, metadata, half))


def size_of(config: ModelConfig) -> dict[str, Any]:
    """Give the plain data of `wmq.config`, without what says only that heads are no chain."""
    size = msgspec.structs.asdict(config)
    return {k: v for k, v in size.items() if v or k not in ("d_mix", "agent")}


def weights_of(model: WorldModel) -> dict[str, np.ndarray]:
    """Return the state dict as float32 arrays."""
    return {name: value.float().numpy() for name, value in model.state_dict().items()}


def weights_sha256(weights: dict[str, np.ndarray]) -> str:
    """Hash a checkpoint: names, shapes and little-endian float32, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {list(weights[name].shape)}\n".encode())
        digest.update(np.ascontiguousarray(weights[name], dtype="<f4").tobytes())
    return digest.hexdigest()


@torch.no_grad()
def difference_to_torch(content: bytes, model: WorldModel, frames: int, half: bool) -> float:
    """Measure the largest difference of onnxruntime and `WorldModel.step` over carried frames.

    Relative to the largest value of the head.  For the half form torch gets the rounded
    weights first.
    """
    import onnxruntime

    if half:
        rounded = half_weights(weights_of(model))
        twin = WorldModel(model.config).eval()
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in rounded.items()})
        model = twin
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a frame is too small for more, beside torch's own
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    ports = [port.name for port in session.get_inputs()]
    rng = np.random.default_rng(0)
    schema = model.schema
    integers, pads = usual_frames(schema, frames + 1)
    numbers, classes, controllers = model_inputs(schema, integers, pads)
    theirs = model.zero_state(1)
    ours = sizes_of(size_of(model.config), schema.step).zero_state()
    error, size = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1e-9)
    for t in range(frames):
        now, following = slice(t, t + 1), slice(t + 1, t + 2)
        inputs = (numbers[now], controllers[now], classes[now], controllers[following])
        keys = ("numbers", "controllers", "classes", "next_controllers")
        feeds = {key: value.numpy() for key, value in zip(keys, inputs, strict=True)} | ours
        if schema.draws:
            feeds["uniforms"] = rng.random((1, len(schema.draws)), np.float32)
            feeds["forced"] = np.full((1, len(schema.draws)), -1)
        feeds = {key: feeds[key] for key in ports}
        found = dict(zip(names, session.run(None, feeds), strict=True))
        drawn = torch.from_numpy(found.pop("drawn", np.zeros((1, 0), np.int64)))
        heads, theirs = model.step(*inputs, theirs, _given(drawn))
        ours = {name: found[f"next_{name}"] for name in ours}
        for name, value in heads.items():
            value = value.numpy()
            error[name] = max(error[name], float(np.abs(value - found[name]).max()))
            size[name] = max(size[name], float(np.abs(value).max()))
    return max(error[name] / size[name] for name in names if name != "drawn")


def _given(drawn: torch.Tensor) -> Choose:
    return lambda number, logits: drawn[..., number]


def usual_frames(schema: Schema, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw random integer frames (frames, frame_size) and controllers (frames, 26).

    No game plays so, but every field is within its usual interval and every class occurs.
    """
    rng = np.random.default_rng(seed)
    lo, hi = schema.lo.astype(np.int64), schema.hi.astype(np.int64)
    for player in (0, 1):
        for field in schema.numbers:
            at = schema.index(field.name, player)
            least, most = (end * field.quantum for end in USUAL[field.head])
            lo[at], hi[at] = max(lo[at], least), min(hi[at], most)
    values = rng.integers(lo, hi + 1, size=(frames, schema.frame_size)).astype(np.int32)
    pads = rng.integers(0, Q16 + 1, size=(frames, schema.controllers_size)).astype(np.int32)
    return values, pads
