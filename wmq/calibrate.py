"""A float step and real play to an integer program.

`calibrate` reads a checked ONNX step, runs it over games of a dataset or over an embedded
set, lowers it with the ranges found and writes the program's file.  The file depends on the
step, the recipe and the frames alone: no path, time or version goes into it.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib.lower import lower
from calib.observers import observer
from calib.recipe import Recipe
from calib.roundings import roundings_of
from calib.sets import read_set
from calib.statistics import (
    CalibrationGame,
    Progress,
    collect,
    signal_to_noise,
    silent,
)
from calib.step_graph import StepModel, read_step
from wmq.dataset import Dataset, write_atomically
from wmq.encoding import float_inputs
from wmq.errors import WmqError
from wmq.games import usable
from wmq.opening import schema_of
from wmq.replays import GameInfo
from wmq.schema import Schema
from wmq_kernels.program import encode, model_sha256

DEFAULT_FRAMES = 64_000
LEAST_FRAMES = 256  # ranges of fewer frames are chance
LEAST_GAMES = 16
LONGEST_CUT = 4000  # frames of one game: longer than a rollout of a minute, as the state grows
MEASURED_FRAMES = 2000  # of the signal-to-noise ratio


@dataclass(frozen=True)
class Cut:
    """`count` steps of a game from frame index `first` on; a step needs the frame after it."""

    info: GameInfo
    first: int
    count: int


@dataclass(frozen=True)
class Source:
    """Play to calibrate on.

    games       a new pass over the games; each is loaded when it is needed
    frames      how many there are
    provenance  plain data that the program keeps
    """

    games: Callable[[], Iterator[CalibrationGame]]
    frames: int
    provenance: dict


@dataclass(frozen=True)
class TensorReport:
    """One line of the result.

    limit     the largest |value| that the observer found, of all groups
    scale     natural units in one integer unit, the largest of all groups; None if the
              program has no such value
    decibels  signal-to-noise ratio of that rounding; None if unknown or nothing is lost
    """

    name: str
    groups: int
    limit: float
    scale: float | None
    decibels: float | None


@dataclass(frozen=True)
class Result:
    """What was written, and how well the integers hold each tensor."""

    tensors: tuple[TensorReport, ...]
    frames: int
    games: int
    model_sha256: str
    bytes: int


def calibrate(
    model: Path,
    out: Path,
    recipe: Recipe,
    data: Path | None = None,
    set_name: str | None = None,
    frames: int = DEFAULT_FRAMES,
    progress: Progress = silent,
) -> Result:
    """Write the integer program of a float step.  Give `data`, a dataset, or `set_name`.

    Raises WmqError or CalibrationError; `out` is then as it was.
    """
    _check_paths(model, out)
    if frames < LEAST_FRAMES:
        raise WmqError(f"--frames {frames}: too few to know a range; give {LEAST_FRAMES} or more")
    step, onnx_sha256 = _read_model(model)
    schema = schema_of(step.schema, model)
    if data is not None:
        source = from_dataset(data, schema, frames)
    elif set_name is not None:
        source = from_set(set_name, schema)
    else:
        raise WmqError("no play to calibrate on; give --data DATASET or --set NAME")
    frames = min(frames, source.frames)
    chosen = recipe.activations
    make = observer(chosen.observer, chosen.percent)
    statistics = collect(step, source.games(), make, frames, progress)
    calibration = {
        "recipe": recipe.to_json(),
        "observer": chosen.observer,
        "onnx_sha256": onnx_sha256,
        "data": source.provenance,
        "frames": statistics.frames,
        "games": statistics.games,
    }
    program = lower(step, statistics, calibration, recipe.state, recipe.activations.two_digits)
    content = encode(program)
    roundings = roundings_of(step, program)
    measured = min(frames, MEASURED_FRAMES)
    ratios = signal_to_noise(step, source.games(), roundings, measured, progress)
    write_atomically(out, content)
    return Result(
        tensors=tuple(
            TensorReport(
                name=name,
                groups=len(limits),
                limit=float(limits.max()),
                scale=float(roundings[name].scale.max()) if name in roundings else None,
                decibels=_finite(ratios.get(name)),
            )
            for name, limits in statistics.limits.items()
        ),
        frames=statistics.frames,
        games=statistics.games,
        model_sha256=model_sha256(content),
        bytes=len(content),
    )


def choose_cuts(games: Sequence[GameInfo], frames: int) -> list[Cut]:
    """Cuts of together `frames` steps or a few more, or all there is.

    Games are taken evenly from the order given; cuts are of one length where the games are
    long enough, and lie at the beginning, at one and two thirds, and at the end in turn.
    """
    wanted = min(len(games), max(LEAST_GAMES, math.ceil(frames / LONGEST_CUT)))
    while True:
        chosen = [games[i * len(games) // wanted] for i in range(wanted)]
        steps = np.array([g.frames - 1 for g in chosen])
        if wanted == len(games) or steps.sum() >= frames:
            break
        wanted = min(2 * wanted, len(games))
    longest = int(steps.max())
    length = 1 + bisect_left(
        range(1, longest), frames, key=lambda n: int(np.minimum(steps, n).sum())
    )
    cuts = []
    for number, info in enumerate(chosen):
        count = min(length, info.frames - 1)
        cuts.append(Cut(info, (info.frames - 1 - count) * (number % 4) // 3, count))
    return cuts


def from_dataset(path: Path, schema: Schema, frames: int) -> Source:
    """Cuts of the usable training games.  Raises DatasetError, or WmqError if there is none."""
    dataset = Dataset.open(path)
    games = [g for g in usable(dataset.select("train")) if g.frames > 1]
    if not games:
        raise WmqError(
            f"{path}: no training game with velocities and two active players; "
            "prepare more replays, or give --set NAME"
        )
    cuts = choose_cuts(games, frames)

    def load() -> Iterator[CalibrationGame]:
        for cut in cuts:
            game = dataset.load(cut.info, schema)
            rows = slice(cut.first, cut.first + cut.count + 1)
            yield calibration_game(schema, game.frames[rows], game.controllers[rows])

    provenance = {"games": sorted(cut.info.sha256 for cut in cuts)}
    return Source(load, sum(cut.count for cut in cuts), provenance)


def from_set(name: str, schema: Schema) -> Source:
    """An embedded set.  Raises CalibrationError, or WmqError if it is of another schema."""
    found = read_set(name)
    widths = found.frames.shape[2], found.controllers.shape[2]
    if widths != (schema.frame_size, schema.controllers_size):
        raise WmqError(f"{name}: the set has other fields than the model; give --data DATASET")
    if ((found.frames < schema.lo) | (found.frames > schema.hi)).any():
        raise WmqError(f"{name}: the set has values outside the schema; reinstall wmq")

    def load() -> Iterator[CalibrationGame]:
        for frames, controllers in zip(found.frames, found.controllers, strict=True):
            yield calibration_game(schema, frames, controllers)

    games, length = found.frames.shape[:2]
    return Source(load, games * (length - 1), {"set": name, "sha256": found.sha256})


def calibration_game(
    schema: Schema, frames: np.ndarray, controllers: np.ndarray
) -> CalibrationGame:
    """T + 1 integer frames and controllers as T steps."""
    numbers, classes, pads = float_inputs(schema, frames, controllers)
    return CalibrationGame(numbers[:-1], classes[:-1], pads[:-1], pads[1:])


def _check_paths(model: Path, out: Path) -> None:
    if model.suffix != ".onnx":
        raise WmqError(f"{model}: not a float step; give the .onnx file that `wmq export` makes")
    if out.suffix != ".wmq":
        raise WmqError(f"{out}: an integer program's name ends in .wmq; choose such a name with -o")
    if not out.absolute().parent.is_dir():
        raise WmqError(f"{out}: its folder does not exist; make it or choose another with -o")


def _read_model(path: Path) -> tuple[StepModel, str]:
    """The checked step and the SHA-256 of its file."""
    step = read_step(path)
    try:
        with open(path, "rb") as file:
            return step, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WmqError(f"{path}: {error.strerror}; try again") from None


def _finite(decibels: float | None) -> float | None:
    return decibels if decibels is not None and math.isfinite(decibels) else None
