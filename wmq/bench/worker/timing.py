"""One measurement: warm up, find out how many steps fill the time, take the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from wmq.bench.worker.messages import Answer

WARM = 2  # steps first: both sets of buffers are touched, and what compiles has compiled
PILOT = 0.2  # of the time: how long a first measurement lasts, which is thrown away


def measured(advance: Callable[[int], object], amount: float, seconds: float,
             least: int = 1) -> Answer:  # fmt: skip
    """Time `advance(steps)` over about `seconds`, `least` steps or more.

    amount  what one step does
    """
    advance(WARM)
    steps = 1
    while True:
        spent = _seconds(advance, steps)
        if spent >= PILOT * seconds:
            break
        steps *= 2
    steps = max(least, math.ceil(steps * seconds / spent))
    return Answer(amount * steps, _seconds(advance, steps))


def _seconds(advance: Callable[[int], object], steps: int) -> float:
    began = time.perf_counter()
    advance(steps)
    return max(time.perf_counter() - began, 1e-9)
