"""A float step run over games, with tensors of its inside shown call by call.

Games go in as the inputs of the step.  onnxruntime runs a batch of them side by side, a
frame a call; where a game ends, its row goes on with the next game from a zero state.  A
runner stops between any two calls and goes on later, from a `Position`, with equal bits.

One thread, in a fixed order: equal inputs give equal values on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx

from calib.errors import CalibrationError
from calib.step.graph import StepModel
from calib.step.nodes import INPUTS

ROWS = 16  # games side by side
Progress = Callable[[str, int, int], None]  # (what, done, total)


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class CalibrationGame:
    """T frames of a game as the step takes them; row t and `next_controllers` t+1.

    numbers (T, 30) float32, classes (T, 17) int64, controllers and next_controllers
    (T, 26) float32, an agent's (T, 13); drawn (T, draws) int64: what the game drew
    """

    numbers: np.ndarray
    classes: np.ndarray
    controllers: np.ndarray
    next_controllers: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True)
class Position:
    """Where a pass stands between two calls.

    numbers  (rows,) int64: which game of the stream each row plays, empty ones not counted
    at       (rows,) int64: the frame of it that comes next
    state    the rows' recurrent state, by input name, (rows, ..) float32
    frames, games  played, and begun, so far
    """

    numbers: np.ndarray
    at: np.ndarray
    state: dict[str, np.ndarray]
    frames: int
    games: int


@dataclass(frozen=True)
class _OpenGame:
    game: CalibrationGame
    number: int
    at: int

    @property
    def open(self) -> bool:
        return self.at < len(self.game.numbers)


class StepRunner:
    """A step in a session that gives the tensors named in `observed`, inputs among them.

    frames, games  what was played so far
    """

    def __init__(self, step: StepModel, observed: list[str]):
        self.step, self.observed = step, observed
        self.frames = self.games = 0
        self.rows: list[_OpenGame] = []
        self.state = step.sizes.zero_state(0)
        kept = [f"next_{name}" for name in self.state]
        inside = [name for name in observed if name not in INPUTS]
        self.outputs = list(dict.fromkeys([*inside, *kept]))
        self.session = _session(step, self.outputs)

    @property
    def position(self) -> Position:
        """Where the pass stands; to be read between two calls, while `play` waits at a yield."""
        numbers, at = (np.array([getattr(row, key) for row in self.rows], dtype=np.int64)
                       for key in ("number", "at"))  # fmt: skip
        return Position(numbers, at, self.state, self.frames, self.games)

    def play(
        self,
        games: Iterable[CalibrationGame],
        frames: int | None,
        position: Position | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the observed tensors of a frame of each row, (rows, ..), until games or frames end.

        position  goes on from there; `games` are the same, from the first on
        """
        queue = (game for game in games if len(game.numbers))
        if position is not None:
            self._resume(queue, position)
        while frames is None or self.frames < frames:
            most = ROWS if frames is None else min(ROWS, frames - self.frames)
            going = [i for i, row in enumerate(self.rows) if row.open][:most]
            begun = [_OpenGame(game, self.games + k, 0)
                     for k, game in enumerate(islice(queue, most - len(going)))]  # fmt: skip
            if begun or len(going) < len(self.rows):
                fresh = self.step.sizes.zero_state(len(begun))
                self.state = {n: np.concatenate([v[going], fresh[n]])
                              for n, v in self.state.items()}  # fmt: skip
            self.rows = [self.rows[i] for i in going] + begun
            if not self.rows:
                return
            found = self._run()
            self.frames += len(self.rows)
            self.games += len(begun)
            self.rows = [_OpenGame(row.game, row.number, row.at + 1) for row in self.rows]
            self.state = {name: found[f"next_{name}"] for name in self.state}
            yield {name: found[name] for name in self.observed}

    def _resume(self, queue: Iterator[CalibrationGame], position: Position) -> None:
        """Pass over the games that had begun, and keep those that had not ended."""
        numbers, at = position.numbers.tolist(), position.at.tolist()
        begun = {n: game for n, game in enumerate(islice(queue, position.games)) if n in numbers}
        if len(begun) < len(numbers):
            raise CalibrationError("fewer games than the interrupted pass had begun")
        self.rows = [_OpenGame(begun[n], n, frame) for n, frame in zip(numbers, at, strict=True)]
        self.state = position.state
        self.frames, self.games = position.frames, position.games

    def _run(self) -> dict[str, np.ndarray]:
        sizes = self.step.sizes
        feeds = {key: np.stack([getattr(row.game, key)[row.at] for row in self.rows])
                 for key in INPUTS[: -1 if sizes.agent else None]}  # fmt: skip
        draws = {}
        if sizes.draws:
            draws["forced"] = np.stack([row.game.drawn[row.at] for row in self.rows])
            draws["uniforms"] = np.zeros(draws["forced"].shape, np.float32)
        try:
            values = self.session.run(self.outputs, feeds | draws | self.state)
        except Exception as error:  # noqa: BLE001  (onnxruntime's have no common base)
            raise CalibrationError(f"onnxruntime cannot run the step: {_one_line(error)}") from None
        return feeds | dict(zip(self.outputs, values, strict=True))


def _session(step: StepModel, outputs: list[str]):  # noqa: ANN202
    """Open a session whose outputs are those named, intermediate tensors included."""
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(step.model)
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001
        raise CalibrationError(f"onnxruntime refuses the step: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
