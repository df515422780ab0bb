"""One frame of the float model.

Integer frames and controllers (`wmq.game.schema`) come in, a row a game; they become the inputs
of `model.onnx`, which onnxruntime runs with the state carried from call to call.  Heads
leave in natural units; `wmq.game.frame_update` turns them into integer frames again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wmq.game.encoding import float_inputs
from wmq.game.schema import Q16, Schema
from wmq.inference.draws import Decoding, uniforms
from wmq.inference.model_files import ModelError, model_path, schema_of
from wmq_kernels.program import Draws

State = dict[str, np.ndarray]  # "conv.N" and "state.N" -> (batch, ..) float32


class SessionStep:
    """A model with the inputs and outputs of the float step in an onnxruntime session.

    The state is given and returned, so that one object serves many games, and many threads.
    """

    def __init__(self, content: bytes, schema: Schema, path: Path, threads: int = 1):
        """content: of the file; path: for messages."""
        import onnxruntime

        self.path, self.schema = path, schema
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self.heads = tuple(self.schema.heads)
        self.state_shapes = {
            port.name: tuple(port.shape[1:])
            for port in self.session.get_inputs()
            if port.name.startswith(("conv.", "state."))
        }
        drawn = ["drawn"] if schema.draws else []
        self.outputs = [*self.heads, *drawn, *(f"next_{name}" for name in self.state_shapes)]

    def zero_state(self, batch: int = 1) -> State:
        """Return the state at the start of a game."""
        return {
            name: np.zeros((batch, *shape), dtype=np.float32)
            for name, shape in self.state_shapes.items()
        }

    def step(
        self,
        frames: np.ndarray,
        controllers: np.ndarray,
        next_controllers: np.ndarray,
        state: State,
        draws: Draws | None = None,
    ) -> tuple[dict[str, np.ndarray], State]:
        """Heads (batch, width) float32 and the new state; `state` is not changed.

        frames (batch, frame_size), controllers and next_controllers (batch, 26), int32.
        Raises ModelError if an output is no number.
        """
        inputs = float_inputs(self.schema, frames, controllers)
        return self.run(*inputs, next_controllers, state, draws)

    def run(
        self,
        numbers: np.ndarray,
        classes: np.ndarray,
        pads: np.ndarray,
        next_controllers: np.ndarray,
        state: State,
        draws: Draws | None = None,
    ) -> tuple[dict[str, np.ndarray], State]:
        """`step` from the inputs that `float_inputs` makes, and integer next controllers."""
        feeds = {"numbers": numbers, "classes": classes, "controllers": pads, **state}
        if not self.schema.agent:
            feeds["next_controllers"] = next_controllers.astype(np.float32) / Q16
        if draws is not None:
            feeds |= {"uniforms": uniforms(draws.words), "forced": draws.forced.astype(np.int64)}
        found = dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))
        heads = {name: found[name] for name in self.heads}
        for name, values in heads.items():
            if not np.isfinite(values).all():
                raise ModelError(f"{self.path}: output {name} is not finite; use another model")
        if draws is not None:
            heads["drawn"] = found["drawn"]
        return heads, {name: found[f"next_{name}"] for name in self.state_shapes}


class OnnxStep(SessionStep):
    """A checked float model.

    spreads   of the targets of each number head, natural units, (width,)
    decoding  temperature and min-p of the draws; None of a model without any
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1):
        """Raises ModelError, or CalibrationError for what is in the file."""
        from calib.step.graph import read_step

        path = model_path(path, ".onnx")
        step = read_step(path)
        super().__init__(
            step.model.SerializeToString(), schema_of(step.schema, path), path, threads
        )
        self.config = step.config
        self.metadata = step.metadata
        self.spreads = {head: step.weights[f"{head}_scale"] for head in step.sizes.number_heads}
        self.decoding: Decoding | None = None
        if self.schema.draws:
            temperature, min_p = step.weights["decode"].tolist()
            self.decoding = temperature, min_p
