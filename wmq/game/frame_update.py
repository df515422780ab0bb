"""Compute the next frame from a float model's heads, with numpy alone.

The integer program has this as instructions (docs/SPEC.md); here float64 does the same for
heads that onnxruntime or torch computed.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from wmq.game.motion import carried, ground_speed, travelled
from wmq.game.schema import Q16, REBIRTH_ACTION, Schema
from wmq.game.targets import PLAYERS, head_index

NOWHERE = -(1 << 31)  # in the table of heights
HEADS = ("continuous", "velocity", "dynamics", "binary")
FAR = 1 << 30  # of a place before its speeds are added, after which its own ends hold


def next_frames(schema: Schema, frames: np.ndarray, heads: dict[str, np.ndarray],
                drawn: np.ndarray | None = None,
                pads: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Compute the frames that follow from the heads, (batch, frame_size) int32.

    The rules of `Field.update` in float64: rounded half up to the field's unit, clamped
    to its interval; then the schema's rules.

    frames  (batch, frame_size) int32
    heads   (batch, width) float, natural units
    drawn   (batch, draws) int64: the class of each draw of `schema.draws`; None in version 1
    pads    (batch, 26) int32: the next controllers; None in version 1
    """
    if schema.rules is None:
        return _update_of(schema).next(frames, heads)
    assert drawn is not None and pads is not None
    return _ruled_update_of(schema).next(frames, heads, drawn, pads)


class _Update:
    """What `next_frames` needs to know of a schema, looked up once: a rollout asks every frame."""

    def __init__(self, schema: Schema):
        fields = [f for head in HEADS for _ in (0, 1) for f in schema.head(head)]
        self.numbers = np.concatenate([head_index(schema, head) for head in HEADS])
        self.quantum = np.array([f.quantum for f in fields], dtype=np.float64)
        self.lo, self.hi = (ends[self.numbers].astype(np.float64)
                            for ends in (schema.lo, schema.hi))  # fmt: skip
        self.added, self.falling, self.sign = (
            np.array([f.update == update for f in fields])
            for update in ("add", "round_falling", "sign")
        )
        moved = np.array([f.update == "move" for f in fields])
        self.added |= moved
        self.lo[moved], self.hi[moved] = -FAR, FAR
        players, classes = tuple(enumerate(PLAYERS)), schema.head("classes")
        self.classes = [(f"{prefix}.{field.name}", schema.index(field.name, player))
                        for player, prefix in players for field in classes]  # fmt: skip
        self.action, self.age = ([schema.index(name, player) for player, _ in players]
                                 for name in ("action", "state_age"))  # fmt: skip
        self.longest = int(schema.hi[self.age[0]])
        self.spots = [[schema.index(name, player) for name in schema.rebirth_fields]
                      for player, _ in players]  # fmt: skip
        self.places, self.stage = schema.rebirth_places, schema.stage_index

    def next(self, frames: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
        after = self._predicted(frames, heads)
        self._follow(frames, after)
        return after

    def _predicted(self, frames: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
        """All fields that heads predict, the others as they were."""
        after = frames.copy()
        after[:, self.numbers] = self._numbers(frames[:, self.numbers], heads)
        for head, place in self.classes:
            after[:, place] = heads[head].argmax(axis=-1)
        return after

    def _follow(self, frames: np.ndarray, after: np.ndarray) -> None:
        """Set what follows from the actions: state_age, and what a rebirth sets."""
        before, now = frames[:, self.action], after[:, self.action]
        older = np.minimum(frames[:, self.age] + 1, self.longest)
        after[:, self.age] = np.where(now != before, 0, older)
        reborn = (now == REBIRTH_ACTION) & (before != REBIRTH_ACTION)
        for player in np.flatnonzero(reborn.any(axis=0)):
            rows = reborn[:, player]
            places = self.places[frames[rows, self.stage], player]
            after[np.ix_(rows, self.spots[player])] = places

    def _numbers(self, now: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
        """now (batch, numbers) int32, in the fields' units; heads in natural units."""
        values = np.concatenate([heads[head] for head in HEADS], axis=1, dtype=np.float64)
        moved = now + np.floor(values * self.quantum + 0.5)
        rounded = np.floor(values + 0.5) * self.quantum
        after = np.clip(np.where(self.added, moved, rounded), self.lo, self.hi).astype(np.int32)
        after = np.where(self.falling, np.minimum(after, now), after)
        return np.where(self.sign, values > 0, after)


class _RuledUpdate(_Update):
    """The update of a schema with rules."""

    def __init__(self, schema: Schema):
        super().__init__(schema)
        assert schema.rules is not None
        self.schema, self.rules = schema, schema.rules
        blast, actions = self.rules.blast, schema.fields[schema.index("action")].classes
        self.rises = np.array(self.rules.rises)
        self.ends = np.array(blast.ends)
        self.mortal = np.ones(actions, bool)
        self.mortal[list(blast.immune)] = False
        self.topped = np.zeros(actions, bool)
        self.topped[list(blast.top)] = True
        standing = self.rules.standing
        grounds = schema.fields[schema.index("ground")].classes
        self.heights = np.full((len(self.ends), grounds), NOWHERE)
        self.reaches = np.full((len(self.ends), grounds, 2), NOWHERE)
        self.reaches[..., 1] = -NOWHERE - 1
        for ground in standing.grounds:
            at = ground.stage, ground.ground
            if ground.height is not None:
                self.heights[at] = ground.height
            self.reaches[at] = ground.left - standing.overhang, ground.right + standing.overhang
        self.slow = list(standing.least.items())
        self.changes = {name: number for number, name in
                        enumerate(f.name for f in schema.head("velocity"))}  # fmt: skip
        footing = self.rules.footing
        self.footed = np.full(actions, -1)
        self.footed[list(footing.grounded)] = 1
        self.footed[list(footing.airborne)] = 0
        self.floors = np.array([(f.left, f.right, f.level) for f in footing.floors])
        self.struck_at = np.full(actions, -1)
        for strike in self.rules.strikes:
            self.struck_at[strike.action] = strike.age

    def next(self, frames: np.ndarray, heads: dict[str, np.ndarray],  # type: ignore[override]
             drawn: np.ndarray, pads: np.ndarray) -> np.ndarray:  # fmt: skip
        after = self._predicted(frames, heads)
        for column, draw in enumerate(self.schema.draws):
            at = self.schema.index(draw.field, draw.player)
            if draw.field == "percent":
                risen = frames[:, at] + self.rises[drawn[:, column]]
                after[:, at] = np.clip(risen, self.schema.lo[at], self.schema.hi[at])
            else:
                after[:, at] = drawn[:, column]
        for player in (0, 1):
            self._speed(frames, heads["velocity"], pads, after, player)
            self._move(frames, after, player)
            self._die(frames, after, player)
        self._follow(frames, after)
        for player in (0, 1):
            self._strike(after, player)
        return after

    def _speed(self, frames: np.ndarray, changes: np.ndarray, pads: np.ndarray,
               after: np.ndarray, player: int) -> None:  # fmt: skip
        """Count hitlag down, place the feet, and change the speeds that the rules carry on."""
        hitlag, action, grounded = (self.schema.index(name, player)
                                    for name in ("hitlag", "action", "on_ground"))  # fmt: skip
        falling = np.maximum(frames[:, hitlag] - 1, 0)
        raised = after[:, hitlag] > frames[:, hitlag]
        after[:, hitlag] = np.where(raised, after[:, hitlag], falling)
        footed = self.footed[after[:, action]]
        after[:, grounded] = np.where(footed >= 0, footed, after[:, grounded])
        speeds = carried(self.schema, frames, after, pads, player)
        for name, number in self.changes.items():
            at = self.schema.index(name, player)
            column = changes[:, player * len(self.changes) + number].astype(np.float64)
            change = np.floor(column * Q16 + 0.5)
            steady = np.abs(change) < self.rules.motion.steady.get(name, 0)
            if name == "speed_ground_x":  # speed_air_x is there
                speeds[name] = ground_speed(self.schema, after, player)
            moved = speeds[name] + np.where(steady, 0, change)
            after[:, at] = np.clip(moved, self.schema.lo[at], self.schema.hi[at])
        self._stop(frames, after, player)

    def _move(self, frames: np.ndarray, after: np.ndarray, player: int) -> None:
        """Move by residual and speeds; who stands, stands on his ground, or falls."""
        place = partial(self.schema.index, player=player)
        at, standing = [place("x"), place("y")], self.rules.standing
        drift = after[:, at] - frames[:, at]
        after[:, at] = frames[:, at] + np.where(np.abs(drift) < standing.drift, 0, drift)
        after[:, at] = np.clip(after[:, at] + travelled(self.schema, after, player),
                               self.schema.lo[at], self.schema.hi[at])  # fmt: skip
        stage = np.minimum(frames[:, self.stage], len(self.ends) - 1)
        x, y = after[:, at].T
        left, right, level = self.floors[stage].T
        sunk = (frames[:, at[1]] >= level) & (level > y) & (left <= x) & (x <= right)
        after[:, at[1]] = y = np.where(sunk, level, y)
        action, grounded, ground = place("action"), place("on_ground"), after[:, place("ground")]
        height = self.heights[stage, ground]
        left, right = self.reaches[stage, ground].T
        near = (height == NOWHERE) | (np.abs(y - height) <= standing.reach)
        footing = near & (left <= x) & (x <= right)
        after[:, grounded] = np.where(footing, after[:, grounded], 0)
        stands = (after[:, grounded] != 0) & (height != NOWHERE)
        after[:, at[1]] = np.where(stands, height, y)
        floating = (after[:, grounded] == 0) & (self.footed[after[:, action]] == 1)
        before = frames[:, action]
        fallen = np.where(self.footed[before] == 1, self.rules.footing.fall, before)
        after[:, action] = np.where(floating, fallen, after[:, action])

    def _die(self, frames: np.ndarray, after: np.ndarray, player: int) -> None:
        """Let die who crosses an end."""
        place = partial(self.schema.index, player=player)
        action = place("action")
        x, y = after[:, [place("x"), place("y")]].T
        left, right, bottom, top = self.ends[
            np.minimum(frames[:, self.stage], len(self.ends) - 1)
        ].T
        before, blast = frames[:, action], self.rules.blast
        thrown = self.topped[before] & (frames[:, place("speed_attack_y")] >= blast.push)
        crossed = (x < left, x > right, y < bottom, (y > top) & thrown)
        fate = np.select(crossed, blast.fates, after[:, action])
        fate = np.where(self.mortal[before], fate, after[:, action])
        after[:, action] = fate
        died = np.isin(fate, blast.fates) & (before != fate)
        after[np.ix_(died, [place(name) for name in blast.stopped])] = 0

    def _stop(self, frames: np.ndarray, after: np.ndarray, player: int) -> None:
        """Make slow speeds 0, and that across the ground's plane of who stays on it."""
        for name, least in self.slow:
            at = self.schema.index(name, player)
            after[:, at] = np.where(np.abs(after[:, at]) < least, 0, after[:, at])
        grounded, at = (self.schema.index(name, player) for name in ("on_ground", "speed_y"))
        stays = (frames[:, grounded] != 0) & (after[:, grounded] != 0)
        after[:, at] = np.where(stays, 0, after[:, at])

    def _strike(self, after: np.ndarray, player: int) -> None:
        """Take the stocks that the new actions and their ages cost."""
        action, age, stocks = (self.schema.index(name, player)
                               for name in ("action", "state_age", "stocks"))  # fmt: skip
        struck = self.struck_at[after[:, action]] == after[:, age]
        after[:, stocks] = np.maximum(after[:, stocks] - struck, 0)


def forced_actions(schema: Schema, frames: np.ndarray, player: int) -> np.ndarray:
    """Give the next action where a rule decides it, else -1: (batch,) int64."""
    assert schema.rules is not None
    action, age = (frames[:, schema.index(name, player)] for name in ("action", "state_age"))
    forced = np.full(len(frames), -1, np.int64)
    for clock in schema.rules.clocks:
        inside = action == clock.action
        forced[inside] = np.where(age[inside] >= clock.last, clock.following, clock.action)
    return forced


@lru_cache(maxsize=2)
def _ruled_update_of(schema: Schema) -> _RuledUpdate:
    return _RuledUpdate(schema)


@lru_cache(maxsize=2)  # with and without projectiles
def _update_of(schema: Schema) -> _Update:
    return _Update(schema)
