"""`wmq sensitivity`: rank the tensors of an integer program by the quality they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER, JSON, PICTURE, PROGRAM
from wmq.cli.options import echo_embedded, threads_option
from wmq.cli.progress import progress_bar
from wmq.cli.resume import command_line, resumable
from wmq.files.output_path import output_path

if TYPE_CHECKING:
    from wmq.evaluation.results import Figure, Sensitive, Sensitivity

DRIFT = "rc(20)"
COLUMNS = ("val_loss", DRIFT)
NAME, CELL = 27, 23  # widths; a line fits 80 columns
MOST_LAYERS = 20  # printed; the file holds all
WHOLE = ("together", "program")
MARK = b'"entries"'  # a key of each FILE.json


@click.command(
    name="sensitivity",
    epilog="Example: wmq sensitivity model.wmq --data dataset --chart sensitivity.svg",
)
@click.argument("model", required=False, type=PROGRAM, metavar="[MODEL.wmq]")
@click.option(
    "--data", required=True, type=FOLDER, metavar="DATASET", help="Folder made by wmq prepare."
)
@click.option(
    "--float",
    "float_step",
    type=FLOAT_STEP,
    metavar="MODEL.onnx",
    show_default="the .onnx file beside MODEL.wmq",
    help="Float step that the program was calibrated from.",
)
@click.option(
    "--games",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Use at most this many validation games, chosen by hash.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Use at most this many frames of each game (60 a second).",
)
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Starts of rollouts of 20 frames, spread evenly over all games.",
)
@threads_option
@click.option(
    "-o",
    "out",
    default="sensitivity.json",
    show_default=True,
    type=JSON,
    metavar="FILE.json",
    help="File of the result; the folder FILE.json.measured beside it lets a run resume.",
)
@click.option(
    "--chart", type=PICTURE, metavar="FILE", help="Also draw the ranking, as .svg or .png."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sensitivity(
    model: str | None,
    data: str,
    float_step: str | None,
    games: int,
    frames: int,
    starts: int,
    threads: int,
    out: str,
    chart: str | None,
    as_json: bool,
) -> None:
    """Rank a program's tensors, by class and by layer, by the quality that rounding them costs.

    Rounds one class at a time in the float model, as the program rounds it, keeps everything else
    in float32, and measures the cost on validation games.  Without MODEL, the embedded one.
    """
    from wmq.dataset.store import Dataset
    from wmq.sensitivity.run import SensitivitySettings
    from wmq.sensitivity.run import sensitivity as run

    output_path(out, "-o", (".json",), MARK)
    picture = None
    if chart is not None:
        from wmq.files.pictures import check_picture
        from wmq.sensitivity.chart import draw

        picture = check_picture(chart)
    settings = SensitivitySettings(games, frames, starts, threads, command_line())
    with resumable(), progress_bar() as progress:
        result = run(model, float_step, Dataset.open(data), Path(out), settings, progress)
    if picture is not None:
        draw(result, picture)
    if as_json:
        click.echo(Path(out).read_text(encoding="utf-8"), nl=False)
    else:
        echo_embedded(model)
        _print(result, out)


def _print(result: Sensitivity, out: str) -> None:
    from wmq.evaluation.bootstrap import caveat

    click.echo(
        f"{result.model}, {result.frames:,} frames one ahead: rounded minus float32,\n"
        "in percent of float32's, with the 95 % interval over games; same: percent of\n"
        "frames with the same most likely action\n"
        f"pos_mae, change_acc and the shares of clipped values: {out}"
    )
    if few := caveat(result.games):
        click.echo(f"note: {few}")
    layers = [entry for entry in result.entries if entry.kind == "layer"]
    classes = [entry for entry in result.entries if entry.kind == "class"]
    _table("the whole", [entry for entry in result.entries if entry.kind in WHOLE])
    _table("classes, by val_loss", classes)
    _table("one layer, head or table alone, by val_loss", layers[:MOST_LAYERS])
    if len(layers) > MOST_LAYERS:
        click.echo(f"  and {len(layers) - MOST_LAYERS} more in {out}")
    _drift(classes)
    _saturations(result)


def _table(title: str, entries: list[Sensitive]) -> None:
    cells = "".join(column.rjust(CELL) for column in COLUMNS)
    click.echo(f"\n{_named(title)}{cells}{'same':>7}")
    for entry in entries:
        cells = "".join(_cell(entry.figures.get(column)).rjust(CELL) for column in COLUMNS)
        click.echo(f"{_named(entry.name)}{cells}{entry.same_action:7.2f}")


def _named(name: str) -> str:
    """Return a name as the first column; one that is too long has a line of its own."""
    return f"{name:{NAME}}" if len(name) <= NAME else f"{name}\n{'':{NAME}}"


def _cell(figure: Figure | None) -> str:
    found = figure.difference if figure else None
    if found is None or found.value is None:
        return "-"
    around = "" if found.lo is None else f" [{found.lo:+.3f},{found.hi:+.3f}]"
    return f"{found.value:+.3f}{around}"


def _drift(classes: list[Sensitive]) -> None:
    """The same classes in the order of their drift."""

    def cost(entry: Sensitive) -> float:
        found = entry.figures[DRIFT].difference
        return found.value if found and found.value is not None else 0.0

    click.echo(f"\n{f'classes, by {DRIFT}':{NAME}}{DRIFT:>{CELL}}")
    for entry in sorted(classes, key=cost, reverse=True):
        click.echo(f"{_named(entry.name)}{_cell(entry.figures[DRIFT]):>{CELL}}")


def _saturations(result: Sensitivity) -> None:
    total = sum(result.saturations.values())
    click.echo(f"\nsaturations of the integer engine on these frames: {total:,}")
    for name, count in sorted(result.saturations.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {name:{2 * NAME}}{count:>10,}")
