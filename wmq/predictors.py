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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wmq.baselines import Heads, Trivial
from wmq.groups import shares
from wmq.horizons import Start
from wmq.onnx_step import OnnxStep, State, next_frames
from wmq.opening import ModelError, open_program
from wmq.replays import Game
from wmq.schema import Schema
from wmq.targets import NUMBER_HEADS, head_widths

if TYPE_CHECKING:
    from wmq_kernels.engine import Group
    from wmq_kernels.engine import State as EngineState

CHUNK = 256  # frames that `walk` hands out at a time
LANES = 64  # games, or starts, that the float model computes side by side
Spreads = dict[str, np.ndarray]  # of the targets of each number head, natural units, (width,)
Take = Callable[[int, int, Heads], None]  # (number of the game, first row, heads of some rows)
Tick = Callable[[int], None]  # frames done since the last call


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


class OnnxPredictor:
    """`model.onnx` in onnxruntime, many games side by side."""

    def __init__(self, path: str | os.PathLike[str], threads: int):
        """Raises ModelError or CalibrationError."""
        from calib.step_graph import read_step

        self.step = OnnxStep(path, threads)
        self.schema = self.step.schema
        weights = read_step(self.step.path).weights
        self.spreads: Spreads | None = {head: weights[f"{head}_scale"] for head in NUMBER_HEADS}

    def walk(self, games: Sequence[Game], starts: Sequence[Start], take: Take) -> list[State]:
        found: dict[Start, State] = dict.fromkeys(starts, {})
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        for first in range(0, len(games), LANES):
            self._walk_together(by_length[first : first + LANES], games, found, take)
        return [found[start] for start in starts]

    def _walk_together(
        self, numbers: list[int], games: Sequence[Game], found: dict[Start, State], take: Take
    ) -> None:
        """One lane a game, the longest first; a lane closes when its game ends."""
        widths = head_widths(self.schema)
        state = self.step.zero_state(len(numbers))
        begin = 0
        while numbers:
            end = min(begin + CHUNK, len(games[numbers[-1]].frames) - 1)
            frames = np.stack([games[n].frames[begin:end] for n in numbers], axis=1)
            pads = np.stack([games[n].controllers[begin : end + 1] for n in numbers], axis=1)
            kept = {h: np.empty((*frames.shape[:2], w), np.float32) for h, w in widths.items()}
            for row in range(end - begin):
                for lane, number in enumerate(numbers):
                    if (start := Start(number, begin + row)) in found:
                        found[start] = {k: v[lane : lane + 1].copy() for k, v in state.items()}
                heads, state = self.step.step(frames[row], pads[row], pads[row + 1], state)
                for head, values in heads.items():
                    kept[head][row] = values
            for lane, number in enumerate(numbers):
                take(number, begin, {head: values[:, lane] for head, values in kept.items()})
            begin = end
            numbers = [n for n in numbers if len(games[n].frames) - 1 > end]
            state = {name: value[: len(numbers)] for name, value in state.items()}

    def roll(
        self, games: Sequence[Game], starts: Sequence[Start], states: list[State], count: int,
        tick: Tick,
    ) -> np.ndarray:  # fmt: skip
        rolled = np.empty((len(starts), count, self.schema.frame_size), np.int32)
        for first in range(0, len(starts), LANES):
            lanes = slice(first, first + LANES)
            frames = np.stack([games[s.game].frames[s.row] for s in starts[lanes]])
            pads = np.stack([games[s.game].controllers[s.row : s.row + count + 1]
                             for s in starts[lanes]], axis=1)  # fmt: skip
            state = {name: np.concatenate([s[name] for s in states[lanes]])
                     for name in states[first]}  # fmt: skip
            for row in range(count):
                heads, state = self.step.step(frames, pads[row], pads[row + 1], state)
                frames = next_frames(self.schema, frames, heads)
                rolled[lanes, row] = frames
                tick(len(frames))
        return rolled


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
        _in_threads(together, groups, self.threads, stop)
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
        _in_threads(together, shares(len(starts), self.threads), self.threads, stop)
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


def _in_threads(
    work: Callable[[list[int]], None], groups: Sequence[list[int]], threads: int,
    stop: threading.Event,
) -> None:  # fmt: skip
    """All groups, some at a time; an error or Ctrl-C ends the rest at once."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(work, groups):
                pass
        except BaseException:
            stop.set()
            raise


def _spreads(meta: Any, path: object) -> Spreads:
    """The spreads of the number heads in a program's meta.  Raises ModelError."""
    try:
        return {head: np.array(meta["spreads"][head], np.float32) for head in NUMBER_HEADS}
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{path}: names no spreads of its heads; make the model again with "
                         "`wmq calibrate`") from None  # fmt: skip
