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
from calib.step.nodes import NEVER
from calib.step.sizes import MASKED
from wmq.game.schema import Q16
from wmq.inference.draws import uniforms
from wmq.inference.onnx_session import State
from wmq.models.base import model_of
from wmq.models.world import WorldModel
from wmq_kernels.program import BY_WORD, Draws


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
        state: State, draws: Draws | None = None,
    ) -> tuple[dict[str, np.ndarray], State]:  # fmt: skip
        """As `OnnxStep.step`; heads and state in this step's type, a state of either taken."""
        schema = self.schema
        numbers = frames[:, schema.number_index] * schema.number_unit.astype(np.float64)
        layers = range(self.model.config.n_layer)
        drawer = Drawer(self.model, frames, draws) if draws is not None else None
        heads, after = self.model.step(
            self._tensor(numbers),
            self._tensor(controllers / Q16),
            torch.from_numpy(frames[:, schema.class_index].astype(np.int64)),
            self._tensor(next_controllers / Q16),
            [(self._tensor(state[f"conv.{n}"]), self._tensor(state[f"state.{n}"]))
             for n in layers],
            drawer.choose if drawer else None,
        )  # fmt: skip
        found = {name: values.numpy() for name, values in heads.items()}
        if drawer:
            found["drawn"] = drawer.drawn
        return found, self._arrays(after)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.dtype)

    def _arrays(self, state: list[tuple[torch.Tensor, torch.Tensor]]) -> State:
        return {
            f"{name}.{n}": value.to(self.dtype).numpy()
            for n, layer in enumerate(state)
            for name, value in zip(("conv", "state"), layer, strict=True)
        }


class Drawer:
    """Draws of a step in torch, by the words and the rule of the float step's ONNX."""

    def __init__(self, model: WorldModel, frames: np.ndarray, draws: Draws):
        self.model, self.frames, self.forced = model, frames, draws.forced
        self.uniforms = uniforms(draws.words)
        self.classes: list[torch.Tensor] = []

    @property
    def drawn(self) -> np.ndarray:
        """What was drawn, (batch, draws) int64."""
        return torch.stack(self.classes, dim=1).numpy()

    def choose(self, number: int, logits: torch.Tensor) -> torch.Tensor:
        """Choose a class for each row of logits (batch, classes)."""
        draw = self.model.schema.draws[number]
        if draw.field == MASKED:
            at = self.frames[:, self.model.schema.index(draw.field, draw.player)]
            allowed = self.model.allowed[torch.from_numpy(at.astype(np.int64))]
            logits = logits + (allowed.to(logits.dtype) - 1) * NEVER
        temperature, min_p = self.model.decode.tolist()
        exponent = (logits - logits.amax(1, keepdim=True)) / temperature
        weights = torch.where(exponent >= np.log(min_p), exponent.exp(), 0)
        sums = weights.cumsum(1)
        share = torch.from_numpy(self.uniforms[:, number, None]).to(logits.dtype)
        count = (sums <= sums[:, -1:] * share).sum(1).clamp(max=logits.shape[1] - 1)
        forced = torch.from_numpy(self.forced[:, number].astype(np.int64))
        free = torch.where(forced == BY_WORD, count, logits.argmax(1))
        self.classes.append(torch.where(forced >= 0, forced, free))
        return self.classes[-1]


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Torch without threads of its own: the caller has some, and sums keep their order."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
