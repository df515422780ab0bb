"""The embedded calibration set: frames that a model made, so that it can be shipped.

    python -m wmq.calibration.make_set MODEL.wmq -o calib/sets/NAME.safetensors

No frame of a recorded game is in it: sixteen matches on the legal stages with random
controllers, a few seconds each from the end of the entry on, while both players are in play.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from calib.sets import write_set
from wmq.game.names import STAGES
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.rollout.controllers import parse_source
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import match_start

SKIPPED, KEPT, MATCHES = 110, 200, 16  # frames of each match
PAIRS = (
    ("fox", "falco"), ("marth", "sheik"), ("falcon", "peach"), ("jigglypuff", "fox"),
    ("falco", "marth"), ("sheik", "falcon"), ("samus", "luigi"), ("peach", "fox"),
)  # fmt: skip


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "out", required=True, type=click.Path(path_type=Path))
@click.option("--seed", default=1000, show_default=True, help="Of the first match.")
def main(model: Path, out: Path, seed: int) -> None:
    """Make a calibration set from a model's own rollouts."""
    worlds = IntegerPredictor(open_program(model))
    sources = (parse_source("random", "--p1"), parse_source("random", "--p2"))
    frames, pads = [], []
    for k in range(MATCHES):
        stage, pair = list(STAGES)[k % len(STAGES)], PAIRS[k % len(PAIRS)]
        start = match_start(worlds.schema, stage, pair)
        chosen = both_controllers(sources, start, SKIPPED + KEPT, seed + k)
        world = roll(worlds, start, [chosen], [seed + k]).worlds[0]
        frames.append(world.frames[SKIPPED:])
        pads.append(world.controllers[SKIPPED:])
    sha256 = write_set(out, np.stack(frames), np.stack(pads))
    click.echo(f"{out}: {MATCHES} matches of {KEPT} frames, sha256 {sha256}")


if __name__ == "__main__":
    main()
