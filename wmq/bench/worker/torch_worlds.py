"""The model of `wmq train` in torch: float32, quantized by torch, compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from wmq.bench.worker.matches import LENGTH, beginnings
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.timing import measured
from wmq.errors import WmqError
from wmq.game.controls import control_pads
from wmq.game.encoding import float_inputs
from wmq.game.frame_update import next_frames
from wmq.inference.draws import DrawSource, Sampling, ruled
from wmq.inference.model_files import open_pair
from wmq.inference.torch_step import draw_inputs, drawing
from wmq.models.world import WorldModel
from wmq.rollout.controllers import SIZE
from wmq.toolkits.torch_models import world_model

DYNAMIC = "dynamic int8 "  # and the backend's name


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Open the model for setup.variant: "float32", "compile" or DYNAMIC with a backend."""
    torch.set_num_threads(setup.threads)
    torch.set_num_interop_threads(1)
    warnings.simplefilter("ignore")  # quantize_dynamic is deprecated
    plain = world_model(open_pair(setup.program, setup.onnx, None)[1].step)
    model = plain
    if setup.variant.startswith(DYNAMIC):
        model = _quantized(plain, setup.variant.removeprefix(DYNAMIC))
    step = drawing(model) if plain.schema.draws else model.step
    if setup.variant == "compile":
        # fullgraph: an error instead of a silent way back to what is not compiled
        step = torch.compile(step, dynamic=False, fullgraph=True)

    def answer(request: Request) -> Answer:
        with torch.inference_mode():
            worlds = TorchWorlds(step, plain, request.batch)
            advance = worlds.call if request.do == "session" else worlds.frame
            return measured(advance, request.batch, request.seconds)

    return answer


def _quantized(model: WorldModel, backend: str) -> WorldModel:
    present = torch.backends.quantized.supported_engines
    if backend not in present:
        raise WmqError(f"this torch has the quantized backends {', '.join(present)} only")
    torch.backends.quantized.engine = backend
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


class TorchWorlds:
    """A batch of worlds; `plain` knows schema and states.

    Of an agent's, the frames stay the first ones, and the controllers are what he gave.
    """

    def __init__(self, step: Callable[..., tuple[dict[str, Tensor], list]], plain: WorldModel,
                 batch: int):  # fmt: skip
        self.step, self.schema, self.turn = step, plain.schema, 0
        self.frames, self.pads = beginnings(plain.schema, batch)
        self.own = self.pads[:, 0, :SIZE]  # an agent's controllers
        self.draws = DrawSource(plain.schema, batch, Sampling.of_worlds(range(batch)))
        self.state = plain.zero_state(batch)
        self.inputs = self._encoded(0)
        self.draws.go_to(0)
        self.heads: dict[str, Tensor] = {}

    def call(self, steps: int) -> None:
        """Run the model alone, the same frame again and again; the states go on."""
        for _ in range(steps):
            self.heads, self.state = self.step(*self.inputs, self.state, *self.drawn)

    def frame(self, steps: int) -> None:
        """Compute whole frames, each from the one before."""
        for _ in range(steps):
            self.inputs = self._encoded(self.turn)
            self.call(1)
            self.turn += 1
            heads = {name: value.numpy() for name, value in self.heads.items()}
            if self.schema.agent:
                self.own = control_pads(heads["drawn"])
                continue
            following = self.pads[:, self.turn % LENGTH]
            self.frames = next_frames(
                self.schema, self.frames, heads, heads.get("drawn"), following
            )

    def _encoded(self, turn: int) -> tuple[Tensor, ...]:
        pads, following = self.pads[:, turn % LENGTH], self.pads[:, (turn + 1) % LENGTH]
        pads = self.own if self.schema.agent else pads
        draws = self.draws.next(1)
        self.drawn = draw_inputs(ruled(self.schema, self.frames, draws, 0)) if draws else ()
        numbers, classes, controllers = float_inputs(self.schema, self.frames, pads)
        after = float_inputs(self.schema, self.frames, following)[2]
        inputs: tuple[np.ndarray, ...] = (numbers, controllers, classes, after)
        return tuple(torch.from_numpy(array) for array in inputs)
