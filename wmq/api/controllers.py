"""Check controllers as a caller gives them: integers, or names in natural units.

Arrays, mappings and names of sources come in; int32 rows of 26 values leave, Q15.16 as
`wmq.game.schema` defines them, checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wmq.errors import WmqError
from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16
from wmq.game.targets import PLAYERS
from wmq.rollout.controllers import AT_REST, BUTTONS, SIZE, press, to_q16

Pads = Mapping[str, Mapping[str, Any]]  # by player, then by control
Controllers = ArrayLike | Pads  # of one frame
NUMBERS = int | float | np.integer | np.floating
NAMES = tuple(f"{player} {name}" for player in PLAYERS for name in CONTROLLER_FIELDS)
BUTTON_PLACES = np.array([p * SIZE + k for p in (0, 1) for k in range(ANALOG_CONTROLS, SIZE)])
STICKS = {"main": 0, "c": 2}  # a pair in -1..1, as in a script; place of its x
FORMS = (
    "integers of shape (26,) or (2, 13), or names in natural units as "
    '{"p1": {"main": (1, 0), "A": 1}}'
)


def controller_row(given: Controllers) -> np.ndarray:
    """Return the controllers of one frame, int32 (26,).  Raises WmqError.

    An array of integers has 13 values a player, 0..65536 each, buttons 0 or 65536.  A mapping
    says what is held; all else is at rest.  It has "p1" and "p2", and for each the 13 names of
    the schema in 0..1 (0.5 is the centre of a stick), or "main" and "c" as (x, y) in -1..1.
    L, R and Z press the trigger as they do in the game, unless "trigger" is there too.
    """
    if isinstance(given, Mapping):
        return _from_names(given)
    row = _integers(given, f"controllers: give {FORMS}")
    if row.shape != (2 * SIZE,):
        raise WmqError(f"controllers: shape {np.shape(given)}; give {FORMS}")
    return row


def controller_rows(given: Any, worlds: bool) -> np.ndarray:
    """Return the controllers of many frames, int32 (n, 26), or (worlds, n, 26).  Raises WmqError.

    A frame's row is of any form that `controller_row` takes; of several worlds, each has a list.
    """
    if worlds and isinstance(given, Sequence):
        several = [controller_rows(one, False) for one in given]
        if len({len(rows) for rows in several}) != 1:
            raise WmqError("controllers: give one or more worlds, each with as many frames")
        return np.stack(several)
    form = "(worlds, frames, 26)" if worlds else "(frames, 26)"
    way_out = f"controllers: give integers of shape {form}, or a list with one entry a frame"
    if isinstance(given, Sequence) and any(isinstance(one, Mapping) for one in given):
        rows = np.stack([_row_at(n, one) for n, one in enumerate(given)])
    else:
        rows = _integers(given, way_out)
    if rows.ndim != (3 if worlds else 2) or not rows.size:
        raise WmqError(f"{way_out}; their shape is {np.shape(rows)}")
    return rows


def _row_at(place: int, given: Controllers) -> np.ndarray:
    try:
        return controller_row(given)
    except WmqError as error:
        raise WmqError(f"{error} (row {place})") from None


def _integers(given: Any, way_out: str) -> np.ndarray:
    """Make rows (.., 26) of an array whose last axes are 26 or 2 and 13, every value checked."""
    try:
        rows = np.asarray(given)
    except ValueError:
        raise WmqError(f"{way_out}; these have no one shape") from None
    if rows.dtype.kind not in "iu":
        raise WmqError(f"{way_out}; these are {rows.dtype}")
    if rows.shape[-2:] == (2, SIZE):
        rows = rows.reshape(*rows.shape[:-2], 2 * SIZE)
    if rows.shape[-1:] != (2 * SIZE,):
        raise WmqError(f"{way_out}; their shape is {rows.shape}")
    if rows.size and (rows.min() < 0 or rows.max() > Q16):
        raise _out_of_range(rows, (rows < 0) | (rows > Q16), f"an integer in 0..{Q16}")
    if (rows[..., BUTTON_PLACES] & (Q16 - 1)).any():
        between = np.zeros(rows.shape, bool)
        between[..., BUTTON_PLACES] = (rows[..., BUTTON_PLACES] & (Q16 - 1)) != 0
        raise _out_of_range(rows, between, f"a button, 0 or {Q16}")
    return np.ascontiguousarray(rows, np.int32)


def _out_of_range(rows: np.ndarray, wrong: np.ndarray, allowed: str) -> WmqError:
    """Make the error that names the first wrong value."""
    at = tuple(int(n) for n in np.argwhere(wrong)[0])
    where = f" (row {', '.join(map(str, at[:-1]))})" if at[:-1] else ""
    return WmqError(f"controllers: {NAMES[at[-1]]} is {rows[at]}{where}; give {allowed}")


def _from_names(given: Pads) -> np.ndarray:
    rows = np.tile(AT_REST, (2, 1))
    for player, held in given.items():
        if player not in PLAYERS:
            raise WmqError(f"controllers: unknown player {player!r}; give p1 or p2")
        if not isinstance(held, Mapping):
            raise WmqError(f"controllers: {player} is {held!r}; give the controls that are held, "
                           'as {"main": (1, 0), "A": 1}')  # fmt: skip
        number = PLAYERS.index(player)
        _hold(rows[number : number + 1], player, held)
    return rows.reshape(-1)


def _hold(row: np.ndarray, player: str, held: Mapping[str, Any]) -> None:
    """Write what a player holds to a row (1, 13); a named trigger counts before a pressed one."""
    analog = CONTROLLER_FIELDS[:ANALOG_CONTROLS]
    for name, value in held.items():
        where = f"controllers: {player} {name}"
        if name in BUTTONS:
            if not isinstance(value, NUMBERS | np.bool_) or value not in (0, 1):
                raise WmqError(f"{where} is {value!r}; give 0 or 1")
            if value:
                press(row, name)
        elif name in STICKS:
            at = STICKS[name]
            doubled = {f"{name}_x", f"{name}_y"} & set(held)
            if doubled:
                raise WmqError(f"{where} and {min(doubled)}: give one of them")
            row[0, at : at + 2] = [to_q16((v + 1) / 2) for v in _stick(value, where)]
        elif name not in analog:
            known = ", ".join((*STICKS, *CONTROLLER_FIELDS))
            raise WmqError(f"{where}: unknown control; choose from {known}")
    for at, name in enumerate(analog):
        if name in held:
            row[0, at] = to_q16(_number(held[name], 0, f"controllers: {player} {name}"))


def _stick(value: Any, where: str) -> list[Fraction]:
    if not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        raise WmqError(f"{where} is {value!r}; give (x, y), each a number in -1..1")
    return [_number(one, -1, where) for one in value]


def _number(value: Any, lo: int, where: str) -> Fraction:
    if not isinstance(value, NUMBERS) or not lo <= value <= 1:
        raise WmqError(f"{where} is {value!r}; give a number in {lo}..1")
    return Fraction(float(value))
