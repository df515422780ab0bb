"""The float step and its quantized forms in onnxruntime, at its best: a world, or an agent.

Inputs and outputs are bound to memory once.  There are two sets of states, which a step
reads and writes in turn, so that none is copied.  A split variant has as many sessions as
threads, of one thread each, which do not meet.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from wmq.bench.speed.contenders import SPLIT
from wmq.bench.worker.matches import LENGTH, beginnings
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.onnx_variants import quantized
from wmq.bench.worker.timing import measured
from wmq.game.controls import control_pads
from wmq.game.encoding import float_inputs
from wmq.game.frame_update import next_frames
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource, Sampling, ruled, uniforms
from wmq.inference.model_files import open_pair
from wmq.rollout.controllers import SIZE

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Open sessions for setup.variant.

    "float32" or a key of `onnx_variants`, with SPLIT or without.
    """
    _, exact = open_pair(setup.program, setup.onnx, None)
    split = setup.variant.endswith(SPLIT)
    path = quantized(
        exact.step, exact.schema, setup.variant.removesuffix(SPLIT), Path(setup.folder)
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if split else setup.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
                for _ in range(setup.threads if split else 1)]  # fmt: skip

    def answer(request: Request) -> Answer:
        parts = np.array_split(np.arange(request.batch), len(sessions))
        worlds = [SessionWorlds(session, exact.schema, len(part))
                  for session, part in zip(sessions, parts, strict=True)]  # fmt: skip
        how = SessionWorlds.call if request.do == "session" else SessionWorlds.frame
        with ThreadPoolExecutor(len(worlds)) as pool:
            found = measured(lambda n: list(pool.map(how, worlds, [n] * len(worlds))),
                             request.batch, request.seconds)  # fmt: skip
        for part in worlds:
            part.give_memory_back()
        return found

    return answer


class SessionWorlds:
    """A batch of worlds in bound memory; `values` holds what is bound, heads included.

    Of an agent's, the frames stay the first ones, and the controllers are what he gave.
    """

    def __init__(self, session: onnxruntime.InferenceSession, schema: Schema, batch: int):
        self.session, self.schema, self.turn = session, schema, 0
        self.frames, self.pads = beginnings(schema, batch)
        self.own = self.pads[:, 0, :SIZE]  # an agent's controllers
        self.draws = DrawSource(schema, batch, Sampling.of_worlds(range(batch)))
        ports = {port.name: port for port in (*session.get_inputs(), *session.get_outputs())}
        self.values = {name: _filled(port, batch) for name, port in ports.items()}
        self.bindings = [self._bound(0), self._bound(1)]
        self._encode(0)
        self.draws.go_to(0)

    def call(self, steps: int) -> None:
        """Run the session alone, the same frame again and again; the states go on."""
        for _ in range(steps):
            self.session.run_with_iobinding(self.bindings[self.turn % 2])
            self.turn += 1

    def frame(self, steps: int) -> None:
        """Compute whole frames, each from the one before."""
        for _ in range(steps):
            self._encode(self.turn)
            self.call(1)
            if self.schema.agent:
                self.own = control_pads(self.values["drawn"])
                continue
            following = self.pads[:, self.turn % LENGTH]
            self.frames = next_frames(
                self.schema, self.frames, self.values, self.values.get("drawn"), following
            )

    def give_memory_back(self) -> None:
        """Have the session keep no more than it needs while others are measured."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.session.run_with_iobinding(self.bindings[self.turn % 2], options)

    def _encode(self, turn: int) -> None:
        pads, following = self.pads[:, turn % LENGTH], self.pads[:, (turn + 1) % LENGTH]
        pads = self.own if self.schema.agent else pads
        numbers, classes, controllers = float_inputs(self.schema, self.frames, pads)
        self.values["numbers"][:] = numbers
        self.values["classes"][:] = classes
        self.values["controllers"][:] = controllers
        if not self.schema.agent:
            after = float_inputs(self.schema, self.frames, following)[2]
            self.values["next_controllers"][:] = after
        if draws := self.draws.next(1):
            row = ruled(self.schema, self.frames, draws, 0)
            self.values["uniforms"][:] = uniforms(row.words)
            self.values["forced"][:] = row.forced

    def _bound(self, turn: int) -> onnxruntime.IOBinding:
        """Bind a run that reads `conv.N` and `state.N` and writes those of `next_`, or in turn."""
        binding = self.session.io_binding()

        def bind(how: Callable[..., None], name: str) -> None:
            value = self.values[self._other(name) if turn else name]
            how(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)

        for port in self.session.get_inputs():
            bind(binding.bind_input, port.name)
        for port in self.session.get_outputs():
            bind(binding.bind_output, port.name)
        return binding

    def _other(self, name: str) -> str:
        """Find the second buffer of a state, or the only one of anything else."""
        if name.startswith(("conv.", "state.")):
            return f"next_{name}"
        return (
            name.removeprefix("next_") if name.startswith(("next_conv.", "next_state.")) else name
        )


def _filled(port: onnxruntime.NodeArg, batch: int) -> np.ndarray:
    """Fill with zeros; the first dimension is the batch, and all of the memory is there."""
    value = np.empty((batch, *port.shape[1:]), TYPES[port.type])
    value.fill(0)
    return value
