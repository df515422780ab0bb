"""Matches: agents in the seats of a world, frame by frame.

At frame t each agent sees frame t, himself first, and his own controller of t, and gives his
controller for t + 1; the world then makes frame t + 1 (docs/SPEC.md, section on matches).  With a
delay of D he sees frame t - D, or the first one before there is such a frame, beside his own
controller of t all the same: his eyes are late, what his hands do he knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wmq.dataset.select import exchange_frames
from wmq.errors import WmqError
from wmq.game.schema import Schema
from wmq.inference.agents import Actors, Agent, open_agent
from wmq.inference.draws import AGENT_SLOTS, Decode, Sampling
from wmq.inference.predictor import Worlds
from wmq.rollout.controllers import SIZE, Source
from wmq.rollout.limits import LONGEST_DELAY

Agents = tuple[Agent | None, Agent | None]
NO_AGENTS: Agents = (None, None)


def open_agents(
    sources: tuple[Source, Source], arithmetic: str, kernels: str, schema: Schema, delay: int = 0
) -> Agents:
    """Open the agents among the controllers; one file in both seats is opened once.

    schema  of the world that they play in
    delay   in frames, with which they are to play
    Raises WmqError.
    """
    if not 0 <= delay <= LONGEST_DELAY:
        raise WmqError(f"delay {delay}: give a whole number of frames in 0..{LONGEST_DELAY}")
    played = [source for source in dict.fromkeys(sources) if source.kind == "agent"]
    if delay and not played:
        raise WmqError(f"delay {delay}: only agents see late, and none plays; leave it out")
    opened = {source: open_agent(source.path or None, arithmetic, kernels) for source in played}
    for agent in opened.values():
        if agent.schema != Schema(schema.projectiles, schema.version, True):
            raise WmqError(f"agent {agent.path}: sees other fields than the world has; give an "
                           "agent of the world's schema, or let it play another world")  # fmt: skip
    return opened.get(sources[0]), opened.get(sources[1])


class Seats:
    """The agents of some worlds side by side; one model in both seats is run once for both."""

    def __init__(self, schema: Schema, agents: Agents, seeds: Sequence[int], decode: Decode):
        self.schema, self.worlds = schema, len(seeds)
        self.played = [player for player in (0, 1) if agents[player] is not None]
        self.actors: list[tuple[Actors, list[int]]] = []
        for agent in dict.fromkeys(agent for agent in agents if agent is not None):
            mine = [player for player in self.played if agents[player] is agent]
            keys = tuple((seed, AGENT_SLOTS[player]) for player in mine for seed in seeds)
            self.actors.append((agent.actors(Sampling(keys, decode)), mine))

    def act(self, frames: np.ndarray, controllers: np.ndarray) -> np.ndarray:
        """Give the controllers that follow frames, (worlds, 26); those of others are 0.

        frames, controllers  (worlds, n, ..): new ones since the last call
        """
        following = np.zeros((self.worlds, 2, SIZE), np.int32)
        halves = controllers.reshape(*controllers.shape[:2], 2, SIZE)
        for actors, players in self.actors:
            seen = [exchange_frames(self.schema, frames) if player else frames
                    for player in players]  # fmt: skip
            own = [halves[:, :, player] for player in players]
            acted = actors.act(np.concatenate(seen), np.concatenate(own))
            for seat, player in enumerate(players):
                following[:, player] = acted[seat * self.worlds : (seat + 1) * self.worlds]
        return following.reshape(self.worlds, 2 * SIZE)

    def fill(self, controllers: np.ndarray, following: np.ndarray) -> None:
        """Write what the agents gave into the controllers of one frame, (worlds, 26)."""
        for player in self.played:
            columns = slice(player * SIZE, (player + 1) * SIZE)
            controllers[:, columns] = following[:, columns]


def play_frames(worlds: Worlds, seats: Seats, frames: np.ndarray, controllers: np.ndarray,
                first: int, last: int, given: int, delay: int = 0) -> None:  # fmt: skip
    """Compute frames first + 1 .. last of each world, and the agents' controllers of them.

    frames, controllers  (worlds, steps + 1, ..), of which rows 0 .. given - 1 are there, and of
                         the controllers all that no agent gives; row t + 1 follows from row t
    delay                in frames, by which the agents see late
    """
    for t in range(first, last):
        if t + 1 < given:  # both are known: agents only look
            continue
        rows = slice(0 if t + 1 == given else t, t + 1)
        steps = rows.stop - rows.start
        seen = frames[:, rows] if not delay else _seen(frames, rows, delay)
        seats.fill(controllers[:, t + 1], seats.act(seen, controllers[:, rows]))
        made = worlds.advance(frames[:, rows], controllers[:, rows.start : t + 2], steps)
        frames[:, t + 1] = made[:, -1]


def _seen(frames: np.ndarray, steps: slice, delay: int) -> np.ndarray:
    """Take what is seen at some steps, `delay` frames late; before that the first frame."""
    return frames[:, np.maximum(np.arange(steps.start, steps.stop) - delay, 0)]
