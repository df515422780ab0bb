"""Worlds left to themselves for a minute: where they start, and who plays.

Every model starts in the same real frames with the state that the true game has given it;
the controllers are those of the real game, or random.  What happens is counted in
`wmq.drift.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wmq.inference.predictor import StartRow
from wmq.replays.slippi import Game
from wmq.rollout.controllers import random_controllers

CONTROLLERS = ("real", "random")


def randomly_played(games: Sequence[Game], starts: Sequence[StartRow], count: int) -> list[Game]:
    """Return the starts as games of one frame, in which world k has random controllers of seed k.

    The controllers that led to the start stay the real ones; `count` further rows follow.
    """
    found = []
    for world, start in enumerate(starts):
        game, row = games[start.game], slice(start.row, start.row + 1)
        drawn = [random_controllers(count, player, world) for player in (0, 1)]
        pads = np.concatenate([game.controllers[row], np.concatenate(drawn, axis=1)])
        found.append(replace(game, frames=game.frames[row], controllers=pads))
    return found
