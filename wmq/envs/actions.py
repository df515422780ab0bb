"""Actions in natural units, and the integer controllers that they become.

An action is `{"analog": .., "buttons": ..}`: the sticks from -1 to 1 with 0 at rest and the
trigger from 0 to 1, read as float32, and eight buttons, 0 or 1.  A stick at v becomes
floor((v + 1) * 2^15 + 1/2), a trigger floor(v * 2^16 + 1/2); float64 computes both exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from wmq.errors import WmqError
from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16
from wmq.rollout.controllers import BUTTONS, CENTRE, PRESSED_TRIGGER, Z_TRIGGER

ANALOG = CONTROLLER_FIELDS[:ANALOG_CONTROLS]
TRIGGER = ANALOG.index("trigger")
LOWEST = np.array([-1.0] * TRIGGER + [0.0], np.float32)
HIGHEST = np.ones(ANALOG_CONTROLS, np.float32)
# The least that a held button makes of the trigger, Q15.16.
TRIGGERS = {"L": PRESSED_TRIGGER, "R": PRESSED_TRIGGER, "Z": Z_TRIGGER}
HELD = np.array([TRIGGERS.get(name, 0) for name in BUTTONS], np.int32)


def action_space() -> spaces.Dict:
    """Make the space of what one player can hold."""
    return spaces.Dict(
        {
            "analog": spaces.Box(LOWEST, HIGHEST, dtype=np.float32),
            "buttons": spaces.MultiBinary(len(BUTTONS)),
        }
    )


def controllers_of(action: Any, lead: tuple[int, ...] = (), who: str = "action") -> np.ndarray:
    """Return the integer controllers of an action, (*lead, 13) int32.  Raises WmqError.

    lead  () for one action, (n,) for a batch, whose arrays have n as their first dimension
    who   gave it, for the message
    """
    if not isinstance(action, Mapping) or set(action) != {"analog", "buttons"}:
        found = sorted(map(str, action)) if isinstance(action, Mapping) else type(action).__name__
        raise WmqError(f"{who}: a dictionary of analog and buttons is needed, not {found}")
    analog = _array(action["analog"], (*lead, ANALOG_CONTROLS), f"{who}: analog")
    buttons = _array(action["buttons"], (*lead, len(BUTTONS)), f"{who}: buttons")
    outside = ~((analog >= LOWEST) & (analog <= HIGHEST))
    _refuse(outside, analog, ANALOG, who, "outside of -1..1 (a stick) or 0..1 (the trigger)")
    _refuse((buttons != 0) & (buttons != 1), buttons, BUTTONS, who, "not 0 or 1")
    analog, buttons = analog.astype(np.float32).astype(np.float64), buttons.astype(np.int32)
    rows = np.empty((*lead, len(CONTROLLER_FIELDS)), np.int32)
    rows[..., :TRIGGER] = np.floor((analog[..., :TRIGGER] + 1) * CENTRE + 0.5)
    rows[..., ANALOG_CONTROLS:] = buttons * Q16
    pulled = np.floor(analog[..., TRIGGER] * Q16 + 0.5)
    rows[..., TRIGGER] = np.maximum(pulled, (buttons * HELD).max(axis=-1))
    return rows


def natural_controllers(rows: np.ndarray) -> np.ndarray:
    """Integer controllers (.., 13) in the units of an action, float32 and exact."""
    natural = (rows / Q16).astype(np.float32)
    natural[..., :TRIGGER] = natural[..., :TRIGGER] * 2 - 1
    return natural


def _array(given: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        found = np.asarray(given)
    except ValueError:  # lists of different lengths
        raise WmqError(f"{what}: not an array of shape {shape}") from None
    if found.dtype.kind not in "biuf" or found.shape != shape:
        raise WmqError(
            f"{what}: numbers of shape {shape} are needed, not {found.dtype} {found.shape}"
        )
    return found


def _refuse(
    bad: np.ndarray, values: np.ndarray, names: tuple[str, ...], who: str, why: str
) -> None:
    """Raise WmqError for the first bad value of an action, or of one in a batch."""
    if bad.any():
        *row, column = (int(axis[0]) for axis in np.nonzero(bad))
        of = f"{who} {row[0]}" if row else who
        value = values[(*row, column)]
        raise WmqError(f"{of}: {names[column]} is {value:g}, {why}")
