"""Choice of the play to calibrate on, by a command's options and the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from calib.recipe import Recipe
from calib.step.graph import StepModel
from wmq.calibration.play import PLAYS, CalibrationPlay, from_dataset, from_set
from wmq.calibration.self_play import Pair, own_play
from wmq.calibration.statistics import arithmetic_key
from wmq.errors import WmqError
from wmq.inference.model_files import schema_of
from wmq.inference.onnx_session import SessionStep
from wmq.memo.store import Cache
from wmq.progress import Progress, silent

DEFAULT_FRAMES = 64_000
LEAST_FRAMES = 256  # ranges of fewer frames are chance


@dataclass(frozen=True)
class PlayChoice:
    """A dataset's games, played in one of the ways in PLAYS, or an embedded set.

    frames  to play at most, of a dataset
    """

    data: Path | None
    set_name: str | None
    play: str = "real"
    frames: int = DEFAULT_FRAMES


def choose_play(recipe: Recipe, data: Path | None, set_name: str | None, play: str | None,
                frames: int = DEFAULT_FRAMES) -> PlayChoice:  # fmt: skip
    """Choose by the options of a command, else by the recipe.  Raises WmqError."""
    if frames < LEAST_FRAMES:
        raise WmqError(f"frames {frames}: too few to know a range; give {LEAST_FRAMES} or more")
    if play is not None and play not in PLAYS:
        raise WmqError(f"play {play}: give one of {', '.join(PLAYS)}")
    if data is not None and set_name is not None:
        raise WmqError("data and set: give either a dataset or an embedded set")
    if set_name is None and data is None and recipe.data is not None:
        set_name = recipe.data.set
    if set_name is not None and play is not None:
        raise WmqError(f"play {play}: a set is played as it is; give a dataset instead")
    if set_name is None and data is None:
        raise WmqError("ranges are found in play: give data (a dataset of `wmq prepare`) or set "
                       "(the name of an embedded set)")  # fmt: skip
    asked = recipe.data.play if recipe.data is not None else "real"
    return PlayChoice(data, set_name, play or (asked if asked in PLAYS else "real"), frames)


def open_play(model: Path, step: StepModel, onnx_sha256: str, chosen: PlayChoice, cache: Cache,
              progress: Progress = silent) -> CalibrationPlay:  # fmt: skip
    """Open what was chosen; the model's own play is made, or read from the cache, when it is read.

    Raises WmqError or CalibrationError.
    """
    schema = schema_of(step.schema, model)
    if chosen.data is None:
        return from_set(chosen.set_name or "", schema)

    def play(games: Iterable[Pair], total: int) -> Iterator[Pair]:
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            progress("playing", min(done, total), total)

        session = SessionStep(step.model.SerializeToString(), schema, model)
        return own_play(session, arithmetic_key(onnx_sha256), games, cache, tick)

    return from_dataset(chosen.data, schema, chosen.frames, chosen.play, play)
