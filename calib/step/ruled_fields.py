"""Check that the fields of a frame, their heads and updates, and the rules suit one another.

A schema out of a file may hold any of them alone; what the lowering takes for granted is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from calib.errors import CalibrationError
from calib.step.rules import Rules, Steering

if TYPE_CHECKING:
    from calib.step.schema import Field, Rebirth

NUMBER_HEADS = ("continuous", "velocity", "dynamics")  # standardized by an offset and a scale
UPDATES = {  # update -> the heads that it goes with
    "add": NUMBER_HEADS,
    "round": NUMBER_HEADS,
    "round_falling": NUMBER_HEADS,
    "sign": ("binary",),
    "argmax": ("classes",),
    "age": ("",),
    "keep": ("",),
    "draw": ("draw",),
    "hit": ("draw",),
    "move": NUMBER_HEADS,
    "down": NUMBER_HEADS,
    "strike": ("",),
}
OF_CLASSES = ("argmax", "age", "draw")
RULED = ("draw", "hit", "move", "down", "strike")  # updates that need rules
RULE_FIELDS = {  # field -> its update and kind
    "percent": ("hit", "fixed"),
    "x": ("move", "fixed"),
    "y": ("move", "fixed"),
    "speed_air_x": ("add", "fixed"),
    "speed_y": ("add", "fixed"),
    "speed_attack_x": ("add", "fixed"),
    "speed_attack_y": ("add", "fixed"),
    "hitlag": ("down", "whole"),
    "stocks": ("strike", "whole"),
    "action": ("draw", "class"),
    "state_age": ("age", "class"),
    "on_ground": ("sign", "bit"),
    "ground": ("argmax", "class"),
    "character": ("keep", "class"),
    "speed_ground_x": ("add", "fixed"),
}
NEIGHBOURS = (("x", "y"), ("speed_air_x", "speed_y"), ("speed_attack_x", "speed_attack_y"))
WHERE, STICK = "wmq.schema", "main_x"


def check_heads(fields: Iterable[Field]) -> None:
    """Demand that each update has a head and a kind that it goes with.  Raises CalibrationError."""
    for field in fields:
        if field.head not in UPDATES[field.update]:
            raise CalibrationError(f"{WHERE}: the update {field.update} of {field.name} does not "
                                   f"go with the head {field.head!r}")  # fmt: skip
        if field.update != "keep" and (field.kind == "class") != (field.update in OF_CLASSES):
            raise CalibrationError(f"{WHERE}: the update {field.update} of {field.name} does not "
                                   f"go with the kind {field.kind}")  # fmt: skip


def check_rules(fields: tuple[Field, ...], rebirth: Rebirth, rules: Rules | None,
                controllers: tuple[str, ...]) -> None:  # fmt: skip
    """Demand rules where an update needs them, and what rules need.  Raises CalibrationError."""
    if rules is None:
        for field in fields:
            if field.update in RULED:
                raise CalibrationError(f"{WHERE}: the update of {field.name} needs rules")
        return
    if STICK not in controllers:
        raise CalibrationError(f"{WHERE}: rules need the controller {STICK}")
    named = {field.name: field for field in fields}
    for name, (update, kind) in RULE_FIELDS.items():
        if name not in named:
            raise CalibrationError(f"{WHERE}: rules need the field {name}")
        if (named[name].update, named[name].kind) != (update, kind):
            raise CalibrationError(
                f"{WHERE}: rules need {name} to have the update {update} and the kind {kind}"
            )
    for field in fields:
        if field.update in RULED and field.name not in RULE_FIELDS:
            raise CalibrationError(f"{WHERE}: no rule updates {field.name} by {field.update}")
    names = list(named)
    for one, other in NEIGHBOURS:
        if names.index(other) != names.index(one) + 1 or named[one].head != named[other].head:
            raise CalibrationError(f"{WHERE}: rules need {one} and {other} as neighbours of a head")
        if (one in rebirth.fields) != (other in rebirth.fields):
            raise CalibrationError(f"{WHERE}: rebirth.fields part {one} from {other}")
    _check_settled(named, rebirth, rules)
    _check_actions(named, rebirth, rules)
    _check_standing(named, rules)
    _check_motion(named, rules)


def _check_settled(named: Mapping[str, Field], rebirth: Rebirth, rules: Rules) -> None:
    """Demand that the last of the fields that a rebirth sets are those that a death stops."""
    for name in rebirth.fields:
        if named[name].head in ("", "classes") or named[name].kind == "class":
            raise CalibrationError(f"{WHERE}: rebirth.fields hold {name}, which has no number")
    stopped = rules.blast.stopped
    for name in stopped:
        if name not in named:
            raise CalibrationError(f"{WHERE}: rules.blast.stopped: no field {ascii(name)}")
    if not stopped or stopped != rebirth.fields[-len(stopped) :]:
        raise CalibrationError(f"{WHERE}: rules.blast.stopped are not the last of rebirth.fields")
    if "y" in stopped:
        raise CalibrationError(f"{WHERE}: rules.blast.stopped hold y, and a place does not stop")


def _check_actions(named: Mapping[str, Field], rebirth: Rebirth, rules: Rules) -> None:
    """Demand actions that there are, and ages that are reached."""
    blast, classes, oldest = rules.blast, named["action"].classes, named["state_age"].hi
    actions = {
        "clocks": [action for c in rules.clocks for action in (c.action, c.following)],
        "strikes": [strike.action for strike in rules.strikes],
        "blast": [*blast.fates, *blast.immune, *blast.top],
        "motion": [*rules.motion.weightless, *_kinds(rules.motion.drift)],
        "footing": [*rules.footing.grounded, *rules.footing.airborne, rules.footing.fall],
    }
    for part, found in actions.items():
        if found and max(found) >= classes:
            raise CalibrationError(f"{WHERE}: rules.{part}: there is no action {max(found)}")
    if rebirth.action >= classes:
        raise CalibrationError(f"{WHERE}: rebirth.action: there is no action {rebirth.action}")
    ages = {
        "clocks": [(clock.action, clock.last) for clock in rules.clocks],
        "strikes": [(strike.action, strike.age) for strike in rules.strikes],
    }
    for part, pairs in ages.items():
        if len(dict(pairs)) < len(pairs):
            raise CalibrationError(f"{WHERE}: rules.{part}: an action occurs twice")
        for action, age in pairs:
            if age > oldest:
                raise CalibrationError(
                    f"{WHERE}: rules.{part}: action {action} never has the state_age {age}"
                )


def _kinds(drift: Steering) -> list[int]:
    return [action for place in (drift.loose, drift.held) for kind in place for action in kind]


def _check_standing(named: Mapping[str, Field], rules: Rules) -> None:
    """Demand grounds that there are, and speeds that are predicted."""
    standing, classes = rules.standing, named["ground"].classes
    for ground in standing.grounds:
        if ground.ground >= classes:
            raise CalibrationError(
                f"{WHERE}: rules.standing.grounds: there is no ground {ground.ground}"
            )
    for part, speeds in (
        ("standing.least", standing.least),
        ("motion.steady", rules.motion.steady),
    ):
        for name in speeds:
            if name not in named or (named[name].update, named[name].kind) != ("add", "fixed"):
                raise CalibrationError(f"{WHERE}: rules.{part}: no speed {ascii(name)}")


def _check_motion(named: Mapping[str, Field], rules: Rules) -> None:
    """Demand a gravity for each character, actions that are one kind alone, and levels."""
    motion, characters = rules.motion, named["character"].classes
    if not len(motion.gravity) == len(motion.terminal) == characters:
        raise CalibrationError(f"{WHERE}: rules.motion needs a gravity and a terminal speed for "
                               f"each of {characters} characters")  # fmt: skip
    drift = motion.drift
    kinds = {len(drift.loose), len(drift.held), *map(len, drift.modes)}
    if len(drift.modes) != characters or len(kinds) != 1 or not drift.loose:
        raise CalibrationError(
            f"{WHERE}: rules.motion.drift needs the same kinds of actions in the air, on the "
            f"ground, and for each of {characters} characters"
        )
    for place in (drift.loose, drift.held):
        actions = [action for kind in place for action in kind]
        if len(set(actions)) < len(actions):
            raise CalibrationError(f"{WHERE}: rules.motion.drift: an action is of two kinds")
    footing = rules.footing
    both = set(footing.grounded) & set(footing.airborne)
    if both or footing.fall in footing.grounded:
        raise CalibrationError(f"{WHERE}: rules.footing: action {min(both, default=footing.fall)} "
                               "is on the ground and in the air")  # fmt: skip
