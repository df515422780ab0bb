"""Turn Ctrl-C and SIGTERM into a request to stop after the current step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NOTICE = "wmq: finishing the step and saving; once more to stop at once\n"


@contextmanager
def stop_requested() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the first signal's number, 0 before it.

    A second signal raises KeyboardInterrupt.  A signal that is ignored, as SIGINT is by
    background jobs of a shell, stays so.
    """
    found = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal found
        if found:
            raise KeyboardInterrupt
        found = number
        with suppress(OSError):  # not through sys.stderr, which may be in the middle of a write
            os.write(2, ("\n" * os.isatty(2) + NOTICE).encode())

    handled = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield lambda: found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
