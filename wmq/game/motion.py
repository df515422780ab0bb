"""Compute what a player's speeds and places do by themselves, before heads say what differs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from calib.step.rules import Motion
from wmq.game.schema import Schema

OWN, KNOCKBACK = ("speed_air_x", "speed_y"), ("speed_attack_x", "speed_attack_y")


def carried(
    schema: Schema, now: np.ndarray, after: np.ndarray, player: int
) -> dict[str, np.ndarray]:
    """Compute the speeds of the next frame if nothing acts on a player, (T,) int64 Q15.16 each.

    In the air gravity pulls speed_y and knockback fades, but not in the next frame's hitlag;
    gravity spares its weightless actions too.  A speed that is not named stays as it is.

    now    (T, frame_size) int32
    after  (T, frame_size) int32, of which hitlag and action are read
    """
    assert schema.rules is not None
    motion = schema.rules.motion

    def read(frames: np.ndarray, name: str) -> np.ndarray:
        return frames[:, schema.index(name, player)].astype(np.int64)

    free = (read(after, "hitlag") == 0) & (read(now, "on_ground") == 0)
    gravity, terminal, weighs = _tables(schema)
    character = np.clip(read(now, "character"), 0, len(gravity) - 1)
    speed, most = read(now, OWN[1]), terminal[character]
    pulled = free & weighs[read(after, "action")] & (speed >= -most)
    speeds = {OWN[1]: np.where(pulled, np.maximum(speed - gravity[character], -most), speed)}
    push = [read(now, name) for name in KNOCKBACK]
    length = _isqrt(push[0] ** 2 + push[1] ** 2)
    left = np.maximum(length - motion.fade, 0)
    for name, part in zip(KNOCKBACK, push, strict=True):
        faded = (2 * part * left + length) // np.maximum(2 * length, 1)
        speeds[name] = np.where(free, faded, part)
    return speeds


def travelled(schema: Schema, frames: np.ndarray, player: int) -> np.ndarray:
    """Compute the way of a frame by its own speeds, (T, 2) Q15.16 game units: x, y.

    0 in hitlag, in which the game stands still.  frames (T, frame_size) int32
    """
    columns = [[schema.index(name, player) for name in names] for names in (OWN, KNOCKBACK)]
    still = frames[:, schema.index("hitlag", player), None] > 0
    return np.where(still, 0, frames[:, columns[0]] + frames[:, columns[1]])


def _isqrt(squares: np.ndarray) -> np.ndarray:
    """Compute floor(sqrt(n)) of (T,) int64 below 2^52, where float64 is off by less than 1."""
    root = np.sqrt(squares).astype(np.int64)
    root -= root * root > squares
    return root + ((root + 1) ** 2 <= squares)


@lru_cache(maxsize=2)
def _tables(schema: Schema) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gravity and terminal speed by character, and whether an action leaves a player his weight."""
    assert schema.rules is not None
    motion: Motion = schema.rules.motion
    weighs = np.ones(schema.fields[schema.index("action")].classes, bool)
    weighs[list(motion.weightless)] = False
    return np.array(motion.gravity), np.array(motion.terminal), weighs
