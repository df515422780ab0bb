"""A whole sensitivity run: program, float step and games in, a `Sensitivity` out.

The float model is measured first; then every class alone, all classes together and the program
itself, so that a reader sees whether the parts explain the whole; then, for the classes that cost
something, every layer alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import msgspec

from calib.simulation.simulate import Change
from calib.step.graph import read_step
from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.results import Figure, Sensitive, Sensitivity, shown_name, write_result
from wmq.evaluation.rollout_error import LEAST_FRAMES, choose_starts
from wmq.files.digest import file_sha256
from wmq.game.schema import Schema
from wmq.inference.model_files import float_step_of, open_program, schema_of
from wmq.memo.provenance import sources, versions
from wmq.progress import Progress, silent
from wmq.replays.slippi import Game
from wmq.sensitivity.measure import HORIZON, PERCENT, Field, figures, same_action
from wmq.sensitivity.memo import Keeper, key
from wmq.sensitivity.passes import Pair, Work
from wmq.sensitivity.saturations import count_saturations, saturable
from wmq.sensitivity.tensor_classes import Part, everything, parts

TOGETHER, PROGRAM = "all of these together", "the program itself"
NOTICEABLE = 0.02  # percent of float32's val_loss, pos_mae or rc(20): below, layers are not asked


@dataclass(frozen=True)
class Settings:
    """games, frames  no more than so many validation games, and frames of each
    starts            of rollouts, each of HORIZON frames
    threads           that measure, an entry each; the figures do not depend on them
    command           as a person would run it again
    """

    games: int = 8
    frames: int = 1000
    starts: int = 100
    threads: int = 1
    command: str = ""


def sensitivity(
    program: str | os.PathLike[str] | None,
    float_step: str | os.PathLike[str] | None,
    dataset: Dataset,
    out: Path,
    settings: Settings = Settings(),
    progress: Progress = silent,
) -> Sensitivity:
    """Measure every class, and the layers of those that cost something; write `out`.

    program     None for the embedded one; float_step: None for the .onnx file beside it
    Raises WmqError, ProgramError or CalibrationError; `out` is then as it was.
    """
    pair = open_pair(program, float_step)
    games = _games(dataset, pair.model.schema, settings)
    starts = choose_starts(games, settings.starts, HORIZON)
    if not starts:
        raise WmqError(_too_short(dataset, settings))
    found = _read(pair)
    about = [pair.sha256, sources(__name__), versions(), starts,
             [(g.frames, g.controllers, sorted(g.info.missing)) for g in games]]  # fmt: skip
    field = key("sensitivity", about)
    keeper = Keeper(out, key(field, pair.model.sha256))
    work = Work(pair, Field(games, starts, pair.spreads, Event()), keeper, field,
                settings.threads, progress)  # fmt: skip
    entries = _entries(work, found)
    saturations = count_saturations(pair.model.program, games, progress)
    frames = sum(len(game.frames) - 1 for game in games)
    share = 100 * sum(saturations.values()) / (frames * saturable(pair.model.program))
    entries = [msgspec.structs.replace(entry, saturated=share) if entry.kind == "program" else entry
               for entry in entries]  # fmt: skip
    result = Sensitivity(
        model=shown_name(pair.model.path),
        sha256=pair.model.sha256,
        frames=frames,
        entries=sorted(entries, key=lambda entry: _change(entry.figures, "val_loss"), reverse=True),
        saturations={name: count for name, count in saturations.items() if count},
        seconds=keeper.seconds,
        games=len(games),
        command=settings.command,
    )
    write_result(out, result)
    return result


def _entries(work: Work, found: list[Part]) -> list[Sensitive]:
    """All entries, measured; that of the program without its saturations."""
    classes = [part for part in found if part.kind == "class"]
    layers = [part for part in found if part.kind == "layer"]
    clipped = work.clipped(found)
    clipped[TOGETHER] = (sum(clipped[part.name][0] for part in classes),
                         sum(clipped[part.name][1] for part in classes))  # fmt: skip
    record, likely = work.record()
    changes: dict[str, Change | None] = {part.name: part.change for part in classes}
    changes |= {TOGETHER: everything(classes), PROGRAM: None}
    measured = work.measured("measuring classes", changes, likely)
    moved = {name: figures(sums, record) for name, sums in measured.items()}
    layers = [part for part in layers if _noticeable(moved[part.of])]
    layers.sort(key=lambda part: -abs(_change(moved[part.of], "val_loss")))
    changes = {part.name: part.change for part in layers}
    measured |= work.measured("measuring layers", changes, likely)
    named = [*classes, *layers, Part(TOGETHER, "together", "", (), Change(), ()),
             Part(PROGRAM, "program", "", (), Change(), ())]  # fmt: skip
    entries = []
    for part in named:
        count, seen = clipped.get(part.name, (0, 0))
        sums = measured[part.name]
        entries.append(Sensitive(part.name, part.kind, list(part.tensors), figures(sums, record),
                                 same_action(sums), 100 * count / max(1, seen)))  # fmt: skip
    return entries


def _noticeable(found: Mapping[str, Figure]) -> bool:
    return any(abs(_change(found, name)) >= NOTICEABLE for name in PERCENT)


def _change(found: Mapping[str, Figure], name: str) -> float:
    difference = found[name].difference
    return difference.value if difference and difference.value is not None else 0.0


def open_pair(
    program: str | os.PathLike[str] | None, float_step: str | os.PathLike[str] | None
) -> Pair:
    """Both files, if they belong together.  Raises WmqError, ProgramError, CalibrationError."""
    model = open_program(program)
    path = float_step_of(program, float_step)
    step = read_step(path)
    schema_of(step.schema, path)
    sha256 = file_sha256(path)
    calibration = model.program.meta.get("calibration")
    named = calibration.get("onnx_sha256") if isinstance(calibration, dict) else None
    if named != sha256 or model.program.meta.get("config") != step.config:
        raise WmqError(f"{model.path}: was not calibrated from {path}; name the float step that "
                       "it was made from with --float")  # fmt: skip
    return Pair(model, step, path, sha256)


def _read(pair: Pair) -> list[Part]:
    try:
        return parts(pair.step, pair.model.program)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        what = " ".join(str(error).split())[:120]
        raise WmqError(f"{pair.model.path}: not laid out as by `wmq calibrate` of this version "
                       f"({what}); make it again") from None  # fmt: skip


def _too_short(dataset: Dataset, settings: Settings) -> str:
    """Why no rollout can start, and how many frames it takes."""
    if settings.frames < LEAST_FRAMES:
        return (f"--frames {settings.frames}: too few for a rollout after a game's entry; give "
                f"{LEAST_FRAMES} or more")  # fmt: skip
    return (f"{dataset.path}: none of the validation games has {LEAST_FRAMES} frames, as a "
            "rollout after the entry needs; prepare longer replays")  # fmt: skip


def _games(dataset: Dataset, schema: Schema, settings: Settings) -> list[Game]:
    infos = dataset.select("val")[: settings.games]
    if not infos:
        raise WmqError(f"{dataset.path}: no validation game; prepare more replays")
    return [beginning(dataset.load(info, schema), settings.frames) for info in infos]
