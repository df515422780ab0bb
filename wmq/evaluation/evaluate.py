"""Models against real games: one frame ahead, and rolled out.

Models and a dataset's games come in, and a `Report` of plain figures leaves.  One frame
ahead, every frame of every game counts, from frame -123 on, with the true frame as input
and the state carried through the game.  Rolled out, a model starts in fixed real frames
with the state that the true game has given it, and follows the true controllers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.metrics import Tally
from wmq.evaluation.rollout_error import (
    choose_starts,
    divergence_figures,
    first_divergence,
    position_errors,
    rc_table,
    true_frames,
)
from wmq.evaluation.teacher_forced import teacher_forced
from wmq.files.names import printable
from wmq.game.schema import Schema
from wmq.game.targets import spreads
from wmq.inference import baselines
from wmq.inference.baselines import Trivial, TrivialPredictor, shares_unchanged
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor, check_and_compile
from wmq.inference.model_files import ModelError, check_form
from wmq.inference.predictor import Predictor, Spreads, StartRow
from wmq.progress import Counter, Progress, silent
from wmq.replays.slippi import DEFAULT_SCHEMA, Game

FIT_GAMES = 40  # training games that shares and, without a model, spreads are measured on


@dataclass(frozen=True)
class EvaluationSettings:
    """games, frames  no more than so many games, and frames of each; 0 for all
    horizon        frames to roll out from each of `starts` starts; 0 for none
    kernels        of integer programs
    """

    split: str = "val"
    games: int = 0
    frames: int = 0
    horizon: int = 0
    starts: int = 300
    threads: int = 1
    kernels: str = "auto"


@dataclass(frozen=True)
class ModelReport:
    """figures  of `Tally.result`, over all games; games: the same for each
    rolled   rc by horizon; by_horizon: mean position error at each frame
    """

    name: str
    figures: dict[str, float]
    games: list[dict[str, float]]
    rolled: dict[str, float] = field(default_factory=dict)
    by_horizon: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class ModelComparison:
    """The second model against the first.

    difference  second minus first; percent: of the first, for losses and errors
    divergence  figures of the first frame with another action; first: that of each start
    """

    names: tuple[str, str]
    difference: dict[str, float]
    percent: dict[str, float]
    divergence: dict[str, float | None] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class EvaluationReport:
    """sha256  of the games; frames: pairs of frames evaluated; starts as (sha256, row)."""

    split: str
    sha256: list[str]
    frames: int
    models: list[ModelReport]
    comparisons: list[ModelComparison]
    starts: list[tuple[str, int]]


def evaluate(
    dataset: Dataset,
    models: Sequence[str | os.PathLike[str]],
    settings: EvaluationSettings = EvaluationSettings(),
    progress: Progress = silent,
) -> EvaluationReport:
    """Evaluate models, and compare each with the one before it.

    models  `.onnx` and `.wmq` files, "frozen", "constant-velocity"
    Raises WmqError, ProgramError or CalibrationError.
    """
    infos = dataset.select(settings.split)[: settings.games or None]
    if not infos:
        raise WmqError(f"{dataset.path}: no game in the split {settings.split}; choose another")
    opened = {os.fspath(m): _open(m, settings) for m in models if not _is_trivial(m)}
    schema = _common_schema(opened)
    scales = _common_spreads(opened)
    fitting = [dataset.load(i, schema) for i in (dataset.select("train") or infos)[:FIT_GAMES]] \
        if len(opened) < len(models) else []  # fmt: skip
    if scales is None:
        played = [(game.frames, game.controllers) for game in fitting]
        scales = {head: scale for head, (_, scale) in spreads(schema, played).items()}
    if fitting:
        shares = shares_unchanged(schema, fitting)
        for moving, name in enumerate(baselines.NAMES):
            opened[name] = TrivialPredictor(Trivial(schema, shares, bool(moving)))

    games = [beginning(dataset.load(info, schema), settings.frames) for info in infos]
    starts = choose_starts(games, settings.starts, settings.horizon) if settings.horizon else []
    if settings.horizon and not starts:
        raise WmqError(f"{dataset.path}: the games are too short for a horizon of "
                       f"{settings.horizon} frames; give a smaller one or more frames")  # fmt: skip
    check_and_compile(opened.values(), progress)
    names = _names([os.fspath(m) for m in models])
    found = [
        _evaluate_one(name, opened[os.fspath(model)], scales, games, starts, settings, progress)
        for name, model in zip(names, models, strict=True)
    ]
    real = [pair for pair, m in zip(found, models, strict=True) if not _is_trivial(m)]
    return EvaluationReport(
        split=settings.split,
        sha256=[info.sha256 for info in infos],
        frames=sum(len(game.frames) - 1 for game in games),
        models=[report for report, _ in found],
        comparisons=[compare(schema, *pair) for pair in pairwise(real)],
        starts=[(games[s.game].info.sha256, s.row) for s in starts],
    )


def _evaluate_one(
    name: str,
    model: Predictor,
    scales: Spreads,
    games: Sequence[Game],
    starts: Sequence[StartRow],
    settings: EvaluationSettings,
    progress: Progress,
) -> tuple[ModelReport, np.ndarray | None]:
    """Return the figures of one model, and its rollouts (starts, horizon, frame_size)."""
    schema = model.schema
    walked = Counter(progress, name, sum(len(game.frames) - 1 for game in games))
    tallies, states = teacher_forced(model, games, starts, scales, walked.add)
    report = ModelReport(
        name, together(schema, scales, tallies).result(), [tally.result() for tally in tallies]
    )
    if not starts:
        return report, None
    count = settings.horizon
    rolling = Counter(progress, f"{name}, rolled out", len(starts) * count)
    rolled = model.roll(games, starts, states, count, rolling.add)
    errors = position_errors(schema, rolled, true_frames(games, starts, count))
    return replace(report, rolled=rc_table(errors), by_horizon=errors.mean(0).tolist()), rolled


def together(schema: Schema, scales: Spreads, tallies: Sequence[Tally]) -> Tally:
    """Join tallies into one; the order of the games decides the last digits, not the threads."""
    whole = Tally(schema, scales)
    for tally in tallies:
        for total, part in ((whole.sums, tally.sums), (whole.counts, tally.counts)):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
    return whole


def compare(
    schema: Schema,
    one: tuple[ModelReport, np.ndarray | None],
    other: tuple[ModelReport, np.ndarray | None],
) -> ModelComparison:
    """Compare `other` with `one`."""
    before, after = one[0].figures | one[0].rolled, other[0].figures | other[0].rolled
    difference = {name: after[name] - before[name] for name in before if name in after}
    percent = {
        name: 100 * value / before[name]
        for name, value in difference.items()
        if "_acc" not in name and before[name]
    }
    found = ModelComparison((one[0].name, other[0].name), difference, percent)
    if one[1] is None or other[1] is None:
        return found
    first = first_divergence(schema, one[1], other[1])
    return replace(found, divergence=divergence_figures(first), first=first.tolist())


def _is_trivial(model: str | os.PathLike[str]) -> bool:
    return os.fspath(model) in baselines.NAMES


def _open(model: str | os.PathLike[str], settings: EvaluationSettings) -> Predictor:
    try:
        check_form(Path(model))
    except ModelError as error:
        raise ModelError(f"{error}; {' and '.join(baselines.NAMES)} need no file") from None
    if Path(model).suffix.lower() == ".onnx":
        return OnnxPredictor(model, settings.threads)
    return IntegerPredictor(model, settings.threads, settings.kernels)


def _common_schema(opened: Mapping[str, Predictor]) -> Schema:
    schemas = [model.schema for model in opened.values()] or [DEFAULT_SCHEMA]
    for name, schema in zip(opened, schemas, strict=False):
        if schema != schemas[0]:
            raise WmqError(f"{name}: its fields differ from those of {next(iter(opened))}; "
                           "evaluate them one by one")  # fmt: skip
    return schemas[0]


def _common_spreads(opened: Mapping[str, Predictor]) -> Spreads | None:
    """Return the spreads that val_loss is measured in; None without a model that has some."""
    common: Spreads | None = None
    for name, model in opened.items():
        if common is None:
            common = model.spreads
        elif model.spreads and any(
            not np.allclose(model.spreads[head], common[head], rtol=1e-4) for head in common
        ):
            raise WmqError(f"{name}: its val_loss is in other units than that of "
                           f"{next(iter(opened))}, from another training run; "
                           "evaluate them one by one")  # fmt: skip
    return common


def _names(models: list[str]) -> list[str]:
    """Base names, or whole paths where two base names are the same."""
    short = [printable(Path(m).name) for m in models]
    return [s if short.count(s) == 1 else m for s, m in zip(short, models, strict=True)]
