"""`wmq train`: a dataset to a training run."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.progress import progress_bar
from wmq.models.presets import PRESETS
from wmq.train.config import RunConfig

if TYPE_CHECKING:
    from wmq.train.loop import Progress

DEFAULTS = RunConfig(preset="mamba2-medium")
PRINTED = ("val_loss", "plan_loss", "action_acc", "change_acc", "pos_mae", "vel_mae", "percent_mae")


@contextmanager
def _shown(save_every: int) -> Iterator[Progress]:
    """The loop's progress as a bar, or as a line a checkpoint if stderr is no terminal."""
    speed = 0.0
    with progress_bar() as bar:

        def show(step: int, steps: int, row: dict) -> None:
            nonlocal speed
            speed = row.get("frames_per_second", speed)
            note = f"loss {row['loss']:.3f}" + (f", {speed:,.0f} frames/s" if speed else "")
            bar("steps", step, steps, note)
            if not sys.stderr.isatty() and (step % save_every == 0 or step == steps):
                click.echo(f"step {step} of {steps}: {note}", err=True)

        yield show


def _finite(ctx: click.Context, option: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", ctx, option)
    return value


@click.command(name="train", epilog="Example: wmq train --data dataset -o run --epochs 2")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULTS.preset,
    show_default=True,
    help="Size of the model.",
)
@click.option(
    "--data", "data", required=True, metavar="DATASET", help="Folder made by `wmq prepare`."
)
@click.option("-o", "out", required=True, metavar="RUN", help="Folder of the run.")
@click.option(
    "--epochs",
    type=click.FloatRange(min=0, max=1000, min_open=True),
    default=DEFAULTS.epochs,
    show_default=True,
    callback=_finite,
    help="Passes over the training games.",
)
@click.option(
    "--base", metavar="RUN", help="Begin with the weights of another run, not with random ones."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=DEFAULTS.seed,
    show_default=True,
    help="Decides the first weights and the order of games.",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=DEFAULTS.lr,
    show_default=True,
    callback=_finite,
    help="Highest learning rate.",
)
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    default=250,
    show_default=True,
    help="Steps between checkpoints.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="number of cores",
    help="Threads of torch; other numbers round differently.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the last figures as one JSON object.")
def train(
    preset: str,
    data: str,
    out: str,
    epochs: float,
    base: str | None,
    seed: int,
    lr: float,
    save_every: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Train a world model; an interrupted run goes on where its last checkpoint is."""
    from wmq.dataset import Dataset
    from wmq.export import weights_of, weights_sha256
    from wmq.train import loop

    if threads:
        loop.use_threads(threads)
    model = loop.load_model(Path(base))[0] if base else None
    digest = weights_sha256(weights_of(model)) if model else ""
    config = RunConfig(preset=preset, epochs=epochs, seed=seed, lr=lr, base=digest)
    dataset = Dataset.open(data)
    try:
        with _shown(save_every) as progress:
            figures = loop.train(dataset, Path(out), config, save_every, progress, model)
    except KeyboardInterrupt:
        again = "run the same command again to go on from the last checkpoint"
        click.echo(f"wmq: interrupted; {again}", err=True)
        sys.exit(130)
    found = loop.checkpoint.latest(Path(out))
    steps = found["step"] if found else 0
    if as_json:
        plain = {name: None if math.isnan(value) else value for name, value in figures.items()}
        click.echo(json.dumps({"run": out, "preset": preset, "steps": steps} | plain, indent=1))
        return
    click.echo(f"{out}: {preset}, {steps:,} steps; export it with `wmq export {out} -o model.onnx`")
    for name in PRINTED:
        if name in figures:
            click.echo(f"  {name:12} {figures[name]:.4f}")
