"""Models against real games: one frame ahead, and rolled out.

Models and a dataset's games come in, and an `EvaluationReport` of plain figures leaves.  One
frame ahead, every frame of every game counts, from frame -123 on, with the true frame as input
and the state carried through the game.  Rolled out, a world starts in fixed real frames with
the state that the true game has given it, and follows the true controllers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.agents import both_sides, teacher_forced_agent
from wmq.evaluation.bootstrap import draw_weights
from wmq.evaluation.chain import Chain, nll_change, other_draws, tally_intervals
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.events import event_figures, event_rates
from wmq.evaluation.metrics import Sums, Tally, add_sums
from wmq.evaluation.reports import (
    DrawnComparison,
    DrawnReport,
    EvaluationReport,
    ModelComparison,
    ModelReport,
)
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
from wmq.inference.draws import Decoding
from wmq.inference.float_predictor import StepPredictor
from wmq.inference.integer_predictor import IntegerPredictor, check_and_compile
from wmq.inference.model_files import ModelError, check_form, open_program
from wmq.inference.onnx_session import OnnxStep
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
    _check_roles(models, opened, settings)
    schema = _common_schema(opened)
    scales = _common_spreads(opened)
    fitting = [dataset.load(i, schema) for i in (dataset.select("train") or infos)[:FIT_GAMES]] \
        if len(opened) < len(models) or schema.draws else []  # fmt: skip
    if scales is None:
        played = [(game.frames, game.controllers) for game in fitting]
        scales = {head: scale for head, (_, scale) in spreads(schema, played).items()}
    if len(opened) < len(models):
        shares = shares_unchanged(schema, fitting)
        for moving, name in enumerate(baselines.NAMES):
            opened[name] = TrivialPredictor(Trivial(schema, shares, bool(moving)))
    rates = {}
    if schema.draws:
        rates = event_rates(schema, both_sides(schema, fitting) if schema.agent else fitting)
    del fitting

    games = [beginning(dataset.load(info, schema), settings.frames) for info in infos]
    starts = choose_starts(games, settings.starts, settings.horizon) if settings.horizon else []
    if settings.horizon and not starts:
        raise WmqError(f"{dataset.path}: the games are too short for a horizon of "
                       f"{settings.horizon} frames; give a smaller one or more frames")  # fmt: skip
    check_and_compile(opened.values(), progress)
    names = _names([os.fspath(m) for m in models])
    measure = (
        partial(_measure_agent, both_sides(schema, games)) if schema.agent
        else partial(_measure_world, games, scales, starts, settings.horizon)
    )  # fmt: skip
    weights = draw_weights(len(games))
    found = [_with_chain(measure(name, opened[os.fspath(model)], progress), rates, weights)
             for name, model in zip(names, models, strict=True)]  # fmt: skip
    real = [one for one, m in zip(found, models, strict=True) if not _is_trivial(m)]
    return EvaluationReport(
        split=settings.split,
        sha256=[info.sha256 for info in infos],
        frames=sum(len(game.frames) - 1 for game in games),
        models=[one.report for one in found],
        comparisons=[compare(schema, *pair, weights) for pair in pairwise(real)],
        starts=[(games[s.game].info.sha256, s.row) for s in starts],
    )


@dataclass(frozen=True)
class Measured:
    """A model's report, and what it is compared by.

    tallies  of each game
    rolled   rollouts (starts, horizon, frame_size)
    chain    of a model that draws
    """

    report: ModelReport
    tallies: Sequence[Sums] = ()
    rolled: np.ndarray | None = None
    chain: Chain | None = None


def _measure_world(
    games: Sequence[Game],
    scales: Spreads,
    starts: Sequence[StartRow],
    horizon: int,
    name: str,
    model: Predictor,
    progress: Progress,
) -> Measured:
    schema = model.schema
    chain = Chain(schema, games, decoding_of(model)) if schema.draws else None
    walked = Counter(progress, name, sum(len(game.frames) - 1 for game in games))
    see = chain.see if chain else None
    tallies, states = teacher_forced(model, games, starts, scales, walked.add, see)
    figures, each = together(schema, scales, tallies).result(), [t.result() for t in tallies]
    report = ModelReport(name, figures, each)
    if not starts:
        return Measured(report, tallies, chain=chain)
    rolling = Counter(progress, f"{name}, rolled out", len(starts) * horizon)
    rolled = model.roll(games, starts, states, horizon, rolling.add)
    errors = position_errors(schema, rolled, true_frames(games, starts, horizon))
    report = replace(report, rolled=rc_table(errors), by_horizon=errors.mean(0).tolist())
    return Measured(report, tallies, rolled, chain)


def _measure_agent(
    sides: Sequence[Game], name: str, model: Predictor, progress: Progress
) -> Measured:
    chain = Chain(model.schema, sides, decoding_of(model))
    walked = Counter(progress, name, sum(len(side.frames) - 1 for side in sides))
    tallies, whole = teacher_forced_agent(model, sides, chain, walked.add), ControlTally()
    add_sums(whole, tallies)
    report = ModelReport(name, whole.figures(), [tally.figures() for tally in tallies])
    return Measured(report, tallies, chain=chain)


def _with_chain(found: Measured, rates: Mapping[str, float], weights: np.ndarray) -> Measured:
    """Add the figures of a chain to the report of a model that draws."""
    if found.chain is None:
        return found
    named = list(found.report.figures) if found.chain.schema.agent else ["nll"]
    report = DrawnReport(
        **vars(found.report),
        intervals=tally_intervals(found.tallies, named, weights),
        events=event_figures(found.chain.foreseen(), rates, weights),
    )
    return replace(found, report=report)


def together(schema: Schema, scales: Spreads, tallies: Sequence[Tally]) -> Tally:
    """Join tallies into one; the order of the games decides the last digits, not the threads."""
    whole = Tally(schema, scales)
    add_sums(whole, tallies)
    return whole


def compare(schema: Schema, one: Measured, other: Measured, weights: np.ndarray) -> ModelComparison:
    """Compare `other` with `one`; weights (draws, games) of the bootstrap."""
    before, after = (side.report.figures | side.report.rolled for side in (one, other))
    difference = {name: after[name] - before[name] for name in before if name in after}
    percent = {
        name: 100 * value / before[name]
        for name, value in difference.items()
        if "_acc" not in name and before[name]
    }
    found = ModelComparison((one.report.name, other.report.name), difference, percent)
    if one.rolled is not None and other.rolled is not None:
        first = first_divergence(schema, one.rolled, other.rolled)
        found = replace(found, divergence=divergence_figures(first), first=first.tolist())
    if one.chain is None or other.chain is None:
        return found
    draws, frames = other_draws(one.chain, other.chain, weights)
    change = nll_change(one.tallies, other.tallies, weights)
    return DrawnComparison(**vars(found), nll=change, other_draws=draws, other_frames=frames)


def _is_trivial(model: str | os.PathLike[str]) -> bool:
    return os.fspath(model) in baselines.NAMES


def _open(model: str | os.PathLike[str], settings: EvaluationSettings) -> Predictor:
    try:
        check_form(Path(model))
    except ModelError as error:
        raise ModelError(f"{error}; {' and '.join(baselines.NAMES)} need no file") from None
    if Path(model).suffix.lower() == ".onnx":
        step = OnnxStep(model)
        return StepPredictor(step, step.spreads, settings.threads)
    return IntegerPredictor(open_program(model, None), settings.threads, settings.kernels)


def _check_roles(
    models: Sequence[str | os.PathLike[str]],
    opened: Mapping[str, Predictor],
    settings: EvaluationSettings,
) -> None:
    """Raise WmqError for agents beside what foresees frames, or agents that are to roll out."""
    agents = [name for name, model in opened.items() if model.schema.agent]
    others = [os.fspath(model) for model in models if os.fspath(model) not in agents]
    if agents and others:
        raise WmqError(f"{agents[0]}: is an agent, and {others[0]} is none; "
                       "evaluate worlds and agents in two runs")  # fmt: skip
    if agents and settings.horizon:
        raise WmqError(f"{agents[0]}: is an agent, which rolls nothing out by itself; "
                       "leave the horizon out")  # fmt: skip


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


def decoding_of(model: Predictor) -> Decoding | None:
    """Temperature and min-p by which a model draws; None of a baseline."""
    if isinstance(model, StepPredictor) and isinstance(model.step, OnnxStep):
        return model.step.decoding
    return model.decoding if isinstance(model, IntegerPredictor) else None


def _names(models: list[str]) -> list[str]:
    """Base names, or whole paths where two base names are the same."""
    short = [printable(Path(m).name) for m in models]
    return [s if short.count(s) == 1 else m for s, m in zip(short, models, strict=True)]
