"""The description of a frame that a float step carries: a table of a player's fields.

JSON out of a file comes in, trusted in nothing; a `StepSchema` leaves.  Lowering, statistics
and simulation read that, and `wmq.game.schema` makes one of its own table to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from calib.errors import CalibrationError
from calib.step.controls import PARTS, Controls, controls_from_json
from calib.step.ruled_fields import NUMBER_HEADS as NUMBER_HEADS
from calib.step.ruled_fields import UPDATES, check_heads, check_rules
from calib.step.rules import Rules, rules_from_json, rules_to_json

PLAYERS = ("p1", "p2")
HEADS = ("continuous", "binary", "velocity", "dynamics")  # of both players together, in order
KINDS = ("fixed", "whole", "bit", "class")
FIELD_HEADS = (*HEADS, "classes", "draw", "")
Q16 = 1 << 16  # units of a Q15.16 number in one natural unit
LARGEST_END = (1 << 15) - 1  # of an interval in natural units, so that Q15.16 fits int32
LARGEST_CLASS, LARGEST_DIM, LARGEST_LIST, LARGEST_SCALE = 1 << 16, 1024, 256, 1e6
LARGEST_NAME = 64  # characters
KEYS = (
    *("version", "projectiles", "fields", "controllers", "stage", "rebirth", "rules"),
    *("controls", "frame_size"),
)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One number of a player.

    kind    "fixed" (Q15.16), "whole" (a count), "bit" (0 or 1) or "class"
    head    "continuous", "velocity", "dynamics", "binary", "classes", "draw" (a distribution that
            is drawn from, and that all later heads are given), or "" (given, or a rule)
    update  how the next value follows from the head's output:
            "add" (delta, then clamp), "round" (absolute, to whole, then clamp),
            "round_falling" (as round, and never above the present value),
            "sign" (logit > 0), "argmax", "age" (0 after a change of action, else +1),
            "keep", "draw" (the class drawn), "hit" (the rise of the class drawn, then clamp),
            "move" (delta and the new speeds, then clamp), "down" (round, if that raises it, else
            -1), "strike" (-1 at a state's age)
    scale   factor from the natural unit to the network's input; 0 for classes
    lo, hi  the declared interval in natural units, both ends included
    dim     width of a class's embedding
    since   the replay version in which the column appears
    """

    name: str
    unit: str
    kind: str
    head: str
    update: str
    scale: float
    lo: int
    hi: int
    dim: int = 0
    since: tuple[int, int] = (2, 0)
    optional: bool = False

    @property
    def classes(self) -> int:
        """Number of classes of a class field."""
        return self.hi + 1

    @property
    def quantum(self) -> int:
        """Integer units in one natural unit."""
        return Q16 if self.kind == "fixed" else 1

    @property
    def reach(self) -> int:
        """The largest size of the declared interval, natural units."""
        return max(abs(self.lo), abs(self.hi))


@dataclass(frozen=True)
class Draw:
    """One distribution of the chain: of a field of a player, over so many classes."""

    name: str
    field: str
    player: int
    classes: int


class FrameLayout:
    """Where the fields of both players lie in a frame: those of player 1, of player 2, the stage.

    fields  of one player: the numbers, then the classes
    rules   what the update does by rule, or None
    controls  what an agent draws, whose heads these draws are; None for a world
    """

    fields: tuple[Field, ...]
    rules: Rules | None
    controls: Controls | None

    @cached_property
    def numbers(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind != "class")

    @cached_property
    def classes(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind == "class")

    @cached_property
    def heads(self) -> Mapping[str, int]:
        """Name and number of outputs of every head, in the order of the program."""
        widths = {draw.name: draw.classes for draw in self.draws}
        if self.controls:
            return widths
        widths |= {name: 2 * len(self.head(name)) for name in HEADS}
        for player in PLAYERS:
            widths |= {f"{player}.{f.name}": f.classes for f in self.head("classes")}
        return widths

    @cached_property
    def draws(self) -> tuple[Draw, ...]:
        """List the chain in order: a field of player 1, of player 2, then the next field."""
        if self.controls:
            return tuple(Draw(p, p, 0, len(self.controls.table(p))) for p in PARTS)
        return tuple(
            Draw(f"{prefix}.{field.name}", field.name, player, self._drawn_classes(field))
            for field in self.head("draw")
            for player, prefix in enumerate(PLAYERS)
        )

    def _drawn_classes(self, field: Field) -> int:
        assert self.rules is not None  # a schema with draws has rules
        return len(self.rules.rises) if field.update == "hit" else field.classes

    def head(self, name: str) -> tuple[Field, ...]:
        """List the fields of one player that the head `name` predicts."""
        return tuple(f for f in self.fields if f.head == name)

    def index(self, name: str, player: int = 0) -> int:
        """Find the place of a field in the integer frame; player is 0 or 1."""
        names = [f.name for f in self.fields]
        return player * len(names) + names.index(name)

    @property
    def stage_index(self) -> int:
        return 2 * len(self.fields)

    @property
    def frame_size(self) -> int:
        """Length of the integer frame."""
        return 2 * len(self.fields) + 1

    @cached_property
    def number_index(self) -> np.ndarray:
        """Places of the numbers in the integer frame, player 1 then 2."""
        return np.array([self.index(f.name, p) for p in (0, 1) for f in self.numbers])

    @cached_property
    def class_index(self) -> np.ndarray:
        """Places of the classes: player 1, player 2, stage."""
        players = [self.index(f.name, p) for p in (0, 1) for f in self.classes]
        return np.array([*players, self.stage_index])

    @property
    def class_inputs(self) -> tuple[str, ...]:
        """Names of the classes in `class_index`."""
        names = tuple(f.name for f in self.classes)
        return (*names, *names, "stage")


@dataclass(frozen=True)
class Rebirth:
    """Where a player stands on the frame on which the action becomes `action`.

    fields  the neighbouring fields that are placed
    places  stage, player, field -> Q15.16
    """

    action: int
    fields: tuple[str, ...]
    places: tuple[tuple[tuple[int, ...], ...], ...]


@dataclass(frozen=True)
class StepSchema(FrameLayout):
    """Fields, controllers, stage and rebirth of the frames that a step reads and makes."""

    version: int
    projectiles: bool
    fields: tuple[Field, ...]
    controllers: tuple[str, ...]
    stage_classes: int
    stage_dim: int
    rebirth: Rebirth
    rules: Rules | None = None
    controls: Controls | None = None

    @classmethod
    def from_json(cls, found: Any) -> StepSchema:
        """Check plain data out of a file.  Raises CalibrationError with the path into it."""
        return _parsed(found)

    def to_json(self) -> dict[str, Any]:
        """Convert to the plain data of ONNX metadata and .wmq files; `from_json` takes it back."""
        rebirth = self.rebirth
        return {
            "version": self.version,
            "projectiles": self.projectiles,
            "fields": [asdict(field) | {"since": list(field.since)} for field in self.fields],
            "controllers": list(self.controllers),
            "stage": {"classes": self.stage_classes, "dim": self.stage_dim},
            "rebirth": {
                "action": rebirth.action,
                "fields": list(rebirth.fields),
                "places": [[list(place) for place in row] for row in rebirth.places],
            },
            "frame_size": self.frame_size,
            **({"rules": rules_to_json(self.rules)} if self.rules else {}),
            **(
                {"controls": msgspec.json.decode(msgspec.json.encode(self.controls))}
                if self.controls
                else {}
            ),
        }


def whole(value: Any, least: int, most: int, where: str) -> int:
    """Check an integer in [least, most], which true and false are not.  Raises CalibrationError."""
    if type(value) is not int or not least <= value <= most:
        raise CalibrationError(f"{where} is not an integer in [{least}, {most}]")
    return value


def _parsed(found: Any) -> StepSchema:
    schema = _object(found, "wmq.schema")
    if type(schema.get("version")) is not int:
        raise CalibrationError("wmq.schema: version is not an integer")
    if type(schema.get("projectiles")) is not bool:
        raise CalibrationError("wmq.schema: projectiles is neither true nor false")
    fields = tuple(_field(field, f"wmq.schema: fields[{index}]")
                   for index, field in enumerate(_list(schema, "fields")))  # fmt: skip
    names = [field.name for field in fields]
    if len(set(names)) != len(names) or "stage" in names:
        raise CalibrationError("wmq.schema: fields: a name occurs twice")
    classes = [field.kind == "class" for field in fields]
    if classes != sorted(classes):
        raise CalibrationError("wmq.schema: fields: a class comes before a number")
    controllers = _list(schema, "controllers")
    if not all(isinstance(name, str) and len(name) <= LARGEST_NAME for name in controllers):
        raise CalibrationError("wmq.schema: controllers: a name is no short text")
    stage = _object(schema.get("stage"), "wmq.schema: stage")
    stages = whole(stage.get("classes"), 1, LARGEST_CLASS, "wmq.schema: stage.classes")
    rules = rules_from_json(schema["rules"], stages) if "rules" in schema else None
    controls = None
    if "controls" in schema:
        controls = controls_from_json(schema["controls"], tuple(controllers))
        if rules is not None:
            raise CalibrationError("wmq.schema: an agent, which has controls, has no rules")
    parsed = StepSchema(
        version=schema["version"],
        projectiles=schema["projectiles"],
        fields=fields,
        controllers=tuple(controllers),
        stage_classes=stages,
        stage_dim=whole(stage.get("dim"), 1, LARGEST_DIM, "wmq.schema: stage.dim"),
        rebirth=_rebirth(schema.get("rebirth"), names, stages),
        rules=rules,
        controls=controls,
    )
    for name in HEADS if controls is None else ():
        if not parsed.head(name):
            raise CalibrationError(f"wmq.schema: no field has the head {name}")
    check_heads(fields)
    if controls is None:
        check_rules(fields, parsed.rebirth, rules, parsed.controllers)
    size = parsed.frame_size
    whole(schema.get("frame_size"), size, size, "wmq.schema: frame_size")
    _only(schema, KEYS, "wmq.schema")
    _only(stage, ("classes", "dim"), "wmq.schema: stage")
    return parsed


def _field(found: Any, where: str) -> Field:
    field = _object(found, where)
    name, kind, head, scale = (field.get(key) for key in ("name", "kind", "head", "scale"))
    if not isinstance(name, str) or not name.isidentifier() or len(name) > LARGEST_NAME:
        raise CalibrationError(f"{where}.name is not a short identifier")
    if kind not in KINDS or head not in FIELD_HEADS:
        raise CalibrationError(f"{where} ({name}): unknown kind or head")
    if (head == "classes") > (kind == "class"):
        raise CalibrationError(f"{where} ({name}): the head classes is for class fields alone")
    number = scale if isinstance(scale, int | float) and not isinstance(scale, bool) else 1e9
    if not abs(number) <= LARGEST_SCALE:
        raise CalibrationError(f"{where}.scale ({name}) is not a number")
    if field.get("update") not in tuple(UPDATES):
        raise CalibrationError(f"{where} ({name}): unknown update")
    least, most, narrowest = -LARGEST_END, LARGEST_END, 0
    if kind == "class":
        least, most, narrowest = 0, LARGEST_CLASS - 1, 1
    hi = whole(field.get("hi"), least, most, f"{where}.hi ({name})")
    since, unit = field.get("since"), field.get("unit")
    if not isinstance(since, list) or [type(number) for number in since] != [int, int]:
        raise CalibrationError(f"{where}.since ({name}) is not a version, two integers")
    if not isinstance(unit, str) or len(unit) > LARGEST_NAME:
        raise CalibrationError(f"{where}.unit ({name}) is not a short text")
    if type(field.get("optional")) is not bool:
        raise CalibrationError(f"{where}.optional ({name}) is neither true nor false")
    _only(field, tuple(Field.__dataclass_fields__), f"{where} ({name})")
    return Field(**field | {
        "lo": whole(field.get("lo"), least, hi, f"{where}.lo ({name})"),
        "dim": whole(field.get("dim"), narrowest, LARGEST_DIM, f"{where}.dim ({name})"),
        "since": tuple(since),
    })  # fmt: skip


def _rebirth(found: Any, names: list[str], stages: int) -> Rebirth:
    """Check an action, and a place for each stage, player and field: int32."""
    where = "wmq.schema: rebirth"
    placed = found.get("fields") if isinstance(found, dict) else None
    if not isinstance(placed, list) or not {"x", "y"} <= set(map(str, placed)):
        raise CalibrationError(f"{where}.fields do not hold x and y")
    first = names.index(placed[0]) if placed[0] in names else 0
    if "action" not in names or names[first : first + len(placed)] != placed:
        raise CalibrationError(f"{where}: its fields and action must be fields, side by side")
    places = found.get("places")
    if not isinstance(places, list) or len(places) != stages:
        raise CalibrationError(f"{where}.places is not a list with a row for each stage")
    for row in places:
        pairs = row if isinstance(row, list) else []
        if [len(p) if isinstance(p, list) else 0 for p in pairs] != 2 * [len(placed)]:
            raise CalibrationError(f"{where}.places: a row is not two places of all fields")
        for value in (*pairs[0], *pairs[1]):
            whole(value, -(1 << 31), (1 << 31) - 1, f"{where}.places")
    _only(found, ("action", "fields", "places"), where)
    return Rebirth(
        whole(found.get("action"), 0, LARGEST_CLASS, f"{where}.action"),
        tuple(found["fields"]),
        tuple(tuple(tuple(place) for place in row) for row in places),
    )


def _object(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise CalibrationError(f"{where} is not an object")
    return found


def _list(schema: Json, key: str) -> list:
    value = schema.get(key)
    if not isinstance(value, list) or not 1 <= len(value) <= LARGEST_LIST:
        raise CalibrationError(f"wmq.schema: {key} is not a list of 1 to {LARGEST_LIST}")
    return value


def _only(found: Json, keys: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(found) - set(keys)):
        raise CalibrationError(f"{where}: unknown key {ascii(unknown[0][:LARGEST_NAME])}")
