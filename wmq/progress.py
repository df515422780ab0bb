"""How long work tells its caller how far it is."""

from __future__ import annotations

import threading
from typing import Protocol


class Progress(Protocol):
    """Called with a title, the work done and in all, and a short note for people."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None: ...


def silent(what: str, done: int, total: int, note: str = "") -> None:
    """The Progress that shows nothing."""


class Counter:
    """Work done, reported to a Progress from any thread."""

    def __init__(self, progress: Progress, what: str, total: int):
        self.progress, self.what, self.total = progress, what, total
        self.done, self.lock = 0, threading.Lock()

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            self.progress(self.what, self.done, self.total)
