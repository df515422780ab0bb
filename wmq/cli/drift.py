"""`wmq drift`: measure what int8 costs after a frame, and after a minute."""

from __future__ import annotations

from pathlib import Path

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER, JSON, MODEL, PROGRAM
from wmq.cli.options import echo_embedded, threads_option
from wmq.cli.progress import progress_bar
from wmq.cli.resume import RESUME, command_line, resumable
from wmq.files.output_path import output_path

# Option -> its value, and that of --quick: seconds of work, and intervals that mean little.
SIZES = {"starts": (300, 24), "horizon": (600, 60), "worlds": (64, 4), "frames": (3600, 600)}
QUICK_GAMES, QUICK_CUT = 4, 1500
MARK = b'"pairs"'  # a key of each FILE.json
NOTHING_KEPT = "nothing was kept; a run with -o FILE.json can be resumed"

EPILOG = """\b
Examples:
  wmq drift --data dataset -o drift.json
  wmq drift model.wmq --data dataset --quick
  wmq drift world.wmq --agents agent.wmq --data dataset -o drift.json

\b
To resume an interrupted run that has -o FILE.json or -w FOLDER, run the same
command again."""


def _sized(name: str, help_text: str, most: int):
    full, quick = SIZES[name]
    return click.option(
        f"--{name}",
        type=click.IntRange(1, most),
        show_default=f"{full:,}; with --quick {quick}",
        help=help_text,
    )


@click.command(name="drift", epilog=EPILOG)
@click.argument("model", required=False, type=PROGRAM, metavar="[MODEL.wmq]")
@click.option(
    "--data", required=True, type=FOLDER, metavar="DATASET", help="Folder made by wmq prepare."
)
@click.option(
    "--float",
    "onnx",
    type=FLOAT_STEP,
    metavar="MODEL.onnx",
    show_default="the .onnx file beside MODEL.wmq",
    help="Float step that the program was calibrated from.",
)
@click.option(
    "--other",
    "others",
    multiple=True,
    default=("dynamic",),
    show_default="dynamic",
    type=MODEL,
    metavar="MODEL|dynamic",
    help="Also compare this .onnx or .wmq with float; dynamic is float quantized by onnxruntime's "
    "quantize_dynamic; repeatable.",
)
@click.option(
    "--agents",
    type=MODEL,
    metavar="FILE.wmq|FILE.onnx",
    show_default="the embedded agent",
    help="Agent that plays both players in the worlds of a model that draws (schema version 2).",
)
@_sized("starts", "Number of real frames that float and MODEL start from.", 100_000)
@_sized("horizon", "Length of those rollouts, with the true controllers; 60 frames a second.", 3600)
@_sized(
    "worlds",
    "Free-running worlds of each kind: true and random controllers; for a model that "
    "draws, two agents and true controllers.",
    10_000,
)
@_sized("frames", "Length of each free-running world, in frames.", 36_000)
@click.option("--quick", is_flag=True, help="Run for a few seconds, to check that all works.")
@threads_option
@click.option("-o", "out", type=JSON, metavar="FILE.json", help="Write all figures as JSON.")
@click.option(
    "-w",
    "folder",
    type=FOLDER,
    metavar="FOLDER",
    show_default="FILE.json.stages",
    help="Keep finished stages in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def drift(
    model: str | None,
    data: str,
    onnx: str | None,
    agents: str | None,
    others: tuple[str, ...],
    quick: bool,
    threads: int,
    out: str | None,
    folder: str | None,
    as_json: bool,
    **sizes: int | None,
) -> None:
    """Measure the divergence of int8 from float, and separate it from floating-point chaos.

    Without MODEL, the embedded one.  Prints a verdict for each horizon, then the figures behind
    it: rollouts from real starts under the true controllers, pairs of float models, and
    free-running worlds.  Worlds of a model that draws are drawn, by the same words for all models,
    and each statistic of them comes with its distance from real play.
    """
    from wmq.drift import DriftSettings
    from wmq.drift import drift as measure
    from wmq.drift.text import lines
    from wmq.evaluation.results import as_json as written
    from wmq.evaluation.results import write_result

    path = output_path(out, "-o", (".json",), MARK) if out else None
    kept = Path(folder) if folder else path.with_name(f"{path.name}.stages") if path else None
    settings = DriftSettings(
        data=Path(data),
        program=Path(model) if model else None,
        onnx=Path(onnx) if onnx else None,
        agents=Path(agents) if agents else None,
        others=tuple(Path(other) for other in others if other != "dynamic"),
        dynamic="dynamic" in others,
        threads=threads,
        games=QUICK_GAMES if quick else 0,
        cut=QUICK_CUT if quick else 0,
        folder=kept,
        command=command_line(),
        **{name: sizes[name] or pair[quick] for name, pair in SIZES.items()},
    )
    with resumable(RESUME if kept else NOTHING_KEPT), progress_bar() as progress:
        found = measure(settings, progress)
    if path:
        write_result(path, found)
    if as_json:
        click.echo(written(found))
    else:
        echo_embedded(model)
        for line in lines(found):
            click.echo(line)
