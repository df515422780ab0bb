"""`wmq report`: write one page with the results, and both models playing side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER, HTML, JSON, PROGRAM
from wmq.cli.match import (
    NAMES,
    controller_options,
    controller_texts,
    match_options,
    open_start,
    parse_controllers,
)
from wmq.cli.models import compile_first, frozen_garbage
from wmq.cli.options import echo_embedded
from wmq.errors import WmqError
from wmq.files.output_path import output_path
from wmq.memo.machine import cores

if TYPE_CHECKING:
    from wmq.game.schema import Schema
    from wmq.report.compare import Comparison
    from wmq.rollout.starts import Start

PAGE, VIEWER = ".html", ".json"
VIEWER_MARK = b'"comparison"'  # a key of each
DEFAULT_PAGE = "report.html"
LONGEST = 36_000  # frames, ten minutes: a page of some 10 MB

EPILOG = """\b
Examples:
  wmq report results -o report.html
  wmq report results --data dataset -o report.html
  wmq report --viewer both.json --stage dream-land --seed 7"""


@click.command(name="report", epilog=f"{EPILOG}\n\n{NAMES}")
@click.argument("folder", type=FOLDER, required=False)
@click.option(
    "-o", "out", type=HTML, metavar="FILE.html", show_default=DEFAULT_PAGE, help="Page to write."
)
@click.option(
    "--viewer", type=JSON, metavar="FILE.json", help="Also write both worlds for public viewers."
)
@click.option(
    "--int8", type=PROGRAM, metavar="MODEL.wmq", show_default="embedded", help="Integer program."
)
@click.option(
    "--float",
    "floats",
    type=FLOAT_STEP,
    metavar="MODEL.onnx",
    show_default="the .onnx file beside MODEL.wmq",
    help="Float step that the program was calibrated from.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, LONGEST),
    show_default="3600, one minute, or what a replay has",
    help="Number of frames to compute.",
)
@click.option(
    "--data", type=FOLDER, metavar="DATASET", help="Start in a validation game of this dataset."
)
@click.option(
    "--start",
    metavar="match|GAME.slp@FRAME|SHA256@FRAME",
    show_default="match; with --data, the middle of the longest game",
    help="Start at the first frame of a match, or at a frame of a replay or of a game of --data.",
)
@match_options
@controller_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(
    folder: str | None,
    out: str | None,
    viewer: str | None,
    floats: str | None,
    int8: str | None,
    frames: int | None,
    data: str | None,
    start: str | None,
    stage: str | None,
    p1_character: str | None,
    p2_character: str | None,
    p1: str | None,
    p2: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write a page of the results in FOLDER, with float and int8 playing side by side.

    FOLDER holds any of suite.json, drift.json and sensitivity.json.  Without FOLDER, no page is
    written, only the file of --viewer.
    """
    from wmq.cli.progress import progress_bar
    from wmq.report.compare import compare, open_pair
    from wmq.report.load import check_models, read_results
    from wmq.rollout.match import open_agents
    from wmq.rollout.rollout import both_controllers

    page, worlds = _targets(folder, out, viewer)
    results = None if folder is None else read_results(folder)
    with frozen_garbage():
        models = open_pair(floats, int8)
    if folder is not None and results:
        check_models(folder, results, {"float": models[0].sha256, "int8": models[1].sha256})
    characters = (p1_character, p2_character)
    begin = _start(models[0].schema, data, start, stage, characters)
    texts = controller_texts(begin, models[0].schema, p1, p2)
    sources = parse_controllers(texts)
    agents = open_agents(sources, models[0].arithmetic, "auto", models[0].schema)
    frames = begin.usual_frames(texts) if frames is None else frames
    pads = both_controllers(sources, begin, frames, seed)
    compile_first(models[1])
    with progress_bar() as progress:
        found = compare(models, begin, pads, seed, texts, cores(), progress, agents)
    facts = _facts(found)
    if page and results:
        from wmq.files.atomic import write_atomically
        from wmq.report.page import make_page

        content = make_page(results, found)
        write_atomically(page, content)
        facts |= {"report": str(page), "report_bytes": len(content)}
    if worlds:
        from wmq.report.viewer import write_viewer

        facts |= {"viewer": str(worlds),
                  "viewer_bytes": write_viewer(worlds, found.schema, found.tracks)}  # fmt: skip
    if not as_json:
        echo_embedded(int8)
    _print(facts, as_json)


def _targets(
    folder: str | None, out: str | None, viewer: str | None
) -> tuple[Path | None, Path | None]:
    """Check the paths of the page and the viewer before the work.  Raises WmqError."""
    if folder is None and out is not None:
        raise WmqError(f"-o {out}: a page needs results; name the FOLDER that holds them")
    if folder is None and viewer is None:
        raise WmqError("nothing to write: name a FOLDER of results, or --viewer FILE.json")
    page = None if folder is None else output_path(out or DEFAULT_PAGE, "-o", (PAGE,))
    return page, None if viewer is None else output_path(viewer, "--viewer", (VIEWER,), VIEWER_MARK)


def _start(
    schema: Schema,
    data: str | None,
    start: str | None,
    stage: str | None,
    characters: tuple[str | None, str | None],
) -> Start:
    from wmq.report.compare import dataset_start
    from wmq.rollout.starts import WARMUP

    if data is None:
        return open_start(schema, start or "match", stage, characters, WARMUP)
    given = {"--stage": stage, "--p1-character": characters[0], "--p2-character": characters[1]}
    for option, value in given.items():
        if value:
            raise WmqError(f"{option} {value}: only for a match; with --data, the game has its own")
    return dataset_start(schema, data, start)


def _facts(found: Comparison) -> dict:
    return {
        "start": found.start.label,
        "p1": found.controllers[0],
        "p2": found.controllers[1],
        "frames": len(found.rollouts["int8"].worlds[0].frames),
        "first_divergence": found.first,
        "models": {
            name: {
                "model": rollout.model.name,
                "model_sha256": rollout.model_sha256,
                "rollout_sha256": rollout.sha256,
            }
            for name, rollout in found.rollouts.items()
        },
    }


def _print(facts: dict, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    when = f"frame {facts['first_divergence']:,}" if facts["first_divergence"] else "none"
    click.echo(f"{facts['start']}; player 1 {facts['p1']}, player 2 {facts['p2']}")
    click.echo(f"first other action  {when} of {facts['frames']:,}")
    for name in ("report", "viewer"):
        if name in facts:
            click.echo(f"written             {facts[name]}, {facts[name + '_bytes']:,} bytes")
