"""The progress bar of all commands: what is done, out of how much, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click


class Progress(Protocol):
    """Called with a title, the work done and in all, and a short note for people."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None: ...


def warn(text: str) -> None:
    """One line on stderr; the work goes on."""
    click.echo(f"wmq: {text}", err=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr, one line a title, or nothing if that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, total, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, note=note)
            bar.update(tasks[what], completed=done, total=total, note=note)

        yield show
