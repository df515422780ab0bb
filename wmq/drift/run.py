"""`drift`: all parts in order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from msgspec import UNSET, UnsetType

from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.drift.compare import REAL, real_counts, summed, without_unused, world_statistics
from wmq.drift.distances import distances
from wmq.drift.float_pairs import float_rollouts
from wmq.drift.free_rollouts import kinds_of_play, open_players
from wmq.drift.histograms import histograms
from wmq.drift.measured_model import ONE_AHEAD, DriftPlan, MeasuredModel
from wmq.drift.paired import error_change, mean_curve, pair, relative
from wmq.drift.play import Sums
from wmq.drift.significance import error_verdict, one_sentence, world_verdict
from wmq.drift.stage_store import StageStore
from wmq.drift.statistics import measures
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import caveat
from wmq.evaluation.differences import GameSample, percent_change
from wmq.evaluation.results import (
    Curve,
    Drift,
    Pair,
    RealPlay,
    Verdict,
    WorldStatistic,
    shown_name,
)
from wmq.evaluation.rollout_error import (
    LEAST_FRAMES,
    LONGEST,
    choose_starts,
    most_frames,
    position_errors,
    true_frames,
)
from wmq.game.schema import Schema
from wmq.inference.agents import Agent
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor, check_and_compile
from wmq.inference.model_files import IntegerModel, open_pair
from wmq.inference.predictor import Predictor, StartRow
from wmq.memo.provenance import digest
from wmq.progress import Progress, silent
from wmq.replays.slippi import Game

FLOAT, INTEGER, DYNAMIC = "float", "int8", "onnxruntime dynamic"  # names of models
REFERENCE_GAMES = 100  # of the training split, for the share of each action in real play
WIDEST = "action pairs"  # of the histograms: thousands of bins, of which worlds use some
MIDDLE = 20  # frames; the horizon of a verdict beside 1 and the last


@dataclass(frozen=True)
class DriftSettings:
    """What is compared, and how much of it.

    program         None for the embedded model; onnx: None for the float step beside it
    others          further models, .onnx or .wmq
    agents          .wmq or .onnx that plays a model that draws; None for the embedded one
    dynamic         also what onnxruntime's quantize_dynamic makes of the float model
    starts, horizon of the paired rollouts; worlds, frames: of each kind of controllers
    games, cut      no more than so many validation games, and frames of each; 0 for all
    folder          where finished stages are kept; None: nowhere
    command         as a person would run it again
    """

    data: Path
    program: Path | None = None
    onnx: Path | None = None
    others: tuple[Path, ...] = ()
    agents: Path | None = None
    dynamic: bool = False
    starts: int = 300
    horizon: int = 600
    worlds: int = 64
    frames: int = 3600
    threads: int = 1
    games: int = 0
    cut: int = 0
    folder: Path | None = None
    command: str = ""


def drift(
    settings: DriftSettings,
    progress: Progress = silent,
    ready: Mapping[str, tuple[Predictor, str]] | None = None,
) -> Drift:
    """Measure drift.

    ready  further models by name, with the SHA-256 of their file or recipe
    Raises WmqError, ProgramError or CalibrationError.
    """
    began = time.perf_counter()
    program, step = open_pair(settings.program, settings.onnx)
    exact = OnnxPredictor(step.path, settings.threads)
    agent = open_players(str(settings.agents) if settings.agents else None, program.schema)
    models = {**_models(settings, exact, program), **(ready or {})}
    dataset = Dataset.open(settings.data)
    plan = _plan(dataset, settings, exact, agent, progress)
    measured = {name: MeasuredModel(name, *model, plan) for name, model in models.items()}
    _check_schemas(measured, program)
    check_and_compile((model.predictor for model in measured.values()), progress)

    played = _play(measured, exact)
    sample = GameSample([start.game for start in plan.starts])
    true = true_frames(plan.games, plan.starts, plan.horizon)
    errors = {name: position_errors(program.schema, frames, true)
              for name, frames in played.rolled.items()}  # fmt: skip
    pairs, ratios = _pairs(program.schema, sample, played)
    statistics, real_play = _statistics(dataset, plan, program.schema, played.worlds)
    compared = [name for name in measured if name != FLOAT]
    verdicts: list[Verdict] = []
    for name in compared:
        if name in errors:
            verdicts += _error_verdicts(name, measured, sample, errors)
        verdicts.append(world_verdict(name, plan.frames, statistics, games_of(plan.worlds)))
    return Drift(
        model=shown_name(program.path),
        sha256=program.sha256,
        starts=len(plan.starts),
        horizon=plan.horizon,
        pairs=pairs,
        relative=ratios,
        worlds=len(plan.worlds),
        frames=plan.frames,
        statistics=statistics,
        verdicts=verdicts,
        sentence=one_sentence(
            INTEGER, [v for v in verdicts if v.model == INTEGER], statistics,
            min(games_of(plan.starts), games_of(plan.worlds)),
        ),
        seconds=plan.stages.seconds + time.perf_counter() - began,
        truth={name: mean_curve(sample, values) for name, values in errors.items()},
        truth_difference={
            name: mean_curve(sample, errors[name] - errors[FLOAT])
            for name in errors
            if name != FLOAT
        },
        games=[game.info.sha256 for game in plan.games],
        float_sha256=measured[FLOAT].sha256,
        notes=_notes(dataset, settings, plan),
        command=settings.command,
        real_play=real_play,
    )  # fmt: skip


def _models(
    settings: DriftSettings, exact: OnnxPredictor, program: IntegerModel
) -> dict[str, tuple[Predictor, str]]:
    """Return every model of the settings by name, with the SHA-256 of its file."""
    found: dict[str, tuple[Predictor, str]] = {
        FLOAT: (exact, exact.sha256),
        INTEGER: (IntegerPredictor(program.path, settings.threads), program.sha256),
    }
    if settings.dynamic:
        found[DYNAMIC] = (_dynamic(settings, exact.path), digest(DYNAMIC, exact.sha256))
    for path in settings.others:
        other = _open(path, settings.threads)
        found[_free_name(shown_name(path), found)] = other, other.sha256
    return found


def _dynamic(settings: DriftSettings, onnx: Path) -> Predictor:
    """onnxruntime's own int8, a game or world by itself: a call's scale is that of its inputs."""
    from wmq.toolkits.methods import MethodContext
    from wmq.toolkits.onnx_methods import make

    with TemporaryDirectory() as folder:  # the session holds what is made
        context = MethodContext(onnx, settings.data, Path(folder), settings.threads, 0)
        return make(DYNAMIC, context).predictor


def _check_schemas(measured: Mapping[str, MeasuredModel], program: IntegerModel) -> None:
    for model in measured.values():
        if model.predictor.schema != program.schema:
            raise WmqError(f"{model.name}: its fields differ from those of {program.path}; "
                           "compare models of one schema")  # fmt: skip


@dataclass(frozen=True)
class Played:
    """rolled      model -> rollouts from the starts, (starts, horizon, frame_size); none of DYNAMIC
    yardsticks  the same, of each float model beside float
    worlds      controllers -> model -> sums of the worlds
    """

    rolled: dict[str, np.ndarray]
    yardsticks: dict[str, np.ndarray]
    worlds: dict[str, dict[str, Sums]]


def _play(measured: Mapping[str, MeasuredModel], exact: OnnxPredictor) -> Played:
    """Play all stages, one model after the other.

    DYNAMIC walks one game a call, which would take longer than all else: it has worlds alone,
    which begin in float's states.
    """
    kinds = kinds_of_play(exact.schema)
    found = Played({}, {}, {kind: {} for kind in kinds})
    for name, model in measured.items():
        games, worlds = model.plan.games, model.plan.worlds
        if name == DYNAMIC:
            model.begin_as(measured[FLOAT])
        else:
            model.one_ahead()
            found.rolled[name] = model.rolled()
        if name == FLOAT:
            found.yardsticks.update(float_rollouts(model, exact))
        begun = np.stack([games[s.game].frames[s.row] for s in worlds])
        for kind in kinds:
            made = model.world_frames(kind)
            found.worlds[kind][name] = summed(model.predictor.schema, begun, made)
        if name != FLOAT:
            model.forget()
    return found


def _plan(
    dataset: Dataset, settings: DriftSettings, model: OnnxPredictor, agent: Agent | None,
    progress: Progress,
) -> DriftPlan:  # fmt: skip
    """Return the games and the starts.  Raises WmqError if there are none."""
    infos = dataset.select("val")[: settings.games or None]
    if not infos:
        raise WmqError(f"{settings.data}: no game in the split val; prepare more replays")
    games = [beginning(dataset.load(info, model.schema), settings.cut) for info in infos]
    found = {}
    for option, count, frames in (("--horizon", settings.starts, settings.horizon),
                                  ("--frames", settings.worlds, settings.frames)):  # fmt: skip
        found[option] = choose_starts(games, count, frames)
        if not found[option]:
            raise WmqError(_too_long(settings, games, option, frames))
    starts, worlds = found["--horizon"], found["--frames"]
    assert model.spreads is not None  # a float step has some
    stages = StageStore(settings.folder, {
        "games": [(g.frames, g.controllers) for g in games],
        "starts": starts,
        "horizon": settings.horizon,
        "worlds": worlds,
        "frames": settings.frames,
        "float": model.sha256,
    })  # fmt: skip
    return DriftPlan(games, starts, settings.horizon, worlds, settings.frames, model.spreads,
                     agent, stages, progress)  # fmt: skip


def _too_long(settings: DriftSettings, games: Sequence[Game], option: str, frames: int) -> str:
    """Say why no game has so many frames after a start, and how many there may be."""
    most = most_frames(games)
    if most < LONGEST:
        return (f"{settings.data}: no validation game has {LEAST_FRAMES} frames, as a start after "
                "the entry needs; prepare longer replays")  # fmt: skip
    whole = f"; --quick cuts games to {settings.cut:,} frames" if settings.cut else ""
    return (f"{option} {frames}: no validation game of {settings.data} has so many frames after "
            f"frame 0; give {most} or fewer{whole}")  # fmt: skip


def _open(path: Path, threads: int) -> IntegerPredictor | OnnxPredictor:
    if path.suffix.lower() == ".wmq":
        return IntegerPredictor(path, threads)
    return OnnxPredictor(path, threads)  # which says what else may be wrong with the name


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    free = name
    while free in (*taken, REAL):
        free, number = f"{name} ({number})", number + 1
    return free


def _pairs(
    schema: Schema, sample: GameSample, played: Played
) -> tuple[list[Pair], dict[str, dict[str, Curve]]]:
    """Every model and every yardstick against float, and the first relative to the second."""
    exact, yardsticks = played.rolled[FLOAT], played.yardsticks
    distances = {name: position_errors(schema, exact, own) for name, own in yardsticks.items()}
    pairs, ratios = [], {}
    for name, own in played.rolled.items():
        if name == FLOAT:
            continue
        title = f"{name} against {FLOAT}"
        pairs.append(pair(title, "quantized", schema, sample, exact, own))
        ratios[title] = relative(sample, position_errors(schema, exact, own), distances)
    pairs += [pair(name, "yardstick", schema, sample, exact, own)
              for name, own in yardsticks.items()]  # fmt: skip
    return pairs, ratios


def _statistics(
    dataset: Dataset, plan: DriftPlan, schema: Schema, worlds: dict[str, dict[str, Sums]]
) -> tuple[list[WorldStatistic], RealPlay | UnsetType]:
    """worlds: controllers -> model -> sums; real play joins those that the real games can judge.

    In version 1 those with real controllers alone.
    """
    games, starts = plan.games, plan.worlds
    first = np.stack([games[s.game].frames[s.row] for s in starts])
    real = summed(schema, first, true_frames(games, starts, plan.frames))
    tracks = {name: {REAL: real, **own} if plan.agent or name == "real" else own
              for name, own in worlds.items()}  # fmt: skip
    training = dataset.select("train")[:REFERENCE_GAMES]
    play = (dataset.load(info, schema) for info in training) if training else games
    sample = GameSample([start.game for start in starts])
    reference = real_counts(schema, play)
    if plan.agent is None:
        return world_statistics(sample, measures(schema, reference), tracks, FLOAT), UNSET
    tracks, reference = without_unused(tracks, reference, WIDEST)
    measured = measures(schema, reference)
    statistics = world_statistics(sample, measured, tracks, FLOAT)
    found, mean = distances(sample, measured, tracks, REAL)
    name, sha256 = shown_name(plan.agent.path), plan.agent.sha256
    return statistics, RealPlay(name, sha256, mean, found, histograms(schema, tracks))


def _error_verdicts(
    name: str,
    measured: Mapping[str, MeasuredModel],
    sample: GameSample,
    errors: Mapping[str, np.ndarray],
) -> list[Verdict]:
    """One frame ahead on all frames of the games; then from the starts."""
    sums, before = (measured[model].one_ahead() for model in (name, FLOAT))
    games = GameSample(range(len(sums)))
    change = percent_change(sums[:, 0], before[:, 0], sums[:, 1], games.weights)
    found = [error_verdict(name, 1, ONE_AHEAD, " %", change, games.groups)]
    last = errors[FLOAT].shape[1]
    for horizon in sorted({min(MIDDLE, last), last}):
        change = error_change(sample, errors[name], errors[FLOAT], horizon)
        found.append(error_verdict(name, horizon, f"rc({horizon})", " %", change, sample.groups))
    return found


def games_of(starts: Sequence[StartRow]) -> int:
    return len({start.game for start in starts})


def _notes(dataset: Dataset, settings: DriftSettings, plan: DriftPlan) -> list[str]:
    """What a reader has to know of these figures."""
    found = []
    for what, asked, starts in (("starts", settings.starts, plan.starts),
                                ("worlds", settings.worlds, plan.worlds)):  # fmt: skip
        if len(starts) < asked:
            found.append(f"the games have room for {len(starts)} {what}, not {asked}")
        if few := caveat(games_of(starts)):
            found.append(f"the {what} are of {few}")
    if not dataset.select("train"):
        found.append("the dataset has no training games: actions are compared with those of "
                     "the games that the starts are from")  # fmt: skip
    return found
