"""The passes over the games that a sensitivity run consists of, each kept when it is done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np

from calib.simulation.clipping import count_clipped
from calib.simulation.simulate import Change, simulated
from calib.step.graph import StepModel
from wmq.calibration.play import calibration_game
from wmq.game.targets import NUMBER_HEADS
from wmq.inference.float_predictor import StepPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import IntegerModel
from wmq.inference.onnx_session import SessionStep
from wmq.inference.predictor import Predictor, Spreads
from wmq.progress import Counter, Progress
from wmq.sensitivity.measure import Field, Measured, actions, measure
from wmq.sensitivity.memo import Keeper, key
from wmq.sensitivity.tensor_classes import Part


@dataclass(frozen=True)
class Pair:
    """A program and the float step that it was lowered from; sha256 of the step's file."""

    model: IntegerModel
    step: StepModel
    path: Path
    sha256: str

    @property
    def spreads(self) -> Spreads:
        return {head: self.step.weights[f"{head}_scale"] for head in NUMBER_HEADS}


@dataclass(frozen=True)
class Work:
    """What passes need.

    key      names games, starts and float step, in the keys of what is kept
    threads  that measure, an entry each
    """

    pair: Pair
    field: Field
    keeper: Keeper
    key: str
    threads: int
    progress: Progress

    def record(self) -> tuple[Measured, list[np.ndarray]]:
        """The float model's sums, and its most likely actions by game."""
        counter = Counter(self.progress, "measuring the float model", self.field.frames)
        return actions(replace(self.field, tick=counter.add), self._predictor(Change()))

    def measured(
        self, title: str, changes: dict[str, Change | None], likely: Sequence[np.ndarray]
    ) -> dict[str, Measured]:
        """The sums of the float step with each change, by name; None is the program itself."""
        program = self.pair.model.sha256
        keys = {name: key(self.key, program if change is None else change)
                for name, change in changes.items()}  # fmt: skip
        kept = self.keeper.measured(keys.values(), len(self.field.games))
        missing = [name for name in changes if keys[name] not in kept]

        counter = Counter(self.progress, title, len(keys) * self.field.frames)
        counter.add((len(keys) - len(missing)) * self.field.frames)
        field = replace(self.field, tick=counter.add)

        def entry(name: str) -> Measured:
            return measure(field, self._predictor(changes[name]), likely)

        running = _in_threads(entry, missing, self.threads, self.field.stop)
        with closing(running):  # so that Ctrl-C in here ends the threads too
            for name, found in running:
                kept[keys[name]] = found
                self.keeper.write()
        return {name: kept[k] for name, k in keys.items()}

    def _predictor(self, change: Change | None) -> Predictor:
        if change is None:
            return IntegerPredictor(self.pair.model.path, 1)
        content = simulated(self.pair.step, change).SerializeToString()
        step = SessionStep(content, self.pair.model.schema, self.pair.path)
        return StepPredictor(step, self.pair.spreads, 1)

    def clipped(self, parts: Sequence[Part]) -> dict[str, tuple[int, int]]:
        """By part: values that its intervals clip in the float model's play, and all values."""
        wanted = {key(self.key, list(pair)): pair for part in parts for pair in part.observed}
        kept = self.keeper.kept.clipped
        missing = {k: pair for k, pair in wanted.items() if k not in kept}
        if missing:
            schema, games = self.pair.model.schema, self.field.games
            played = [calibration_game(schema, game.frames, game.controllers) for game in games]
            frames = sum(len(game.numbers) for game in played)
            counts = count_clipped(
                self.pair.step, played, list(missing.values()), frames, self.progress
            )
            kept.update(zip(missing, counts, strict=True))
            self.keeper.write()
        found = {}
        for part in parts:
            counts = [kept[key(self.key, list(pair))] for pair in part.observed]
            found[part.name] = sum(c for c, _ in counts), sum(n for _, n in counts)
        return found


def _in_threads(
    work: Callable[[str], Measured], names: Sequence[str], threads: int, stop: Event
) -> Generator[tuple[str, Measured], None, None]:
    """Results as they are ready; an error or Ctrl-C ends the rest at once."""
    with ThreadPoolExecutor(threads) as pool:
        running = {pool.submit(work, name): name for name in names}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
