"""Lowering of a frame update with rules, and of an agent's controller.

docs/frames.md says what each rule is; wmq_kernels/isa.py what each instruction does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calib.lowering.builder import ProgramBuilder
from calib.step.controls import PARTS
from calib.step.ruled_fields import STICK
from calib.step.rules import SIDES, Rules
from calib.step.schema import HEADS, PLAYERS, Field, StepSchema
from wmq_kernels.program import Slice

NEVER = -(1 << 31)  # a push that every speed reaches; and no fate, in `fate`, is -1
PLACE, GROUNDED, ACROSS = ("x", "y"), "on_ground", "speed_y"
HEAD_LIMIT = (1 << 30) - 1  # of the value `heads`
OWN_SPEED, PUSH = ("speed_air_x", "speed_y"), ("speed_attack_x", "speed_attack_y")
ALONG = "speed_ground_x"
SPEEDS = (*OWN_SPEED, ALONG, *PUSH)

HeadPlaces = Mapping[str, tuple[int, int]]


def lower_controller(b: ProgramBuilder, schema: StepSchema) -> None:
    """Append the steps from `drawn` to `next_controllers`: a row of a table for each draw."""
    assert schema.controls is not None
    for number, (part, names) in enumerate(PARTS.items()):
        rows = np.array(schema.controls.table(part))
        first = 0
        for run in _runs([schema.controllers.index(name) for name in names]):
            table = b.const(f"controls.{part}.{run[0]}", rows[:, first : first + len(run)], "i32",
                            2.0**-16)  # fmt: skip
            b.step("lookup", Slice("drawn", number, 1), table,
                   Slice("next_controllers", run[0], len(run)), entries=len(rows))  # fmt: skip
            first += len(run)


def lower_ruled_update(b: ProgramBuilder, schema: StepSchema, places: HeadPlaces) -> None:
    """Append the steps from `frame`, `heads` and `drawn` to `next_frame`."""
    for player in (0, 1):
        _Player(b, schema, places, player).lower()
    stage = schema.stage_index
    b.step("copy", Slice("frame", stage, 1), Slice("next_frame", stage, 1))


class _Player:
    """The update of one player: what rebirth sets is made in `moved.P` first."""

    def __init__(self, b: ProgramBuilder, schema: StepSchema, places: HeadPlaces, player: int):
        assert schema.rules is not None
        self.b, self.schema, self.places, self.player = b, schema, places, player
        self.rules: Rules = schema.rules
        self.named = {field.name: field for field in schema.fields}
        interval = (b.values["next_frame"].lo, b.values["next_frame"].hi)
        self.settled = schema.rebirth.fields
        self.moved = b.value(f"moved.{player}", "i32", len(self.settled), interval)
        self.interval = interval
        self.stage = Slice("frame", schema.stage_index, 1)

    def now(self, name: str, count: int = 1) -> Slice:
        return Slice("frame", self.schema.index(name, self.player), count)

    def next(self, name: str, count: int = 1) -> Slice:
        return Slice("next_frame", self.schema.index(name, self.player), count)

    def made(self, name: str, count: int = 1) -> Slice:
        """The next value before rebirths and deaths."""
        if name in self.settled:
            return Slice(self.moved, self.settled.index(name), count)
        return self.next(name, count)

    def head(self, field: Field) -> Slice:
        members = self.schema.head(field.head)
        first = self.places[field.head][0] + self.player * len(members)
        return Slice("heads", first + members.index(field), 1)

    def ends(self, *names: str) -> list[str]:
        b, fields = self.b, [self.named[name] for name in names]
        return [b.const(f"{end}.{'.'.join(names)}", [getattr(f, end) * f.quantum for f in fields],
                        "i32") for end in ("lo", "hi")]  # fmt: skip

    def lower(self) -> None:
        for head in HEADS:
            for field in self.schema.head(head):
                if field.update != "move" and field.name not in SPEEDS:
                    self._number(field)
        self._foot()
        self._carry()
        self._stop()
        self._percent()
        self._classes()
        self._move()
        self._fall()
        self._cross()
        self._settle()
        self.b.step("age", self.now("action"), self.next("action"), self.now("state_age"),
                    self.next("state_age"), most=self.named["state_age"].hi)  # fmt: skip
        self._strike()

    def _classes(self) -> None:
        for field in self.schema.fields:
            if field.head == "classes":
                logits = Slice("heads", *self.places[f"{PLAYERS[self.player]}.{field.name}"])
                self.b.step("argmax", logits, self.next(field.name))
            elif field.update == "keep":
                self.b.step("copy", self.now(field.name), self.next(field.name))

    def _number(self, field: Field) -> None:
        b, name, value = self.b, field.name, self.head(field)
        if field.update == "sign":
            out = self.made(name)
            if name == GROUNDED:  # which the action and the place have a say in
                out = b.whole(b.value(f"{GROUNDED}.head.{self.player}", "i32", 1, (0, 1)))
            b.step("frame_sign", value, out)
        elif field.update == "add":
            b.step("frame_add", self.now(name), value, *self.ends(name), self.made(name))
        elif field.update == "down":
            b.step("frame_down", self.now(name), value, *self.ends(name), self.made(name))
        else:
            falls = int(field.update == "round_falling")
            falling = b.const(f"falling.{falls}", [falls], "i32")
            b.step("frame_round", self.now(name), value, *self.ends(name), falling,
                   self.made(name))  # fmt: skip

    def _carry(self) -> None:
        """Carry the speeds on, and add what the heads change."""
        b, player, motion = self.b, self.player, self.rules.motion
        still, grounded = self.made("hitlag"), self.now(GROUNDED)
        fallen = b.whole(b.value(f"fallen.{player}", "i32", 1, self.interval))
        weighs = np.ones(self.named["action"].classes, np.int64)
        weighs[list(motion.weightless)] = 0
        b.step("fall", self.now(ACROSS), still, grounded, self._drawn("action"),
               self.now("character"), b.const("weighs", weighs, "i32"),
               b.const("gravity", np.array(motion.gravity), "i32", 2.0**-16),
               b.const("terminal", np.array(motion.terminal), "i32", 2.0**-16), fallen,
               states=len(weighs), entries=len(motion.gravity))  # fmt: skip
        faded = b.value(f"faded.{player}", "i32", 2, self.interval)
        b.step("fade", self.now(PUSH[0], 2), still, grounded, b.whole(faded), amount=motion.fade)
        own = self._change(OWN_SPEED[0], self._steered())
        self._change(ACROSS, fallen)
        along = b.whole(b.value(f"along.{player}", "i32", 1, self.interval))
        zero = b.const("no speed", [0], "i32", 2.0**-16)
        b.step("override", self.stage, b.whole(f"{GROUNDED}.{player}"), own, zero, along, entries=1)
        self._change(ALONG, along)
        for axis, name in enumerate(PUSH):
            self._change(name, Slice(faded, axis, 1))

    def _steered(self) -> Slice:
        """Make what the stick and friction make of speed_air_x."""
        b, drift = self.b, self.rules.motion.drift
        kinds = {}
        for place, members in (("loose", drift.loose), ("held", drift.held)):
            of = np.full(self.named["action"].classes, -1)
            for kind, actions in enumerate(members):
                of[list(actions)] = kind
            kinds[place] = b.const(f"drift.{place}", of, "i32")
        parts = {part: [[getattr(mode, part) for mode in row] for row in drift.modes]
                 for part in ("friction", "walk", "most", "slope", "base")}  # fmt: skip
        ends = [
            b.const(f"drift.{part}", np.array(rows), "i32", 2.0**-16)
            for part, rows in parts.items()
        ]
        out = b.whole(b.value(f"steered.{self.player}", "i32", 1, HEAD_LIMIT))
        stick = self.schema.controllers.index(STICK)
        controllers = len(self.schema.controllers)
        b.step("drift", self.now(OWN_SPEED[0]), self.made("hitlag"), self.now(GROUNDED),
               self._drawn("action"), self.now("character"),
               Slice("next_controllers", self.player * controllers + stick, 1), kinds["loose"],
               kinds["held"], *ends, out, states=self.named["action"].classes,
               rows=len(drift.modes), modes=len(drift.loose))  # fmt: skip
        return out

    def _change(self, name: str, carried: Slice) -> Slice:
        """Add to a speed that is carried on what its head says, if that is not too little."""
        b, player = self.b, self.player
        change = b.whole(b.value(f"change.{name}.{player}", "i32", 1, (-HEAD_LIMIT, HEAD_LIMIT)))
        least = b.const(f"steady.{name}", [self.rules.motion.steady.get(name, 0)], "i32", 2.0**-16)
        b.step("threshold", self.head(self.named[name]), least, change)
        out = self.made(name)
        if name in self.rules.standing.least:
            out = b.whole(b.value(f"{name}.{player}", "i32", 1, self.interval))
        b.step("frame_add", carried, change, *self.ends(name), out)
        return out

    def _foot(self) -> None:
        """Put on the ground, or into the air, whom the action drawn puts there."""
        b, player, footing = self.b, self.player, self.rules.footing
        never = b.whole(b.value(f"never.{player}", "i32", 1, (0, 0)))
        b.step("lookup", self.stage, b.const("never", [0], "i32"), never, entries=1)
        decided = np.full(self.named["action"].classes, -1)
        decided[list(footing.grounded)], decided[list(footing.airborne)] = 1, 0
        b.step("override", self._drawn("action"), never, b.whole(f"{GROUNDED}.head.{player}"),
               b.const("footed", decided, "i32"),
               b.whole(b.value(f"{GROUNDED}.{player}", "i32", 1, (0, 1))),
               entries=len(decided))  # fmt: skip

    def _drawn(self, field: str) -> Slice:
        draws = [(draw.field, draw.player) for draw in self.schema.draws]
        return Slice("drawn", draws.index((field, self.player)), 1)

    def _percent(self) -> None:
        rises = self.b.const("rises", np.array(self.rules.rises), "i32", 2.0**-16)
        rise = self.b.value(f"rise.{self.player}", "i32", 1, (0, max(self.rules.rises)), 2.0**-16)
        self.b.step("lookup", self._drawn("percent"), rises, rise, entries=len(self.rules.rises))
        self.b.step("frame_add", self.now("percent"), rise, *self.ends("percent"),
                    self.made("percent"))  # fmt: skip

    def _stop(self) -> None:
        """Make slow speeds 0, and speed_y of who was on the ground and is predicted to be."""
        b, player = self.b, self.player
        for name, least in self.rules.standing.least.items():
            moved = b.whole(f"{name}.{player}")
            out = self.made(name)
            if name == ACROSS:
                out = b.whole(b.value(f"{ACROSS}.still.{player}", "i32", 1, self.interval))
            b.step("threshold", moved, b.const(f"least.{name}", [least], "i32"), out)
            if name == ACROSS:
                b.step("blank", out, self.now(GROUNDED), b.whole(f"{GROUNDED}.{player}"),
                       self.made(name))  # fmt: skip

    def _move(self) -> None:
        """Place by residual and speeds; who stands, stands on his ground and between its ends."""
        b, player, standing = self.b, self.player, self.rules.standing
        change = Slice("heads", self.head(self.named["x"]).start, 2)
        drift = b.const("drift", [standing.drift] * 2, "i32", 2.0**-16)
        residual = b.value(f"residual.place.{player}", "i32", 2, (-HEAD_LIMIT, HEAD_LIMIT))
        b.step("threshold", change, drift, residual)
        place = b.whole(b.value(f"place.{player}", "i32", 2, self.interval))
        b.step("frame_move", self.now("x", 2), residual, self.made(OWN_SPEED[0], 2),
               self.made(PUSH[0], 2), self.made("hitlag"), *self.ends(*PLACE), place)  # fmt: skip
        x, low = (Slice(place.value, place.start + axis, 1) for axis in (0, 1))
        y = b.whole(b.value(f"above.{player}", "i32", 1, self.interval))
        floors = self.rules.footing.floors
        ends = (b.const(f"floors.{end}", [getattr(f, end) for f in floors], "i32", 2.0**-16)
                for end in ("left", "right", "level"))  # fmt: skip
        b.step("hold_above", x, self.now("y"), low, self.stage, *ends, y, entries=len(floors))
        shape = len(self.rules.blast.ends), self.named["ground"].classes
        least, most = np.full(shape, NEVER), np.full(shape, -NEVER - 1)
        height = np.full(shape, NEVER)
        for ground in standing.grounds:
            at = ground.stage, ground.ground
            least[at], most[at] = ground.left - standing.overhang, ground.right + standing.overhang
            if ground.height is not None:
                height[at] = ground.height
        where = {"rows": shape[0], "columns": shape[1]}
        heights = b.const("grounds.height", height, "i32")
        between = b.whole(b.value(f"between.{player}", "i32", 1, (0, 1)))
        b.step("inside", x, b.whole(f"{GROUNDED}.{player}"), self.stage, self.next("ground"),
               b.const("grounds.least", least, "i32"), b.const("grounds.most", most, "i32"),
               between, **where)  # fmt: skip
        b.step("near", y, between, self.stage, self.next("ground"), heights, self.made(GROUNDED),
               reach=standing.reach, **where)  # fmt: skip
        b.step("copy", x, self.made("x"))
        b.step("stand", y, self.made(GROUNDED), self.stage, self.next("ground"), heights,
               self.made("y"), reach=standing.reach, **where)  # fmt: skip

    def _fall(self) -> None:
        """Replace the action of who is drawn to stand and does not: by a fall if he stood, else by
        what he was in.  `nowhere` is one action more than there are, and says so."""
        b, player, footing = self.b, self.player, self.rules.footing
        nowhere = self.named["action"].classes
        grounded = list(footing.grounded)
        falls, leaves, kept = np.arange(nowhere), np.full(nowhere, -1), np.arange(nowhere + 1)
        falls[grounded], leaves[grounded], kept[nowhere] = footing.fall, nowhere, -1
        instead = b.whole(b.value(f"instead.{player}", "i32", 1, (0, nowhere - 1)))
        b.step("lookup", self.now("action"), b.const("falls", falls[:, None], "i32"), instead,
               entries=nowhere)  # fmt: skip
        told = b.whole(b.value(f"told.{player}", "i32", 1, (0, nowhere)))
        drawn = self._drawn("action")
        b.step("override", drawn, self.made(GROUNDED), drawn, b.const("leaves", leaves, "i32"),
               told, entries=nowhere)  # fmt: skip
        never = b.whole(f"never.{player}")
        b.step("override", told, never, instead, b.const("kept", kept, "i32"),
               b.whole(b.value(f"action.{player}", "i32", 1, (0, nowhere - 1))),
               entries=nowhere + 1)  # fmt: skip

    def _cross(self) -> None:
        b, blast = self.b, self.rules.blast
        actions = self.named["action"].classes
        fate = np.tile(np.array(blast.fates), (actions, 1))
        fate[list(blast.immune)] = -1
        stays = np.ones(actions, bool)
        stays[list(blast.top)] = False
        fate[stays, SIDES - 1] = -1
        ends = np.array(blast.ends)
        b.step("cross", self.now("action"), b.whole(f"action.{self.player}"), self.stage,
               self.made("x", 2), self.now(PUSH[1]),
               b.const("blast.least", ends[:, ::2], "i32", 2.0**-16),
               b.const("blast.most", ends[:, 1::2], "i32", 2.0**-16),
               b.const("blast.need", [NEVER] * (SIDES - 1) + [blast.push], "i32"),
               b.const("blast.fate", fate, "i32"), self.next("action"), entries=len(ends), axes=2,
               sides=SIDES, states=actions)  # fmt: skip

    def _settle(self) -> None:
        """Stop who dies, and set what a rebirth sets."""
        b, stopped = self.b, self.rules.blast.stopped
        before, after = self.now("action"), self.next("action")
        count, settled = len(stopped), len(self.settled)
        zeros = b.const("stopped", np.zeros((1, count), np.int64), "i32")
        moved = Slice(self.moved, self.settled.index(stopped[0]), count)
        for event in self.rules.blast.fates:
            out = b.value(f"stopped.{self.player}.{event}", "i32", count, self.interval)
            b.step("place", before, after, self.stage, moved, zeros, out, entries=1, event=event)
            moved = b.whole(out)
        whole = b.value(f"settled.{self.player}", "i32", settled, self.interval)
        kept = settled - count
        b.step("copy", Slice(self.moved, 0, kept), Slice(whole, 0, kept))
        b.step("copy", moved, Slice(whole, kept, count))
        rebirth = self.schema.rebirth
        table = b.const(f"rebirth.{self.player}", np.array(rebirth.places)[:, self.player], "i32")
        target = self.next(self.settled[0], settled)
        b.step("place", before, after, self.stage, whole, table, target,
               entries=len(rebirth.places), event=rebirth.action)  # fmt: skip

    def _strike(self) -> None:
        at = np.full(self.named["action"].classes, -1)
        for strike in self.rules.strikes:
            at[strike.action] = strike.age
        self.b.step("strike", self.next("action"), self.next("state_age"), self.now("stocks"),
                    self.b.const("strike.at", at, "i32"), self.next("stocks"))  # fmt: skip


def _runs(indices: list[int]) -> list[list[int]]:
    """Group neighbouring numbers."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs
