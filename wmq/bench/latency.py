"""How long a frame of a model takes here, frame by frame: the figure of `wmq info`."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from wmq.rollout.starts import match_start

if TYPE_CHECKING:
    from wmq.rollout.rollout import RolloutModel

WARM, TIMED = 10, 200  # frames
LONGEST = 0.5  # seconds after which no more frames are timed


def latency(model: RolloutModel) -> dict[str, Any]:
    """Time single frames of one world on one thread, of a model whose engine is compiled."""
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    worlds = model.worlds(1)
    pads = np.repeat(start.controllers[None, -1:], 2, axis=1)
    frame = start.given[None, -1:]
    seconds: list[float] = []
    until = time.perf_counter() + LONGEST
    while len(seconds) < WARM + TIMED:
        began = time.perf_counter()
        frame = worlds.advance(frame, pads, 1)
        seconds.append(time.perf_counter() - began)
        if len(seconds) > WARM and began > until:
            break
    timed = seconds[WARM:]
    return {"milliseconds": round(1000 * median(timed), 4), "frames": len(timed), "threads": 1}
