"""`wmq train`: train a model on a dataset."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from wmq.cli.file_types import FOLDER
from wmq.cli.options import finite
from wmq.cli.progress import progress_bar, warn
from wmq.files.names import printable
from wmq.models.presets import JITTER, PRESETS
from wmq.training.config import RunConfig

if TYPE_CHECKING:
    from wmq.models.world import WorldModel
    from wmq.training.loop import Progress, Trained

SHOWN = ("val_loss", "pos_mae", "change_acc", "press_nll", "press_acc")  # of each validation
DEFAULTS = RunConfig(preset="mamba2-medium")
PRINTED = ("val_loss", "plan_loss", "action_acc", "change_acc", "pos_mae", "vel_mae", "percent_mae")


@contextmanager
def _shown() -> Iterator[Progress]:
    """The loop's progress as that of all commands."""
    with progress_bar() as bar:

        def show(step: int, steps: int, row: dict) -> None:
            note = f"loss {row['loss']:.3f}, {row['frames_per_second']:,.0f} frames/s"
            bar("steps", step, steps, note)

        yield show


def _show_validation(step: int, steps: int, found: Trained) -> None:
    figures = [f"{name} {found.figures[name]:.4f}{_beside(found.frozen, name, ' (frozen {:.4f})')}"
               for name in SHOWN if name in found.figures]  # fmt: skip
    warn(f"step {step:,} of {steps:,}: {', '.join(figures)}")


@click.command(
    name="train",
    epilog="Example: wmq train --data dataset -o run --epochs 2, then wmq export run -o model.onnx",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULTS.preset,
    show_default=True,
    help="Size of the model.",
)
@click.option(
    "--data",
    "data",
    required=True,
    type=FOLDER,
    metavar="DATASET",
    help="Folder made by `wmq prepare`.",
)
@click.option(
    "-o",
    "out",
    required=True,
    type=FOLDER,
    metavar="RUN",
    help="Folder of the run: a new one, or one to resume.",
)
@click.option(
    "--epochs",
    type=click.FloatRange(min=0, max=1000, min_open=True),
    default=DEFAULTS.epochs,
    show_default=True,
    callback=finite,
    help="Passes over the training games. A run may be resumed with more.",
)
@click.option(
    "--base",
    type=FOLDER,
    metavar="RUN|MODEL",
    help="Start from the weights of another run, or of a model.onnx, instead of random ones. Its "
    "layers must be of the same size; heads that predict something else begin at random.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=DEFAULTS.seed,
    show_default=True,
    help="Seed of the initial weights and the order of games.",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=DEFAULTS.lr,
    show_default=True,
    callback=finite,
    help="Peak of the learning rate.",
)
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    default=250,
    show_default=True,
    help="Steps between checkpoints; one is also saved every minute.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="number of cores",
    help="Threads of torch; their number affects rounding.",
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
    """Train a world model on a dataset, or resume a run.

    To stop, press Ctrl-C (or send SIGTERM): the step is finished and saved, and the same command
    (with the same --threads) resumes the run as if it had never stopped. A crash costs a minute at
    most. Every minute or so, and every few hundred steps, a line on stderr gives the figures on
    some validation games, beside those of a prediction that nothing changes ("frozen").

    The learning rate rises over the first 100 steps and falls along a cosine to a hundredth of
    its peak. Resume a run with more --epochs and the cosine is stretched to the new length: the
    rate rises again to where it would be if the run had been that long from the start.

    RUN holds run.json (settings), metrics.jsonl (losses and figures, one line each), the newest
    checkpoint and latest.json (its step).
    """
    # Threads of torch that wait by spinning cost a factor of ten beside another busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from wmq.dataset.store import Dataset
    from wmq.export.onnx import weights_of, weights_sha256
    from wmq.training import interrupt, loop, run_folder
    from wmq.training.validation import worse

    if threads:
        loop.use_threads(threads)
    model = _base(Path(base)) if base else None
    digest = weights_sha256(weights_of(model)) if model else ""
    config = RunConfig(preset=preset, epochs=epochs, seed=seed, lr=lr, base=digest,
                       jitter=JITTER.get(preset, 0.0))  # fmt: skip
    dataset = Dataset.open(data)
    with interrupt.stop_requested() as stop:
        try:
            with _shown() as progress:
                found = loop.train(dataset, Path(out), config, save_every, progress, model,
                                   validated=_show_validation, warn=warn, stop=stop)  # fmt: skip
        except loop.Stopped as stopped:
            what = f"stopped and saved at step {stopped.step:,} of {stopped.steps:,}"
            _end_stopped(out, what, stop())
        except KeyboardInterrupt:
            saved = run_folder.checkpoint.latest(Path(out))
            what = f"the last checkpoint is of step {saved['step']:,}" if saved else "nothing saved"
            _end_stopped(out, f"stopped at once; {what}", stop())
    if as_json:
        plain = {"run": printable(out), "preset": preset, "steps": found.steps} | _plain(
            found.figures
        )
        click.echo(json.dumps(plain | {"frozen": _plain(found.frozen)}, indent=1))
    else:
        click.echo(f"{out}: {preset}, {found.steps:,} steps; "
                   f"export it with `wmq export {out} -o model.onnx`")  # fmt: skip
        for name in PRINTED:
            if name in found.figures:
                beside = _beside(found.frozen, name, "  frozen {:.4f}")
                click.echo(f"  {name:12} {found.figures[name]:.4f}{beside}")
    names = worse(found.figures, found.frozen)
    if names:
        warn(f"{out}: {' and '.join(names)} not better than frozen, which predicts that nothing "
             "changes; train for more --epochs, or on more games")  # fmt: skip


def _beside(frozen: dict[str, float], name: str, form: str) -> str:
    return form.format(frozen[name]) if name in frozen else ""


def _base(path: Path) -> WorldModel:
    from calib.step.graph import read_step
    from wmq.inference.model_files import schema_of
    from wmq.models.base import model_of
    from wmq.training.run_folder import load_model

    if path.suffix != ".onnx":
        return load_model(path)[0]
    step = read_step(path)
    schema_of(step.schema, path)  # refuses other fields than this program's
    return model_of(step)


def _end_stopped(run: str, what: str, signal: int) -> NoReturn:
    warn(f"{run}: {what}; run the same command again to resume")
    sys.exit(128 + signal)


def _plain(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
