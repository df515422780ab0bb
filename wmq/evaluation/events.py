"""What a model that draws expects to happen on the next frame, and what does: calibration.

The classes that it gives a probability to are finer than what a player would call an event.  Here
their probabilities are added up to those of hits, grabs, landings and so on, given the true draws
before them in the chain; temperature and min-p are left out.  Deaths follow by rule, so that a
model foresees one or does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wmq.evaluation.bootstrap import Interval, mean_interval
from wmq.evaluation.precision import precision_interval
from wmq.game.controls import control_classes
from wmq.game.frame_update import next_frames
from wmq.game.schema import Schema
from wmq.game.targets import Drawn, drawn_classes
from wmq.game.transitions import drawable_actions
from wmq.replays.slippi import Game

LEAST = 1e-7  # of a probability, and of what is left to 1, where its logarithm is taken
HIT, DEATH, PRESS = "hit", "death", "press begun"


@dataclass(frozen=True)
class ActionChange:
    """A player's action becomes another, one of `to`, and he is in none of `outside`."""

    name: str
    to: tuple[int, ...]
    outside: tuple[int, ...] = ()

    def happens(self, now: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Tell where it does, bool (T,); actions (T,) int."""
        return np.isin(after, self.to) & (after != now) & ~np.isin(now, self.outside)

    def chance(self, now: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Add its actions' probabilities up, (T,); probability (T, actions)."""
        stays = probability[np.arange(len(now)), now]
        total = probability[:, list(self.to)].sum(1) - np.where(np.isin(now, self.to), stays, 0)
        return np.where(np.isin(now, self.outside), 0, total)


CHANGES = (
    ActionChange("shield hit", (181,)),
    ActionChange("grab", (223, 226), tuple(range(223, 229))),
    ActionChange("ledge grab", (252,)),
    ActionChange("landing", (42, 43, *range(70, 75))),
    ActionChange("jump", (24, 27, 28)),
)
NAMES = (HIT, "shield hit", "grab", DEATH, "ledge grab", "landing", "jump")


@dataclass(frozen=True)
class Foreseen:
    """How likely an event was on some player-frames, (n,) float64, and whether it came, bool."""

    chance: np.ndarray
    happened: np.ndarray


@dataclass(frozen=True)
class EventFigures:
    """An event over all games, with intervals over games.

    observed, predicted  how often it came, and the sum of its probabilities
    ratio      predicted / observed
    precision  average precision (`wmq.evaluation.precision`)
    gain       in log-likelihood over `base_rate`, nats per 1,000 player-frames; unknown of deaths,
               of which a model says yes or no
    base_rate  share of the training games' player-frames on which it comes
    """

    observed: int
    predicted: float
    ratio: Interval
    precision: Interval
    gain: Interval
    base_rate: float


def happenings(schema: Schema, now: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Tell which events come on player-frames that count, bool (n,): player 1's, then player 2's.

    now, after  (T, frame_size) int32, for an agent (T, 13) of controllers
    """
    if schema.agent:
        return {PRESS: _pressed(control_classes(now)[:, 0], control_classes(after)[:, 0])}
    drawn = drawn_classes(schema, now, after)
    return _joined([_happened(schema, now, drawn, player) for player in (0, 1)])


def foresee(
    schema: Schema, now: np.ndarray, after: np.ndarray, heads: Mapping[str, np.ndarray],
    pads: np.ndarray | None = None,
) -> dict[str, Foreseen]:  # fmt: skip
    """Add the probabilities of events up, on the same player-frames as `happenings`.

    heads  (T, width) each, given the true draws
    pads   (T, 26) int32, the controllers that lead to `after`; an agent needs none
    """
    if schema.agent:
        before, target = control_classes(now)[:, 0], control_classes(after)[:, 0]
        begun = probabilities(heads["buttons"])
        begun[np.arange(len(begun)), before] = 0  # a class that stays, and
        begun[:, 0] = 0  # that of no button, are no press
        return {PRESS: Foreseen(begun.sum(1), _pressed(before, target))}
    drawn = drawn_classes(schema, now, after)
    made = next_frames(schema, now, dict(heads), drawn.classes, pads)
    chances = _joined([_chances(schema, now, made, heads, drawn, player) for player in (0, 1)])
    happened = _joined([_happened(schema, now, drawn, player) for player in (0, 1)])
    return {name: Foreseen(chances[name], happened[name]) for name in NAMES}


def probabilities(logits: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
    """Softmax of logits (T, classes) over the classes allowed, bool of that shape; float64."""
    exact = logits.astype(np.float64)
    if allowed is not None:
        exact = np.where(allowed, exact, -np.inf)
    weights = np.exp(exact - exact.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def event_rates(schema: Schema, games: Iterable[Game]) -> dict[str, float]:
    """Measure on what share of the player-frames each event comes; games as `Chain` has them."""
    rows = (game.controllers if schema.agent else game.frames for game in games)
    found = [happenings(schema, each[:-1], each[1:]) for each in rows]
    return {name: float(np.concatenate([game[name] for game in found]).mean()) for name in found[0]}


def event_figures(
    games: Sequence[Mapping[str, Foreseen]], rates: Mapping[str, float], weights: np.ndarray
) -> dict[str, EventFigures]:
    """Compute the figures of each event.

    games    what was foreseen in each
    rates    of `event_rates`
    weights  how often each game is in each draw of the bootstrap, (draws, games)
    """
    return {name: _figures(name, [game[name] for game in games], rates[name], weights)
            for name in games[0]}  # fmt: skip


def _figures(
    name: str, games: Sequence[Foreseen], rate: float, weights: np.ndarray
) -> EventFigures:
    predicted = np.array([game.chance.sum() for game in games])
    observed = np.array([game.happened.sum() for game in games])
    frames = np.array([len(game.happened) for game in games])
    gained = [log_likelihood(game.chance, game.happened)
              - log_likelihood(np.full(len(game.chance), rate), game.happened)
              for game in games]  # fmt: skip
    unknown = Interval(None, None, None)
    return EventFigures(
        observed=int(observed.sum()),
        predicted=float(predicted.sum()),
        ratio=mean_interval(predicted, observed, weights),
        precision=precision_interval([game.chance for game in games],
                                     [game.happened for game in games], weights),
        gain=unknown if name == DEATH else mean_interval(1000 * np.array(gained), frames, weights),
        base_rate=rate,
    )  # fmt: skip


def log_likelihood(chance: np.ndarray, happened: np.ndarray) -> float:
    """Sum log p of what came and what did not, in nats, p held between LEAST and 1 - LEAST."""
    held = np.clip(chance, LEAST, 1 - LEAST)
    return float(np.log(np.where(happened, held, 1 - held)).sum())


def _pressed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (after != before) & (after != 0)


def _happened(schema: Schema, now: np.ndarray, drawn: Drawn, player: int) -> dict[str, np.ndarray]:
    percent, action = _columns(schema, player)
    at, free = schema.index("action", player), drawn.counted[:, action]
    found = {event.name: event.happens(now[free, at], drawn.classes[free, action])
             for event in CHANGES}  # fmt: skip
    found[HIT] = drawn.classes[drawn.counted[:, percent], percent] > 0
    found[DEATH] = drawn.extrapolated[~_dead(schema, now, player), player]
    return found


def _chances(
    schema: Schema, now: np.ndarray, made: np.ndarray, heads: Mapping[str, np.ndarray],
    drawn: Drawn, player: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    percent, action = _columns(schema, player)
    free, hit = drawn.counted[:, action], heads[schema.draws[percent].name]
    before = now[free, schema.index("action", player)]
    chance = probabilities(heads[schema.draws[action].name][free], drawable(schema)[before])
    found = {event.name: event.chance(before, chance) for event in CHANGES}
    found[HIT] = probabilities(hit[drawn.counted[:, percent]])[:, 1:].sum(1)
    alive = ~_dead(schema, now, player)
    found[DEATH] = _dead(schema, made, player)[alive].astype(np.float64)
    return found


def _columns(schema: Schema, player: int) -> tuple[int, int]:
    """Return the numbers of a player's draws: of his percent, and of his action."""
    places = [(draw.field, draw.player) for draw in schema.draws]
    return places.index(("percent", player)), places.index(("action", player))


def _dead(schema: Schema, frames: np.ndarray, player: int) -> np.ndarray:
    """Tell on which frames a player is dead, bool (T,)."""
    assert schema.rules is not None  # as it draws
    dead = [clock.action for clock in schema.rules.clocks]
    return np.isin(frames[:, schema.index("action", player)], dead)


@lru_cache(maxsize=1)
def drawable(schema: Schema) -> np.ndarray:
    """Tell which action a draw may give after which, bool (actions, actions)."""
    assert schema.rules is not None
    return drawable_actions(schema.rules) > 0


def _joined(players: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([player[name] for player in players]) for name in NAMES}
