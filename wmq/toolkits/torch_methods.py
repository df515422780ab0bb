"""The methods of torch and torchao."""

from __future__ import annotations

import numpy as np
import torch

from wmq.export.onnx import usual_frames
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource
from wmq.inference.float_predictor import StepPredictor
from wmq.inference.model_files import FloatModel, open_float
from wmq.inference.torch_step import Compute, drawing
from wmq.models.world import WorldModel
from wmq.toolkits import torch_models
from wmq.toolkits.backends import BACKENDS
from wmq.toolkits.methods import MOST, TORCH_ALONE, Method, MethodContext
from wmq.toolkits.torch_predictor import (
    SequencePredictor,
    TorchModelStep,
    TorchSequence,
    drawn_by,
)
from wmq_kernels.program import Draws

PLAN, ALL = "torch dynamic 22 of 26", "torch dynamic 26 of 26"  # and the back end's name
LEFT_FLOAT = 3  # outputs of the smallest heads, l_cancel and hurtbox
PROBE = 300  # frames that show whether two back ends compute the same
ALONE = "the scale of a call's inputs is found in that call: one game per call"
SEVEN = "torch asks for inputs of 7 bits (reduce_range=True)"
EIGHT = "torch asks for inputs of 7 bits (reduce_range=True), which qnnpack ignores: they have 8"


def make(name: str, context: MethodContext) -> Method:
    """Make the method of a row.  Raises Lacking, WmqError or CalibrationError."""
    torch.set_num_threads(1)  # games are computed in threads of our own
    opened = open_float(context.onnx)
    plain = torch_models.world_model(opened.step)
    if name == "float32 torch":
        return _sequence(opened, plain, plain, context, torch.float32, ())
    if name == "bfloat16 torch":
        note = (f"weights and activations; float32 are the recurrent state, the decay and its "
                f"{' and '.join(torch_models.EXACT)}")  # fmt: skip
        return _sequence(
            opened, plain, torch_models.bfloat16(plain), context, torch.bfloat16, (note,)
        )
    if name == "torchao int8 dynamic":
        note = "each frame's input has a scale of its own, so that games may share a call"
        model = torch_models.torchao(plain, dynamic_inputs=True)
        return _sequence(opened, plain, model, context, torch.float32, (note,))
    if name == "torchao int8 weight-only":
        note = "int8 weights, multiplied as floats"
        model = torch_models.torchao(plain, dynamic_inputs=False)
        return _sequence(opened, plain, model, context, torch.float32, (note,))
    form, _, backend = name.removesuffix(")").partition(" (")
    return _dynamic(opened, plain, backend, form == PLAN, context)


def _sequence(
    opened: FloatModel, plain: WorldModel, model: WorldModel, context: MethodContext,
    dtype: torch.dtype, notes: tuple[str, ...],
) -> Method:  # fmt: skip
    """Make a method that may take many frames at once: nothing in it depends on the call."""
    step: Compute | None = model.step if dtype == torch.float32 else None  # knows one type alone
    forward: Compute = model.forward
    if plain.schema.draws:
        step, forward = step and drawing(model), drawing(model, model.forward)
    sequence = TorchSequence(plain, forward, step, dtype)
    predictor = SequencePredictor(sequence, opened.spreads, context.threads)
    return Method(predictor, predictor.lanes, MOST, torch_models.int8_layers(model), 0,
               _float_operations(sequence), torch_models.stored_bytes(model), notes)  # fmt: skip


def _dynamic(
    opened: FloatModel, plain: WorldModel, backend: str, as_planned: bool, context: MethodContext
) -> Method:
    step, model = _dynamic_step(plain, backend, as_planned)
    predictor = StepPredictor(step, opened.spreads, context.threads, lanes=1)
    notes = [ALONE, EIGHT if backend == "qnnpack" else SEVEN]
    if as_planned:
        notes.append(_why_float(plain, model, backend))
    twins = [other for other in BACKENDS[: BACKENDS.index(backend)]
             if other in torch.backends.quantized.supported_engines
             and _same(step, _dynamic_step(plain, other, as_planned)[0])]  # fmt: skip
    if twins:
        notes.append(f"the same bits as {twins[0]} on {PROBE} frames")
    eager = TorchModelStep(plain, drawing(model) if plain.schema.draws else model.step)
    int8_layers = torch_models.int8_layers(model)
    return Method(predictor, 1, TORCH_ALONE, int8_layers, 0, _float_operations(eager),
               torch_models.stored_bytes(model), tuple(notes))  # fmt: skip


def _dynamic_step(
    plain: WorldModel, backend: str, as_planned: bool
) -> tuple[TorchModelStep, WorldModel]:
    model = torch_models.dynamic(plain, backend, left_float(plain) if as_planned else ())
    state, inputs = plain.zero_state(1), _inputs(plain, 1)
    return TorchModelStep(plain, torch_models.traced(model, state, inputs, backend)), model


def left_float(plain: WorldModel) -> list[str]:
    """Name the smallest Linears, which the row PLAN leaves in float."""
    linears = (pair for pair in plain.named_modules() if isinstance(pair[1], torch.nn.Linear))
    return [name for name, module in linears if module.out_features == LEFT_FLOAT]


def _why_float(plain: WorldModel, model: WorldModel, backend: str) -> str:
    left = len(torch_models.linears(model)) - torch_models.int8_layers(model)
    itself = torch_models.int8_layers(torch_models.dynamic(plain, backend))
    return (f"torch {torch.__version__} by itself quantizes {itself} Linears, whatever their size; "
            f"the {left} smallest, of {LEFT_FLOAT} outputs each, are left in float by name "
            "(qconfig_spec)")  # fmt: skip


def _same(one: TorchModelStep, other: TorchModelStep) -> bool:
    """Tell whether all heads have the same bits over PROBE frames, each from its own state."""
    frames, pads = usual_frames(one.schema, PROBE + 1)
    states = [one.zero_state(), other.zero_state()]
    for t in range(PROBE):
        rows = frames[t : t + 1], pads[t : t + 1], pads[t + 1 : t + 2]
        draws = _likeliest(one.schema)
        found = []
        for place, step in enumerate((one, other)):
            heads, states[place] = step.step(*rows, states[place], draws)
            found.append(heads)
        if not all(np.array_equal(found[0][head], found[1][head]) for head in found[0]):
            return False
    return True


def _inputs(plain: WorldModel, batch: int) -> tuple[torch.Tensor, ...]:
    frames, pads = usual_frames(plain.schema, batch + 1)
    inputs = TorchModelStep(plain, plain.step).inputs(frames[:batch], pads[:batch], pads[1:])
    return *inputs, *drawn_by(_likeliest(plain.schema))


def _likeliest(schema: Schema) -> Draws | None:
    """Draw the likeliest in one frame of one game; None of a model that does not draw."""
    draws = DrawSource(schema, 1, None).next(1)
    return Draws(draws.words[:, 0], draws.forced[:, 0]) if draws else None


def _float_operations(step: TorchModelStep) -> int:
    frames, pads = usual_frames(step.schema, 2)
    state = step.layers(step.zero_state())
    inputs = step.inputs(frames[:1], pads[:1], pads[1:])
    drawn = drawn_by(_likeliest(step.schema))
    return torch_models.float_operations(lambda: step.compute(*inputs, state, *drawn))
