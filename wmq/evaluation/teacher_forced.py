"""The teacher-forced pass: a predictor walks the true games, a `Tally` of each game leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wmq.evaluation.metrics import Tally
from wmq.game.targets import Heads
from wmq.inference.predictor import Predictor, Spreads, StartRow, Take, Tick
from wmq.replays.slippi import Game


def teacher_forced(
    predictor: Predictor,
    games: Sequence[Game],
    starts: Sequence[StartRow],
    spreads: Spreads,
    tick: Tick,
    seen: Take | None = None,
) -> tuple[list[Tally], list[Any]]:
    """Tally each game one frame ahead, and return the state at each start.

    spreads  that val_loss is measured in
    seen     is given the heads too, before they are counted
    """
    tallies = [Tally(predictor.schema, spreads) for _ in games]

    def take(number: int, first: int, heads: Heads) -> None:
        if seen:
            seen(number, first, heads)
        add_rows(tallies[number], games[number], first, heads)
        tick(len(heads["binary"]))

    return tallies, predictor.walk(games, starts, take)


def add_rows(tally: Tally, game: Game, first: int, heads: Heads) -> None:
    """Count the heads of a game's rows from `first` on."""
    last = first + len(heads["binary"])
    now, after = game.frames[first:last], game.frames[first + 1 : last + 1]
    tally.add(now, after, heads, game.info.missing, game.controllers[first + 1 : last + 1])
