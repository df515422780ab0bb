"""`wmq export`: a training run to a float step in ONNX."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command(name="export", epilog="Example: wmq export run -o model.onnx")
@click.argument("run", metavar="RUN")
@click.option("-o", "out", required=True, metavar="MODEL.onnx", help="File of the float step.")
@click.option("--half", is_flag=True, help="Store large weights in 16 bits: half the size.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(run: str, out: str, half: bool, as_json: bool) -> None:
    """Write the newest checkpoint of a run as a one-frame ONNX model."""
    from wmq.export import CHECKED_FRAMES, export_run

    found = export_run(Path(run), Path(out), half)
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
