"""The rules of a frame update: what the game decides by itself, whatever a network says.

JSON out of a file comes in, trusted in nothing; `Rules` leave.  `docs/frames.md` says on how
many frames of real games each rule holds.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from calib.errors import CalibrationError

SIDES = 4  # left, right, bottom, top
Int32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Count32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
Class = Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 15) - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
T = TypeVar("T")
Sides = tuple[Int32, Int32, Int32, Int32]


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action that nothing ends before its state_age is `last`; then `following` begins."""

    action: Class
    last: Count
    following: Class


class Strike(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stock is lost when the action has this state_age, and at no other time."""

    action: Class
    age: Count


class Blast(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a stage ends, and what happens there.

    ends      stage -> Q15.16 game units
    fates     side -> the action that begins beyond it
    immune    actions during which nothing happens there
    top       actions during which the top counts, and only with speed_attack_y >= push (Q15.16)
    stopped   neighbouring fields that are 0 on the frame on which a fate begins
    """

    ends: tuple[Sides, ...]
    fates: tuple[Class, Class, Class, Class]
    immune: tuple[Class, ...]
    top: tuple[Class, ...]
    push: Int32
    stopped: tuple[Name, ...]


class Ground(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who stands on this ground of a stage is between these ends, and at this height if any.

    left, right, height  Q15.16 game units
    """

    stage: Class
    ground: Class
    left: Int32
    right: Int32
    height: Int32 | None


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Players on the ground, and numbers that stand still.

    overhang  how far beyond a ground's ends a player may stand, Q15.16
    reach     how far from a height the predicted place of who stands may be, Q15.16
    least     field -> a speed nearer to 0 is 0, Q15.16 units a frame
    drift     a residual of a place nearer to 0 is 0, Q15.16 units
    """

    grounds: tuple[Ground, ...]
    overhang: Count32
    reach: Count32
    least: dict[Name, Count32]
    drift: Count32


class Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How fast a character is in one kind of actions, Q15.16 units a frame.

    friction  what slows him; twice as much above the speed `walk`
    most      the speed that a full stick asks for
    slope, base  what he gains a frame: slope times the stick, and base
    """

    friction: Count32
    walk: Count32
    most: Count32
    slope: Count32
    base: Count32


class Steering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How speed_air_x follows the stick, by kinds of actions: in the air, and on the ground.

    modes        character -> kind -> speeds
    loose, held  kind -> the actions that are of it in the air, and on the ground; in others the
                 speed stays
    """

    modes: tuple[tuple[Mode, ...], ...]
    loose: tuple[tuple[Class, ...], ...]
    held: tuple[tuple[Class, ...], ...]


class Motion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What speeds do by themselves outside hitlag: heads predict what differs from it.

    drift       how own speeds follow the stick
    gravity     character -> what speed_y falls by in the air, Q15.16 units a frame
    terminal    character -> the speed at which it stops to; who falls faster goes on as he does
    weightless  actions in which nobody falls
    fade        what the length of knockback loses in the air, Q15.16 units a frame
    steady      field -> a difference nearer to 0 is none, Q15.16 units a frame
    """

    drift: Steering
    gravity: tuple[Count32, ...]
    terminal: tuple[Count32, ...]
    weightless: tuple[Class, ...]
    fade: Count32
    steady: dict[Name, Count32]


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who was above the level does not come below it between these ends; all Q15.16 units."""

    left: Int32
    right: Int32
    level: Int32


class Footing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an action says of the ground, and the ground of the action.

    grounded, airborne  actions that are always on the ground, and never
    fall                what becomes of the former where there is no ground; who was in another
                        action goes on with it
    floors              stage -> its floor
    """

    grounded: tuple[Class, ...]
    airborne: tuple[Class, ...]
    fall: Class
    floors: tuple[Floor, ...]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """rises   of percent, Q15.16, by the class drawn; that of class 0 is 0"""

    rises: Annotated[tuple[Int32, ...], msgspec.Meta(min_length=2, max_length=1024)]
    clocks: tuple[Clock, ...]
    strikes: tuple[Strike, ...]
    blast: Blast
    standing: Standing
    motion: Motion
    footing: Footing

    @property
    def ruled(self) -> frozenset[int]:
        """Actions that begin and end by rule alone, so that they are never drawn."""
        return frozenset(clock.action for clock in self.clocks) | frozenset(self.blast.fates)


def converted(found: Any, kind: type[T], where: str) -> T:
    """Convert plain data of a file; no float is an integer.  Raises CalibrationError."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise CalibrationError(f"{where}: {str(error)[:200]}") from None


def rules_from_json(found: Any, stages: int) -> Rules:
    """Check plain data out of a file.  Raises CalibrationError with the path into it."""
    where = "wmq.schema: rules"
    rules = converted(found, Rules, where)
    if rules.rises[0] != 0 or list(rules.rises) != sorted(rules.rises):
        raise CalibrationError(f"{where}.rises do not begin with 0, or are not in order")
    if len(rules.blast.ends) != stages:
        raise CalibrationError(f"{where}.blast.ends is not a list with a row for each stage")
    for left, right, bottom, top in rules.blast.ends:
        if left > right or bottom > top:
            raise CalibrationError(f"{where}.blast.ends: an end lies before its beginning")
    if len(rules.footing.floors) != stages:
        raise CalibrationError(f"{where}.footing.floors is not a list with a row for each stage")
    if any(ground.stage >= stages for ground in rules.standing.grounds):
        raise CalibrationError(f"{where}.standing.grounds: a stage is beyond the schema's")
    return rules


def rules_to_json(rules: Rules) -> dict[str, Any]:
    """Convert to plain data of lists and objects; `rules_from_json` takes it back."""
    return msgspec.json.decode(msgspec.json.encode(rules))
