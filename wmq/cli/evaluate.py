"""`wmq evaluate`: compare models on real games."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import msgspec

from wmq.cli.file_types import FOLDER, MODEL
from wmq.cli.options import counted, echo_embedded, kernels_option, threads_option
from wmq.cli.progress import progress_bar

if TYPE_CHECKING:
    from wmq.evaluation.reports import EvaluationReport, ModelComparison

LABEL = 40  # width of the first column


@click.command(
    name="evaluate",
    epilog="Example: wmq evaluate --data dataset model.onnx model.wmq frozen --horizon 20",
)
@click.argument("models", nargs=-1, type=MODEL, metavar="[MODEL]...")
@click.option(
    "--data", required=True, type=FOLDER, metavar="DATASET", help="Folder made by wmq prepare."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val"]),
    default="val",
    show_default=True,
    help="Games to use.",
)
@click.option(
    "--games",
    type=click.IntRange(min=1),
    show_default="all",
    help="Use at most this many games, chosen by hash.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    show_default="all",
    help="Use at most this many frames of each game.",
)
@click.option(
    "--horizon",
    type=click.IntRange(min=1, max=3600),
    help="Also roll out this many frames (60 a second) from fixed starts.",
)
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Starts of the rollouts, spread evenly over all games.",
)
@threads_option
@kernels_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every game.")
def evaluate(
    models: tuple[str, ...],
    data: str,
    split: str,
    games: int | None,
    frames: int | None,
    horizon: int | None,
    starts: int,
    threads: int,
    kernels: str,
    as_json: bool,
) -> None:
    """Compare models with real games, and each model with the one before it.

    A MODEL is a .onnx or .wmq file, "frozen" (nothing changes) or "constant-velocity"; without
    any, the embedded float and integer models are compared. Agents are compared with both players
    of each game.
    """
    from wmq.dataset.store import Dataset
    from wmq.evaluation.evaluate import EvaluationSettings
    from wmq.evaluation.evaluate import evaluate as evaluate_models
    from wmq.inference.model_files import embedded_model

    chosen = models or tuple(map(str, (embedded_model(".onnx"), embedded_model(".wmq"))))
    settings = EvaluationSettings(
        split, games or 0, frames or 0, horizon or 0, starts, threads, kernels
    )
    with progress_bar() as progress:
        report = evaluate_models(Dataset.open(data), chosen, settings, progress)
    if as_json:
        click.echo(json.dumps(_plain(asdict(report)), indent=1, allow_nan=False))
    else:
        echo_embedded(models)
        _print(report)


def _plain(value: Any) -> Any:
    """JSON has no NaN: a figure that could not be measured is null."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(report: EvaluationReport) -> None:
    from wmq.evaluation.bootstrap import FEW_GAMES
    from wmq.evaluation.text import chain_lines

    games, agents = len(report.sha256), "buttons" in report.models[0].figures
    seen = "both sides, the next controller from the true frame" if agents else \
        "both players, one frame ahead with the true frame as input"  # fmt: skip
    click.echo(
        f"{counted(report.frames, 'frame')} of {counted(games, 'game')} ({report.split}), {seen}"
        + (f"; fewer than {FEW_GAMES} games say little about others" if games < FEW_GAMES else "")
    )  # fmt: skip
    if report.comparisons or not agents:  # a lone agent's figures follow with their intervals
        _table(report, list(report.models[0].figures))
    if lines := list(chain_lines(report)):
        click.echo("\n" + "\n".join(lines))
    if not report.starts:
        return
    reached, starts = len(report.models[0].by_horizon), counted(len(report.starts), "start")
    click.echo(
        f"\nrolled out {counted(reached, 'frame')} from {starts} with the "
        "true controllers: position error, mean to that frame"
    )
    _table(report, list(report.models[0].rolled))
    for found in report.comparisons:
        median, never = found.divergence["median"], found.divergence["never"]
        when = f"beyond frame {reached}" if median is None else f"frame {median:g}"
        click.echo(
            f"first other action, {found.names[1]} against {found.names[0]}: median {when}; "
            f"the same for all {counted(reached, 'frame')} from {never:.1f} % of the starts"
        )


def _table(report: EvaluationReport, figures: list[str]) -> None:
    """One row a figure, one column a model, then the differences of neighbours."""
    pairs = report.comparisons
    titles = [model.name for model in report.models]
    titles += [f"{pair.names[1]} - {pair.names[0]}" for pair in pairs]
    widths = [max(len(title), 10 if k < len(report.models) else 19) for k, title in
              enumerate(titles)]  # fmt: skip
    click.echo(_row("", titles, widths))
    for figure in figures:
        cells = []
        for model in report.models:
            value = (model.figures | model.rolled).get(figure)
            cells.append(_number(figure, value) if value is not None else "-")
        cells += [_difference(figure, pair) for pair in pairs]
        click.echo(_row(figure.replace("change_acc: ", "  "), cells, widths))


def _row(label: str, cells: list[str], widths: list[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([label.ljust(LABEL), *padded]).rstrip()


def _number(figure: str, value: float) -> str:
    return f"{value:.2f} %" if "_acc" in figure else f"{value:.4f}"


def _difference(figure: str, pair: ModelComparison) -> str:
    value = pair.difference.get(figure)
    if value is None:
        return "-"
    if "_acc" in figure:
        return f"{value:+.2f} points"
    percent = pair.percent.get(figure)
    return f"{value:+.5f}" + (f" {percent:+.2f} %" if percent is not None else "")
