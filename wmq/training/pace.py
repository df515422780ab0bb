"""Decide by the clock when to save and validate: often enough, for a bounded share of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 0.05  # of the time, at most


class Pace:
    """Due every `seconds`, or less often where the work itself takes long."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.next = time.monotonic() + seconds

    def due(self) -> bool:
        return time.monotonic() >= self.next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around the work, whether it was due by the clock or for another reason."""
        started = time.monotonic()
        yield
        ended = time.monotonic()
        self.next = ended + max(self.seconds, (ended - started) / SHARE)
