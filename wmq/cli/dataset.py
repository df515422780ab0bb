"""`wmq dataset`: inspect a dataset, and split it again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wmq.cli.file_types import FOLDER
from wmq.cli.options import CommandGroup, counted, finite
from wmq.cli.progress import warn
from wmq.files.names import printable


@click.group(
    name="dataset", cls=CommandGroup, epilog="Example: wmq dataset split dataset --val-share 0.1"
)
def dataset() -> None:
    """Inspect a dataset, and move games between train and val."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@dataset.command(name="info", epilog="Example: wmq dataset info dataset")
@click.argument("data", type=FOLDER, metavar="DATASET")
@json_option
def info(data: str, as_json: bool) -> None:
    """Count what DATASET holds, and what its replays lack: refused, missing or clamped."""
    from wmq.dataset.census import census, census_lines
    from wmq.dataset.splits import empty_split
    from wmq.dataset.store import Dataset

    found = Dataset.open(data)
    facts = census(found.games, found.rejected)
    if as_json:
        left_out = {"rejected": len(found.rejected), "copies": len(found.copies)}
        click.echo(json.dumps({"dataset": printable(data)} | facts | left_out, indent=1))
    else:
        for line in census_lines(facts):
            click.echo(line)
        click.echo(total(data, facts))
    if warning := empty_split(found.games, data):
        warn(warning)


@dataset.command(name="split", epilog="Example: wmq dataset split dataset --val-share 0.1")
@click.argument("data", type=FOLDER, metavar="DATASET")
@click.option(
    "--val-share",
    type=click.FloatRange(0, 1),
    callback=finite,
    default=0.05,
    show_default=True,
    help="Share of the games for val.",
)
@json_option
def split(data: str, val_share: float, as_json: bool) -> None:
    """Put a share of the games of DATASET into val, all others into train.

    Reads no replay.  Games are chosen by content, the same on every machine; a split made by
    hand with `wmq prepare --split` is lost.
    """
    from wmq.dataset.census import census
    from wmq.dataset.splits import empty_split, split_again

    found, moved = split_again(Path(data), val_share, warn)
    facts = census(found.games, found.rejected)
    if as_json:
        click.echo(
            json.dumps(
                {"dataset": printable(data), "moved": moved, "games": facts["games"]}, indent=1
            )
        )
    else:
        click.echo(f"games moved: {moved}")
        click.echo(total(data, facts))
    if warning := empty_split(found.games, data):
        warn(warning)


def total(data: str, facts: dict) -> str:
    """Return the games of each split and the frames, as a line."""
    train, val = facts["games"]["train"], facts["games"]["val"]
    games = f"{counted(train + val, 'game')} ({train:,} train, {val:,} val)"
    return f"{printable(data)}: {games}, {facts['frames']:,} frames"
