"""Select games of a dataset, and see a game from the other side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wmq.game.schema import CONTROLLER_FIELDS, Schema
from wmq.replays.slippi import Game, GameInfo


def usable(games: Sequence[GameInfo], idle_limit: float = 0.5) -> list[GameInfo]:
    """Select games to train and calibrate on: with velocities, and with both players active.

    Left out are replays before 3.5, whose velocities would be zeros in the input, and
    games in which a player gives no input on more than `idle_limit` of the frames.
    """
    return [g for g in games if "speed_y" not in g.missing and max(g.idle) <= idle_limit]


def beginning(game: Game, steps: int) -> Game:
    """Cut a game to its first `steps` frames that have a next one; 0 for all."""
    end = steps + 1 if steps else len(game.frames)
    return replace(game, frames=game.frames[:end], controllers=game.controllers[:end])


def exchange_players(
    schema: Schema, frames: np.ndarray, controllers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Exchange players 1 and 2 of a game."""
    return exchange_frames(schema, frames), np.roll(controllers, len(CONTROLLER_FIELDS), axis=1)


def exchange_frames(schema: Schema, frames: np.ndarray) -> np.ndarray:
    """Exchange players 1 and 2 in frames (.., frame_size)."""
    half = len(schema.fields)
    one, two, stage = frames[..., :half], frames[..., half : 2 * half], frames[..., 2 * half :]
    return np.concatenate([two, one, stage], axis=-1)
