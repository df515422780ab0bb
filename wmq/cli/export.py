"""`wmq export`: write a training run as a float step in ONNX."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER
from wmq.files.output_path import output_path


@click.command(name="export", epilog="Example: wmq export run -o model.onnx")
@click.argument("run", type=FOLDER, metavar="RUN")
@click.option(
    "-o", "out", required=True, type=FLOAT_STEP, metavar="MODEL.onnx", help="File to write, .onnx."
)
@click.option("--half", is_flag=True, help="Store large weights in 16 bits, for half the size.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(run: str, out: str, half: bool, as_json: bool) -> None:
    """Write the newest checkpoint of a training run as an ONNX model.

    RUN is the folder that `wmq train -o RUN` made; training may still be running. The
    model computes one frame from the previous one, the controllers and a recurrent state. It is
    compared with torch before it is written.
    """
    place = output_path(out, "-o", (".onnx",))
    from wmq.export.onnx import CHECKED_FRAMES, export_run

    found = export_run(Path(run), place, half)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
        return
    click.echo(f"{found.path}: {found.preset}, step {found.step:,}, {found.size:,} bytes")
    click.echo(f"  parameters  {found.parameters:,}, stored in {16 if half else 32} bits")
    click.echo(
        f"  against torch over {CHECKED_FRAMES} carried frames: {found.difference:.1e} "
        "of a head's largest value at most"
    )
    click.echo(f"  sha256      {found.sha256}")
