"""The passes over the games that a sensitivity run consists of, each kept when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import msgspec
import numpy as np

from calib.simulation.clipping import count_clipped
from calib.simulation.simulate import Change, simulated
from wmq.calibration.play import calibration_game
from wmq.inference.float_predictor import StepPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import FloatModel, IntegerModel
from wmq.inference.onnx_session import SessionStep
from wmq.inference.predictor import Predictor
from wmq.inference.scheduling import results_in_threads
from wmq.memo.forms import Damaged, Form, json_form
from wmq.memo.provenance import digest
from wmq.memo.store import Store
from wmq.progress import Counter, Progress
from wmq.sensitivity.measure import GameSums, Measurement, actions, measure
from wmq.sensitivity.tensor_classes import TensorGroup

Value = TypeVar("Value")


class Clipped(msgspec.Struct, frozen=True):
    """Values that an interval clips, of so many."""

    count: int
    seen: int


class Elapsed(msgspec.Struct, frozen=True):
    seconds: float


class RunClock:
    """Time of this run, and of those before it that were interrupted."""

    def __init__(self, store: Store, key: str):
        """key: of the program and what it is measured on"""
        self._store, self._key, self._began = store, key, perf_counter()
        before = store.read("seconds", key, ELAPSED)
        self._before = before.seconds if before else 0.0

    @property
    def seconds(self) -> float:
        return self._before + perf_counter() - self._began

    def save(self) -> None:
        """Raises FileError."""
        self._store.write("seconds", self._key, ELAPSED, Elapsed(self.seconds))


CLIPPED, ELAPSED = json_form(Clipped), json_form(Elapsed)


def sums_form(games: int) -> Form[GameSums]:
    """Of so many games, with every figure."""
    form = json_form(GameSums)

    def decode(content: bytes, where: str) -> GameSums:
        found = form.decode(content, where)
        if not found.is_whole(games):
            raise Damaged(f"{where}: not the sums of {games} games")
        return found

    return replace(form, decode=decode)


@dataclass(frozen=True)
class Passes:
    """integer, exact  the program and the float step that it was made from
    key      names games, starts and float step, in the keys of what is kept
    threads  that measure, an entry each
    """

    integer: IntegerModel
    exact: FloatModel
    on: Measurement
    store: Store
    clock: RunClock
    key: str
    threads: int
    progress: Progress

    def record(self) -> tuple[GameSums, list[np.ndarray]]:
        """Return the float model's sums, and its most likely actions by game."""
        counter = Counter(self.progress, "measuring the float model", self.on.frames)
        return actions(replace(self.on, tick=counter.add), self._predictor(Change()))

    def measured(
        self, title: str, changes: dict[str, Change | None], likely: Sequence[np.ndarray]
    ) -> dict[str, GameSums]:
        """The sums of the float step with each change, by name; None is the program itself."""
        form = sums_form(len(self.on.games))
        keys = {name: digest(self.key, self.integer.sha256 if change is None else change)
                for name, change in changes.items()}  # fmt: skip
        kept = self._kept("sums", keys.values(), form)
        missing = [name for name in changes if keys[name] not in kept]

        counter = Counter(self.progress, title, len(keys) * self.on.frames)
        counter.add((len(keys) - len(missing)) * self.on.frames)
        on = replace(self.on, tick=counter.add)

        def entry(name: str) -> GameSums:
            return measure(on, self._predictor(changes[name]), likely)

        running = results_in_threads(entry, missing, self.threads, self.on.stop)
        with closing(running):  # so that Ctrl-C in here ends the threads too
            for name, found in running:
                kept[keys[name]] = found
                self.store.write("sums", keys[name], form, found)
                self.clock.save()
        return {name: kept[key] for name, key in keys.items()}

    def _predictor(self, change: Change | None) -> Predictor:
        if change is None:
            return IntegerPredictor(self.integer.path, 1)
        content = simulated(self.exact.step, change).SerializeToString()
        step = SessionStep(content, self.exact.schema, self.exact.path)
        return StepPredictor(step, self.exact.spreads, 1)

    def clipped(self, groups: Sequence[TensorGroup]) -> dict[str, Clipped]:
        """By group: what its intervals clip in the float model's play."""
        wanted = {digest(self.key, observed): observed
                  for group in groups for observed in group.observed}  # fmt: skip
        kept = self._kept("clipped", wanted, CLIPPED)
        missing = {key: observed for key, observed in wanted.items() if key not in kept}
        if missing:
            schema, games = self.exact.schema, self.on.games
            played = [calibration_game(schema, game.frames, game.controllers) for game in games]
            frames = sum(len(game.numbers) for game in played)
            counts = count_clipped(
                self.exact.step, played, list(missing.values()), frames, self.progress
            )
            for key, count in zip(missing, counts, strict=True):
                kept[key] = Clipped(*count)
                self.store.write("clipped", key, CLIPPED, kept[key])
            self.clock.save()
        return {
            group.name: total(kept[digest(self.key, observed)] for observed in group.observed)
            for group in groups
        }

    def _kept(self, kind: str, keys: Iterable[str], form: Form[Value]) -> dict[str, Value]:
        """Those that are kept, by key."""
        found = ((key, self.store.read(kind, key, form)) for key in keys)
        return {key: value for key, value in found if value is not None}


def total(found: Iterable[Clipped]) -> Clipped:
    known = list(found)
    return Clipped(sum(c.count for c in known), sum(c.seen for c in known))
