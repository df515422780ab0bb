"""All that `wmq bench quantization` measures: the table, drift, sensitivity, and the page.

Each part leaves its file in the folder and keeps there what it has finished, so that the same
command resumes where it stopped; a finished part costs no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calib.recipe import DEFAULT
from wmq.bench.quantization import wmq_methods
from wmq.bench.quantization.runner import SuiteSettings, measure, open_context
from wmq.dataset.store import Dataset
from wmq.drift import DriftSettings, drift
from wmq.errors import WmqError
from wmq.evaluation.results import Drift, Sensitivity, Suite, write_result
from wmq.files.atomic import write_atomically
from wmq.inference.model_files import embedded_model, model_path, ships_agent
from wmq.progress import Progress
from wmq.sensitivity.run import SensitivitySettings, sensitivity

DRIFT, SENSITIVITY, PAGE = "drift.json", "sensitivity.json", "report.html"
MINUTE = 3600  # frames


@dataclass(frozen=True)
class Sizes:
    """Of the parts after the table; games, cut: validation games and frames of each, 0 for all."""

    games: int
    cut: int
    starts: int
    horizon: int
    worlds: int
    frames: int
    sensitivity: SensitivitySettings


FULL = Sizes(0, 0, 300, 600, 64, MINUTE, SensitivitySettings())
QUICK = Sizes(3, 600, 12, 60, 2, 300, SensitivitySettings(games=1, frames=240, starts=4))


@dataclass(frozen=True)
class Found:
    """Everything, also written to the folder."""

    suite: Suite
    drift: Drift
    sensitivity: Sensitivity
    page: Path


def reproduce(settings: SuiteSettings, progress: Progress) -> Found:
    """Measure all parts in order.  Raises WmqError, CalibrationError or ProgramError."""
    sizes = QUICK if settings.quick else FULL
    suite = measure(settings, progress)
    onnx = model_path(settings.onnx, ".onnx")
    program = _program(suite, settings, progress)
    moved = drift(
        DriftSettings(
            settings.data, program, onnx, dynamic=True, starts=sizes.starts,
            horizon=sizes.horizon, worlds=sizes.worlds, frames=sizes.frames,
            threads=settings.threads, games=sizes.games, cut=sizes.cut,
            folder=settings.folder / "drift", command=settings.command,
        ),
        progress,
    )  # fmt: skip
    write_result(settings.folder / DRIFT, moved)
    ranked = sensitivity(
        program, onnx, Dataset.open(settings.data), settings.folder / SENSITIVITY,
        replace(sizes.sensitivity, command=settings.command), progress,
    )  # fmt: skip
    page = settings.folder / PAGE
    write_atomically(page, _page(settings, program, onnx, sizes.frames, progress))
    return Found(suite, moved, ranked, page)


def _program(suite: Suite, settings: SuiteSettings, progress: Progress) -> Path:
    """Choose the embedded program if it is of this model, else that of the default recipe."""
    if wmq_methods.EMBEDDED in wmq_methods.rows(suite.onnx_sha256):
        return embedded_model(".wmq")
    row = next(row for row in suite.rows if row.name == f"wmq {DEFAULT}")
    if row.reason:
        raise WmqError(f"{row.name}: {row.reason}; without it there is no drift to measure")
    return wmq_methods.program(row.name, open_context(settings), progress)


def _page(settings: SuiteSettings, program: Path, onnx: Path, frames: int,
          progress: Progress) -> bytes:  # fmt: skip
    """Make the page, where both models play on from the middle of the longest game.

    The game's controllers fit no world that draws, which takes another course: there the embedded
    agent plays.
    """
    from wmq.report.compare import compare, dataset_start, open_pair
    from wmq.report.load import read_results
    from wmq.report.page import make_page
    from wmq.rollout.controllers import Source
    from wmq.rollout.match import open_agents
    from wmq.rollout.rollout import both_controllers

    models = open_pair(str(onnx), str(program))
    start = dataset_start(models[0].schema, str(settings.data), None)
    assert start.following is not None  # it is in a game
    frames = max(1, min(frames, len(start.following)))
    schema = models[0].schema
    player = "agent" if schema.draws and ships_agent() else "replay"
    sources = Source(player), Source(player)
    agents = open_agents(sources, models[0].arithmetic, "auto", schema)
    pads = both_controllers(sources, start, frames, 0)
    found = compare(models, start, pads, 0, (player, player), settings.threads, progress, agents)
    return make_page(read_results(settings.folder), found)
