"""Calibration: from a float step and play to an integer program.

`calibrate` reads a checked ONNX step, runs it over games of a dataset, over its own play or
over an embedded set, lowers it with the ranges found and writes the program's file.  The
file depends on the step, the recipe and the frames alone: no path, time or version goes
into it.  What the one pass over the play found is kept in the user's cache, for the next recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calib.arithmetic.grid import Grid
from calib.errors import UnfitWeight
from calib.lowering.cost import least_products, products
from calib.lowering.lower import lower
from calib.recipe import Recipe
from calib.simulation.grids import grids_of
from calib.simulation.noise import signal_to_noise
from calib.statistics.results import Ranges, Statistics
from calib.step.graph import StepModel, read_step
from calib.weights.quantize import WeightQuantizer
from calib.weights.transforms import SEARCHED, Transforms
from wmq.calibration.choice import DEFAULT_FRAMES, PlayChoice, choose_play, open_play
from wmq.calibration.play import CalibrationPlay
from wmq.calibration.statistics import statistics_of
from wmq.files.atomic import write_atomically
from wmq.files.digest import file_sha256
from wmq.files.output_path import output_path
from wmq.inference.model_files import model_path
from wmq.memo.store import Cache
from wmq.progress import Progress, silent
from wmq_kernels.program import Program, encode, model_sha256

MEASURED_FRAMES = 2000  # of the signal-to-noise ratio


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
    """What was written, and how well the integers hold each tensor.

    products        multiply-accumulates of int8 in a frame; least_products: with one digit
                    for every input and weight, but for the frame's numbers, which have two
    """

    tensors: tuple[TensorReport, ...]
    frames: int
    games: int
    model_sha256: str
    bytes: int
    products: int
    least_products: int


@dataclass(frozen=True)
class TensorSummary:
    """What an int8 scale of a tensor would have to hold, by each observer, largest of all groups.

    bits  width of the integers that do hold it; those wider than 8 bits keep the maximum
    """

    name: str
    groups: int
    bits: int
    maximum: float
    moving_average: float
    percentile_99_9: float
    percentile_99_99: float
    mse: float
    entropy: float


def calibrate(
    model: Path,
    out: Path,
    recipe: Recipe,
    data: Path | None = None,
    set_name: str | None = None,
    frames: int = DEFAULT_FRAMES,
    progress: Progress = silent,
    play: str | None = None,
    cache: Cache | None = None,
) -> Result:
    """Calibrate a float step, and write its integer program to `out`.

    Play is what `choose_play` makes of `data`, `set_name`, `play` and the recipe.
    Raises WmqError or CalibrationError; `out` is then as it was.
    """
    model_path(model, ".onnx")
    output_path(out, "-o", (".wmq",))
    cache = cache or Cache.of_statistics()
    chosen = choose_play(recipe, data, set_name, play, frames)
    observed = _observe(model, chosen, frames, cache, progress)
    step, statistics = observed.step, observed.statistics
    activations = recipe.activations
    ranges = statistics.ranges(activations.observer, activations.percent)
    calibration = {
        "recipe": recipe.to_json(),
        "observer": activations.observer,
        "onnx_sha256": observed.onnx_sha256,
        "data": observed.play.provenance,
        "frames": statistics.frames,
        "games": statistics.games,
    }
    with _naming(model):
        program = _lowered(step, statistics, ranges, recipe, calibration)
    content = encode(program)
    grids = grids_of(step, program)
    measured = min(statistics.frames, MEASURED_FRAMES)
    ratios = signal_to_noise(step, observed.play.games(), grids, measured, progress)
    write_atomically(out, content)
    return Result(
        tensors=tuple(_report(name, limits, grids.get(name), ratios.get(name))
                      for name, limits in ranges.limits.items()),
        frames=statistics.frames,
        games=statistics.games,
        model_sha256=model_sha256(content),
        bytes=len(content),
        products=products(program),
        least_products=least_products(program),
    )  # fmt: skip


def _report(
    name: str, limits: np.ndarray, grid: Grid | None, decibels: float | None
) -> TensorReport:
    known = decibels is not None and math.isfinite(decibels)
    return TensorReport(
        name=name,
        groups=len(limits),
        limit=float(limits.max()),
        scale=None if grid is None else float(grid.scale.max()),
        decibels=decibels if known else None,
    )


@dataclass(frozen=True)
class _Observation:
    """A step, the SHA-256 of its file, and what its play showed."""

    step: StepModel
    onnx_sha256: str
    play: CalibrationPlay
    statistics: Statistics


def _observe(model: Path, chosen: PlayChoice, frames: int, cache: Cache,
             progress: Progress) -> _Observation:  # fmt: skip
    step, onnx_sha256 = read_step(model), file_sha256(model)
    play = open_play(model, step, onnx_sha256, chosen, cache, progress)
    with _naming(model):
        statistics = statistics_of(step, onnx_sha256, play, frames, cache, progress)
    return _Observation(step, onnx_sha256, play, statistics)


def _lowered(step: StepModel, statistics: Statistics, ranges: Ranges, recipe: Recipe,
             calibration: dict) -> Program:  # fmt: skip
    weights, changes = recipe.weights, recipe.transforms
    quantizer = WeightQuantizer(weights.rounding == "gptq", weights.damping,
                                weights.bias_correction, weights.two_digits,
                                statistics.inputs)  # fmt: skip
    strength = SEARCHED if changes.strength is None else changes.strength
    transforms = Transforms(changes.smoothing, strength, changes.hadamard)
    return lower(step, ranges, calibration, recipe.state, recipe.activations.two_digits,
                 quantizer, transforms)  # fmt: skip


def summarize(
    model: Path,
    recipe: Recipe,
    data: Path | None = None,
    set_name: str | None = None,
    frames: int = DEFAULT_FRAMES,
    progress: Progress = silent,
    play: str | None = None,
    cache: Cache | None = None,
) -> tuple[TensorSummary, ...]:
    """Summarize the statistics that `calibrate` would use.  Raises WmqError or CalibrationError."""
    model_path(model, ".onnx")
    cache = cache or Cache.of_statistics()
    chosen = choose_play(recipe, data, set_name, play, frames)
    found = _observe(model, chosen, frames, cache, progress).statistics
    summaries = []
    for done, (name, tensor) in enumerate(found.tensors.items()):
        progress("finding limits", done, len(found.tensors))
        limits = (
            tensor.limits(observer, percent)
            for observer, percent in (
                ("minmax", None), ("moving-average", None), ("percentile", 99.9),
                ("percentile", 99.99), ("mse", None), ("entropy", None),
            )
        )  # fmt: skip
        figures = (float(limit.max()) for limit in limits)
        summaries.append(TensorSummary(name, len(tensor.maximum), tensor.bits, *figures))
    return tuple(summaries)


@contextmanager
def _naming(model: Path) -> Iterator[None]:
    """Put the model's file before the name of a weight that no program can hold."""
    try:
        yield
    except UnfitWeight as error:
        raise UnfitWeight(f"{model}: {error}") from None
