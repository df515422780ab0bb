"""The float model's own play: rollouts from real frames with the true controllers.

Real frames and controllers come in, as many frames of the same controllers leave: the
first GIVEN as they were, the others as the model has made them.  LANES games are rolled
out side by side; their frames are kept in the cache, and a rollout that was interrupted
resumes where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from safetensors.numpy import save

from calib.errors import CalibrationError
from calib.statistics.collect import SAVE_SECONDS
from calib.statistics.store import Arrays
from wmq.calibration.cache_form import safetensors_form
from wmq.inference.draws import Sampling
from wmq.inference.float_predictor import StepWorlds
from wmq.inference.onnx_session import SessionStep
from wmq.memo.provenance import digest
from wmq.memo.store import Cache

GIVEN = 60  # true frames at the beginning: the state is then one that play has made
LANES = 16  # games side by side
FORMAT_VERSION = 1
Pair = tuple[np.ndarray, np.ndarray]  # frames (T, frame_size) and controllers (T, 26) int32
Tick = Callable[[int], None]  # frames done since the last call


def own_play(step: SessionStep, key: str, games: Iterable[Pair], cache: Cache,
             tick: Tick) -> Iterator[Pair]:  # fmt: skip
    """Replace each game's frames by the model's own; LANES games are in memory at a time.

    key  names model and arithmetic: equal keys and games give equal play
    """
    games = iter(games)
    while block := list(islice(games, LANES)):
        longest = max(len(frames) for frames, _ in block)
        lanes, pads = (np.stack([_extended(part, longest) for part in parts])
                       for parts in zip(*block, strict=True))  # fmt: skip
        made = _rolled(step, key, lanes, pads, cache, tick)
        for (frames, controllers), lane in zip(block, made, strict=True):
            yield lane[: len(frames)], controllers


def _extended(rows: np.ndarray, length: int) -> np.ndarray:
    """Repeat the last row: what a shorter lane makes of it is cut off."""
    return np.concatenate([rows, np.repeat(rows[-1:], length - len(rows), axis=0)])


def _rolled(step: SessionStep, key: str, true: np.ndarray, pads: np.ndarray, cache: Cache,
            tick: Tick) -> np.ndarray:  # fmt: skip
    """Roll out (lanes, T, frame_size) int32; true has that shape, pads (lanes, T, 26)."""
    about = digest(FORMAT_VERSION, GIVEN, key, true, pads)
    form = safetensors_form(save, lambda arrays, where: _checked(step, true, arrays, where))
    made = np.empty_like(true)
    begun = cache.read("play", about, form)
    state = begun or {"frames": true[:, :1], **step.zero_state(len(true))}
    frames = state.pop("frames")
    at = frames.shape[1]  # frames that are there
    worlds = StepWorlds(step, state, len(true), Sampling.of_worlds(range(len(true))))
    worlds.draws.go_to(at - 1)
    made[:, :at] = frames
    tick(len(true) * at)
    saved = time.monotonic()
    while at < made.shape[1]:
        follows = worlds.advance(made[:, at - 1 : at], pads[:, at - 1 : at + 1], 1)[:, 0]
        made[:, at] = true[:, at] if at < GIVEN else follows
        at += 1
        tick(len(true))
        if time.monotonic() - saved >= SAVE_SECONDS or at == made.shape[1]:
            arrays = {"frames": np.ascontiguousarray(made[:, :at]), **worlds.state}
            cache.write("play", about, form, arrays)
            saved = time.monotonic()
    return made


def _checked(step: SessionStep, true: np.ndarray, arrays: Arrays, where: str) -> Arrays:
    """Check the frames so far and the state after them.  Raises CalibrationError."""
    state = step.zero_state(len(true))
    frames = arrays.get("frames", np.empty(0))
    kept = {name: array for name, array in arrays.items() if name != "frames"}
    lanes, _, width = true.shape
    if frames.dtype != np.int32 or frames.ndim != 3 or frames.shape[::2] != (lanes, width) \
            or not 1 <= frames.shape[1] <= true.shape[1]:  # fmt: skip
        raise CalibrationError(f"{where}: frames: not those of this play")
    schema = step.schema
    if ((frames < schema.lo) | (frames > schema.hi)).any():
        raise CalibrationError(f"{where}: frames: a value is outside the schema")
    if {n: (a.dtype, a.shape) for n, a in kept.items()} != {
        n: (a.dtype, a.shape) for n, a in state.items()
    } or not all(np.isfinite(a).all() for a in kept.values()):
        raise CalibrationError(f"{where}: not the state of this model")
    return arrays
