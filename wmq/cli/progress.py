"""Report progress on stderr: a bar in a terminal, a line now and then elsewhere.

What is done, out of how much, and the time left.  With --verbose, also the messages of the
logger "wmq".
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from wmq.cli.streams import say
from wmq.progress import Progress

FIRST_LINE, NEXT_LINES = 10.0, 30.0  # seconds
LOG = logging.getLogger("wmq")


def warn(text: str) -> None:
    """Print one line on stderr; the work goes on."""
    say(f"wmq: {text}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr, one line a title; if that is no terminal, a line now and then."""
    began: dict[str, float] = {}
    finished: set[str] = set()

    with _bar() if sys.stderr.isatty() else _lines() as show:

        def shown(what: str, done: int, total: int, note: str = "") -> None:
            began.setdefault(what, time.monotonic())
            show(what, done, total, note)
            if done >= total and what not in finished:
                finished.add(what)
                LOG.info("%s: %s in %.1f s", what, f"{total:,}", time.monotonic() - began[what])

        yield shown


@contextmanager
def _bar() -> Iterator[Progress]:
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


@contextmanager
def _lines() -> Iterator[Progress]:
    """A thread says where the work is, whether or not the work itself reports."""
    latest: list[tuple[str, int, int, str]] = []
    began: dict[str, tuple[float, int]] = {}  # title -> when it was first seen, and how far
    ended = Event()

    def show(what: str, done: int, total: int, note: str = "") -> None:
        began.setdefault(what, (time.monotonic(), done))
        latest[:] = [(what, done, total, note)]

    def speak() -> None:
        wait = FIRST_LINE
        while not ended.wait(wait):
            wait = NEXT_LINES
            for what, done, total, note in list(latest):
                say(progress_line(what, done, total, note, time.monotonic(), *began[what]))

    speaker = Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield show
    finally:
        ended.set()
        speaker.join()


def progress_line(
    what: str, done: int, total: int, note: str, now: float, began: float, first: int
) -> str:
    """Return the line at the time `now` of work that stood at `first` at the time `began`."""
    parts = [f"{what}: {done:,} of {total:,} ({100 * done // max(total, 1)} %)"]
    if first < done < total:
        parts.append(f"{_time((now - began) * (total - done) / (done - first))} left")
    return "wmq: " + ", ".join([*parts, *filter(None, [note])])


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


class _Messages(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"wmq: {self.format(record)}")


MESSAGES = _Messages()


def be_verbose(count: int) -> None:
    """Show the messages of INFO, for 1, or of DEBUG too; for 0 only warnings."""
    LOG.addHandler(MESSAGES)
    LOG.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(count, 2)])
