"""Compute what a player's speeds and places do by themselves, before heads say what differs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np

from wmq.game.names import CONTROLLER_FIELDS
from wmq.game.schema import Q16, Schema

SIZE, STICK = len(CONTROLLER_FIELDS), CONTROLLER_FIELDS.index("main_x")

OWN, KNOCKBACK = ("speed_air_x", "speed_y"), ("speed_attack_x", "speed_attack_y")


def carried(schema: Schema, now: np.ndarray, after: np.ndarray, pads: np.ndarray,
            player: int) -> dict[str, np.ndarray]:  # fmt: skip
    """Compute the speeds of the next frame if nothing acts on a player, (T,) int64 Q15.16 each.

    The stick and friction change speed_air_x, gravity pulls speed_y in the air, and knockback
    fades there; nothing does in the next frame's hitlag.  A speed that is not named stays.

    now    (T, frame_size) int32
    after  (T, frame_size) int32, of which hitlag and action are read
    pads   (T, 26) int32, the controllers that lead to `after`
    """
    assert schema.rules is not None

    def read(frames: np.ndarray, name: str) -> np.ndarray:
        return frames[:, schema.index(name, player)].astype(np.int64)

    motion, tables = schema.rules.motion, _tables(schema)
    moves, grounded, action = (
        read(after, "hitlag") == 0,
        read(now, "on_ground"),
        read(after, "action"),
    )
    free = moves & (grounded == 0)
    character = np.clip(read(now, "character"), 0, len(tables.gravity) - 1)

    kind = np.where(grounded == 0, tables.loose[action], tables.held[action])
    steered = _steered(read(now, OWN[0]), pads[:, player * SIZE + STICK].astype(np.int64),
                       tables.modes[character, kind])  # fmt: skip
    speeds = {OWN[0]: np.where(moves & (kind >= 0), steered, read(now, OWN[0]))}
    speed, most = read(now, OWN[1]), tables.terminal[character]
    pulled = free & tables.weighs[action] & (speed >= -most)
    fallen = np.maximum(speed - tables.gravity[character], -most)
    speeds[OWN[1]] = np.where(pulled, fallen, speed)
    push = [read(now, name) for name in KNOCKBACK]
    length = _isqrt(push[0] ** 2 + push[1] ** 2)
    left = np.maximum(length - motion.fade, 0)
    for name, part in zip(KNOCKBACK, push, strict=True):
        faded = (2 * part * left + length) // np.maximum(2 * length, 1)
        speeds[name] = np.where(free, faded, part)
    return speeds


def ground_speed(schema: Schema, after: np.ndarray, player: int) -> np.ndarray:
    """Give speed_ground_x as speed_air_x and on_ground of a frame have it, (T,) int32 Q15.16."""
    grounded, own = (after[:, schema.index(name, player)] for name in ("on_ground", OWN[0]))
    return np.where(grounded != 0, own, 0)


def _steered(speed: np.ndarray, stick: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Slow or quicken speeds (T,) by sticks (T,) from 0 to 2^16; modes (T, 5) as in `Mode`."""
    friction, walk, most, slope, base = modes.T
    way = np.clip(2 * stick - Q16, -Q16, Q16)
    asked = _rounded(most * way)
    slows = np.where(np.abs(speed) <= walk, friction, 2 * friction)
    slow = np.sign(speed) * np.maximum(np.abs(speed) - slows, 0)
    quick = speed + _rounded(slope * way) + np.sign(way) * base
    there = (np.sign(quick) == np.sign(way)) & (np.abs(quick) > np.abs(asked))
    too_fast = (np.sign(speed) == np.sign(way)) & (np.abs(speed) > np.abs(asked))
    slowed = np.where(np.abs(slow) < np.abs(asked), asked, slow)
    return np.select((way == 0, too_fast, there), (slow, slowed, asked), quick)


def _rounded(product: np.ndarray) -> np.ndarray:
    return (product + Q16 // 2) >> 16


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


@dataclass(frozen=True)
class _Tables:
    """gravity, terminal by character; modes (characters, kinds, 5); by action: whether it leaves
    a player his weight, and its kind in the air and on the ground, -1 for none."""

    gravity: np.ndarray
    terminal: np.ndarray
    modes: np.ndarray
    weighs: np.ndarray
    loose: np.ndarray
    held: np.ndarray


@lru_cache(maxsize=2)
def _tables(schema: Schema) -> _Tables:
    assert schema.rules is not None
    motion = schema.rules.motion
    actions = schema.fields[schema.index("action")].classes
    weighs = np.ones(actions, bool)
    weighs[list(motion.weightless)] = False
    kinds = []
    for place in (motion.drift.loose, motion.drift.held):
        kinds.append(np.full(actions, -1))
        for kind, members in enumerate(place):
            kinds[-1][list(members)] = kind
    modes = np.array(
        [[msgspec.structs.astuple(mode) for mode in row] for row in motion.drift.modes]
    )
    return _Tables(np.array(motion.gravity), np.array(motion.terminal), modes, weighs, *kinds)
