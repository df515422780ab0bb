"""A stored rollout computed again: do the hashes fit the frames, and do the frames recur?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wmq.errors import WmqError
from wmq.game.names import CONTROLLER_FIELDS
from wmq.inference.agents import open_agent
from wmq.progress import Progress, silent
from wmq.rollout import hash_chain
from wmq.rollout.files import Stored
from wmq.rollout.match import NO_AGENTS, Agents
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
            stored.model_sha256, start.given, start.controllers, pads, frames, stored.match(world)
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


def check_agents(stored: Stored, agents: Agents) -> None:
    """Check that the agents are those that played.  Raises WmqError."""
    for player, (wanted, agent) in enumerate(zip(stored.agents, agents, strict=True), 1):
        found = agent.sha256 if agent else ""
        if found != wanted:
            here = f"here it is {found[:16]}.." if found else "here there is none"
            raise WmqError(f"{stored.path}: player {player} was the agent {wanted[:16]}.., {here}; "
                           f"name its file with --agent{player}")  # fmt: skip


def open_played(stored: Stored, named: tuple[str | None, str | None], kernels: str) -> Agents:
    """Open the agents that played; one file of both is opened once.

    named  the file of each player, None for the embedded agent; nothing for who was none
    Raises WmqError.
    """
    asked = [(bool(sha256), path) for sha256, path in zip(stored.agents, named, strict=True)]
    opened = {path: open_agent(path, "int8", kernels) for played, path in asked if played}
    one, two = (opened[path] if played else None for played, path in asked)
    return one, two


def recompute(
    stored: Stored,
    model: RolloutModel,
    threads: int = 1,
    progress: Progress = silent,
    agents: Agents = NO_AGENTS,
) -> tuple[Rollout, list[FrameDifference]]:
    """Roll out again from the stored start and controllers; the first difference of each world.

    agents  those that played: what they give is computed again too
    Raises WmqError if the model or an agent is another one.
    """
    check_model(stored, model)
    check_agents(stored, agents)
    rollout = roll(model, stored.start, list(stored.controllers), stored.seeds, threads, progress,
                   agents, stored.decode, stored.delay)  # fmt: skip
    names = frame_names(stored.schema)
    differences = []
    for number, world in enumerate(rollout.worlds):
        unequal = np.argwhere(world.frames != stored.frames[number])
        differences += _controllers(stored, number, world.controllers)
        if len(unequal):
            t, at = unequal[0]
            values = int(stored.frames[number, t, at]), int(world.frames[t, at])
            differences.append(
                FrameDifference(number, stored.start.first + int(t), names[at], *values)
            )
    return rollout, differences


def _controllers(stored: Stored, world: int, computed: np.ndarray) -> list[FrameDifference]:
    """The first control that an agent gives otherwise than is stored."""
    unequal = np.argwhere(computed != stored.controllers[world])
    if not len(unequal):
        return []
    t, at = unequal[0]
    player, control = divmod(int(at), len(CONTROLLER_FIELDS))
    values = int(stored.controllers[world, t, at]), int(computed[t, at])
    name = f"p{player + 1}.pad.{CONTROLLER_FIELDS[control]}"
    return [FrameDifference(world, stored.start.first + int(t), name, *values)]


def verify(
    stored: Stored, model: RolloutModel, threads: int = 1, progress: Progress = silent,
    agents: Agents = NO_AGENTS,
) -> Verification:  # fmt: skip
    """Compute a rollout again, and compare frames and hashes.

    Raises WmqError if the model is another one.
    """
    rollout, differences = recompute(stored, model, threads, progress, agents)
    return Verification(rollout, tuple(differences), tuple(altered_worlds(stored)))
