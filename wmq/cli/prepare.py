"""`wmq prepare`: replay files to a dataset."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.progress import progress_bar, warn
from wmq.errors import WmqError
from wmq.file_names import printable

if TYPE_CHECKING:
    from wmq.prepare import Summary

LISTED = 100  # rejected files in the text output; --json has them all


@click.command(name="prepare", epilog="Example: wmq prepare ~/Slippi -o dataset")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "out", required=True, metavar="DATASET", help="Folder of the dataset.")
@click.option(
    "--split",
    type=click.Choice(["auto", "train", "val"]),
    default="auto",
    show_default=True,
    help="Split of new games; auto puts 5 % into val, by content.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
    show_default="number of cores",
    help="Worker processes.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds of processor time for one file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every file.")
@click.option("--strict", is_flag=True, help="Exit with 1 if any file is rejected.")
def prepare(
    paths: tuple[str, ...],
    out: str,
    split: str,
    jobs: int,
    time_limit: float,
    as_json: bool,
    strict: bool,
) -> None:
    """Read .slp files and folders into a dataset; an interrupted run is resumed."""
    from wmq.prepare import prepare_dataset

    try:
        with progress_bar() as progress:
            summary = prepare_dataset(paths, Path(out), split, jobs, time_limit, progress, warn)
    except KeyboardInterrupt:
        click.echo("wmq: interrupted; run the same command again to go on", err=True)
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(_plain(summary, out), indent=1))
    else:
        _print(summary, out)
    if not summary.games:
        raise WmqError(f"{out}: no usable game; the reasons are listed above")
    if strict and summary.rejected:
        sys.exit(1)


def _plain(summary: Summary, out: str) -> dict:
    splits = [info.split for info in summary.games]
    return {
        "dataset": printable(out),
        "files": summary.files,
        "added": summary.added,
        "present": summary.present,
        "games": {split: splits.count(split) for split in ("train", "val")},
        "frames": sum(info.frames for info in summary.games),
        "rejected": [asdict(r) for r in summary.rejected],
        "duplicates": [{"name": name, "same_as": same} for name, same in summary.duplicates],
        "other_split": [{"name": name, "split": split} for name, split in summary.elsewhere],
        "damaged": list(summary.damaged),
    }


def _print(summary: Summary, out: str) -> None:
    facts = _plain(summary, out)
    _list("rejected", [f"{r.name}: {r.reason}" for r in summary.rejected])
    _list("same content", [f"{name}: as {same}" for name, same in summary.duplicates])
    _list("damaged shard, its replay was not given", list(summary.damaged))
    _list("kept in the other split", [f"{name}: {split}" for name, split in summary.elsewhere])
    click.echo(
        f"{facts['files']} files: {facts['added']} games added, {facts['present']} already there, "
        f"{len(facts['rejected'])} rejected, {len(facts['duplicates'])} duplicates"
    )
    click.echo(
        f"{facts['dataset']}: {len(summary.games)} games ({facts['games']['train']} train, "
        f"{facts['games']['val']} val), {facts['frames']:,} frames"
    )


def _list(title: str, lines: list[str]) -> None:
    for line in lines[:LISTED]:
        click.echo(f"{title}: {line}")
    if len(lines) > LISTED:
        click.echo(f"{title}: {len(lines) - LISTED} more; --json lists them all")
