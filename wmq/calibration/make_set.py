"""The embedded calibration set: frames that a model made, so that it can be shipped.

    python -m wmq.calibration.make_set MODEL.wmq -o calib/sets/self-play.safetensors
    python -m wmq.calibration.make_set world.wmq -o calib/sets/self-play-v2.safetensors

No frame of a recorded game is in it: sixteen matches on the legal stages, a few seconds each from
the end of the entry on, while both players are in play.  Two agents play in a world that draws
(schema version 2), and random controllers in another.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from calib.sets import write_set
from wmq.game.names import STAGES
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.rollout.controllers import Source
from wmq.rollout.match import open_agents
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import match_start

SKIPPED, KEPT, MATCHES = 110, 200, 16  # frames of each match
PAIRS = (
    ("fox", "falco"), ("marth", "sheik"), ("falcon", "peach"), ("jigglypuff", "fox"),
    ("falco", "marth"), ("sheik", "falcon"), ("samus", "luigi"), ("peach", "fox"),
)  # fmt: skip


def play(model: Path, agent: Path | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Play the matches with seeds from `seed` on: frames (MATCHES, KEPT, frame_size), controllers.

    agent  that plays a world that draws; None for the embedded one
    Raises WmqError or ProgramError.
    """
    worlds = IntegerPredictor(open_program(model))
    player = Source("agent", str(agent or "")) if worlds.schema.draws else Source("random")
    sources = player, player
    agents = open_agents(sources, "int8", "auto", worlds.schema)
    frames, pads = [], []
    for k in range(MATCHES):
        stage, pair = list(STAGES)[k % len(STAGES)], PAIRS[k % len(PAIRS)]
        start = match_start(worlds.schema, stage, pair)
        chosen = both_controllers(sources, start, SKIPPED + KEPT, seed + k)
        world = roll(worlds, start, [chosen], [seed + k], agents=agents).worlds[0]
        frames.append(world.frames[SKIPPED:])
        pads.append(world.controllers[SKIPPED:])
    return np.stack(frames), np.stack(pads)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "out", required=True, type=click.Path(path_type=Path))
@click.option("--agent", type=click.Path(path_type=Path), show_default="the embedded agent",
              help="Agent (.wmq) that plays both players of a world that draws.")  # fmt: skip
@click.option("--seed", default=1000, show_default=True, help="Of the first match.")
def main(model: Path, out: Path, agent: Path | None, seed: int) -> None:
    """Make a calibration set from a model's own rollouts."""
    sha256 = write_set(out, *play(model, agent, seed))
    click.echo(f"{out}: {MATCHES} matches of {KEPT} frames, sha256 {sha256}")


if __name__ == "__main__":
    main()
