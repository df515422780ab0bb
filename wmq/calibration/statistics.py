"""Statistics of a float step over its calibration play, from the user's cache if they are there.

The name of what is kept is a hash of the model's file, of all that is played and of the
arithmetic, so that a second recipe on the same model and play costs seconds, and nothing
stale is ever found.
"""

from __future__ import annotations

from typing import TypeVar

from safetensors.numpy import save

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
from wmq.calibration.cache_form import safetensors_form
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
    key = arithmetic_key(onnx_sha256), FORMAT_VERSION, frames, content_sha256(play)

    def of_this_step(arrays: Arrays, where: str) -> Statistics:
        return _fitting(step, read_statistics(arrays, where), where)

    def under_way(arrays: Arrays, where: str) -> Checkpoint:
        return _fitting(step, checkpoint_of(arrays, where), where)

    whole = safetensors_form(lambda found: save(arrays_of(found)), of_this_step)
    begun = safetensors_form(lambda found: save(checkpoint_arrays(found)), under_way)

    def make() -> Statistics:
        def save_begun(checkpoint: Checkpoint) -> None:
            cache.write("unfinished", key, begun, checkpoint)

        before = cache.read("unfinished", key, begun)
        return collect(step, play.games(), frames, progress, before, save_begun)

    found = cache.kept("statistics", key, whole, make)
    cache.remove("unfinished", key, begun)
    return found


def _fitting(step: StepModel, found: Found, where: str) -> Found:
    if not fits(step, found):
        raise CalibrationError(f"{where}: statistics of another model")
    return found
