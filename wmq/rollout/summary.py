"""Summarize a rollout for people: course, damage, actions, impossible events.

The integer frames of one world come in; plain numbers leave.  An impossible event is one
that the real game never shows: in 12.1 million player-frames of real games the first five
rules of RULES find none, and the sixth 0.14 in 1,000 player-frames of the validation games.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wmq.game.schema import (
    ACTION_CATEGORIES,
    FRAMES_PER_SECOND,
    Q16,
    REBIRTH_ACTION,
    Schema,
    category_of,
)
from wmq.game.transitions import seen_transitions

CATEGORIES = (*(name for name, _ in ACTION_CATEGORIES), "other")
EVERY_SECONDS = 10
LARGEST_HEAL = Q16 // 2  # percent, Q15.16: a model's small errors are no healing
LARGEST_MOVE = 35 * Q16  # game units a frame, Q15.16; the largest real one is 33.9
IN_THE_AIR = ((25, 38), (65, 69))  # jumps, falls, aerials
ON_THE_GROUND = ((14, 23), (39, 64), (178, 182), (233, 235))
RULES = {
    "stocks": "stocks rise, fall by two, or fall outside of death (actions 0-10)",
    "healing": "percent falls by more than 0.5 other than from death to rebirth (12)",
    "teleport": "x or y moves by more than 35 units outside of death and entry",
    "death": "death is left other than through rebirth",
    "ground": "a ground action in the air, or an aerial action on the ground",
    "unseen action change": "no training game has this action after that one",
}


@dataclass(frozen=True)
class Moment:
    """A player at one time: percent, x and y in natural units."""

    seconds: float
    stocks: int
    percent: float
    x: float
    y: float
    action: int
    category: str


@dataclass(frozen=True)
class PlayerSummary:
    """One player's rollout.

    stocks_lost, damage  in all; damage in percent, taken
    moments              the start, every 10 seconds, and the end
    out_after            seconds after which no stock was left, or None
    actions              share of frames by category, those that occur
    impossible           events by rule, all of RULES
    """

    stocks_lost: int
    damage: float
    moments: tuple[Moment, ...]
    out_after: float | None
    actions: dict[str, float]
    impossible: dict[str, int]


def summarize(schema: Schema, start: np.ndarray, frames: np.ndarray) -> tuple[PlayerSummary, ...]:
    """Summarize both players; start (frame_size,) precedes frames (n, frame_size)."""
    course = np.concatenate([start[None], frames])
    return tuple(_player(schema, course, player) for player in (0, 1))


def impossible_rate(players: tuple[PlayerSummary, ...], frames: int) -> float:
    """Return impossible events in 1,000 player-frames."""
    events = sum(sum(player.impossible.values()) for player in players)
    return 1000 * events / (len(players) * frames)


def _player(schema: Schema, course: np.ndarray, player: int) -> PlayerSummary:
    def column(name: str) -> np.ndarray:
        return course[:, schema.index(name, player)].astype(np.int64)

    action, percent, stocks, x, y = map(column, ("action", "percent", "stocks", "x", "y"))
    category = category_of(action)
    last = len(course) - 1
    at = sorted({*range(0, last + 1, EVERY_SECONDS * FRAMES_PER_SECOND), last})
    moments = tuple(
        Moment(
            t / FRAMES_PER_SECOND,
            int(stocks[t]),
            percent[t] / Q16,
            x[t] / Q16,
            y[t] / Q16,
            int(action[t]),
            CATEGORIES[category[t]],
        )
        for t in at
    )
    out = np.flatnonzero(stocks == 0)
    counts = np.bincount(category[1:], minlength=len(CATEGORIES))
    return PlayerSummary(
        stocks_lost=int(np.maximum(-np.diff(stocks), 0).sum()),
        damage=float(np.maximum(np.diff(percent), 0).sum()) / Q16,
        moments=moments,
        out_after=float(out[0]) / FRAMES_PER_SECOND if len(out) else None,
        actions={
            name: float(n) / max(last, 1) for name, n in zip(CATEGORIES, counts, strict=True) if n
        },
        impossible={
            rule: int(events.sum()) for rule, events in impossible_events(schema, course, player)
        },
    )


def impossible_events(
    schema: Schema, course: np.ndarray, player: int
) -> list[tuple[str, np.ndarray]]:
    """List (rule, bool (n - 1,)): whether frame t + 1 of course (n, frame_size) breaks it."""

    def column(name: str) -> np.ndarray:
        return course[:, schema.index(name, player)].astype(np.int64)

    def step(name: str) -> np.ndarray:
        return np.diff(column(name))

    before, after = column("action")[:-1], column("action")[1:]
    dead, was_dead = after <= 10, before <= 10
    away = _within(after, ((0, 13), (322, 324))) | _within(before, ((0, 13), (322, 324)))
    lost = step("stocks")
    moved = np.maximum(np.abs(step("x")), np.abs(step("y")))
    grounded = column("on_ground")[1:] == 1
    return [
        ("stocks", (lost > 0) | (lost < -1) | ((lost == -1) & ~dead)),
        ("healing", (step("percent") < -LARGEST_HEAL) & ~(was_dead & (after == REBIRTH_ACTION))),
        ("teleport", (moved > LARGEST_MOVE) & ~away),
        ("death", was_dead & ~dead & (after != REBIRTH_ACTION)),
        ("ground", np.where(grounded, _within(after, IN_THE_AIR), _within(after, ON_THE_GROUND))),
        ("unseen action change", ~seen_transitions()[before, after]),
    ]


def _within(action: np.ndarray, ranges: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.any([(first <= action) & (action <= last) for first, last in ranges], axis=0)
