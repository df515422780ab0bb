"""Whatever predicts the next frame, behind one pair of functions.

`walk` goes through whole games with the true frames as input (teacher-forced) and hands
out heads in natural units, some frames at a time; on the way it keeps the state at given
starts.  `roll` goes on from such states with the true controllers and the predictor's own
frames.  Games are integer frames; float models, integer programs and trivial predictors
differ in nothing that the caller could see.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wmq.evaluation.rollout_error import Start
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS, head_widths
from wmq.inference.baselines import Heads, Trivial
from wmq.inference.float_predictor import CHUNK, Spreads, StepPredictor, Take, Tick, in_threads
from wmq.inference.model_files import ModelError, open_program
from wmq.inference.onnx_session import OnnxStep
from wmq.inference.scheduling import shares
from wmq.replays.slippi import Game

if TYPE_CHECKING:
    from wmq_kernels.engine import Group
    from wmq_kernels.engine import State as EngineState

__all__ = ["CHUNK", "OnnxPredictor", "Predictor", "ProgramPredictor", "Spreads", "Take", "Tick",
           "TrivialPredictor", "cuts"]  # fmt: skip


class Predictor(Protocol):
    """schema  fields of the frames; spreads: those of the number heads, None for trivial ones."""

    schema: Schema
    spreads: Spreads | None

    def walk(self, games: Sequence[Game], starts: Sequence[Start], take: Take) -> list[Any]:
        """Heads of all rows but the last of each game to `take`, from any thread.

        Returns the state at each start, before its row is read.
        """

    def roll(
        self, games: Sequence[Game], starts: Sequence[Start], states: list[Any], count: int,
        tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        """The `count` frames after each start, (starts, count, frame_size) int32."""


class TrivialPredictor:
    """A `Trivial`, which has no state."""

    spreads: Spreads | None = None

    def __init__(self, trivial: Trivial):
        self.trivial, self.schema = trivial, trivial.schema

    def walk(self, games: Sequence[Game], starts: Sequence[Start], take: Take) -> list[Any]:
        for number, game in enumerate(games):
            for first, last in pairwise(cuts(game)):
                take(number, first, self.trivial.heads(game.frames[first:last]))
        return [None] * len(starts)

    def roll(
        self, games: Sequence[Game], starts: Sequence[Start], states: list[Any], count: int,
        tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        tick(len(starts) * count)
        return self.trivial.roll(np.stack([games[s.game].frames[s.row] for s in starts]), count)


class OnnxPredictor(StepPredictor):
    """`model.onnx` in onnxruntime, some games side by side in each thread."""

    step: OnnxStep

    def __init__(self, path: str | os.PathLike[str], threads: int):
        """Raises ModelError or CalibrationError."""
        step = OnnxStep(path)  # one thread of its own, whoever calls
        super().__init__(step, step.spreads, threads)


class ProgramPredictor:
    """`model.wmq` in the engine, some games side by side in each thread."""

    def __init__(self, path: str | os.PathLike[str], threads: int, kernels: str = "auto"):
        """Raises ModelError or ProgramError."""
        from wmq_kernels.engine import Engine

        model = open_program(path)
        self.engine, self.threads = Engine(model.program, kernels), threads
        self.schema = model.schema
        self.spreads: Spreads | None = _spreads(model.program.meta, model.path)
        scales = model.program.meta.get("head_scales", {})
        self.heads = []  # name, place in the row of heads, natural units in one unit
        for name, width in head_widths(self.schema).items():
            start, found = model.program.heads.get(name, (0, 0))
            if found != width or not isinstance(scales.get(name), float | int):
                raise ModelError(f"{model.path}: head {name} is not there, or has no scale; "
                                 "make the model again with `wmq calibrate`")  # fmt: skip
            self.heads.append((name, slice(start, start + width), float(scales[name])))

    def compile(self, game: Game) -> None:
        """Have the engine compiled, by a frame of a game."""
        state = self.engine.zero_state()
        self.engine.run(state, game.frames[:1], game.controllers[:2], 1, heads=True)

    def walk(self, games: Sequence[Game], starts: Sequence[Start], take: Take) -> list[Any]:
        found: dict[Start, Any] = dict.fromkeys(starts)
        borders = [cuts(game, [s.row for s in starts if s.game == number])
                   for number, game in enumerate(games)]  # fmt: skip

        def together(numbers: list[int]) -> None:
            """One lane a game, the longest first; a lane closes when its game ends."""
            group = self.engine.zero_group(len(numbers))
            kept: dict[int, list[np.ndarray]] = {n: [] for n in numbers}  # since the last border
            for first, last in pairwise(sorted({at for n in numbers for at in borders[n]})):
                if stop.is_set():
                    return
                lanes = [n for n in numbers if borders[n][-1] > first]
                if len(lanes) < len(group):
                    group = self._group([group.world(lane) for lane in range(len(lanes))])
                for lane, number in enumerate(lanes):
                    if (start := Start(number, first)) in found:
                        found[start] = group.world(lane).copy()
                frames = np.stack([games[n].frames[first:last] for n in lanes])
                pads = np.stack([games[n].controllers[first : last + 1] for n in lanes])
                run = self.engine.run_group(group, frames, pads, last - first, True)
                assert run.heads is not None  # asked for
                for number, rows in zip(lanes, run.heads, strict=True):
                    kept[number].append(rows)
                    if last in borders[number]:
                        whole = np.concatenate(kept[number])
                        take(number, last - len(whole), self._natural(whole))
                        kept[number].clear()

        stop = threading.Event()
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        groups = [[by_length[k] for k in dealt] for dealt in shares(len(games), self.threads)]
        in_threads(together, groups, self.threads, stop)
        return [found[start] for start in starts]

    def roll(
        self, games: Sequence[Game], starts: Sequence[Start], states: list[Any], count: int,
        tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        rolled = np.empty((len(starts), count, self.schema.frame_size), np.int32)

        def together(places: list[int]) -> None:
            if stop.is_set():
                return
            at = [(games[starts[place].game], starts[place].row) for place in places]
            given = np.stack([game.frames[row : row + 1] for game, row in at])
            pads = np.stack([game.controllers[row : row + count + 1] for game, row in at])
            group = self._group([states[place] for place in places])
            rolled[places] = self.engine.run_group(group, given, pads, count).frames
            tick(len(places) * count)

        stop = threading.Event()
        in_threads(together, shares(len(starts), self.threads), self.threads, stop)
        return rolled

    def _group(self, states: Sequence[EngineState]) -> Group:
        """A group of worlds with the content of these states."""
        group = self.engine.zero_group(len(states))
        for lane, state in enumerate(states):
            group.put(lane, state)
        return group

    def _natural(self, rows: np.ndarray) -> Heads:
        return {name: (rows[:, at] * scale).astype(np.float32) for name, at, scale in self.heads}


def cuts(game: Game, extra: Sequence[int] = ()) -> list[int]:
    """Borders of the pieces in which a game is handed out."""
    last = len(game.frames) - 1
    return sorted({*range(0, last, CHUNK), *extra, last})


def _spreads(meta: Any, path: object) -> Spreads:
    """The spreads of the number heads in a program's meta.  Raises ModelError."""
    try:
        return {head: np.array(meta["spreads"][head], np.float32) for head in NUMBER_HEADS}
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{path}: names no spreads of its heads; make the model again with "
                         "`wmq calibrate`") from None  # fmt: skip
