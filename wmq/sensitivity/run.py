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
from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation.results import Figure, Sensitive, Sensitivity, shown_name, write_result
from wmq.evaluation.rollout_error import LEAST_FRAMES, choose_starts
from wmq.files.atomic import cannot_write
from wmq.game.schema import Schema
from wmq.inference.model_files import FloatModel, IntegerModel, open_pair
from wmq.memo.provenance import digest, sources, versions
from wmq.memo.store import Store
from wmq.progress import Progress, silent
from wmq.replays.slippi import Game
from wmq.sensitivity.measure import HORIZON, PERCENT, Measurement, figures, same_action
from wmq.sensitivity.passes import Clipped, Passes, RunClock, total
from wmq.sensitivity.saturations import count_saturations, saturable
from wmq.sensitivity.tensor_classes import TensorGroup, everything, tensor_groups

TOGETHER, PROGRAM = "all of these together", "the program itself"
NOTICEABLE = 0.02  # percent of float32's val_loss, pos_mae or rc(20): below, layers are not asked


@dataclass(frozen=True)
class SensitivitySettings:
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
    settings: SensitivitySettings = SensitivitySettings(),
    progress: Progress = silent,
) -> Sensitivity:
    """Measure every class, and the layers of those that cost something; write `out`.

    program     None for the embedded one; float_step: None for the .onnx file beside it
    Raises WmqError, ProgramError or CalibrationError; `out` is then as it was.
    """
    integer, exact = open_pair(program, float_step)
    games = _games(dataset, exact.schema, settings)
    starts = choose_starts(games, settings.starts, HORIZON)
    if not starts:
        raise WmqError(_too_short(dataset, settings))
    found = _groups(integer, exact)
    key = digest(exact.sha256, sources(__name__), versions(), starts,
                 [(g.frames, g.controllers, sorted(g.info.missing)) for g in games])  # fmt: skip
    store = _store_beside(out)
    clock = RunClock(store, digest(key, integer.sha256))
    on = Measurement(games, starts, exact.spreads, Event())
    passes = Passes(integer, exact, on, store, clock, key, settings.threads, progress)
    entries = _entries(passes, found)
    saturations = count_saturations(integer.program, integer.schema, games, progress)
    frames = sum(len(game.frames) - 1 for game in games)
    share = 100 * sum(saturations.values()) / (frames * saturable(integer.program))
    entries = [msgspec.structs.replace(entry, saturated=share) if entry.kind == "program" else entry
               for entry in entries]  # fmt: skip
    result = Sensitivity(
        model=shown_name(integer.path),
        sha256=integer.sha256,
        frames=frames,
        entries=sorted(entries, key=lambda entry: _change(entry.figures, "val_loss"), reverse=True),
        saturations={name: count for name, count in saturations.items() if count},
        seconds=clock.seconds,
        games=len(games),
        command=settings.command,
    )
    write_result(out, result)
    return result


def _entries(passes: Passes, found: list[TensorGroup]) -> list[Sensitive]:
    """Return all entries, measured; that of the program without its saturations."""
    classes = [group for group in found if group.kind == "class"]
    layers = [group for group in found if group.kind == "layer"]
    clipped = passes.clipped(found)
    clipped[TOGETHER] = total(clipped[group.name] for group in classes)
    record, likely = passes.record()
    changes: dict[str, Change | None] = {group.name: group.change for group in classes}
    changes |= {TOGETHER: everything(classes), PROGRAM: None}
    measured = passes.measured("measuring classes", changes, likely)
    moved = {name: figures(sums, record) for name, sums in measured.items()}
    layers = [group for group in layers if _noticeable(moved[group.of])]
    layers.sort(key=lambda group: -abs(_change(moved[group.of], "val_loss")))
    changes = {group.name: group.change for group in layers}
    measured |= passes.measured("measuring layers", changes, likely)
    named = [*classes, *layers, TensorGroup(TOGETHER, "together", "", (), Change(), ()),
             TensorGroup(PROGRAM, "program", "", (), Change(), ())]  # fmt: skip
    entries = []
    for group in named:
        over = clipped.get(group.name, Clipped(0, 0))
        sums = measured[group.name]
        saturated = 100 * over.count / max(1, over.seen)
        entries.append(Sensitive(group.name, group.kind, list(group.tensors),
                                 figures(sums, record), same_action(sums), saturated))  # fmt: skip
    return entries


def _noticeable(found: Mapping[str, Figure]) -> bool:
    return any(abs(_change(found, name)) >= NOTICEABLE for name in PERCENT)


def _change(found: Mapping[str, Figure], name: str) -> float:
    difference = found[name].difference
    return difference.value if difference and difference.value is not None else 0.0


def _store_beside(out: Path) -> Store:
    """FILE.json.measured, a folder; a file of that name is what an earlier version kept."""
    folder = out.with_name(f"{out.name}.measured")
    if folder.is_file():
        try:
            folder.unlink()
        except OSError as error:
            raise cannot_write(folder, error) from None
    return Store(folder)


def _groups(integer: IntegerModel, exact: FloatModel) -> list[TensorGroup]:
    try:
        return tensor_groups(exact.step, integer.program)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        what = " ".join(str(error).split())[:120]
        raise WmqError(f"{integer.path}: not laid out as by `wmq calibrate` of this version "
                       f"({what}); make it again") from None  # fmt: skip


def _too_short(dataset: Dataset, settings: SensitivitySettings) -> str:
    """Say why no rollout can start, and how many frames it takes."""
    if settings.frames < LEAST_FRAMES:
        return (f"--frames {settings.frames}: too few for a rollout after a game's entry; give "
                f"{LEAST_FRAMES} or more")  # fmt: skip
    return (f"{dataset.path}: none of the validation games has {LEAST_FRAMES} frames, as a "
            "rollout after the entry needs; prepare longer replays")  # fmt: skip


def _games(dataset: Dataset, schema: Schema, settings: SensitivitySettings) -> list[Game]:
    infos = dataset.select("val")[: settings.games]
    if not infos:
        raise WmqError(f"{dataset.path}: no validation game; prepare more replays")
    return [beginning(dataset.load(info, schema), settings.frames) for info in infos]
