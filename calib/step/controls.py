"""The controller that an agent gives, as three draws: buttons with the c-stick, stick, trigger.

JSON out of a file comes in, trusted in nothing; `Controls` leave.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from calib.errors import CalibrationError
from calib.step.rules import converted

Q15_16 = Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
Row = tuple[Q15_16, ...]
Table = Annotated[tuple[Row, ...], msgspec.Meta(min_length=2, max_length=1024)]
PARTS = {  # draw -> the controls that its class sets
    "buttons": ("c_x", "c_y", "A", "B", "X", "Y", "Z", "L", "R", "D_UP"),
    "main": ("main_x", "main_y"),
    "trigger": ("trigger",),
}
DIMS = {"buttons": 32, "main": 16, "trigger": 4}  # widths of the classes' embeddings


class Controls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each class of a draw sets the controls of `PARTS` to, Q15.16 of 0..1."""

    buttons: Table
    main: Table
    trigger: Table

    def table(self, part: str) -> tuple[Row, ...]:
        """Give the rows of one draw, a row a class."""
        return getattr(self, part)


def controls_from_json(found: Any, names: tuple[str, ...]) -> Controls:
    """Check plain data out of a file; names: one player's controls.  Raises CalibrationError."""
    where = "wmq.schema: controls"
    controls = converted(found, Controls, where)
    for part, members in PARTS.items():
        if any(len(row) != len(members) for row in controls.table(part)):
            raise CalibrationError(f"{where}.{part}: a row has not {len(members)} numbers")
    drawn = sorted(name for members in PARTS.values() for name in members)
    if sorted(names) != drawn:
        raise CalibrationError(f"{where}: controllers are not the controls that are drawn")
    return controls
