"""Quantize a player's controller to the classes that an agent draws, and back.

`controls.json` holds the classes, by `wmq.rollout.make_controls`: every combination of buttons and
c-stick of the training games, 85 places of the main stick, and 6 of the trigger.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from calib.step.controls import PARTS, Controls
from wmq.game.names import CONTROLLER_FIELDS

TABLE = Path(__file__).with_name("controls.json")
DIRECTIONS = 8  # of the c-stick, besides its rest
REST = 1 << 15  # of a stick, Q15.16
C_STICK_FROM = 0.25  # of its way: nearer to the rest it counts as at rest


@cache
def controls() -> Controls:
    """Read the classes of this program."""
    return msgspec.convert(json.loads(TABLE.read_text("utf-8")), Controls)


@cache
def _columns(part: str) -> list[int]:
    return [CONTROLLER_FIELDS.index(name) for name in PARTS[part]]


def control_classes(pads: np.ndarray) -> np.ndarray:
    """Find the class of each draw, (.., 3) int64; pads (.., 13) int32 Q15.16.

    The nearest class of sticks and trigger; buttons in a combination that the table lacks count
    as the one that shares most of them.
    """
    flat = pads.reshape(-1, pads.shape[-1])
    found = [_nearest(part, flat[:, _columns(part)]) for part in PARTS]
    return np.stack(found, axis=1).reshape(*pads.shape[:-1], len(PARTS))


def control_pads(classes: np.ndarray) -> np.ndarray:
    """Make controllers (.., 13) int32 Q15.16 of classes (.., 3)."""
    pads = np.zeros((*classes.shape[:-1], len(CONTROLLER_FIELDS)), np.int32)
    for column, part in enumerate(PARTS):
        pads[..., _columns(part)] = np.array(controls().table(part))[classes[..., column]]
    return pads


def _nearest(part: str, values: np.ndarray) -> np.ndarray:
    distinct, which = np.unique(values, axis=0, return_inverse=True)
    rows = np.array(controls().table(part), dtype=np.float64)
    wanted = distinct.astype(np.float64)
    if part == "buttons":
        wanted[:, :2] = c_stick_places(distinct[:, :2])
    best = np.empty(len(distinct), np.int64)
    for first in range(0, len(distinct), 512):
        cut = slice(first, first + 512)
        best[cut] = ((wanted[cut, None] - rows) ** 2).sum(2).argmin(1)
    return best[which.ravel()]


def c_stick_places(values: np.ndarray) -> np.ndarray:
    """Move a c-stick, (n, 2) Q15.16, to its rest or to the rim in one of eight directions."""
    way = (values - REST) / REST
    turns = np.rint(np.arctan2(way[:, 1], way[:, 0]) / (2 * np.pi / DIRECTIONS)) % DIRECTIONS
    angle = turns * (2 * np.pi / DIRECTIONS)
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rim = np.where(np.hypot(*way.T)[:, None] < C_STICK_FROM, 0, rim)
    return np.floor(REST + rim * REST + 0.5)
