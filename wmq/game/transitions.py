"""List the changes of action in real games (`transitions.json`, by `wmq.rollout.make_tables`)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("transitions.json")


@cache
def seen_transitions() -> np.ndarray:
    """Tell which action may follow which, bool (400, 400); staying is always allowed."""
    seen = np.eye(400, dtype=bool)
    for action, after in json.loads(TABLE.read_text("utf-8")).items():
        seen[int(action), after] = True
    return seen
