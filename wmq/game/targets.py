"""Derive the targets of the heads from two frames, and the spread that standardizes them.

Targets come from two neighbouring integer frames and are in natural units: deltas for
fields that are added, in version 2 from where they would go by themselves; absolute values for
those that are rounded, 0 or 1 for bits and class numbers.  Heads are player 1's fields, then
player 2's, in schema order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from calib.step.schema import NUMBER_HEADS
from calib.step.schema import PLAYERS as PLAYERS
from wmq.game.controls import control_classes
from wmq.game.motion import carried, ground_speed, travelled
from wmq.game.schema import REBIRTH_ACTION, Field, Schema

AXES, GROUND = {"x": 0, "y": 1}, "speed_ground_x"
Heads = dict[str, np.ndarray]  # by name, (rows, width) float32, natural units


def head_index(schema: Schema, head: str) -> np.ndarray:
    """Return the places in the integer frame of the fields of a number or binary head."""
    return np.array([schema.index(f.name, p) for p in (0, 1) for f in schema.head(head)])


def number_targets(schema: Schema, head: str, now: np.ndarray, after: np.ndarray,
                   pads: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Compute a number head's targets, (T, width) float32 natural units.

    now, after  (T, frame_size) int32
    pads        (T, 26) int32, the controllers that lead to `after`; version 1 needs none
    """
    index = head_index(schema, head)
    fields = [f for _ in (0, 1) for f in schema.head(head)]
    unit = np.array([1 / f.quantum for f in fields], dtype=np.float32)
    added = np.array([f.update in ("add", "move") for f in fields])
    target = after[:, index] - np.where(added, now[:, index], 0)
    for column, field in enumerate(fields):
        if field.update == "move":
            player, axis = column * 2 // len(fields), AXES[field.name]
            target[:, column] -= travelled(schema, after, player)[:, axis]
    if schema.rules and head == "velocity":
        assert pads is not None
        for player in (0, 1):
            speeds = carried(schema, now, after, pads, player)
            for name, speed in (speeds | {GROUND: ground_speed(schema, after, player)}).items():
                column = index.tolist().index(schema.index(name, player))
                target[:, column] = after[:, index[column]] - speed
    return target.astype(np.float32) * unit


@dataclass(frozen=True)
class Drawn:
    """What real frames have in place of each draw of the chain.

    classes       (T, draws) int64
    counted       (T, draws) bool: a choice, and not a rule of the game
    extrapolated  (T, 2) bool: frames on which a player dies.  The heads are to say how he
                  would have moved on, and the rule decides: so nothing of him is a target
    """

    classes: np.ndarray
    counted: np.ndarray
    extrapolated: np.ndarray


def drawn_classes(schema: Schema, now: np.ndarray, after: np.ndarray) -> Drawn:
    """Derive the class of each draw from two frames, (T, frame_size) int32 each.

    The class of a hit is the nearest of the rules' rises.  An action that a clock ends is no
    choice, nor is dying, of whatever kind; he who dies is taken to have stayed in his action.
    """
    rules = schema.rules
    assert rules is not None  # version 1 draws nothing
    rises = np.array(rules.rises)
    middles = (rises[1:-1] + rises[2:]) // 2
    clocked = [clock.action for clock in rules.clocks]
    shape = (len(now), len(schema.draws))
    classes, counted = np.zeros(shape, np.int64), np.ones(shape, bool)
    died = np.zeros((len(now), 2), bool)
    for player in (0, 1):
        action = schema.index("action", player)
        was_dead = np.isin(now[:, action], clocked)
        died[:, player] = np.isin(after[:, action], clocked) & ~was_dead
    for column, draw in enumerate(schema.draws):
        at = schema.index(draw.field, draw.player)
        if draw.field == "percent":
            rise = after[:, at] - now[:, at]
            nearest = 1 + np.searchsorted(middles, rise)
            classes[:, column] = np.where(rise > 0, nearest, 0)
        else:
            stayed = died[:, draw.player]
            classes[:, column] = np.where(stayed, now[:, at], after[:, at])
            counted[:, column] = ~stayed & ~np.isin(now[:, at], clocked)
    return Drawn(classes, counted, died)


def true_draws(schema: Schema, frames: np.ndarray, controllers: np.ndarray) -> np.ndarray:
    """Give the classes drawn between the frames of a game, (T - 1, draws) int64.

    controllers  (T, n) int32, of which an agent's are the first
    """
    if schema.agent:
        return control_classes(controllers[1:, : schema.controllers_size])
    if schema.rules is None:
        return np.zeros((len(frames) - 1, 0), np.int64)
    return drawn_classes(schema, frames[:-1], frames[1:]).classes


def present_columns(schema: Schema, head: str, missing: Iterable[str]) -> np.ndarray:
    """Mark the columns of a number or binary head that the replay has, bool (width,)."""
    lacking = set(missing)
    return np.array([f.name not in lacking for _ in (0, 1) for f in schema.head(head)])


def spreads(schema: Schema, games: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict:
    """Measure offset and scale of each number head's targets: mean, twice the mean deviation.

    Where rules carry a number on, what is left is mostly nothing and now and then a jump: there
    the offset is 0 and the scale the root mean square of what is no nothing, so that a hit or a
    jump is some units of a head.  Deaths and rebirths do not count, as rules decide them.

    `games` are frames (T, frame_size) and controllers (T, n), int32.  Returns
    {head: (offset, scale)}, float32 arrays; both players share a field's figures.
    """
    played = [(frames[:-1], frames[1:], pads[1:]) for frames, pads in games]
    found = {}
    for head in NUMBER_HEADS:
        both = np.concatenate([_of_one(schema, head, *game, player)
                               for game in played for player in (0, 1)])  # fmt: skip
        offset = both.mean(0)
        scale = np.maximum(2 * np.abs(both - offset).mean(0), 1e-3)
        for column, field in enumerate(schema.head(head)):
            if least := _nothing(schema, field):
                jumps = both[np.abs(both[:, column]) >= least, column]
                offset[column] = 0
                scale[column] = np.sqrt((jumps**2).mean()) if len(jumps) else least
        found[head] = tuple(np.tile(v, 2).astype(np.float32) for v in (offset, scale))
    return found


def _of_one(schema: Schema, head: str, now: np.ndarray, after: np.ndarray, pads: np.ndarray,
            player: int) -> np.ndarray:  # fmt: skip
    """One player's targets that count, (rows, fields) float64."""
    targets = number_targets(schema, head, now, after, pads).astype(np.float64)
    half = targets.shape[1] // 2
    own = targets[:, player * half : (player + 1) * half]
    if schema.rules is None:
        return own
    action = schema.index("action", player)
    reborn = (after[:, action] == REBIRTH_ACTION) & (now[:, action] != REBIRTH_ACTION)
    return own[~reborn & ~drawn_classes(schema, now, after).extrapolated[:, player]]


def _nothing(schema: Schema, field: Field) -> float:
    """The size below which the rules take a target of a field for nothing, natural units."""
    if schema.rules is None:
        return 0.0
    least = schema.rules.standing.drift if field.update == "move" else (
        schema.rules.motion.steady.get(field.name, 0))  # fmt: skip
    return least / field.quantum
