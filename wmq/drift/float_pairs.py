"""Chaos yardsticks: how far two float models part that no one would call different.

A rollout may be chaotic: a difference in the last bit of one number grows until an action
differs, and then the paths have little in common.  So int8 beside float says little alone;
beside these pairs, which are all float, it does.  All begin in the states that onnxruntime
has at the starts:

    float64     the same weights in torch's float64
    torch       the same weights in torch's float32, whose sums have another order
    nudges      onnxruntime with player 1's x, as the network sees it in the first frame
                alone, larger by 1e-6 (of the scaled input), or by half a step of an int8
                scale that reaches the furthest x of the games
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calib.step.graph import read_step
from wmq.drift.measured_model import MeasuredModel
from wmq.game.encoding import float_inputs
from wmq.game.schema import Q16, Schema
from wmq.inference.float_predictor import OnnxPredictor, StepPredictor
from wmq.inference.onnx_session import OnnxStep, State
from wmq.inference.predictor import Tick
from wmq.replays.slippi import Game
from wmq_kernels.program import Draws

SMALLEST_NUDGE = 1e-6  # of the scaled input
TORCH_LANES = 64  # starts in one call, as torch's cost a call is high
INT8_STEPS = 127  # from zero to the end of a symmetric int8 scale


def tiny_nudge(schema: Schema) -> float:
    """SMALLEST_NUDGE in game units."""
    return SMALLEST_NUDGE / schema.fields[schema.index("x")].scale


def int8_nudge(schema: Schema, games: Sequence[Game]) -> float:
    """Half a step of an int8 scale from minus to plus the furthest x of the games, game units."""
    at = [schema.index("x", player) for player in (0, 1)]
    reach = max(int(np.abs(game.frames[:, at]).max()) for game in games) / Q16
    return reach / INT8_STEPS / 2


class NudgedStep:
    """A float step that sees player 1's x nudged while the state has a "nudge", game units.

    The new state has none, so that the first frame of a rollout alone is nudged; and the
    frame itself stays, so that the next x is the true one plus the head's delta.
    """

    def __init__(self, step: OnnxStep):
        self.inner, self.schema = step, step.schema
        self.column = [field.name for field in step.schema.numbers].index("x")

    def zero_state(self, batch: int = 1) -> State:
        return self.inner.zero_state(batch)

    def step(
        self, frames: np.ndarray, controllers: np.ndarray, next_controllers: np.ndarray,
        state: State, draws: Draws | None = None,
    ) -> tuple[dict[str, np.ndarray], State]:  # fmt: skip
        """As `OnnxStep.step`."""
        numbers, classes, pads = float_inputs(self.schema, frames, controllers)
        if "nudge" in state:
            numbers[:, self.column] += state["nudge"]
            state = {name: value for name, value in state.items() if name != "nudge"}
        return self.inner.run(numbers, classes, pads, next_controllers, state, draws)


def float_rollouts(measured: MeasuredModel, model: OnnxPredictor) -> dict[str, np.ndarray]:
    """Return the float model's rollouts in every other way, (starts, horizon, frame_size) each."""
    schema, games = model.schema, measured.plan.games
    found = {
        "float64 against float32": in_torch(measured, model, "float64 against float32", True),
        "torch against onnxruntime": in_torch(measured, model, "torch against onnxruntime", False),
    }
    for name, nudge in (
        ("float nudged by 1e-6", tiny_nudge(schema)),
        ("float nudged by half an int8 step", int8_nudge(schema, games)),
    ):
        found[name] = nudged(measured, model, name, nudge)
    return found


def in_torch(measured: MeasuredModel, model: OnnxPredictor, name: str, double: bool) -> np.ndarray:
    """Rolled out in torch from the states of onnxruntime."""

    def roll(tick: Tick) -> np.ndarray:
        from wmq.inference.torch_step import TorchStep, one_thread_each

        predictor = StepPredictor(TorchStep(read_step(model.step.path), double), {},
                                  model.threads, TORCH_LANES)  # fmt: skip
        states = measured.states(measured.plan.starts)
        with one_thread_each():
            return _from_the_starts(measured, predictor, states, tick)

    return measured.frames(name, len(measured.plan.starts), measured.plan.horizon, roll)


def nudged(measured: MeasuredModel, model: OnnxPredictor, name: str, nudge: float) -> np.ndarray:
    """Rolled out from a first frame with x nudged, in the groups that `model` makes."""

    def roll(tick: Tick) -> np.ndarray:
        predictor = StepPredictor(NudgedStep(model.step), {}, model.threads, model.lanes)
        states = [{**state, "nudge": np.array([nudge], np.float32)}
                  for state in measured.states(measured.plan.starts)]  # fmt: skip
        return _from_the_starts(measured, predictor, states, tick)

    return measured.frames(name, len(measured.plan.starts), measured.plan.horizon, roll)


def _from_the_starts(
    measured: MeasuredModel, predictor: StepPredictor, states: list[State], tick: Tick
) -> np.ndarray:
    plan = measured.plan
    return predictor.roll(plan.games, plan.starts, states, plan.horizon, tick)
