"""The float step in torch, in float32 or float64.

The weights are those of `model.onnx`; in float64 they have the same values, and a frame's
numbers enter unrounded, so that only the arithmetic is finer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from calib.step.graph import StepModel
from wmq.game.schema import Q16
from wmq.inference.onnx_session import State
from wmq.models.base import model_of


class TorchStep:
    """`WorldModel.step` as a `wmq.inference.float_predictor.Step`; its state is in its own type."""

    def __init__(self, step: StepModel, double: bool):
        self.dtype = torch.float64 if double else torch.float32
        self.model = model_of(step).eval().to(self.dtype)
        self.schema = self.model.schema

    def zero_state(self, batch: int = 1) -> State:
        """Return the state at the start of a game."""
        return self._arrays(self.model.zero_state(batch))

    @torch.inference_mode()
    def step(
        self, frames: np.ndarray, controllers: np.ndarray, next_controllers: np.ndarray,
        state: State,
    ) -> tuple[dict[str, np.ndarray], State]:  # fmt: skip
        """As `OnnxStep.step`; heads and state in this step's type, a state of either taken."""
        schema = self.schema
        numbers = frames[:, schema.number_index] * schema.number_unit.astype(np.float64)
        layers = range(self.model.config.n_layer)
        heads, after = self.model.step(
            self._tensor(numbers),
            self._tensor(controllers / Q16),
            torch.from_numpy(frames[:, schema.class_index].astype(np.int64)),
            self._tensor(next_controllers / Q16),
            [(self._tensor(state[f"conv.{n}"]), self._tensor(state[f"state.{n}"]))
             for n in layers],
        )  # fmt: skip
        return {name: values.numpy() for name, values in heads.items()}, self._arrays(after)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.dtype)

    def _arrays(self, state: list[tuple[torch.Tensor, torch.Tensor]]) -> State:
        return {
            f"{name}.{n}": value.to(self.dtype).numpy()
            for n, layer in enumerate(state)
            for name, value in zip(("conv", "state"), layer, strict=True)
        }


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Torch without threads of its own: the caller has some, and sums keep their order."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
