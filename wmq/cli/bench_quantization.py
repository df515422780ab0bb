"""`wmq bench quantization`: measure what int8 costs under every available method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER
from wmq.cli.options import echo_embedded
from wmq.cli.resume import command_line, resumable
from wmq.errors import WmqError
from wmq.memo.machine import cores

if TYPE_CHECKING:
    from wmq.bench.quantization.runner import SuiteSettings
    from wmq.bench.quantization.suite import Found
    from wmq.evaluation.results import Suite

EPILOG = """\b
Examples:
  wmq bench quantization --data dataset -o quantization
  wmq bench quantization --data dataset -o quick --quick
  wmq bench quantization model.onnx --data dataset -o work --only static-minmax --json"""


@click.command(name="quantization", epilog=EPILOG)
@click.argument("model", required=False, type=FLOAT_STEP, metavar="[MODEL.onnx]")
@click.option(
    "--data", required=True, type=FOLDER, metavar="DATASET", help="Folder made by wmq prepare."
)
@click.option(
    "-o", "out", required=True, type=FOLDER, metavar="FOLDER",
    help="Folder for suite.json and finished rows; to resume, run the same command again.",
)  # fmt: skip
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only rows with this in their name, and only the table; repeatable.",
)
@click.option("--quick", is_flag=True, help="Measure few rows on few frames: a minute or two.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=cores,
    show_default="number of cores",
    help="Threads of every row.",
)
@click.option("--markdown", is_flag=True, help="Print the table in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows with every figure.")
def quantization(
    model: str | None,
    data: str,
    out: str,
    only: tuple[str, ...],
    quick: bool,
    threads: int,
    markdown: bool,
    as_json: bool,
) -> None:
    """Compare every available quantization method with float32, on the validation games.

    Measures each method one frame ahead and rolled out from 300 starts, slow methods on the first
    part of every game; then runs wmq drift and wmq sensitivity, and writes FOLDER/report.html.
    Without MODEL.onnx, the embedded float model.  FOLDER needs 4 KB per frame for the predictions
    of float32.
    """
    if markdown and as_json:
        raise WmqError("--markdown and --json: only one of them can be printed")
    folder = Path(out)
    settings = _settings(None if model is None else Path(model), Path(data), folder, only, quick,
                         threads)  # fmt: skip
    found = None if only else _everything(settings)
    suite = found.suite if found else _table(settings)
    if not (markdown or as_json):
        echo_embedded(model)
    _print_table(suite, folder, markdown, as_json)
    if found and not (markdown or as_json):
        _print_rest(found)


def _settings(
    model: Path | None, data: Path, folder: Path, only: tuple[str, ...], quick: bool, threads: int
) -> SuiteSettings:
    from wmq.bench.quantization.runner import SuiteSettings

    return SuiteSettings(model, data, folder, only, quick, threads, command_line())


def _table(settings: SuiteSettings) -> Suite:
    from wmq.bench.quantization.runner import measure
    from wmq.cli.progress import progress_bar

    with resumable(), progress_bar() as progress:
        return measure(settings, progress)


def _everything(settings: SuiteSettings) -> Found:
    from wmq.bench.quantization.suite import reproduce
    from wmq.cli.progress import progress_bar

    with resumable(), progress_bar() as progress:
        return reproduce(settings, progress)


def _print_table(suite: Suite, folder: Path, markdown: bool, as_json: bool) -> None:
    from wmq.bench.quantization import table

    if as_json:
        from wmq.evaluation.results import as_json as written

        click.echo(written(suite))
        return
    for line in table.markdown(suite) if markdown else table.text(suite):
        click.echo(line)
    click.echo(f"written: {folder / 'suite.json'}", err=True)


def _print_rest(found: Found) -> None:
    """What drift says; the ranking is in the page, and `wmq sensitivity` prints it."""
    from wmq.drift.text import verdict_lines

    click.echo("")
    for line in verdict_lines(found.drift):
        click.echo(line)
    click.echo(f"written: {found.page}", err=True)
