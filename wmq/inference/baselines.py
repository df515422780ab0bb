"""Trivial predictors, in the form of a model's heads: what any model has to beat.

`frozen` says that nothing changes.  `constant-velocity` says that each player moves on with
the speeds that the frame shows, and that all else stays; that is nearer to the truth than
the displacement of the last frame (pos_mae 0.23 against 0.25 on 37 games), which repeats
the jumps of deaths and throws.  A one-hot guess of "the same class" would have an infinite
cross-entropy, so the class at hand gets the probability with which it stayed the same in
other games, and the rest is shared evenly; bits alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wmq.game.schema import Q16, Schema
from wmq.game.targets import NUMBER_HEADS, PLAYERS, Heads, head_index
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.predictor import Predictor, StartRow, Take, cuts
from wmq.replays.slippi import Game

NAMES = ("frozen", "constant-velocity")


def shares_unchanged(schema: Schema, games: Iterable[Game]) -> dict[str, float]:
    """For each bit and class, how often it is the same in the next frame.

    Both players together; one frame of each kind is added, so that no share is 0 or 1.
    """
    fields = (*schema.head("binary"), *schema.head("classes"), *schema.head("draw"))
    same = dict.fromkeys([f.name for f in fields], 1)
    total = dict.fromkeys(same, 2)
    for game in games:
        for name in same.keys() - set(game.info.missing):
            at = [schema.index(name, player) for player in (0, 1)]
            kept = game.frames[1:, at] == game.frames[:-1, at]
            same[name] += int(kept.sum())
            total[name] += kept.size
    return {name: same[name] / total[name] for name in same}


@dataclass(frozen=True)
class Trivial:
    """`frozen`, or `constant-velocity` if `moving`.

    shares  probability that a bit or class stays the same, from `shares_unchanged`
    """

    schema: Schema
    shares: Mapping[str, float]
    moving: bool

    @property
    def name(self) -> str:
        return NAMES[self.moving]

    def heads(self, now: np.ndarray) -> Heads:
        """Heads of frames (T, frame_size) int32: natural units, (T, width) float32."""
        schema = self.schema
        found = {n: np.zeros((len(now), w), np.float32) for n, w in schema.heads.items()}
        for head in NUMBER_HEADS:
            at = head_index(schema, head)
            for column, field in enumerate(2 * schema.head(head)):
                if field.update not in ("add", "move"):
                    found[head][:, column] = now[:, at[column]] / field.quantum
        if self.moving:
            fields = [f.name for f in 2 * schema.head("continuous")]
            for axis in ("x", "y"):
                columns = [k for k, name in enumerate(fields) if name == axis]
                found["continuous"][:, columns] = speeds(schema, now, axis) / Q16
        at = head_index(schema, "binary")
        for column, field in enumerate(2 * schema.head("binary")):
            surety = _logit(self.shares[field.name])
            found["binary"][:, column] = np.where(now[:, at[column]] == 1, surety, -surety)
        for draw in schema.draws:
            index = now[:, schema.index(draw.field, draw.player), None]
            if draw.field == "percent":
                index = np.zeros_like(index)  # of no hit
            surety = _logit(self.shares[draw.field]) + np.log(draw.classes - 1)
            np.put_along_axis(found[draw.name], index, np.float32(surety), axis=1)
        for player, prefix in enumerate(PLAYERS):
            for field in schema.head("classes"):
                index = now[:, schema.index(field.name, player), None]
                surety = _logit(self.shares[field.name]) + np.log(field.classes - 1)
                np.put_along_axis(
                    found[f"{prefix}.{field.name}"], index, np.float32(surety), axis=1
                )
        return found

    def roll(self, now: np.ndarray, count: int) -> np.ndarray:
        """Return the `count` frames after each of `now`: (n, count, frame_size) int32."""
        rolled = np.repeat(now[:, None], count, axis=1)
        if self.moving:
            for axis in ("x", "y"):
                at = [self.schema.index(axis, player) for player in (0, 1)]
                way = speeds(self.schema, now, axis)[:, None] * np.arange(1, count + 1)[:, None]
                rolled[..., at] = np.clip(
                    rolled[..., at] + way, self.schema.lo[at], self.schema.hi[at]
                )
        return rolled


def speeds(schema: Schema, now: np.ndarray, axis: str) -> np.ndarray:
    """Q15.16 game units a frame along "x" or "y", (n, 2) int64, from the frame's own speeds.

    Own movement, of the ground or of the air, and knockback; no vertical movement on the
    ground.  0 in replays before 3.5, which have no speeds.
    """
    found = []
    for player in (0, 1):
        named = {f.name: now[:, schema.index(f.name, player)].astype(np.int64)
                 for f in schema.numbers}  # fmt: skip
        on_ground = named["on_ground"] == 1
        if axis == "x":
            own = np.where(on_ground, named["speed_ground_x"], named["speed_air_x"])
            found.append(own + named["speed_attack_x"])
        else:
            found.append(np.where(on_ground, 0, named["speed_y"] + named["speed_attack_y"]))
    return np.stack(found, axis=1)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


class TrivialPredictor(Predictor):
    """A `Trivial`, which has no state."""

    spreads = None
    threads = 1

    def __init__(self, trivial: Trivial):
        self.trivial, self.schema = trivial, trivial.schema

    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[None]:
        for number, game in enumerate(games):
            for first, last in pairwise(cuts(game)):
                take(number, first, self.trivial.heads(game.frames[first:last]))
        return [None] * len(starts)

    def worlds(
        self, count: int, threads: int = 1, states: Sequence[None] | None = None,
        sampling: Sampling | None = None,
    ) -> TrivialWorlds:  # fmt: skip
        return TrivialWorlds(self.trivial, count)

    def groups(self, count: int) -> list[list[int]]:
        return [list(range(count))]


class TrivialWorlds:
    """Worlds of a `Trivial`."""

    def __init__(self, trivial: Trivial, count: int):
        self.trivial = trivial
        self.saturations: list[int | None] = [None] * count
        self.draws = DrawSource(trivial.schema, count, None)

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        made = self.trivial.roll(given.reshape(-1, given.shape[2]), frames)
        made = made.reshape(*given.shape[:2], frames, given.shape[2])
        steps = [made[:, t, 0] for t in range(given.shape[1] - 1)]  # each from a given frame
        rest = made[:, -1, : frames - len(steps)]
        return np.concatenate([np.stack(steps, axis=1), rest], axis=1) if steps else rest

    def states(self) -> list[None]:
        return [None] * len(self.saturations)
