"""One method beside the record: its row of the table."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from wmq.bench.quantization import figures
from wmq.bench.quantization.heads import Agreement, head_figures
from wmq.bench.quantization.play import Part, Play, games_of, part_of, roll, starts_of
from wmq.bench.quantization.record import Record
from wmq.dataset.select import beginning
from wmq.evaluation.bootstrap import draw_weights
from wmq.evaluation.results import Figure, Row
from wmq.evaluation.rollout_error import (
    LONGEST,
    divergence_figures,
    first_divergence,
    position_errors,
    true_frames,
)
from wmq.evaluation.teacher_forced import teacher_forced
from wmq.game.schema import FIRST_FRAME
from wmq.game.targets import Heads
from wmq.inference.predictor import Predictor, StartRow, Tick
from wmq.replays.slippi import Game
from wmq.toolkits.methods import Method

PACED = 0.3  # seconds of one stretch of the speed
STRETCHES = 3
FEWEST = 20  # frames of a stretch


def record_row(name: str, what: str, method: Method, record: Record) -> Row:
    """Make float32's own row: figures without differences, from the record."""
    play = record.play
    weights, part = draw_weights(len(play.games)), part_of(play, 1.0)
    errors = _errors(play, part, record.rolled)
    found = figures.plain_figures(record.tallies(part.steps))
    found |= figures.rolled_figures(errors, None, _games(play, part), weights)
    found["same_action"] = Figure(100.0)
    never = divergence_figures(np.zeros(len(part.starts), np.int64))
    return _row(name, what, method, play, part, found, {}, never)


def compared_row(name: str, what: str, method: Method, record: Record, tick: Tick) -> Row:
    """Measure the row of any other method, with differences to the record on the same frames.

    tick  frames done, of all frames and all rollouts' frames, whatever the method's share
    Raises whatever the method's predictor raises, and WmqError if its heads are no numbers.
    """
    play, part = record.play, part_of(record.play, method.share)
    agreements = [Agreement(play.schema, steps) for steps in part.steps]

    def agree(number: int, first: int, heads: Heads) -> None:
        last = first + len(heads["binary"])
        agreements[number].add(first, record.heads(number, first, last), heads)

    tallies, states = teacher_forced(
        method.predictor, games_of(play, part), starts_of(play, part), play.scales, tick, agree
    )
    tick(sum(play.steps) - sum(part.steps))
    rolled = roll(method.predictor, play, part, states, tick)
    tick((len(play.starts) - len(part.starts)) * LONGEST)
    weights, true = draw_weights(len(play.games)), record.rolled[list(part.starts)]
    found = figures.tally_figures(tallies, record.tallies(part.steps), weights)
    if part.starts:
        found |= figures.rolled_figures(
            _errors(play, part, rolled), _errors(play, part, true), _games(play, part), weights
        )
    found["same_action"] = figures.same_action([a.actions for a in agreements], weights)
    diverged = (divergence_figures(first_divergence(play.schema, true, rolled))
                if part.starts else {})  # fmt: skip
    return _row(name, what, method, play, part, found, head_figures(agreements), diverged)


def frames_per_second(predictor: Predictor, game: Game) -> float:
    """Time one world rolled out alone with the true controllers, from the end of the entry.

    Frame update included; the median of a few short stretches after a first one that is not
    counted.  For orientation only: `wmq bench speed` is the measurement of speed.
    """
    row = min(-FIRST_FRAME, len(game.frames) - 1 - FEWEST)
    start = StartRow(0, row)
    states = predictor.walk([beginning(game, row + 1)], [start], lambda at, first, heads: None)

    def seconds(count: int) -> float:
        began = time.perf_counter()
        predictor.roll([game], [start], states, count, lambda frames: None)
        return time.perf_counter() - began

    seconds(FEWEST)
    longest = len(game.frames) - 1 - row
    count = min(longest, max(FEWEST, int(PACED * FEWEST / seconds(FEWEST))))
    return count / median(seconds(count) for _ in range(STRETCHES))


def _errors(play: Play, part: Part, rolled: np.ndarray) -> np.ndarray:
    true = true_frames(play.games, starts_of(play, part), LONGEST)
    return position_errors(play.schema, rolled, true)


def _games(play: Play, part: Part) -> list[int]:
    return [start.game for start in starts_of(play, part)]


def _row(name: str, what: str, method: Method, play: Play, part: Part, found: dict, heads: dict,
         diverged: dict) -> Row:  # fmt: skip
    notes = list(method.notes)
    if method.share < 1:
        notes.append(f"the first {method.share:.0%} of every game, {len(part.starts)} of "
                     f"{len(play.starts)} starts; float32 on the same")  # fmt: skip
    return Row(
        name=name,
        library=library_of(name),
        what=what,
        layers=method.layers,
        static_layers=method.static_layers,
        float_operations=method.float_operations,
        bytes=method.bytes,
        frames=sum(part.steps),
        figures=found,
        heads=heads,
        first_divergence=diverged,
        frames_per_second=frames_per_second(
            method.predictor, max(play.games, key=lambda g: len(g.frames))
        ),
        notes=notes,
    )


def library_of(name: str) -> str:
    """Find the library that a row's name speaks of; onnxruntime's may leave it out."""
    libraries = ("wmq", "torchao", "torch")
    return next((library for library in libraries if library in name.split()), "onnxruntime")
