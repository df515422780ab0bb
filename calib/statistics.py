"""Ranges of a float step's activations over real play, with the state carried.

Games go in as the inputs of the step.  onnxruntime runs a batch of them side by side, a
frame a call; where a game ends, its row goes on with the next game from a zero state.
Each call's activations pass an observer and are dropped, so memory does not grow with the
number of frames.  Limits leave, one a tensor or one a head; a second pass measures what
rounding to given scales costs.

One thread, in a fixed order: equal inputs give equal statistics on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx

from calib.errors import CalibrationError
from calib.observers import MakeObserver, MinMax, Observer
from calib.step_graph import StepModel, zero_state
from calib.step_sizes import StepSizes, module_name

ROWS = 16  # games side by side
Progress = Callable[[str, int, int], None]  # (what, done, total)


def silent(what: str, done: int, total: int) -> None:
    """The Progress that shows nothing."""


@dataclass(frozen=True)
class CalibrationGame:
    """T frames of a game as the step takes them; row t and `next_controllers` t+1.

    numbers (T, 30) float32, classes (T, 17) int64, controllers and next_controllers
    (T, 26) float32
    """

    numbers: np.ndarray
    classes: np.ndarray
    controllers: np.ndarray
    next_controllers: np.ndarray


@dataclass(frozen=True)
class Observed:
    """An observed tensor: how many groups have a limit of their own, and the width of the
    integers that will hold it.  Only int8 ones go by the observer; wider ones always keep the
    maximum, as they have bits enough: clipping at 99.99 % cost an int16 tensor 30 to 50 dB.
    """

    groups: int
    bits: int


@dataclass(frozen=True)
class Statistics:
    """limits  tensor name -> (groups,) float64, the |value| that its scale must hold"""

    limits: Mapping[str, np.ndarray]
    frames: int
    games: int


@dataclass(frozen=True)
class Rounding:
    """Integers in [lo, hi] that stand for `scale` each; scale (groups,) float64."""

    scale: np.ndarray
    lo: int
    hi: int


def observed_tensors(sizes: StepSizes) -> dict[str, Observed]:
    """Every tensor that `collect` observes, in the order of the graph."""
    found = {"encoded": Observed(1, 8), "residual.0": Observed(1, 32)}
    for i in range(sizes.n_layer):
        mamba = f"layers.{i}.mamba"
        found[f"layers.{i}.norm.unit"] = Observed(1, 8)
        found |= {f"{mamba}.{name}": Observed(1, 16) for name in ("z", "xbc", "conv1d", "silu_z")}
        found |= {f"{mamba}.{name}": Observed(1, 16) for name in ("x", "B", "C")}
        found[f"{mamba}.dt"] = Observed(sizes.nheads, 32)
        found[f"{mamba}.drive"] = Observed(sizes.nheads, 32)
        found[f"next_state.{i}"] = Observed(sizes.nheads, 32)
        found[f"{mamba}.y"] = Observed(sizes.nheads, 16)
        found[f"{mamba}.gated"] = Observed(1, 32)
        found[f"{mamba}.norm.unit"] = Observed(1, 8)
        found[f"residual.{i + 1}"] = Observed(1, 32)
    found["norm_f.unit"] = Observed(1, 8)
    found |= {f"heads.{module_name(name)}": Observed(1, 32) for name in sizes.heads}
    return found


def collect(
    step: StepModel,
    games: Iterable[CalibrationGame],
    observer: MakeObserver = MinMax,
    frames: int | None = None,
    progress: Progress = silent,
) -> Statistics:
    """Limits of all observed tensors over the games, or over their first `frames` frames.

    `games` is read as it is needed, so it may load one game at a time.  Raises
    CalibrationError if there is no frame, or if a value is not finite.
    """
    tensors = observed_tensors(step.sizes)
    observers: dict[str, Observer] = {
        name: observer(t.groups) if t.bits == 8 else MinMax(t.groups) for name, t in tensors.items()
    }
    player = Player(step, list(tensors))
    for found in player.play(games, frames):
        for name, values in found.items():
            try:
                observers[name].add(_grouped(values, tensors[name].groups))
            except ValueError as error:
                raise CalibrationError(f"{name}: {error}; use another model or data") from None
        progress("observing", player.frames, frames or player.frames)
    if not player.frames:
        raise CalibrationError("no frame to observe; give more games")
    limits = {name: seen.limits() for name, seen in observers.items()}
    return Statistics(limits, player.frames, player.games)


def signal_to_noise(
    step: StepModel,
    games: Iterable[CalibrationGame],
    roundings: Mapping[str, Rounding],
    frames: int | None = None,
    progress: Progress = silent,
) -> dict[str, float]:
    """Decibels between each tensor and its rounding error over the games' first frames.

    10 log10(sum x^2 / sum (x - q(x))^2); infinite where nothing is lost.
    """
    sums = {name: np.zeros(2) for name in roundings}
    player = Player(step, list(roundings))
    for found in player.play(games, frames):
        for name, values in found.items():
            grouped = _grouped(values, len(roundings[name].scale)).astype(np.float64)
            error = grouped - rounded(grouped, roundings[name])
            sums[name] += np.sum(grouped * grouped), np.sum(error * error)
        progress("measuring", player.frames, frames or player.frames)
    return {name: decibels(signal, noise) for name, (signal, noise) in sums.items()}


def rounded(values: np.ndarray, rounding: Rounding) -> np.ndarray:
    """The nearest values that the integers can express; values (samples, groups, values)."""
    scale = rounding.scale[:, None]
    units = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    return np.clip(np.floor(units + 0.5), rounding.lo, rounding.hi) * scale


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def _grouped(values: np.ndarray, groups: int) -> np.ndarray:
    """(batch, groups * .., ..) as (batch, groups, values): a group is a run of the elements."""
    return values.reshape(len(values), groups, -1)


class Player:
    """Runs a step over games and shows the tensors named in `observed`.

    frames, games  what was played so far
    """

    def __init__(self, step: StepModel, observed: list[str]):
        self.step, self.observed = step, observed
        self.frames = self.games = 0
        self.state_names = list(self._zero_state(0))
        kept = [f"next_{name}" for name in self.state_names]
        self.outputs = list(dict.fromkeys([*observed, *kept]))
        self.session = _session(step, self.outputs)

    def play(
        self, games: Iterable[CalibrationGame], frames: int | None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The observed tensors of one frame of every row, (rows, ..), until games or frames end."""
        queue = (game for game in games if len(game.numbers))
        rows: list[tuple[CalibrationGame, int]] = []  # game, and its frame that comes now
        state = self._zero_state(0)
        while frames is None or self.frames < frames:
            most = ROWS if frames is None else min(ROWS, frames - self.frames)
            going = [i for i, (game, at) in enumerate(rows) if at < len(game.numbers)][:most]
            begun = [(game, 0) for game in islice(queue, most - len(going))]
            if begun or len(going) < len(rows):
                fresh = self._zero_state(len(begun))
                state = {n: np.concatenate([state[n][going], fresh[n]]) for n in state}
            rows = [rows[i] for i in going] + begun
            if not rows:
                return
            found = self._run(rows, state)
            self.frames += len(rows)
            self.games += len(begun)
            rows = [(game, at + 1) for game, at in rows]
            state = {name: found[f"next_{name}"] for name in self.state_names}
            yield {name: found[name] for name in self.observed}

    def _zero_state(self, batch: int) -> dict[str, np.ndarray]:
        return zero_state(self.step.config, self.step.schema, batch)

    def _run(
        self, rows: list[tuple[CalibrationGame, int]], state: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        feeds = {
            "numbers": np.stack([game.numbers[at] for game, at in rows]),
            "classes": np.stack([game.classes[at] for game, at in rows]),
            "controllers": np.stack([game.controllers[at] for game, at in rows]),
            "next_controllers": np.stack([game.next_controllers[at] for game, at in rows]),
        }
        try:
            values = self.session.run(self.outputs, feeds | state)
        except Exception as error:  # noqa: BLE001  (onnxruntime's have no common base)
            raise CalibrationError(f"onnxruntime cannot run the step: {_one_line(error)}") from None
        return dict(zip(self.outputs, values, strict=True))


def _session(step: StepModel, outputs: list[str]):  # noqa: ANN202
    """A session whose outputs are those named, intermediate tensors of the graph included."""
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
