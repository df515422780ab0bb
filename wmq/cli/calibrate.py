"""`wmq calibrate`: a float step in ONNX to an integer program."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.errors import WmqError

if TYPE_CHECKING:
    from calib.recipe import Recipe
    from wmq.calibrate import Result, TensorReport


@click.command(
    name="calibrate", epilog="Example: wmq calibrate model.onnx -o model.wmq --data dataset"
)
@click.argument("model", metavar="MODEL.onnx")
@click.option("-o", "out", required=True, metavar="MODEL.wmq", help="File of the program.")
@click.option("--data", metavar="DATASET", help="Dataset; its training games are played.")
@click.option("--set", "set_name", metavar="NAME", help="Embedded set, instead of --data.")
@click.option(
    "--recipe",
    default="static-digits",
    show_default=True,
    metavar="FILE.toml",
    help="A file, or static-digits, static-minmax or static-percentile.",
)
@click.option(
    "--frames",
    type=int,
    default=64_000,
    show_default=True,
    help="Frames to play at most; real games hold 3,600 a minute.",
)
@click.option(
    "--state-bits",
    type=click.Choice(["8", "16", "32"]),
    show_default="the recipe's",
    help="Width of the recurrent state in bits; less than 32 is for study.",
)
@click.option(
    "--state-error-feedback/--no-state-error-feedback",
    default=None,
    show_default="the recipe's",
    help="Whether what the state's rounding leaves is carried to the next frame; off is for study.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    model: str,
    out: str,
    data: str | None,
    set_name: str | None,
    recipe: str,
    frames: int,
    state_bits: str | None,
    state_error_feedback: bool | None,
    as_json: bool,
) -> None:
    """Lower a float step to an integer program, with ranges found in real play."""
    if (data is None) == (set_name is None):
        raise WmqError(
            "ranges are found in play: give either --data DATASET, made with `wmq prepare`, or "
            "--set NAME, an embedded set"
        )
    from calib.recipe import read_recipe
    from wmq.calibrate import calibrate as run
    from wmq.cli.progress import progress_bar

    chosen = _with_state(read_recipe(recipe), state_bits, state_error_feedback)
    dataset = None if data is None else Path(data)
    with progress_bar() as progress:
        result = run(Path(model), Path(out), chosen, dataset, set_name, frames, progress)
    if as_json:
        click.echo(json.dumps({"model": out, "recipe": chosen.name} | asdict(result), indent=1))
    else:
        _print(result, out, chosen.name)


def _with_state(recipe: Recipe, bits: str | None, error_feedback: bool | None) -> Recipe:
    """The recipe, with another recurrent state where one was asked for."""
    from msgspec.structs import replace

    state = recipe.state
    if bits is not None:
        state = replace(state, bits=int(bits))
    if error_feedback is not None:
        state = replace(state, error_feedback=error_feedback)
    return replace(recipe, state=state)


def _print(result: Result, out: str, recipe: str) -> None:
    click.echo(f"{'tensor':24} {'range':>12} {'scale':>12} {'SNR dB':>7}")
    for tensor in result.tensors:
        click.echo(_line(tensor))
    click.echo(
        f"{out}: {result.bytes:,} bytes, {recipe} over {result.frames:,} frames "
        f"of {result.games} games"
    )
    click.echo(f"  sha256  {result.model_sha256}")


def _line(tensor: TensorReport) -> str:
    """Range and scale are the largest of all heads where each head has its own."""
    scale = "-" if tensor.scale is None else f"{tensor.scale:.4g}"
    ratio = "-" if tensor.decibels is None else f"{tensor.decibels:.1f}"
    heads = f"  ({tensor.groups} heads)" if tensor.groups > 1 else ""
    return f"{tensor.name:24} {tensor.limit:>12.5g} {scale:>12} {ratio:>7}{heads}"
