"""A model on the games of a sensitivity run: sums of each game, one frame ahead and rolled out.

A predictor comes in, and `GameSums` leave; `figures` compares two of them with paired intervals
over the games.  The float model goes first: every other is asked how often
its most likely action is the float model's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

import msgspec
import numpy as np

from wmq.evaluation.bootstrap import draw_weights, drawn_means
from wmq.evaluation.differences import changed_figure, percent_more, sums_of_games
from wmq.evaluation.metrics import CLASS_WEIGHTS, HEAD_WEIGHTS
from wmq.evaluation.results import Figure
from wmq.evaluation.rollout_error import position_errors, true_frames
from wmq.evaluation.teacher_forced import teacher_forced
from wmq.game.targets import PLAYERS, Heads
from wmq.inference.predictor import Predictor, Spreads, StartRow
from wmq.replays.slippi import Game

HORIZON = 20  # frames of drift
LOSS = CLASS_WEIGHTS | HEAD_WEIGHTS
PERCENT = ("val_loss", "pos_mae", f"rc({HORIZON})")  # given in percent of float's
SUMMED = (*LOSS, "pos_mae", "change_acc")


class MeasuringStopped(Exception):
    """Ctrl-C in another thread."""


class GameSums(msgspec.Struct, frozen=True):
    """Sums and counts of a game each, by figure: those of `Tally`, rc(20) and same_action."""

    sums: dict[str, list[float]]
    counts: dict[str, list[float]]

    def is_whole(self, games: int) -> bool:
        """Tell whether every figure is there, for so many games."""
        names = {*SUMMED, "same_action", f"rc({HORIZON})"}
        found = (self.sums, self.counts)
        return all(set(part) == names for part in found) and all(
            len(values) == games for part in found for values in part.values()
        )


@dataclass(frozen=True)
class Measurement:
    """What all models are measured on.

    spreads  that val_loss is measured in
    tick     called with the frames done since the last call, from any thread
    """

    games: Sequence[Game]
    starts: Sequence[StartRow]
    spreads: Spreads
    stop: Event
    tick: Callable[[int], None] = lambda frames: None

    @property
    def frames(self) -> int:
        """What a model ticks in all: one frame ahead, and rolled out."""
        return sum(len(game.frames) - 1 for game in self.games) + HORIZON * len(self.starts)


def actions(on: Measurement, predictor: Predictor) -> tuple[GameSums, list[np.ndarray]]:
    """Return the float model's sums, and its most likely actions: a game each, (T, 2) int16."""
    found = [np.full((len(g.frames) - 1, len(PLAYERS)), -1, np.int16) for g in on.games]
    return _measure(on, predictor, found, True), found


def measure(on: Measurement, predictor: Predictor, record: Sequence[np.ndarray]) -> GameSums:
    """Return the sums of a model beside the float model's actions.  Raises MeasuringStopped."""
    return _measure(on, predictor, record, False)


def _measure(on: Measurement, predictor: Predictor, record: Sequence[np.ndarray],
             fill: bool) -> GameSums:  # fmt: skip
    games = on.games
    same = np.zeros(len(games))

    def seen(number: int, first: int, heads: Heads) -> None:
        if on.stop.is_set():
            raise MeasuringStopped
        rows = slice(first, first + len(heads["binary"]))
        likely = np.stack([heads[f"{p}.action"].argmax(1) for p in PLAYERS], axis=1)
        if fill:
            record[number][rows] = likely
        same[number] += (record[number][rows] == likely).sum()

    tallies, states = teacher_forced(predictor, games, on.starts, on.spreads, on.tick, seen)
    sums = {name: [float(t.sums.get(name, 0.0)) for t in tallies] for name in SUMMED}
    counts = {name: [float(t.counts.get(name, 0.0)) for t in tallies] for name in SUMMED}
    sums["same_action"] = same.tolist()
    counts["same_action"] = [float(rows.size) for rows in record]
    name = f"rc({HORIZON})"
    sums[name], counts[name] = _drift(on, predictor, states)
    return GameSums(sums, counts)


def _drift(on: Measurement, predictor: Predictor, states: list) -> tuple[list[float], list[float]]:
    """Mean position errors to the horizon, summed over the starts of each game."""

    def tick(frames: int) -> None:
        if on.stop.is_set():
            raise MeasuringStopped
        on.tick(frames)

    rolled = predictor.roll(on.games, on.starts, states, HORIZON, tick)
    true = true_frames(on.games, on.starts, HORIZON)
    errors = position_errors(predictor.schema, rolled, true).mean(1)
    at, games = [start.game for start in on.starts], len(on.games)
    counts = np.bincount(at, minlength=games)
    return sums_of_games(errors, at, games).tolist(), counts.tolist()


def figures(found: GameSums, record: GameSums) -> dict[str, Figure]:
    """val_loss, pos_mae, change_acc and rc(20), each against the float model's."""
    games = len(record.sums["pos_mae"])
    weights = np.concatenate([np.ones((1, games)), draw_weights(games)])
    result = {}
    for name in ("val_loss", "pos_mae", "change_acc", f"rc({HORIZON})"):
        value, base = _drawn(found, name, weights), _drawn(record, name, weights)
        percent = name in PERCENT
        change = percent_more(value, base) if percent else value - base
        result[name] = changed_figure(value[0], change, percent)
    return result


def same_action(found: GameSums) -> float:
    """Percent of frames and players."""
    return 100 * sum(found.sums["same_action"]) / max(1.0, sum(found.counts["same_action"]))


def _drawn(found: GameSums, name: str, weights: np.ndarray) -> np.ndarray:
    """Return a figure with each row of weights of the games, (rows,) float64."""
    if name == "val_loss":  # a head that no game holds counts nothing, as in Tally
        parts = [w * np.nan_to_num(_drawn(found, part, weights)) for part, w in LOSS.items()]
        return sum(parts, np.zeros(len(weights)))
    scale = 100.0 if name == "change_acc" else 1.0
    sums, counts = np.array(found.sums[name]), np.array(found.counts[name])
    return scale * drawn_means(sums, counts, weights)
