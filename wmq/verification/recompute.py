"""A stored rollout computed again: do the hashes fit the frames, and do the frames recur?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wmq.errors import WmqError
from wmq.progress import Progress, silent
from wmq.rollout import hash_chain
from wmq.rollout.files import Stored
from wmq.rollout.rollout import Rollout, RolloutModel, roll
from wmq.rollout.table import frame_names


@dataclass(frozen=True)
class FrameDifference:
    """The first element that differs: frame id, place in the frame, and both values."""

    world: int
    frame: int
    field: str
    stored: int
    computed: int


@dataclass(frozen=True)
class Verification:
    """What a rollout is when it is computed again.

    rollout      made here, with the hash that its frames have
    differences  the first of each world that differs
    altered      worlds whose stored frames do not have the stored hash
    """

    rollout: Rollout
    differences: tuple[FrameDifference, ...]
    altered: tuple[int, ...]

    @property
    def same(self) -> bool:
        """Whether every frame recurs, bit for bit, and has the hash that was stored."""
        return not self.differences and not self.altered

    @property
    def first(self) -> FrameDifference | None:
        """The earliest difference of all worlds."""
        return min(self.differences, key=lambda d: (d.frame, d.world), default=None)

    @property
    def sha256(self) -> str:
        """The `rollout_sha256` of the frames made here, hex."""
        return self.rollout.sha256


def altered_worlds(stored: Stored) -> list[int]:
    """List the worlds whose frames do not give the stored hash: the file was changed."""
    start = stored.start
    return [
        world
        for world, (pads, frames) in enumerate(zip(stored.controllers, stored.frames, strict=True))
        if stored.worlds[world]
        != hash_chain.rollout_sha256(
            stored.model_sha256, start.given, start.controllers, pads, frames
        )
    ]


def check_model(stored: Stored, model: RolloutModel) -> None:
    """Check that the rollout can be one of this model.  Raises WmqError."""
    if stored.arithmetic != "int8":
        raise WmqError(
            f"{stored.path}: was made in {stored.arithmetic}; only integer rollouts are the same "
            "on every machine: make one with `wmq rollout --int8`"
        )
    if model.sha256 != stored.model_sha256:
        raise WmqError(
            f"{stored.path}: was made by the model {stored.model_sha256[:16]}.., "
            f"{model.path} is {model.sha256[:16]}..; give that model"
        )


def recompute(
    stored: Stored,
    model: RolloutModel,
    threads: int = 1,
    progress: Progress = silent,
) -> tuple[Rollout, list[FrameDifference]]:
    """Roll out again from the stored start and controllers; the first difference of each world.

    Raises WmqError if the model is another one.
    """
    check_model(stored, model)
    rollout = roll(model, stored.start, list(stored.controllers), stored.seeds, threads, progress)
    names = frame_names(stored.schema)
    differences = []
    for number, world in enumerate(rollout.worlds):
        unequal = np.argwhere(world.frames != stored.frames[number])
        if len(unequal):
            t, at = unequal[0]
            values = int(stored.frames[number, t, at]), int(world.frames[t, at])
            differences.append(
                FrameDifference(number, stored.start.first + int(t), names[at], *values)
            )
    return rollout, differences


def verify(
    stored: Stored, model: RolloutModel, threads: int = 1, progress: Progress = silent
) -> Verification:
    """Compute a rollout again, and compare frames and hashes.

    Raises WmqError if the model is another one.
    """
    rollout, differences = recompute(stored, model, threads, progress)
    return Verification(rollout, tuple(differences), tuple(altered_worlds(stored)))
