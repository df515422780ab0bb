"""From a checked float step and its statistics to a proven integer program.

The whole frame is lowered: encoding, 26 Linear layers in static int8, the scan, the
heads and the frame update (docs/lowering.md gives the widths).
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calib.errors import CalibrationError
from calib.lowering.builder import ProgramBuilder
from calib.lowering.heads import lower_heads, lower_update
from calib.lowering.inputs import (
    STICK_CENTRE,
    class_segments,
    controller_numbers,
    embedding_tables,
    frame_numbers,
)
from calib.lowering.mamba2 import lower_layer
from calib.lowering.projection import lower_projection
from calib.lowering.rules import lower_controller, lower_ruled_update
from calib.lowering.scales import LEAST_SIZE, Scales, Wide, wide
from calib.recipe import RecurrentState
from calib.statistics.results import Ranges
from calib.step.graph import StepModel
from calib.step.schema import StepSchema
from calib.step.sizes import CONFIG_LIMITS, StepSizes, module_name
from calib.weights.quantize import NEAREST, WeightQuantizer
from calib.weights.transforms import NONE, Transforms
from wmq_kernels.errors import ProgramError
from wmq_kernels.program import Program
from wmq_kernels.rangecheck import certified

CONSTANT, SPREAD = ("allowed", "decode"), ("_offset", "_scale")  # weights that nothing trained


def residuals(sizes: StepSizes) -> list[str]:
    """List the tensors that share the residual's scale."""
    told = [f"chain.{n}.{part}" for n, draw in enumerate(sizes.draws) for part in ("told", "x")
            if f"chain.{n}.given.weight" in sizes.weights()]  # fmt: skip
    return [*(f"residual.{i}" for i in range(sizes.n_layer + 1)), *told]


def lower(step: StepModel, statistics: Ranges, calibration: Mapping[str, Any],
          state: RecurrentState, two_digits: Sequence[str] = (),
          quantizer: WeightQuantizer = NEAREST,
          transforms: Transforms = NONE) -> Program:  # fmt: skip
    """Lower a float step to an integer program with a range certificate.

    calibration  provenance, stored in the program's meta as it is
    state        width and headroom of the recurrent state
    two_digits   Linears whose inputs keep 15 bits, as two int8 digits: patterns of names
                 such as "layers.*.mamba.in_proj" or "heads.continuous"
    quantizer    of weights to int8
    transforms   of what the norms hand on
    Raises UnfitWeight if no program can hold a weight, CalibrationError if a pattern names no
    Linear that follows a norm.
    """
    _check_patterns(step, two_digits)
    _check_norms(transforms)
    sizes, schema, weights = step.sizes, step.schema, step.weights
    largest = max(float(np.max(statistics.limits[name])) for name in residuals(sizes))
    residual = wide(sizes.d_model, max(largest, LEAST_SIZE))
    scales = Scales(statistics.limits, residual, state, two_digits, quantizer, transforms)
    b = ProgramBuilder()
    _ports(b, schema)
    embedding_tables(b, weights)
    _project_inputs(b, schema, weights, residual, quantizer)
    b.value("residual.0", "i32", sizes.d_model, residual.limit, residual.unit)
    if sizes.agent:
        b.step("copy", "frame_proj", "residual.0")
    else:
        limit = residual.limit
        b.step("add", "frame_proj", "ctrl_proj", "residual.0", lo=-limit, hi=limit)
    for layer in range(sizes.n_layer):
        lower_layer(b, sizes, weights, scales, layer)
    places, units = lower_heads(b, schema, sizes, weights, scales)
    if sizes.agent:
        lower_controller(b, schema)
    elif schema.rules:
        lower_ruled_update(b, schema, places)
    else:
        lower_update(b, schema, places)
    program = b.program(places, _meta(step, calibration, units))
    try:
        return certified(program)
    except ProgramError as error:
        raise CalibrationError(f"the program cannot be proven: {error}; no other play helps: "
                               "report it with the model's config") from None  # fmt: skip


def _check_patterns(step: StepModel, patterns: Sequence[str]) -> None:
    layers = range(step.sizes.n_layer)
    linears = [f"layers.{i}.mamba.{part}" for i in layers for part in ("in_proj", "out_proj")]
    linears += [f"heads.{module_name(head)}" for head in step.sizes.heads]
    linears += [f"chain.{n}.mix.{part}" for n in range(len(step.sizes.draws))
                for part in ("in_proj", "out_proj")]  # fmt: skip
    for index, pattern in enumerate(patterns):
        if not fnmatch.filter(linears, pattern):
            raise CalibrationError(f"activations.two_digits[{index}], to which --promote adds: "
                                   f"{pattern!r} names no Linear after a norm; try {linears[0]} "
                                   "or heads.*")  # fmt: skip


def _check_norms(transforms: Transforms) -> None:
    """Refuse patterns that name no norm of any depth of model: a recipe serves them all."""
    layers = range(CONFIG_LIMITS["n_layer"][1])
    norms = [f"layers.{i}.{part}" for i in layers for part in ("norm", "mamba.norm")]
    gated = [name for name in norms if "mamba" in name]
    for key, patterns, known in (("smoothing", transforms.smoothing, [*norms, "norm_f"]),
                                 ("hadamard", transforms.hadamard, gated)):  # fmt: skip
        for index, pattern in enumerate(patterns):
            if not fnmatch.filter(known, pattern):
                raise CalibrationError(f"transforms.{key}[{index}]: {pattern!r} names no norm "
                                       f"that it suits; try {known[0]}")  # fmt: skip


def _ports(b: ProgramBuilder, schema: StepSchema) -> None:
    lo = [field.lo * field.quantum for field in schema.fields]
    hi = [field.hi * field.quantum for field in schema.fields]
    interval = (min(0, *lo), max(schema.stage_classes - 1, *hi))
    pads = (1 if schema.controls else 2) * len(schema.controllers)
    b.value("frame", "i32", schema.frame_size, interval)
    b.value("controllers", "i32", pads, (0, 2 * STICK_CENTRE), 2.0**-16)
    b.value("next_controllers", "i32", pads, (0, 2 * STICK_CENTRE), 2.0**-16)
    if schema.controls is None:
        b.value("next_frame", "i32", schema.frame_size, interval)


def _project_inputs(b: ProgramBuilder, schema: StepSchema, weights: Mapping[str, np.ndarray],
                    residual: Wide, quantizer: WeightQuantizer) -> None:  # fmt: skip
    """Append frame_proj of the frame and its controllers, and ctrl_proj of the next controllers."""
    numbers = frame_numbers(schema)
    first = sum(len(part.offset) for part in numbers)
    pads = controller_numbers(schema, "controllers", first)
    classes = class_segments(schema, weights, first + len(pads.offset))
    projections: list[tuple] = [("frame_proj", [*numbers, pads], classes, "encoded", "encoded")]
    if schema.controls is None:
        following = controller_numbers(schema, "next_controllers", 0)
        projections.append(("ctrl_proj", [following], [], "encoded.next", "next_controllers"))
    for name, parts, embedded, inputs, observed in projections:
        lower_projection(b, name, weights[f"{name}.weight"], weights[f"{name}.bias"], parts,
                         embedded, inputs, residual, quantizer, observed)  # fmt: skip


def _meta(step: StepModel, calibration: Mapping[str, Any], units: Mapping[str, float]) -> dict:
    return {
        "schema": step.schema.to_json(),
        "config": step.config,
        "run": step.metadata["wmq.run"],
        "training": json.loads(step.metadata["wmq.training"]),
        "calibration": dict(calibration),
        "head_scales": dict(units),
        "spreads": {h: [float(v) for v in step.weights[f"{h}_scale"]]
                    for h in step.sizes.number_heads},
        "parameters": int(sum(w.size for name, w in step.weights.items()
                              if name not in CONSTANT and not name.endswith(SPREAD))),
    }  # fmt: skip
