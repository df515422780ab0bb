"""What the chain of a model that draws says of real games, and what it would have drawn there.

Teacher-forced, each draw follows the true ones before it.  Its logits give the probabilities of
events (`wmq.evaluation.events`), and with a random word the class that the model draws; two models
are given the same words (`wmq.inference.draws`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wmq.evaluation.bootstrap import Interval, mean_interval
from wmq.evaluation.differences import percent_change, sums_of_games
from wmq.evaluation.events import Foreseen, drawable, foresee
from wmq.evaluation.metrics import Sums
from wmq.game.schema import Schema
from wmq.game.targets import Heads, drawn_classes
from wmq.inference.draws import AGENT_SLOTS, WORLD_SLOT, Decoding, draw_words, uniforms
from wmq.replays.slippi import Game


class Chain:
    """What was seen of some games, or sides of games, by `see`."""

    def __init__(self, schema: Schema, games: Sequence[Game], decoding: Decoding | None):
        """games: for an agent both sides of each, one after the other (`wmq.evaluation.agents`).

        decoding  of the model; None: nothing is drawn
        """
        self.schema, self.games, self.decoding = schema, games, decoding
        slots = AGENT_SLOTS if schema.agent else (WORLD_SLOT,)
        self.keys = [(number // len(slots), slots[number % len(slots)])
                     for number in range(len(games))]  # fmt: skip
        self.parts: list[dict[int, dict[str, Foreseen]]] = [{} for _ in games]
        shapes = [(len(game.frames) - 1, len(schema.draws)) for game in games]
        self.drawn = [np.zeros(shape, np.int16) for shape in shapes]
        self.counted = [np.ones(shape, bool) for shape in shapes]

    @property
    def owners(self) -> list[int]:
        """The game that each entry is, or is a side of."""
        return [number for number, _ in self.keys]

    def see(self, number: int, first: int, heads: Heads) -> None:
        """Take the heads of a game's rows from `first` on."""
        game, schema = self.games[number], self.schema
        last = first + len(heads[schema.draws[0].name])
        now, after = game.frames[first:last], game.frames[first + 1 : last + 1]
        pads, following = game.controllers[first:last], game.controllers[first + 1 : last + 1]
        if schema.agent:
            found = foresee(schema, pads, following, heads)
        else:
            self.counted[number][first:last] = drawn_classes(schema, now, after).counted
            found = foresee(schema, now, after, heads, following)
        self.parts[number][first] = found
        if self.decoding:
            words = draw_words(*self.keys[number], first, last - first, len(schema.draws))
            drawn = choices(schema, now, heads, uniforms(words), self.decoding)
            self.drawn[number][first:last] = drawn

    def foreseen(self) -> list[dict[str, Foreseen]]:
        """Give what was foreseen in each game, whatever the order in which it was seen."""
        found = []
        for owner in sorted(set(self.owners)):
            rows = [part for number, parts in enumerate(self.parts) if self.owners[number] == owner
                    for _, part in sorted(parts.items())]  # fmt: skip
            found.append({name: Foreseen(np.concatenate([row[name].chance for row in rows]),
                                         np.concatenate([row[name].happened for row in rows]))
                          for name in rows[0]})  # fmt: skip
        return found


def choices(schema: Schema, now: np.ndarray, heads: Mapping[str, np.ndarray],
            shares: np.ndarray, decoding: Decoding) -> np.ndarray:  # fmt: skip
    """Draw each class given the true ones before it, (T, draws) int64.

    In float64, whatever the model computes in: its own draws are others where a share lies within
    its rounding of a border, once in a million draws or so.

    now     (T, frame_size) int32
    heads   (T, width) logits of each draw
    shares  (T, draws) in [0, 1), of `uniforms`
    """
    (temperature, min_p), found = decoding, []
    for column, draw in enumerate(schema.draws):
        logits = heads[draw.name].astype(np.float64)
        if draw.field == "action":
            logits = np.where(drawable(schema)[now[:, schema.index("action", draw.player)]],
                              logits, -np.inf)  # fmt: skip
        exponent = (logits - logits.max(1, keepdims=True)) / temperature
        sums = np.where(exponent >= np.log(min_p), np.exp(exponent), 0).cumsum(1)
        found.append((sums <= sums[:, -1:] * shares[:, column, None]).sum(1))
    return np.stack(found, axis=1)


def other_draws(one: Chain, other: Chain, weights: np.ndarray) -> tuple[Interval, Interval]:
    """Return the share of draws on which two models differ, and of frames, in percent."""
    owners, games = one.owners, len(set(one.owners))
    differs = [(mine != theirs) & counted for mine, theirs, counted in
               zip(one.drawn, other.drawn, one.counted, strict=True)]  # fmt: skip

    def share(sums: list[int], counts: list[int]) -> Interval:
        by_game = [sums_of_games(np.array(side), owners, games) for side in (sums, counts)]
        return mean_interval(100 * by_game[0], by_game[1], weights)

    return (
        share([int(d.sum()) for d in differs], [int(counted.sum()) for counted in one.counted]),
        share([int(d.any(axis=1).sum()) for d in differs], [len(d) for d in differs]),
    )


def tally_intervals(
    tallies: Sequence[Sums], names: Sequence[str], weights: np.ndarray
) -> dict[str, Interval]:
    """Return named means with their intervals; one tally a game."""
    return {name: mean_interval(*sums_and_counts(tallies, name), weights) for name in names}


def nll_change(one: Sequence[Sums], other: Sequence[Sums], weights: np.ndarray) -> Interval:
    """Tell how much larger the second model's nll is, in percent; one tally a game."""
    before, counts = sums_and_counts(one, "nll")
    return percent_change(sums_and_counts(other, "nll")[0], before, counts, weights)[0]


def sums_and_counts(tallies: Sequence[Sums], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a figure's sum and count in each tally, (tallies,) float64."""
    return (np.array([tally.sums.get(name, 0.0) for tally in tallies]),
            np.array([tally.counts.get(name, 0.0) for tally in tallies]))  # fmt: skip
