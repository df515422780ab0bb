"""List the changes of action in real games (`transitions.json`, by `wmq.rollout.make_tables`)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from calib.step.rules import Rules
from wmq.game.schema import ACTIONS

TABLE = Path(__file__).with_name("transitions.json")


@cache
def seen_transitions() -> np.ndarray:
    """Tell which action may follow which, bool (544, 544); staying is always allowed."""
    seen = np.eye(ACTIONS, dtype=bool)
    for action, after in json.loads(TABLE.read_text("utf-8")).items():
        seen[int(action), after] = True
    return seen


def drawable_actions(rules: Rules) -> np.ndarray:
    """Tell which action a draw may give after which, float32 (544, 544) of 0 and 1.

    Those seen in the training games, but for what rules alone begin, deaths and what follows
    them, and for what nobody came out of alive: a player would stay in it for ever.
    """
    allowed = seen_transitions().copy()
    np.fill_diagonal(allowed, False)
    ruled = {*rules.ruled, *(clock.following for clock in rules.clocks)}
    allowed[:, sorted(ruled)] = False
    allowed[:, ~allowed.any(axis=1)] = False
    np.fill_diagonal(allowed, True)
    return allowed.astype(np.float32)
