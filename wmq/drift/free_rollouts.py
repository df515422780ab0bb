"""Worlds left to themselves for a minute: where they start, and who plays.

Every model starts in the same real frames with the state that the true game has given it.  The
controllers are those of the real game, or random; a model that draws is played by two agents
too.  What happens is counted in `wmq.drift.statistics`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wmq.errors import WmqError
from wmq.game.schema import Schema
from wmq.inference.agents import Agent, open_agent
from wmq.inference.draws import Sampling
from wmq.inference.model_files import check_form, ships_agent
from wmq.inference.predictor import BLOCK, Predictor, StartRow, Tick
from wmq.inference.scheduling import in_threads
from wmq.replays.slippi import Game
from wmq.rollout.controllers import random_controllers
from wmq.rollout.match import Seats

WARM_UP = 1200  # real frames before the start that agents see, or all where there are fewer


def kinds_of_play(schema: Schema) -> tuple[str, ...]:
    """Name who plays the worlds of a model."""
    return ("agents", "real") if schema.draws else ("real", "random")


def open_players(path: str | None, schema: Schema) -> Agent | None:
    """Open the agent that plays a model that draws, the embedded one for None; no other has one.

    Raises WmqError.
    """
    if not schema.draws:
        if path:
            raise WmqError(f"--agents {path}: the world does not draw, so that real and random "
                           "controllers play it; leave it out")  # fmt: skip
        return None
    if path:
        check_form(Path(path))
    elif not ships_agent():
        raise WmqError("this version of wmq ships no agent to play the worlds; name one with "
                       "--agents FILE.wmq")  # fmt: skip
    agent = open_agent(path, "float32")  # the same for every world, whatever that runs in
    if agent.schema != Schema(schema.projectiles, schema.version, True):
        raise WmqError(f"--agents {agent.path}: sees other fields than the world has; give an "
                       "agent of the world's schema")  # fmt: skip
    return agent


def sampled_worlds(
    predictor: Predictor, games: Sequence[Game], starts: Sequence[StartRow],
    states: Sequence[Any], count: int, agent: Agent | None, tick: Tick,
) -> np.ndarray:  # fmt: skip
    """Return the `count` frames after each start, drawn, (starts, count, frame_size) int32.

    World k has seed k, so that all models draw by the same words.  With an agent it plays both
    players, after it has seen WARM_UP true frames; else the true controllers do.
    """
    schema = predictor.schema
    rolled = np.empty((len(starts), count, schema.frame_size), np.int32)
    stop, step = threading.Event(), 1 if agent else BLOCK

    def together(places: list[int]) -> None:
        at = [(games[starts[place].game], starts[place].row) for place in places]
        course = np.empty((len(places), count + 1, schema.frame_size), np.int32)
        course[:, 0] = [game.frames[row] for game, row in at]
        # with agents, the rows after the first are theirs
        pads = np.stack([game.controllers[row : row + count + 1] for game, row in at])
        worlds = predictor.worlds(len(places), states=[states[place] for place in places],
                                  sampling=Sampling.of_worlds(places))  # fmt: skip
        seats = [Seats(schema, (agent, agent), [place], "sample") for place in places if agent]
        for own, (game, row) in zip(seats, at, strict=False):
            before = slice(max(0, row - WARM_UP), row)
            if row:
                own.act(game.frames[None, before], game.controllers[None, before])
        for first in range(0, count, step):
            if stop.is_set():
                return
            last = min(first + step, count)
            now = slice(first, first + 1)
            for world, own in enumerate(seats):
                one = slice(world, world + 1)
                own.fill(pads[one, last], own.act(course[one, now], pads[one, now]))
            made = worlds.advance(course[:, now], pads[:, first : last + 1], last - first)
            course[:, first + 1 : last + 1] = made
            tick(len(places) * (last - first))
        rolled[places] = course[:, 1:]

    in_threads(together, predictor.groups(len(starts)), predictor.threads, stop)
    return rolled


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
