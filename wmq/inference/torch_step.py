"""The float step in torch, in float32 or float64.

The weights are those of `model.onnx`; in float64 they have the same values, and a frame's
numbers enter unrounded, so that only the arithmetic is finer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calib.step.graph import StepModel
from calib.step.nodes import NEVER
from calib.step.sizes import MASKED
from wmq.game.schema import Q16
from wmq.inference.draws import uniforms as word_shares
from wmq.inference.onnx_session import State
from wmq.models.base import model_of
from wmq.models.world import WorldModel
from wmq_kernels.program import BY_WORD, Draws

# (numbers, controllers, classes, next_controllers, state of each layer, ..) -> heads, state
Compute = Callable[..., tuple[dict[str, Any], list[tuple[Any, Any]]]]


class TorchStep:
    """`WorldModel.step` as a `wmq.inference.float_predictor.Step`; its state is in its own type."""

    def __init__(self, step: StepModel, double: bool):
        self.dtype = torch.float64 if double else torch.float32
        self.model = model_of(step).eval().to(self.dtype)
        self.schema = self.model.schema
        self.compute = drawing(self.model) if self.schema.draws else self.model.step

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
        drawn = draw_inputs(draws) if draws is not None else ()
        heads, after = self.compute(
            self._tensor(numbers),
            self._tensor(controllers / Q16),
            torch.from_numpy(frames[:, schema.class_index].astype(np.int64)),
            self._tensor(next_controllers / Q16),
            [(self._tensor(state[f"conv.{n}"]), self._tensor(state[f"state.{n}"]))
             for n in layers],
            *drawn,
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


def draw_inputs(draws: Draws) -> tuple[Tensor, Tensor]:
    """Make the uniforms and forced classes of `drawing`."""
    forced = torch.from_numpy(draws.forced.astype(np.int64))
    return torch.from_numpy(word_shares(draws.words)), forced


def drawing(model: WorldModel, compute: Compute | None = None) -> Compute:
    """Turn the step of a model that draws into one of tensors alone, which can be traced.

    It draws by the words and the rule of the float step's ONNX.

    compute  takes what `model.step`, or `model.forward`, takes; None for `model.step`
    The new step takes uniforms (.., draws) and forced (.., draws) int64 as its last arguments, and
    gives "drawn" (.., draws) int64 among its heads.
    """
    compute = compute or model.step
    temperature, min_p = model.decode.tolist()
    schema, least = model.schema, math.log(min_p)
    masked = [list(schema.class_index).index(schema.index(draw.field, draw.player))
              if draw.field == MASKED else None for draw in schema.draws]  # fmt: skip

    def step(numbers: Tensor, controllers: Tensor, classes: Tensor, following: Tensor,
             state: list[tuple[Tensor, Tensor]], uniforms: Tensor, forced: Tensor,
             ) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:  # fmt: skip
        drawn: list[Tensor] = []

        def choose(number: int, logits: Tensor) -> Tensor:
            """Choose a class for each row of logits (.., classes)."""
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            if (at := masked[number]) is not None:
                allowed = model.allowed[classes[..., at]]
                logits = logits + (allowed.to(logits.dtype) - 1) * NEVER
            exponent = (logits - logits.amax(-1, keepdim=True)) / temperature
            weights = torch.where(exponent >= least, exponent.exp(), 0)
            sums = weights.cumsum(-1)
            share = uniforms[..., number, None].to(logits.dtype)
            count = (sums <= sums[..., -1:] * share).sum(-1).clamp(max=logits.shape[-1] - 1)
            own = forced[..., number]
            free = torch.where(own == BY_WORD, count, logits.argmax(-1))
            drawn.append(torch.where(own >= 0, own, free))
            return drawn[-1]

        given = numbers, controllers, classes, following, state
        heads, after = compute(*given, choose)
        return heads | {"drawn": torch.stack(drawn, dim=-1)}, after

    return step


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Torch without threads of its own: the caller has some, and sums keep their order."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
