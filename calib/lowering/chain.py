"""Lowering of a chain of draws: each head, its sample, and what the drawn class adds.

The embedding of a class times its projection is one row of int32 in the residual's unit, so
that what was drawn enters without a product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from calib.arithmetic.fixed import multiplier, multipliers, to_int
from calib.errors import CalibrationError
from calib.lowering.builder import ProgramBuilder
from calib.lowering.ops import (
    ACTIVATION_HEADROOM,
    INT16,
    fraction_bits,
    linear,
    norm,
    requantize,
    silu,
)
from calib.lowering.scales import Scales, wide
from calib.step.schema import Draw, StepSchema
from calib.step.sizes import StepSizes
from wmq_kernels.program import Slice
from wmq_kernels.tables import DISTANCE_BITS, WEIGHT_STEP_BITS, weights_table

MOST_ENTRIES = 3905  # of the weights' table: beyond it they are 0
FREE, LIKELIEST = -1, -2  # what `forced` says: draw, or take the likeliest
FULL_WORD = (-(1 << 31), (1 << 31) - 1)

Weights = Mapping[str, np.ndarray]


def draw_ports(b: ProgramBuilder, schema: StepSchema) -> None:
    """Declare `words` and `forced`, and `drawn`, what the draws gave."""
    count, most = len(schema.draws), max(draw.classes for draw in schema.draws) - 1
    b.value("words", "i32", count, FULL_WORD)
    b.value("forced", "i32", count, (LIKELIEST, most))
    b.value("drawn", "i32", count, (0, most))


def lower_draw(b: ProgramBuilder, schema: StepSchema, sizes: StepSizes, weights: Weights,
               number: int, logits: Slice, unit: float) -> None:  # fmt: skip
    """Append the sample of draw `number` from its logits, one unit of which is `unit` nats."""
    draw = schema.draws[number]
    temperature, min_p = (float(value) for value in weights["decode"])
    if not (temperature > 0 and 0 < min_p < 1):
        raise CalibrationError(f"decode: temperature {temperature:g} is not above 0, or min_p "
                               f"{min_p:g} not between 0 and 1")  # fmt: skip
    entries = min(round(-math.log(min_p) * (1 << WEIGHT_STEP_BITS)) + 1, MOST_ENTRIES)
    m, shift = multiplier(unit / temperature * (1 << DISTANCE_BITS))
    state, allowed = Slice("frame", 0, 1), np.ones((1, draw.classes))
    if draw in sizes.masked:
        state = Slice("frame", schema.index(draw.field, draw.player), 1)
        allowed = weights["allowed"]
    rows = b.const("allowed" if draw in sizes.masked else f"draw.{number}.allowed",
                   (allowed > 0.5).astype(np.int8), "i8")  # fmt: skip
    table = b.const("decode.weights", weights_table(entries), "i32")
    b.step("sample", logits, rows, state, Slice("words", number, 1),
           _forced(b, schema, sizes, number), table,
           Slice("drawn", number, 1), classes=len(allowed), multiplier=m, shift=shift)  # fmt: skip


def _forced(b: ProgramBuilder, schema: StepSchema, sizes: StepSizes, number: int) -> Slice:
    """What the caller forces, or a clock of the rules."""
    draw, rules = schema.draws[number], schema.rules
    given = Slice("forced", number, 1)
    if rules is None or draw not in sizes.masked or not rules.clocks:
        return given
    last, following = np.full(draw.classes, -1), np.zeros(draw.classes, np.int64)
    for clock in rules.clocks:
        last[clock.action], following[clock.action] = clock.last, clock.following
    action, age = (schema.index(name, draw.player) for name in (draw.field, "state_age"))
    out = b.value(f"draw.{number}.forced", "i32", 1, (LIKELIEST, draw.classes - 1))
    ends = b.const("clock.last", last, "i32"), b.const("clock.next", following, "i32")
    b.step("timed", Slice("frame", action, 1), Slice("frame", age, 1), given, *ends, out)
    return b.whole(out)


def lower_told(b: ProgramBuilder, sizes: StepSizes, weights: Weights, scales: Scales,
               number: int, draw: Draw, x: str) -> str:  # fmt: skip
    """Append x, what was drawn, and the gated layer.  Returns the new residual's name."""
    at, residual = f"chain.{number}", scales.residual
    rows = weights[f"embeddings.{draw.field}.weight"].astype(np.float64)
    rows = rows @ weights[f"{at}.given.weight"].astype(np.float64).T
    units = to_int(rows / residual.unit, "int32", f"{at}.given")
    table = b.const(f"{at}.given.table", units, "i32", residual.unit)
    held = b.values[table]
    given = b.value(f"{at}.given", "i32", sizes.d_model, (held.lo, held.hi), residual.unit)
    b.step("lookup", Slice("drawn", number, 1), table, given, entries=draw.classes)
    told = b.value(f"{at}.told", "i32", sizes.d_model, residual.limit, residual.unit)
    b.step("add", x, given, told, lo=-residual.limit, hi=residual.limit)
    mixed = _mix(b, sizes, weights, scales, f"{at}.mix", told)
    out = b.value(f"{at}.x", "i32", sizes.d_model, residual.limit, residual.unit)
    b.step("add", told, mixed, out, lo=-residual.limit, hi=residual.limit)
    return out


def _mix(b: ProgramBuilder, sizes: StepSizes, weights: Weights, scales: Scales, at: str,
         x: str) -> str:  # fmt: skip
    """Append out_proj(norm(u * SiLU(z))) of x, in the residual's unit."""
    weight = {name: weights[f"{at}.{name}.weight"].astype(np.float64)
              for name in ("norm", "in_proj", "gated_norm", "out_proj")}  # fmt: skip
    width, residual = sizes.d_mix, scales.residual
    in_proj = weight["in_proj"] * weight["norm"]
    entry = norm(b, x, f"{at}.norm", residual.unit, scales, scales.fine(f"{at}.in_proj"), in_proj)
    acc = linear(b, f"{at}.in_proj", entry, in_proj, np.zeros(2 * width), scales)
    u_scale = ACTIVATION_HEADROOM * scales.limit(f"{at}.u") / INT16
    requantize(b, acc, slice(0, width), f"{at}.u", "i16", u_scale, INT16, u_scale)
    z_bits = fraction_bits(scales.limit(f"{at}.z"))
    z_unit = 2.0**-z_bits
    requantize(b, acc, slice(width, 2 * width), f"{at}.z", "i16", z_unit, INT16, z_unit)
    silu_scale = silu(b, f"{at}.z", z_bits, f"{at}.silu_z", scales.limit(f"{at}.silu_z"))
    gated = wide(width, scales.limit(f"{at}.gated"))
    m, shift = multipliers(np.full(width, u_scale * silu_scale / gated.unit))
    b.value(f"{at}.gated", "i32", width, gated.limit, gated.unit)
    b.step("gate", f"{at}.u", f"{at}.silu_z", b.const(f"{at}.gated.multiplier", m, "i32"),
           b.const(f"{at}.gated.shift", shift, "i32"), f"{at}.gated", lo=-gated.limit,
           hi=gated.limit)  # fmt: skip
    out_proj = weight["out_proj"] * weight["gated_norm"]
    fine = scales.fine(f"{at}.out_proj")
    entry = norm(b, f"{at}.gated", f"{at}.gated_norm", gated.unit, scales, fine, out_proj)
    acc = linear(b, f"{at}.out_proj", entry, out_proj, np.zeros(sizes.d_model), scales)
    requantize(b, acc, slice(0, sizes.d_model), f"{at}.out_proj", "i32", residual.unit,
               residual.limit, residual.unit)  # fmt: skip
    return f"{at}.out_proj"
