"""`wmq calibrate`: turn a float step in ONNX into an integer program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import FLOAT_STEP, FOLDER, PROGRAM, RECIPE
from wmq.cli.resume import RESUME, resumable
from wmq.errors import WmqError

if TYPE_CHECKING:
    from calib.recipe import Recipe
    from wmq.calibration.calibrate import Result, TensorReport, TensorSummary

SETS = ("self-play",)  # calib.sets.names(), which would import numpy here


NOTHING_KEPT = "nothing was kept: there is no folder for it"


@click.command(
    name="calibrate", epilog="Example: wmq calibrate model.onnx -o model.wmq --data dataset"
)
@click.argument("model", type=FLOAT_STEP, metavar="MODEL.onnx")
@click.option("-o", "out", type=PROGRAM, metavar="MODEL.wmq", help="Integer program to write.")
@click.option(
    "--data", type=FOLDER, metavar="DATASET", help="Calibrate on training games of this dataset."
)
@click.option(
    "--play",
    type=click.Choice(["real", "self", "mixed"]),
    show_default="the recipe's, or real",
    help="Calibrate on the games as recorded, on the model's own continuations, or on both.",
)
@click.option(
    "--set",
    "set_name",
    metavar="NAME",
    help=f"Calibrate on an embedded set, instead of --data: {', '.join(SETS)}.",
)
@click.option(
    "--recipe",
    default="static-best",
    show_default=True,
    type=RECIPE,
    metavar="FILE.toml",
    help="A recipe file, or a name that `wmq recipes` lists.",
)
@click.option(
    "--promote",
    multiple=True,
    metavar="LINEAR",
    help="Give this Linear's input two int8 digits, e.g. layers.1.mamba.in_proj; repeatable.",
)
@click.option(
    "--frames",
    type=int,
    default=64_000,
    show_default=True,
    help="Use at most this many frames; a minute has 3,600.",
)
@click.option(
    "--state-bits",
    type=click.Choice(["8", "16", "32"]),
    show_default="the recipe's",
    help="Width of the recurrent state; fewer than 32 bits are for study.",
)
@click.option(
    "--state-error-feedback/--no-state-error-feedback",
    default=None,
    show_default="the recipe's",
    help="Carry the state's rounding remainder to the next frame; off is for study.",
)
@click.option(
    "--show-statistics",
    is_flag=True,
    help="Print what each observer finds for each tensor; -o is then optional.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    model: str,
    out: str | None,
    data: str | None,
    play: str | None,
    set_name: str | None,
    recipe: str,
    promote: tuple[str, ...],
    frames: int,
    state_bits: str | None,
    state_error_feedback: bool | None,
    show_statistics: bool,
    as_json: bool,
) -> None:
    """Calibrate a float step, and lower it to an integer program.

    MODEL.onnx is a float step: one frame of a model, as wmq export writes it.  A pass over the
    games collects statistics and keeps them in the user's cache, so another recipe takes seconds.
    To resume an interrupted pass, run the same command again.
    """
    if out is None and not show_statistics:
        raise WmqError("no file for the program; give -o MODEL.wmq, or --show-statistics")
    from calib.recipe import read_recipe
    from wmq.calibration.calibrate import calibrate as run
    from wmq.calibration.calibrate import summarize
    from wmq.cli.progress import progress_bar, warn
    from wmq.memo.store import Cache

    chosen = _with_state(read_recipe(recipe), state_bits, state_error_feedback)
    chosen = _promoted(chosen, promote)
    dataset = None if data is None else Path(data)
    cache = Cache.of_statistics(warn)
    facts: dict = {"recipe": chosen.name}
    with resumable(RESUME if cache.folder else NOTHING_KEPT), progress_bar() as progress:
        given = (chosen, dataset, set_name, frames, progress, play, cache)
        result = None if out is None else run(Path(model), Path(out), *given)
        summaries = summarize(Path(model), *given) if show_statistics else ()
    if as_json:
        if result is not None:
            facts |= {"model": out} | asdict(result)
        if show_statistics:
            facts["statistics"] = [asdict(summary) for summary in summaries]
        click.echo(json.dumps(facts, indent=1))
        return
    if show_statistics:
        _print_statistics(summaries)
    if result is not None:
        _print(result, str(out), chosen.name)


def _with_state(recipe: Recipe, bits: str | None, error_feedback: bool | None) -> Recipe:
    """Return the recipe, with another recurrent state where one was asked for."""
    from msgspec.structs import replace

    state = recipe.state
    if bits is not None:
        state = replace(state, bits=int(bits))
    if error_feedback is not None:
        state = replace(state, error_feedback=error_feedback)
    return replace(recipe, state=state)


def _promoted(recipe: Recipe, linears: tuple[str, ...]) -> Recipe:
    """Return the recipe, with two digits for further inputs."""
    from msgspec.structs import replace

    activations = recipe.activations
    digits = (*activations.two_digits, *linears)
    return replace(recipe, activations=replace(activations, two_digits=digits))


def _print_statistics(summaries: Sequence[TensorSummary]) -> None:
    """The largest of all heads where each head has its own; see `TensorSummary`."""
    titles = ("maximum", "moving avg", "99.9 %", "99.99 %", "mse", "entropy")
    click.echo(f"{'tensor':24} {'groups':>6} {'bits':>4}" + "".join(f"{t:>12}" for t in titles))
    for found in summaries:
        figures = (found.maximum, found.moving_average, found.percentile_99_9,
                   found.percentile_99_99, found.mse, found.entropy)  # fmt: skip
        cells = "".join(f"{figure:>12.5g}" for figure in figures)
        click.echo(f"{found.name:24} {found.groups:>6} {found.bits:>4}{cells}")


def _print(result: Result, out: str, recipe: str) -> None:
    click.echo(f"{'tensor':24} {'range':>12} {'scale':>12} {'SNR dB':>7}")
    for tensor in result.tensors:
        click.echo(_line(tensor))
    click.echo(
        f"{out}: {result.bytes:,} bytes, {recipe} over {result.frames:,} frames "
        f"of {result.games} games"
    )
    more = 100 * (result.products / result.least_products - 1)
    click.echo(f"  {result.products:,} products a frame, {more:.0f} % more than with one digit")
    click.echo(f"  sha256  {result.model_sha256}")


def _line(tensor: TensorReport) -> str:
    """Range and scale are the largest of all heads where each head has its own."""
    scale = "-" if tensor.scale is None else f"{tensor.scale:.4g}"
    ratio = "-" if tensor.decibels is None else f"{tensor.decibels:.1f}"
    heads = f"  ({tensor.groups} heads)" if tensor.groups > 1 else ""
    return f"{tensor.name:24} {tensor.limit:>12.5g} {scale:>12} {ratio:>7}{heads}"
