"""What all rows play: matches of many stages and characters, with random controllers."""

from __future__ import annotations

import numpy as np

from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import Schema
from wmq.rollout.controllers import SIZE, random_controllers
from wmq.rollout.starts import match_start

LENGTH = 256  # frames of controllers, which then begin again
DISTINCT = 32  # worlds with controllers of their own


def ports(schema: Schema, worlds: int) -> tuple[np.ndarray, np.ndarray]:
    """Make what an integer program is fed with at first, and what it is given, LENGTH rows of it.

    A world: frames (worlds, frame_size) and controllers (worlds, LENGTH, 26).  An agent: his own
    controllers (worlds, 13) and frames (worlds, LENGTH, frame_size), always the first one.
    """
    frames, pads = beginnings(schema, worlds)
    if not schema.agent:
        return frames, pads
    return pads[:, 0, :SIZE], np.repeat(frames[:, None], LENGTH, axis=1)


def beginnings(schema: Schema, worlds: int) -> tuple[np.ndarray, np.ndarray]:
    """Make first frames (worlds, frame_size) and controllers (worlds, LENGTH, 26), both int32."""
    stages, names = list(STAGES), list(CHARACTERS)
    count = min(worlds, DISTINCT)
    frames, pads = [], []
    for number in range(count):
        characters = names[number % len(names)], names[(number + 7) % len(names)]
        stage = stages[number % len(stages)]
        frames.append(match_start(schema, stage, characters).given[0])
        both = [random_controllers(LENGTH, player, number) for player in (0, 1)]
        pads.append(np.concatenate(both, axis=1))
    again = np.arange(worlds) % count
    return np.stack(frames)[again], np.stack(pads)[again]
