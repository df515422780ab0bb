"""What a player sees of a frame: himself first, then the opponent, in natural units.

The order follows from the schema; docs/environments.md lists it field by field.
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from wmq.envs.actions import HIGHEST, LOWEST, natural_controllers
from wmq.game.schema import CONTROLLER_FIELDS, STAGE_CLASSES, Field, Schema
from wmq.rollout.controllers import BUTTONS

SEEN = ("self", "opponent")
Observation = dict[str, np.ndarray]


class Observer:
    """Turns integer frames and controllers into observations.

    numbers  (who, field) of each element of "numbers"; who is one of SEEN
    classes  the same for "classes", which end with the stage
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        self.numbers: list[tuple[str, Field]] = [(who, f) for who in SEEN for f in schema.numbers]
        self.classes: list[tuple[str, Field]] = [(who, f) for who in SEEN for f in schema.classes]
        # (players, elements): whose eyes, and where in the integer frame
        self._numbers, self._classes = (
            np.array([[schema.index(f.name, player ^ SEEN.index(who)) for who, f in elements]
                      for player in (0, 1)])
            for elements in (self.numbers, self.classes)
        )  # fmt: skip
        self._classes = np.pad(self._classes, ((0, 0), (0, 1)), constant_values=schema.stage_index)
        self._quantum = np.array([f.quantum for _, f in self.numbers])

    def space(self) -> spaces.Dict:
        """What one player can see; each call makes another, with its own random numbers."""
        lo, hi = (np.array([getattr(f, end) for _, f in self.numbers], np.float32)
                  for end in ("lo", "hi"))  # fmt: skip
        pressed = np.ones(len(BUTTONS), np.float32)
        classes = [*(f.classes for _, f in self.classes), STAGE_CLASSES]
        return spaces.Dict(
            {
                "numbers": spaces.Box(lo, hi, dtype=np.float32),
                "classes": spaces.MultiDiscrete(classes),
                "controller": spaces.Box(
                    np.concatenate([LOWEST, 0 * pressed]),
                    np.concatenate([HIGHEST, pressed]),
                    dtype=np.float32,
                ),
            }
        )

    def observe(
        self, frames: np.ndarray, controllers: np.ndarray, player: int | slice
    ) -> Observation:
        """Observations of a player (0 or 1) in n worlds, or of both (slice(None)).

        frames (n, frame_size) and controllers (n, 26) int32; arrays (n, ..), or (n, 2, ..) of both
        """
        numbers = frames[:, self._numbers[player]] / self._quantum
        own = controllers.reshape(len(controllers), 2, len(CONTROLLER_FIELDS))[:, player]
        return {
            "numbers": numbers.astype(np.float32),
            "classes": frames[:, self._classes[player]].astype(np.int64),
            "controller": natural_controllers(own),
        }
