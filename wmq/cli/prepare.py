"""`wmq prepare`: read replay files into a dataset."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.dataset import total
from wmq.cli.file_types import ANY_FILE, FOLDER
from wmq.cli.options import counted, finite
from wmq.cli.progress import progress_bar, warn
from wmq.cli.resume import resumable
from wmq.errors import WmqError
from wmq.files.names import printable
from wmq.memo.machine import cores

if TYPE_CHECKING:
    from wmq.dataset.prepare import Summary

LISTED = 100  # rejected files in the text output; --json has them all


@click.command(name="prepare", epilog="Example: wmq prepare ~/Slippi -o dataset")
@click.argument("paths", nargs=-1, required=True, type=ANY_FILE, metavar="PATH...")
@click.option(
    "-o", "out", required=True, type=FOLDER, metavar="DATASET", help="Folder of the dataset."
)
@click.option(
    "--split",
    type=click.Choice(["auto", "train", "val"]),
    default="auto",
    show_default=True,
    help="Split of new games; auto chooses by content.",
)
@click.option(
    "--val-share",
    type=click.FloatRange(0, 1),
    show_default="0.05",
    help="Approximate share of new games for val, with --split auto.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=cores,
    show_default="number of cores",
    help="Worker processes.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, max=86_400, min_open=True),
    default=60.0,
    callback=finite,
    show_default=True,
    help="Seconds of processor time for one file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every file.")
@click.option("--strict", is_flag=True, help="Exit with 1 if any file is rejected.")
def prepare(
    paths: tuple[str, ...],
    out: str,
    split: str,
    val_share: float | None,
    jobs: int,
    time_limit: float,
    as_json: bool,
    strict: bool,
) -> None:
    """Read .slp files and folders into a dataset.

    To resume an interrupted run, run the same command again.
    """
    from wmq.dataset.prepare import prepare_dataset
    from wmq.dataset.splits import VAL_SHARE, empty_split

    if split != "auto" and val_share is not None:
        raise WmqError(f"--val-share goes with --split auto, not {split}; leave one out")
    share = VAL_SHARE if val_share is None else val_share
    with resumable(), progress_bar() as progress:
        summary = prepare_dataset(paths, Path(out), split, jobs, time_limit, progress, warn, share)
    if as_json:
        click.echo(json.dumps(_plain(summary, out), indent=1))
    else:
        _print(summary, out)
    if not summary.games:
        raise WmqError(f"{out}: no usable game; the reasons are listed above")
    if warning := empty_split(summary.games, out):
        warn(warning)
    if strict and summary.rejected:
        sys.exit(1)


def _plain(summary: Summary, out: str) -> dict:
    from wmq.dataset.census import census

    facts = census(summary.games, summary.rejected)
    return {
        "dataset": printable(out),
        "files": summary.files,
        "added": summary.added,
        "present": summary.present,
        **facts,
        "rejected": [asdict(r) for r in summary.rejected],
        "duplicates": [{"name": name, "same_as": same} for name, same in summary.duplicates],
        "copies": [{"name": name, "same_match_as": sha256} for name, sha256 in summary.copies],
        "other_split": [{"name": name, "split": split} for name, split in summary.elsewhere],
        "damaged": list(summary.damaged),
        "unfinished": summary.unfinished,
    }


def _print(summary: Summary, out: str) -> None:
    from wmq.dataset.census import census_lines

    facts, shown = _plain(summary, out), printable(out)
    _list("rejected", [f"{r.name}: {r.reason}" for r in summary.rejected])
    _list("same content", [f"{name}: as {same}" for name, same in summary.duplicates])
    _list("same match", [f"{name}: as the game {sha256}" for name, sha256 in summary.copies])
    _list("damaged shard, its replay was not given", list(summary.damaged))
    _list("kept in the other split", [f"{name}: {split}" for name, split in summary.elsewhere])
    if summary.elsewhere:
        again = f"wmq dataset split {shlex.quote(shown)}"
        click.echo(f"games stay in their split; `{again}` splits all again")
    if summary.unfinished:
        click.echo(
            f"read by an interrupted run, not in the dataset yet: {summary.unfinished}; run its "
            "command again"
        )
    for line in census_lines(facts):
        click.echo(line)
    click.echo(
        f"{counted(facts['files'], 'file')}: {counted(facts['added'], 'game')} added, "
        f"{facts['present']:,} already there, {len(facts['rejected']):,} rejected, "
        f"{counted(len(facts['duplicates']) + len(facts['copies']), 'duplicate')}"
    )
    click.echo(total(out, facts))


def _list(title: str, lines: list[str]) -> None:
    for line in lines[:LISTED]:
        click.echo(f"{title}: {line}")
    if len(lines) > LISTED:
        click.echo(f"{title}: {len(lines) - LISTED} more; --json lists them all")
