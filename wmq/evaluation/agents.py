"""An agent against real games, one frame ahead: both players of each, as he saw it.

Whoever plays sees himself as player 1 and his own controller, and the state is carried through the
game.  Both sides of a game count as one game in every interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wmq.dataset.select import exchange_players
from wmq.evaluation.chain import Chain
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.metrics import add_sums
from wmq.game.schema import Schema
from wmq.game.targets import Heads
from wmq.inference.predictor import Predictor, Tick
from wmq.replays.slippi import Game


def both_sides(schema: Schema, games: Sequence[Game]) -> list[Game]:
    """Give each game as player 1 sees it, and as player 2 does, with his own controller alone."""
    own, found = schema.controllers_size, []
    for game in games:
        exchanged = exchange_players(schema, game.frames, game.controllers)
        for frames, pads in ((game.frames, game.controllers), exchanged):
            found.append(replace(game, frames=frames, controllers=pads[:, :own]))
    return found


def teacher_forced_agent(
    agent: Predictor, sides: Sequence[Game], chain: Chain, tick: Tick
) -> list[ControlTally]:
    """Tally each game one frame ahead; what the heads say is given to `chain` too."""
    tallies = [ControlTally() for _ in sides]

    def take(number: int, first: int, heads: Heads) -> None:
        pads, last = sides[number].controllers, first + len(heads["buttons"])
        tallies[number].add(pads[first:last], pads[first + 1 : last + 1], heads)
        chain.see(number, first, heads)
        tick(last - first)

    agent.walk(sides, [], take)
    games = [ControlTally() for _ in range(len(sides) // 2)]
    for number, whole in enumerate(games):
        add_sums(whole, tallies[2 * number : 2 * number + 2])
    return games
