"""Define a Melee frame: each field, its encoding, its head and its update.

Every row of `PLAYER_FIELDS` is one number that a player has in a frame: where it
comes from, how it enters the network, which head predicts it and how the frame is
updated from that head.  Encoding, heads, losses, frame update, ONNX metadata, the
integer program and the documentation are loops over these rows, so a new field is
one row here and nothing else.

An integer frame is a vector of int32: the fields of player 1 in row order, those of
player 2, then the stage.  Fields of kind `fixed` are Q15.16 in their own unit, all
others are whole numbers (docs/frames.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calib.step.controls import Controls
from calib.step.rules import Rules
from calib.step.schema import Q16 as Q16
from calib.step.schema import Field, FrameLayout, Rebirth, StepSchema
from wmq.game import rules as game_rules
from wmq.game.controls import controls
from wmq.game.names import CONTROLLER_FIELDS as CONTROLLER_FIELDS

# 1: the plan's vocabularies, every field predicted.  2: all actions of the game, hits and actions
# drawn, and the rules of `wmq.game.rules`.
PLAN, SAMPLED = VERSIONS = (1, 2)
FIRST_FRAME = -123  # id of a match's first frame
FRAMES_PER_SECOND = 60
LEGAL_STAGES = {
    2: "Fountain of Dreams",
    3: "Pokemon Stadium",
    8: "Yoshi's Story",
    28: "Dream Land",
    31: "Battlefield",
    32: "Final Destination",
}
# left, right, bottom, top of the game's blast zones, in game units.  Over the top only who was
# hit dies; the other three end every stock: of the 12.1 million player-frames of 674 games, one
# is beyond them alive.
BLAST_ZONES = {
    2: (-198.75, 198.75, -146.25, 202.5),
    3: (-230.0, 230.0, -111.0, 180.0),
    8: (-175.7, 173.6, -91.0, 168.0),
    28: (-255.0, 255.0, -123.0, 250.0),
    31: (-224.0, 224.0, -108.8, 200.0),
    32: (-246.0, 246.0, -140.0, 188.0),
}
STAGE_CLASSES, STAGE_DIM = 33, 4
REBIRTH_ACTION = 12
REBIRTH_FIELDS = ("x", "y")
# Where player 1 and player 2 stand, in Q15.16 game units, on the frame on which their action
# becomes REBIRTH_ACTION: the commonest place of the training games (92 % of 3,189; the others
# belong to other ports, or to two rebirths at once).
REBIRTH_PLACES = {
    2: ((0, 7319552), (0, 7319552)),
    3: ((0, 7798784), (0, 7798784)),
    8: ((0, 7681038), (0, 7681038)),
    28: ((0, 12336302), (0, 12336302)),
    31: ((838861, 8851728), (-2621440, 8851728)),
    32: ((1048576, 7395738), (-3276800, 7395738)),
}
# speed_y on that frame, Q15.16 game units a frame: the same in all 2,753 rebirths.
REBIRTH_SPEED_Y = {2: -53248, 3: -65536, 8: -71871, 28: -115538, 31: -61167, 32: -75366}


def _speed(name: str) -> Field:
    return Field(name, "units/frame", "fixed", "velocity", "add", 0.05, -40, 40, since=(3, 5))


def _class(name: str, classes: int, dim: int, since: tuple[int, int] = (2, 0)) -> Field:
    return Field(name, "class", "class", "classes", "argmax", 0.0, 0, classes - 1, dim, since)


PLAYER_FIELDS: tuple[Field, ...] = (
    Field("percent", "%", "fixed", "continuous", "add", 0.01, 0, 999),
    Field("x", "game units", "fixed", "continuous", "add", 0.05, -500, 500),
    Field("y", "game units", "fixed", "continuous", "add", 0.05, -500, 500),
    Field("shield", "0..60", "fixed", "continuous", "add", 0.01, 0, 60),
    _speed("speed_air_x"),
    _speed("speed_y"),
    _speed("speed_ground_x"),
    _speed("speed_attack_x"),
    _speed("speed_attack_y"),
    Field("hitlag", "frames", "whole", "dynamics", "round", 0.1, 0, 60, since=(3, 8)),
    Field("stocks", "count", "whole", "dynamics", "round_falling", 0.25, 0, 99),
    Field("combo", "count", "whole", "dynamics", "round", 0.1, 0, 255),
    Field("facing", "1 = right", "bit", "binary", "sign", 1.0, 0, 1),
    Field("invulnerable", "bit", "bit", "binary", "sign", 1.0, 0, 1, since=(2, 1)),
    Field("on_ground", "bit", "bit", "binary", "sign", 1.0, 0, 1),
    _class("action", 400, 32),
    _class("jumps", 8, 4),
    _class("l_cancel", 3, 2),
    _class("hurtbox", 3, 2, since=(2, 1)),
    _class("ground", 32, 4),
    _class("last_attack", 64, 8),
    Field("character", "class", "class", "", "keep", 0.0, 0, 32, 8),
    Field("state_age", "frames", "class", "", "age", 0.0, 0, 149, 8),
)
# What the fields are in version 2, where they differ.
SAMPLED_FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("percent", "%", "fixed", "draw", "hit", 0.01, 0, 999),
        Field("x", "game units", "fixed", "continuous", "move", 0.05, -500, 500),
        Field("y", "game units", "fixed", "continuous", "move", 0.05, -500, 500),
        Field("hitlag", "frames", "whole", "dynamics", "down", 0.1, 0, 60, since=(3, 8)),
        Field("stocks", "count", "whole", "", "strike", 0.25, 0, 99),
        Field("action", "class", "class", "draw", "draw", 0.0, 0, 543, 32),
        _class("ground", 136, 4),
        Field("state_age", "frames", "class", "", "age", 0.0, 0, 255, 8),
    )
}
PROJECTILE_FIELDS: tuple[Field, ...] = (
    Field("projectile_dx", "game units", "fixed", "continuous", "add", 0.05, -500, 500,
          since=(3, 0), optional=True),
    Field("projectile_dy", "game units", "fixed", "continuous", "add", 0.05, -500, 500,
          since=(3, 0), optional=True),
    Field("projectiles", "count", "whole", "dynamics", "round", 0.1, 0, 15,
          since=(3, 0), optional=True),
)  # fmt: skip
ANALOG_CONTROLS = 5  # the first of CONTROLLER_FIELDS; the others are buttons, 0 or 1

# Action-state numbers by what a player does, for reports; the first row that holds wins.
ACTION_CATEGORIES: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = (
    ("dead and entry", ((0, 13), (322, 324))),
    ("stand, walk, dash, turn, crouch, land", ((14, 23), (39, 43))),
    ("jump and fall", ((24, 38),)),
    ("ground attacks", ((44, 64),)),
    ("aerials and their landing", ((65, 74),)),
    ("damage", ((75, 91),)),
    ("shield", ((178, 182),)),
    ("down and tech", ((183, 204),)),
    ("grab and throw", ((212, 232), (239, 243))),
    ("dodge and roll", ((233, 236),)),
    ("ledge", ((245, 246), (252, 263))),
    ("character specials", ((341, 543),)),
)


@dataclass(frozen=True)
class Schema(FrameLayout):
    """The fields in use, the same in both versions but for their rows.

    `projectiles` adds three numbers a player.  With `agent` the frame is what a player sees, he
    himself first, and the heads are draws of his next controller.
    """

    projectiles: bool = False
    version: int = PLAN
    agent: bool = False

    @cached_property
    def fields(self) -> tuple[Field, ...]:  # type: ignore[override]
        """All fields of one player: the numbers, then the classes."""
        rows = list(PLAYER_FIELDS)
        if self.version == SAMPLED:
            rows = [SAMPLED_FIELDS.get(f.name, f) for f in rows]
        numbers = [f for f in rows if f.kind != "class"]
        if self.projectiles:
            numbers += PROJECTILE_FIELDS
        return (*numbers, *(f for f in rows if f.kind == "class"))

    @cached_property
    def rules(self) -> Rules | None:  # type: ignore[override]
        """What the frame update does by rule; None in version 1."""
        if self.version == PLAN or self.agent:
            return None
        return game_rules.rules(BLAST_ZONES, STAGE_CLASSES)

    @property
    def rebirth_fields(self) -> tuple[str, ...]:
        """Neighbouring fields that a rebirth sets."""
        return REBIRTH_FIELDS if self.version == PLAN else game_rules.REBIRTH_FIELDS

    @cached_property
    def controls(self) -> Controls | None:  # type: ignore[override]
        """The classes that an agent draws; None for a world."""
        return controls() if self.agent else None

    @property
    def pads(self) -> int:
        """Number of controllers that a frame goes with: both players', or an agent's own."""
        return 1 if self.agent else 2

    @property
    def controllers_size(self) -> int:
        """Length of the integer controllers (Q15.16)."""
        return self.pads * len(CONTROLLER_FIELDS)

    @property
    def floats(self) -> int:
        """Numbers of an encoded frame before the embeddings: 56 without projectiles."""
        return 2 * len(self.numbers) + self.controllers_size

    @property
    def encoded_size(self) -> int:
        """Width of an encoded frame: 196 without projectiles."""
        return self.floats + 2 * sum(f.dim for f in self.classes) + STAGE_DIM

    @cached_property
    def lo(self) -> np.ndarray:
        """Lower end of each element of the integer frame, int32[frame_size]."""
        return self._ends("lo", 0)

    @cached_property
    def hi(self) -> np.ndarray:
        """Upper end of each element of the integer frame, int32[frame_size]."""
        return self._ends("hi", STAGE_CLASSES - 1)

    def _ends(self, end: str, stage: int) -> np.ndarray:
        player = [getattr(f, end) * f.quantum for f in self.fields]
        return np.array([*player, *player, stage], dtype=np.int32)

    @cached_property
    def number_unit(self) -> np.ndarray:
        """Natural units in one integer unit, for `number_index`, float32."""
        return np.array([1 / f.quantum for _ in (0, 1) for f in self.numbers], dtype=np.float32)

    @cached_property
    def rebirth_places(self) -> np.ndarray:
        """What a rebirth sets, int32[stage, player, field], integer units; 0 on other stages."""
        fields = self.rebirth_fields
        table = np.zeros((STAGE_CLASSES, 2, len(fields)), dtype=np.int32)
        where = [fields.index(name) for name in REBIRTH_FIELDS]
        for stage, places in REBIRTH_PLACES.items():
            table[stage][:, where] = places
        if self.version == SAMPLED:
            table[:, :, fields.index("shield")] = game_rules.FULL_SHIELD
            for stage, speed in REBIRTH_SPEED_Y.items():
                table[stage, :, fields.index("speed_y")] = speed
        return table

    @cached_property
    def step(self) -> StepSchema:
        """What a model file says of its frames, if it is of this schema."""
        places = tuple(tuple(map(tuple, row)) for row in self.rebirth_places.tolist())
        return StepSchema(
            version=self.version,
            projectiles=self.projectiles,
            fields=self.fields,
            controllers=CONTROLLER_FIELDS,
            stage_classes=STAGE_CLASSES,
            stage_dim=STAGE_DIM,
            rebirth=Rebirth(REBIRTH_ACTION, self.rebirth_fields, places),
            rules=self.rules,
            controls=self.controls,
        )

    def to_json(self) -> dict:
        """Return the plain data that ONNX metadata and .wmq files carry."""
        return self.step.to_json()


FULL = Schema(projectiles=True, version=SAMPLED)  # what shards hold; a reader's schema chooses
ACTIONS = 544  # of the game, Kirby's copies of others' specials included


def category_of(action: np.ndarray) -> np.ndarray:
    """Map action-state numbers to indices of ACTION_CATEGORIES; its length means other."""
    table = np.full(ACTIONS, len(ACTION_CATEGORIES), dtype=np.int64)
    for i in range(len(ACTION_CATEGORIES) - 1, -1, -1):
        for first, last in ACTION_CATEGORIES[i][1]:
            table[first : last + 1] = i
    return table[np.clip(action, 0, ACTIONS - 1)]
