"""What onnxruntime's quantization tools are given: a plain export, and play to calibrate on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader

from calib.step.graph import StepModel, build_step
from calib.step.runner import CalibrationGame
from wmq.inference.onnx_session import SessionStep

Feeds = dict[str, np.ndarray]


def plain_export(step: StepModel) -> onnx.ModelProto:
    """Export as `wmq export` does in float32, but for names.

    The tools skip weights behind a Cast, which a file with float16 weights has.  They call
    the scale of a tensor T "T_scale", which is what the spread of a head is called here, and
    would take the one for the other.
    """
    texts = {key: step.metadata[key] for key in ("wmq.run", "wmq.training")}
    model = build_step(step.config, step.schema, step.weights, texts)
    names = {t.name: f"{t.name}_of" for t in model.graph.initializer if t.name.endswith("_scale")}
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.checker.check_model(model)
    return model


class CalibrationReader(CalibrationDataReader):
    """Frames of games, with the state that the float model carries.

    `set_range` begins the next part of the calls: the tools keep all that they saw until a
    part is done (their option CalibStridedMinMax, which they obey in every method).
    """

    def __init__(
        self, step: SessionStep, games: Sequence[CalibrationGame], lanes: int = 1, part: int = 1
    ):
        """step   in float
        lanes  games that share a call, until the shortest of them ends
        part   calls; the tools want a whole number of parts, and what is left over is left out
        """
        self._step, self._games, self._lanes = step, games, lanes
        calls = sum(length for _, length in self._groups())
        self.part = min(part, calls)
        self._calls = self._left = calls - calls % self.part
        self._feeds = self._play()

    def __len__(self) -> int:
        return self._calls

    @property
    def frames(self) -> int:
        """Count the frames of all games in all calls."""
        left, frames = self._calls, 0
        for group, length in self._groups():
            frames += len(group) * min(left, length)
            left -= min(left, length)
        return frames

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = end_index - start_index

    def get_next(self) -> Feeds | None:
        if self._left == 0:
            return None
        self._left -= 1
        return next(self._feeds, None)

    def _groups(self) -> Iterator[tuple[Sequence[CalibrationGame], int]]:
        """Group games side by side, and count the calls that they have."""
        for first in range(0, len(self._games), self._lanes):
            group = self._games[first : first + self._lanes]
            yield group, min(len(game.numbers) for game in group)

    def _play(self) -> Iterator[Feeds]:
        inputs = [port.name for port in self._step.session.get_inputs()]
        for group, length in self._groups():
            state = self._step.zero_state(len(group))
            for t in range(length):
                feeds = {
                    "numbers": np.stack([game.numbers[t] for game in group]),
                    "classes": np.stack([game.classes[t] for game in group]),
                    "controllers": np.stack([game.controllers[t] for game in group]),
                    "next_controllers": np.stack([game.next_controllers[t] for game in group]),
                    **state,
                }
                if self._step.schema.draws:
                    feeds["forced"] = np.stack([game.drawn[t] for game in group])
                    feeds["uniforms"] = np.zeros(feeds["forced"].shape, np.float32)
                feeds = {name: feeds[name] for name in inputs}
                yield feeds
                found = self._step.session.run([f"next_{name}" for name in state], feeds)
                state = dict(zip(state, found, strict=True))
