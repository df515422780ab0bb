"""The world model in torch, one frame of some games or many frames of one, as numpy sees it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wmq.game.encoding import float_inputs
from wmq.game.targets import Heads, true_draws
from wmq.inference.draws import forced_draws
from wmq.inference.float_predictor import StepPredictor
from wmq.inference.onnx_session import State
from wmq.inference.predictor import Spreads, StartRow, Take, cuts
from wmq.inference.scheduling import in_threads
from wmq.inference.torch_step import Compute, draw_inputs
from wmq.models.world import WorldModel
from wmq.replays.slippi import Game
from wmq_kernels.program import Draws

SIDE_BY_SIDE = 32  # starts rolled out together: what a call costs hardly depends on how many
KEYS = ("conv", "state")


class TorchModelStep:
    """A `wmq.inference.float_predictor.Step`.

    plain    knows schema and states, in float32
    compute  the model's `step` for inputs (batch, ..), in `dtype`, or `drawing` of it; the
             convolution's state is of that dtype too, the recurrent one always float32
    """

    def __init__(self, plain: WorldModel, compute: Compute, dtype: Any = torch.float32):
        self.schema, self.plain, self.dtype = plain.schema, plain, dtype
        self.compute = compute

    def zero_state(self, batch: int = 1) -> State:
        return _named(self.plain.zero_state(batch))

    def step(
        self, frames: np.ndarray, controllers: np.ndarray, next_controllers: np.ndarray,
        state: State, draws: Draws | None = None,
    ) -> tuple[Heads, State]:  # fmt: skip
        with torch.inference_mode():
            inputs = self.inputs(frames, controllers, next_controllers)
            heads, after = self.compute(*inputs, self.layers(state), *drawn_by(draws))
            return _arrays(heads), _named(after)

    def inputs(self, frames: np.ndarray, *pads: np.ndarray) -> tuple[Tensor, ...]:
        numbers, classes, now = float_inputs(self.schema, frames, pads[0])
        following = float_inputs(self.schema, frames, pads[1])[2]
        floats = (torch.from_numpy(values).to(self.dtype) for values in (numbers, now, following))
        numbers, now, following = floats
        return numbers, now, torch.from_numpy(classes), following

    def layers(self, state: State) -> list[tuple[Tensor, Tensor]]:
        return [
            (torch.from_numpy(state[f"conv.{layer}"]).to(self.dtype),
             torch.from_numpy(state[f"state.{layer}"]))
            for layer in range(len(state) // 2)
        ]  # fmt: skip


class TorchSequence(TorchModelStep):
    """The same of a model that can also take many frames of a game at once, (batch, t, ..).

    forward  for those
    compute  for one; None: forward
    """

    def __init__(self, plain: WorldModel, forward: Compute, compute: Compute | None, dtype: Any):
        super().__init__(plain, compute or self._one, dtype)
        self.forward = forward

    def _one(self, *given: Any) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
        inputs, state, drawn = given[:4], given[4], given[5:]
        frames = (value.unsqueeze(1) for value in inputs)
        heads, after = self.forward(*frames, state, *(value.unsqueeze(1) for value in drawn))
        return {name: value[:, 0] for name, value in heads.items()}, after

    def run(self, frames: np.ndarray, controllers: np.ndarray, state: State,
            draws: Draws | None) -> tuple[Heads, State]:  # fmt: skip
        """Run frames (t, frame_size), controllers (t + 1, 26) of one game; heads (t, width).

        draws  (t, draws) each, of a model that draws
        """
        with torch.inference_mode():
            inputs = self.inputs(frames, controllers[:-1], controllers[1:])
            one, drawn = ([v.unsqueeze(0) for v in some] for some in (inputs, drawn_by(draws)))
            heads, after = self.forward(*one, self.layers(state), *drawn)
            return {name: value[0] for name, value in _arrays(heads).items()}, _named(after)


class SequencePredictor(StepPredictor):
    """Walks a game at a time, many frames at once; rolls out as every other."""

    def __init__(self, sequence: TorchSequence, spreads: Spreads, threads: int):
        super().__init__(sequence, spreads, threads, SIDE_BY_SIDE)
        self.sequence = sequence

    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[State]:
        found: dict[StartRow, State] = dict.fromkeys(starts, {})
        by_length = sorted(range(len(games)), key=lambda n: -len(games[n].frames))
        stop = threading.Event()

        def alone(numbers: list[int]) -> None:
            for number in numbers:
                game, state = games[number], self.sequence.zero_state()
                drawn = true_draws(self.schema, game.frames, game.controllers)
                borders = cuts(game, [start.row for start in starts if start.game == number])
                for first, last in pairwise(borders):
                    if stop.is_set():
                        return
                    if (start := StartRow(number, first)) in found:
                        found[start] = state
                    pads = game.controllers[first : last + 1]
                    draws = forced_draws(drawn[first:last]) if self.schema.draws else None
                    heads, state = self.sequence.run(game.frames[first:last], pads, state, draws)
                    take(number, first, heads)

        in_threads(alone, [[number] for number in by_length], self.threads, stop)
        return [found[start] for start in starts]


def drawn_by(draws: Draws | None) -> tuple[Tensor, ...]:
    """Make what the compute of a model that draws takes last; of another, nothing."""
    return () if draws is None else draw_inputs(draws)


def _arrays(heads: dict[str, Tensor]) -> Heads:
    """Convert to float32, but for the classes drawn."""
    return {name: value.numpy() if name == "drawn" else value.float().numpy()
            for name, value in heads.items()}  # fmt: skip


def _named(layers: list[tuple[Tensor, Tensor]]) -> State:
    return {
        f"{key}.{layer}": value.float().numpy()
        for layer, pair in enumerate(layers) for key, value in zip(KEYS, pair, strict=True)
    }  # fmt: skip
