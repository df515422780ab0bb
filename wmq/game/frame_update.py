"""Compute the next frame from a float model's heads, with numpy alone.

The integer program has this as instructions (docs/SPEC.md); here float64 does the same for
heads that onnxruntime or torch computed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from wmq.game.schema import REBIRTH_ACTION, REBIRTH_FIELDS, Schema
from wmq.game.targets import PLAYERS, head_index

HEADS = ("continuous", "velocity", "dynamics", "binary")


def next_frames(schema: Schema, frames: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the frames that follow from the heads, (batch, frame_size) int32.

    The rules of `Field.update` in float64: rounded half up to the field's unit, clamped
    to its interval.  frames (batch, frame_size) int32; heads (batch, width) float.
    """
    return _update_of(schema).next(frames, heads)


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
        players, classes = tuple(enumerate(PLAYERS)), schema.head("classes")
        self.classes = [(f"{prefix}.{field.name}", schema.index(field.name, player))
                        for player, prefix in players for field in classes]  # fmt: skip
        self.action, self.age = ([schema.index(name, player) for player, _ in players]
                                 for name in ("action", "state_age"))  # fmt: skip
        self.longest = int(schema.hi[self.age[0]])
        self.spots = [[schema.index(name, player) for name in REBIRTH_FIELDS]
                      for player, _ in players]  # fmt: skip
        self.places, self.stage = schema.rebirth_places, schema.stage_index

    def next(self, frames: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
        after = frames.copy()
        after[:, self.numbers] = self._numbers(frames[:, self.numbers], heads)
        for head, place in self.classes:
            after[:, place] = heads[head].argmax(axis=-1)
        before, now = frames[:, self.action], after[:, self.action]
        older = np.minimum(frames[:, self.age] + 1, self.longest)
        after[:, self.age] = np.where(now != before, 0, older)
        reborn = (now == REBIRTH_ACTION) & (before != REBIRTH_ACTION)
        for player in np.flatnonzero(reborn.any(axis=0)):
            rows = reborn[:, player]
            places = self.places[frames[rows, self.stage], player]
            after[np.ix_(rows, self.spots[player])] = places
        return after

    def _numbers(self, now: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
        """now (batch, numbers) int32, in the fields' units; heads in natural units."""
        values = np.concatenate([heads[head] for head in HEADS], axis=1, dtype=np.float64)
        moved = now + np.floor(values * self.quantum + 0.5)
        rounded = np.floor(values + 0.5) * self.quantum
        after = np.clip(np.where(self.added, moved, rounded), self.lo, self.hi).astype(np.int32)
        after = np.where(self.falling, np.minimum(after, now), after)
        return np.where(self.sign, values > 0, after)


@lru_cache(maxsize=2)  # with and without projectiles
def _update_of(schema: Schema) -> _Update:
    return _Update(schema)
