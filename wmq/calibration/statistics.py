"""Statistics of a float step over its calibration play, from the user's cache if they are there.

The name of what is kept is a hash of the model's file, of all that is played and of the
arithmetic, so that a second recipe on the same model and play costs seconds, and nothing
stale is ever found.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from calib.errors import CalibrationError
from calib.statistics.collect import collect, fits
from calib.statistics.results import Checkpoint, Statistics
from calib.statistics.store import (
    FORMAT_VERSION,
    Arrays,
    arrays_of,
    checkpoint_arrays,
    checkpoint_of,
)
from calib.statistics.store import statistics_of as read_statistics
from calib.step.graph import StepModel
from wmq.calibration.play import CalibrationPlay, content_sha256
from wmq.memo.provenance import digest, sources, versions
from wmq.memo.store import Cache
from wmq.progress import Progress, silent

Found = TypeVar("Found", Statistics, Checkpoint)


def arithmetic_key(onnx_sha256: str) -> str:
    """Digest all that a step's values depend on besides play: model, code and arithmetic."""
    return digest(onnx_sha256, sources(__name__), versions(("numpy", "onnxruntime")))


def statistics_of(step: StepModel, onnx_sha256: str, play: CalibrationPlay, frames: int,
                  cache: Cache, progress: Progress = silent) -> Statistics:  # fmt: skip
    """Collect the statistics of the first `frames` frames, or read them from the cache.

    An interrupted pass is resumed.  Raises CalibrationError.
    """
    frames = min(frames, play.frames)
    key = f"{arithmetic_key(onnx_sha256)} {FORMAT_VERSION} {frames} {content_sha256(play)}"
    name = f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"

    def of_this_step(arrays: Arrays, where: str) -> Statistics:
        return _fitting(step, read_statistics(arrays, where), where)

    def under_way(arrays: Arrays, where: str) -> Checkpoint:
        return _fitting(step, checkpoint_of(arrays, where), where)

    found = cache.read(f"statistics-{name}", of_this_step)
    if found is not None:
        return found
    unfinished = f"unfinished-{name}"
    found = collect(
        step,
        play.games(),
        frames,
        progress,
        cache.read(unfinished, under_way),
        lambda checkpoint: cache.write(unfinished, checkpoint_arrays(checkpoint)),
    )
    cache.write(f"statistics-{name}", arrays_of(found))
    cache.remove(unfinished)
    return found


def _fitting(step: StepModel, found: Found, where: str) -> Found:
    if not fits(step, found):
        raise CalibrationError(f"{where}: statistics of another model")
    return found
