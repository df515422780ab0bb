"""`wmq bench`: measure the integer program beside other libraries."""

from __future__ import annotations

import json

import click

from wmq.cli.bench_quantization import quantization
from wmq.cli.file_types import MODEL, PICTURE, PROGRAM
from wmq.cli.options import CommandGroup, echo_embedded
from wmq.errors import WmqError

EPILOG = """\b
Examples:
  wmq bench speed
  wmq bench speed --only wmq --only onnxruntime --batch 1 --chart speed.svg
  wmq bench speed world.wmq --match agent.wmq --only match --batch 1"""


@click.group(name="bench", cls=CommandGroup, epilog=EPILOG)
def bench() -> None:
    """Measure on this machine the speed and quality that the README quotes."""


bench.add_command(quantization)


@bench.command(name="speed", epilog=EPILOG)
@click.argument("models", nargs=-1, type=MODEL, metavar="[MODEL.wmq [MODEL.onnx]]")
@click.option(
    "--match",
    type=PROGRAM,
    metavar="AGENT.wmq",
    help="Also measure a match: two of these agents in the world, the world alone, and the "
    "embedded program.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help='Only rows with this in their name, e.g. "onnxruntime static" or "2 threads"; repeatable.',
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 4096),
    multiple=True,
    default=(1, 8, 64, 512),
    show_default="1, 8, 64, 512",
    help="Worlds at a time; repeatable.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 60, min_open=True),
    default=0.5,
    show_default=True,
    help="Length of a measurement, or one step if that takes longer.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    default=7,
    show_default=True,
    help="Measurements of each row, interleaved with those of other rows.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Also print each instruction's microseconds per frame.",
)
@click.option("--chart", type=PICTURE, metavar="FILE", help="Also draw a chart, .svg or .png.")
@click.option("--markdown", is_flag=True, help="Print two tables in Markdown, as in the README.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def speed(
    models: tuple[str, ...],
    match: str | None,
    only: tuple[str, ...],
    batches: tuple[int, ...],
    seconds: float,
    repeats: int,
    profile: bool,
    chart: str | None,
    markdown: bool,
    as_json: bool,
) -> None:
    """Measure frames per second of wmq, onnxruntime and torch, and the hardware limit.

    Without models, measures the embedded pair; without MODEL.onnx, the one beside MODEL.wmq.  A
    world that draws is drawn from, and an agent sees one frame again and again.  All rows and
    batches take about 40 minutes.
    """
    from wmq.bench.speed import text as tables
    from wmq.bench.speed.contenders import chosen
    from wmq.bench.speed.measure import SpeedSettings, measure
    from wmq.cli.progress import progress_bar

    if len(models) > 2:
        raise WmqError("give an integer program and a float model, MODEL.wmq MODEL.onnx, or none")
    if markdown and as_json:
        raise WmqError("--markdown and --json: only one of them can be printed")
    rows, batches = tuple(chosen(only, match is not None)), tuple(dict.fromkeys(batches))
    if match is not None and 1 not in batches:
        raise WmqError(f"--match {match}: a match is one world; add --batch 1")
    out = None
    if chart:
        from wmq.bench.speed.chart import draw
        from wmq.files.pictures import check_picture

        out = check_picture(chart)
    program, onnx = (*models, None, None)[:2]
    settings = SpeedSettings(rows, batches, seconds, repeats, profile, program, onnx, match)
    with progress_bar() as progress:
        found = measure(settings, progress)
    if as_json:
        click.echo(json.dumps(tables.plain(found), indent=1))
    else:
        if not markdown:
            echo_embedded(models)
        for line in tables.markdown(found) if markdown else tables.text(found):
            click.echo(line)
    if out:
        draw(found, out)
        click.echo(f"written: {out}", err=True)
