"""Statistics of a float step over chosen play, from the user's cache where they are there.

The name of what is kept is a hash of the model's file, of all that is played and of the
arithmetic, so that a second recipe on the same model and play costs seconds, and nothing
stale is ever found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors.numpy import save

from calib.errors import CalibrationError
from calib.recipe import Recipe
from calib.statistics.collect import Checkpoint, Statistics, collect, fits
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
from wmq.calibration.play import PLAYS, Source, content_sha256, from_dataset, from_set
from wmq.calibration.self_play import Pair, own_play
from wmq.errors import WmqError
from wmq.inference.model_files import schema_of
from wmq.inference.onnx_session import OnnxStep
from wmq.memo.provenance import digest, sources, versions
from wmq.memo.store import Cache
from wmq.progress import Progress, silent

DEFAULT_FRAMES = 64_000
LEAST_FRAMES = 256  # ranges of fewer frames are chance
Found = TypeVar("Found", Statistics, Checkpoint)


@dataclass(frozen=True)
class Chosen:
    """What to play, from the options of a command or from a recipe: a dataset's games or a set.

    play  one of PLAYS, of the dataset's games
    """

    data: Path | None
    set_name: str | None
    play: str = "real"
    frames: int = DEFAULT_FRAMES


def choose_play(recipe: Recipe, data: Path | None, set_name: str | None, play: str | None,
                frames: int = DEFAULT_FRAMES) -> Chosen:  # fmt: skip
    """What is given wins over what the recipe says.  Raises WmqError."""
    if frames < LEAST_FRAMES:
        raise WmqError(f"--frames {frames}: too few to know a range; give {LEAST_FRAMES} or more")
    if play is not None and play not in PLAYS:
        raise WmqError(f"--play {play}: give one of {', '.join(PLAYS)}")
    if data is not None and set_name is not None:
        raise WmqError("--data and --set: give either a dataset or an embedded set")
    if set_name is None and data is None and recipe.data is not None:
        set_name = recipe.data.set
    if set_name is not None and play is not None:
        raise WmqError(f"--play {play}: a set is played as it is; give --data DATASET instead")
    if set_name is None and data is None:
        raise WmqError("ranges are found in play: give --data DATASET, made with `wmq prepare`, "
                       "or --set NAME, an embedded set")  # fmt: skip
    asked = recipe.data.play if recipe.data is not None else "real"
    return Chosen(data, set_name, play or (asked if asked in PLAYS else "real"), frames)


def source_of(model: Path, step: StepModel, onnx_sha256: str, chosen: Chosen, cache: Cache,
              progress: Progress = silent) -> Source:  # fmt: skip
    """Raises WmqError or CalibrationError."""
    schema = schema_of(step.schema, model)
    if chosen.data is None:
        return from_set(chosen.set_name or "", schema)

    def play(games: Iterable[Pair], total: int) -> Iterator[Pair]:
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            progress("playing", min(done, total), total)

        return own_play(OnnxStep(model), _key(onnx_sha256), games, cache, tick)

    return from_dataset(chosen.data, schema, chosen.frames, chosen.play, play)


def statistics_of(step: StepModel, onnx_sha256: str, source: Source, frames: int, cache: Cache,
                  progress: Progress = silent) -> Statistics:  # fmt: skip
    """Of the first `frames` frames, from the cache if they are there.

    An interrupted pass is resumed.  Raises CalibrationError.
    """
    frames = min(frames, source.frames)
    key = _key(onnx_sha256), FORMAT_VERSION, frames, content_sha256(source)

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
        return collect(step, source.games(), frames, progress, before, save_begun)

    found = cache.kept("statistics", key, whole, make)
    cache.remove("unfinished", key, begun)
    return found


def _fitting(step: StepModel, found: Found, where: str) -> Found:
    if not fits(step, found):
        raise CalibrationError(f"{where}: statistics of another model")
    return found


def _key(onnx_sha256: str) -> str:
    """Of all that the values of a tensor depend on besides play: model, code and arithmetic."""
    return digest(onnx_sha256, sources(__name__), versions(("numpy", "onnxruntime")))
