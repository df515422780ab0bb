"""`wmq verify`: recompute a stored rollout, and compare."""

from __future__ import annotations

import json
import sys

import click

from wmq.cli.file_types import PROGRAM, ROLLOUT
from wmq.cli.models import compile_first, open_model
from wmq.cli.options import kernels_option, threads_option
from wmq.errors import WmqError


@click.command(name="verify", epilog="Example: wmq verify model.wmq minute.npz")
@click.argument("files", nargs=-1, required=True, type=ROLLOUT, metavar="[MODEL.wmq] ROLLOUT.npz")
@click.option("--agent1", type=PROGRAM, metavar="FILE",
              help="The agent that player 1 was, if it was not the embedded one.")  # fmt: skip
@click.option("--agent2", type=PROGRAM, metavar="FILE", help="The same of player 2.")
@threads_option
@kernels_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(files: tuple[str, ...], agent1: str | None, agent2: str | None, threads: int,
           kernels: str, as_json: bool) -> None:  # fmt: skip
    """Recompute a stored rollout; if it differs, name the first frame and exit with 1.

    ROLLOUT.npz is what `wmq rollout -o` wrote, on any machine.  Without MODEL.wmq, the
    embedded model.
    """
    from wmq.cli.progress import progress_bar
    from wmq.rollout.files import read_rollout
    from wmq.verification.recompute import check_model, open_played
    from wmq.verification.recompute import verify as verify_rollout

    if len(files) > 2:
        raise WmqError(f"{files[2]}: one model and one rollout at most")
    stored = read_rollout(files[-1])
    model = open_model(files[0] if len(files) == 2 else None, "int8", kernels)
    check_model(stored, model)
    agents = open_played(stored, (agent1, agent2), kernels)
    compile_first(model)
    with progress_bar() as progress:
        found = verify_rollout(stored, model, threads, progress, agents)
    first = found.first
    if as_json:
        facts = {
            "same": found.same,
            "frames": stored.frames.shape[1],
            "worlds": stored.frames.shape[0],
            "kernels": found.rollout.kernels,
            "model_sha256": model.sha256,
            "rollout_sha256": found.sha256,
            "worlds_that_differ": [d.world for d in found.differences],
            "worlds_changed_in_the_file": list(found.altered),
            "first_difference": None
            if first is None
            else {
                "world": first.world,
                "frame": first.frame,
                "field": first.field,
                "stored": first.stored,
                "computed": first.computed,
            },
        }
        click.echo(json.dumps(facts, indent=1))
    elif found.same:
        count = stored.frames.shape[0] * stored.frames.shape[1]
        click.echo(f"same: {count:,} frames, bit for bit\nrollout_sha256  {found.sha256}")
    else:
        if first is not None:
            click.echo(
                f"differs: world {first.world} first at frame {first.frame}, {first.field} is "
                f"{first.stored} in the file and {first.computed} here"
            )
        if found.altered:
            listed = ", ".join(map(str, found.altered[:10]))
            click.echo(
                f"changed: the frames in the file do not have its own hash (world {listed}); "
                "it was altered after it was written"
            )
    if not found.same:
        sys.exit(1)
