"""Lowering of one Mamba-2 layer: norm, in_proj, convolution, scan, gated norm, out_proj, residual.

The statistics choose the scales of all that lies between; norm weights are folded into the
projection that follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from calib.arithmetic.fixed import multipliers, power_at_least, to_int
from calib.arithmetic.hadamard import block_of
from calib.lowering.builder import ProgramBuilder
from calib.lowering.limits import RATE_BITS, check_time_steps, decay_rates
from calib.lowering.ops import (
    ACTIVATION_HEADROOM,
    INT16,
    fraction_bits,
    linear,
    norm,
    requantize,
    silu,
)
from calib.lowering.scales import WIDE, Scales, least_sum_unit, wide
from calib.step.sizes import StepSizes
from wmq_kernels.isa import COARSE_BITS, FINE_BITS, SOFTPLUS_REACH
from wmq_kernels.program import Slice
from wmq_kernels.tables import decay_coarse, decay_fine, softplus_table

DRIVE_LIMIT = (1 << 30) - 1
DRIVE_HEADROOM = 4.0  # of what drives a head's state over calibration
LARGEST_GAIN = 17  # at which the state's update still fits int64 (the range proof shows it)
CONV_WEIGHT = 8191  # int16 weights of 13 bits keep the sum of four products below 2^31
DT_BITS = 26
LARGEST_DRIVE_SHIFT = 47  # what is shifted by more than all bits of x * dt is 0


Weights = Mapping[str, np.ndarray]  # of one layer, without its prefix


def lower_layer(b: ProgramBuilder, sizes: StepSizes, weights: Mapping[str, np.ndarray],
                scales: Scales, layer: int) -> None:  # fmt: skip
    """Append the steps from residual.N to residual.N+1; the state lives in conv.N and state.N."""
    at = f"layers.{layer}.mamba"
    weight = {k.removeprefix(f"layers.{layer}."): v.astype(np.float64)
              for k, v in weights.items() if k.startswith(f"layers.{layer}.")}  # fmt: skip
    z_bits, xbc_scale = _project_in(b, sizes, at, layer, weight, scales)
    _convolve(b, sizes, at, layer, weight, scales, xbc_scale)
    y_scale = _scan(b, sizes, at, layer, weight, scales)
    gated_unit = _gate(b, sizes, at, scales, y_scale, z_bits)
    _project_out(b, sizes, at, weight, scales, gated_unit)
    residual, limit = scales.residual.unit, scales.residual.limit
    after = b.value(f"residual.{layer + 1}", "i32", sizes.d_model, limit, residual)
    b.step("add", f"residual.{layer}", f"{at}.out_proj", after, lo=-limit, hi=limit)


def _project_in(b: ProgramBuilder, sizes: StepSizes, at: str, layer: int, weight: Weights,
                scales: Scales) -> tuple[int, float]:  # fmt: skip
    """Append residual -> norm -> z, xbc and dt_raw.  Returns z's fraction bits and xbc's scale."""
    in_proj = weight["mamba.in_proj.weight"] * weight["norm.weight"]
    x = norm(b, f"residual.{layer}", f"layers.{layer}.norm", scales.residual.unit, scales,
             scales.fine(f"{at}.in_proj"), in_proj)  # fmt: skip
    z_width, xbc_width, _ = sizes.in_proj_parts
    bias = np.concatenate([np.zeros(z_width + xbc_width), weight["mamba.dt_bias"]])
    acc = linear(b, f"{at}.in_proj", x, in_proj, bias, scales)
    z_bits = fraction_bits(scales.limit(f"{at}.z"))
    requantize(b, acc, slice(0, z_width), f"{at}.z", "i16", 2.0**-z_bits, INT16, 2.0**-z_bits)
    xbc_scale = ACTIVATION_HEADROOM * scales.limit(f"{at}.xbc") / INT16
    requantize(b, acc, slice(z_width, z_width + xbc_width), f"{at}.xbc", "i16", xbc_scale, INT16,
               xbc_scale)  # fmt: skip
    requantize(b, acc, slice(z_width + xbc_width, len(bias)), f"{at}.dt_raw", "i32", 2.0**-16,
               (-SOFTPLUS_REACH, SOFTPLUS_REACH - 1), 2.0**-16)  # fmt: skip
    return z_bits, xbc_scale


def _gate(b: ProgramBuilder, sizes: StepSizes, at: str, scales: Scales, y_scale: np.ndarray,
          z_bits: int) -> float:  # fmt: skip
    """Append gated = y * SiLU(z).  Returns its unit; y_scale: of each head, (heads,)."""
    silu_scale = silu(b, f"{at}.z", z_bits, f"{at}.silu_z", scales.limit(f"{at}.silu_z"))
    fine, size = scales.fine(f"{at}.out_proj"), scales.limit(f"{at}.gated")
    if scales.transforms.rotates(f"{at}.norm") and not fine:  # sums of a block must fit int32
        most = min(WIDE, (1 << 30) // block_of(sizes.d_inner) - 1)
        gated = wide(sizes.d_inner, size, most, finer=math.sqrt(2))
    else:
        gated = wide(sizes.d_inner, size)
    factors = np.repeat(y_scale, sizes.headdim) * silu_scale / gated.unit
    m, shift = multipliers(factors)
    b.value(f"{at}.gated", "i32", sizes.d_inner, gated.limit, gated.unit)
    b.step("gate", f"{at}.y", f"{at}.silu_z", b.const(f"{at}.gated.multiplier", m, "i32"),
           b.const(f"{at}.gated.shift", shift, "i32"), f"{at}.gated", lo=-gated.limit,
           hi=gated.limit)  # fmt: skip
    return gated.unit


def _project_out(b: ProgramBuilder, sizes: StepSizes, at: str, weight: Weights, scales: Scales,
                 gated_unit: float) -> None:  # fmt: skip
    """Append gated -> norm -> out_proj, in the residual's unit."""
    out_proj = weight["mamba.out_proj.weight"] * weight["mamba.norm.weight"]
    fine = scales.fine(f"{at}.out_proj")
    x = norm(b, f"{at}.gated", f"{at}.norm", gated_unit, scales, fine, out_proj)
    acc = linear(b, f"{at}.out_proj", x, out_proj, np.zeros(sizes.d_model), scales)
    residual, limit = scales.residual.unit, scales.residual.limit
    requantize(b, acc, slice(0, sizes.d_model), f"{at}.out_proj", "i32", residual, limit,
               residual)  # fmt: skip


def _convolve(b: ProgramBuilder, sizes: StepSizes, at: str, layer: int, weight: Weights,
              scales: Scales, xbc_scale: float) -> None:  # fmt: skip
    """Append xbc -> x, B and C: depthwise convolution over the last frames, then SiLU."""
    taps = weight["mamba.conv1d.weight"][:, 0].T  # (d_conv, conv_dim), the last is now
    bias = weight["mamba.conv1d.bias"]
    most = min(CONV_WEIGHT, 4 * CONV_WEIGHT // len(taps))
    tap_scale = np.maximum(np.abs(taps).max(0) / most, np.abs(bias) / xbc_scale / 2**29)
    tap_scale = np.maximum(tap_scale, 1e-12)
    ints = np.rint(taps / tap_scale)
    bits = fraction_bits(scales.limit(f"{at}.conv1d"))
    m, shift = multipliers(tap_scale * xbc_scale * 2.0**bits)
    past = len(taps) - 1
    b.value(f"conv.{layer}", "i16", (past, sizes.conv_dim), INT16, xbc_scale, kind="state")
    b.value(f"{at}.conv1d", "i16", sizes.conv_dim, INT16, 2.0**-bits)
    b.step("conv", f"{at}.xbc", f"conv.{layer}",
           b.const(f"{at}.conv1d.weight", to_int(ints[:past], "int16", at), "i16"),
           b.const(f"{at}.conv1d.weight_now", to_int(ints[past], "int16", at), "i16"),
           b.const(f"{at}.conv1d.bias", to_int(bias / (tap_scale * xbc_scale), "int32", at), "i32"),
           b.const(f"{at}.conv1d.multiplier", m, "i32"),
           b.const(f"{at}.conv1d.shift", shift, "i32"), f"{at}.conv1d", past=past,
           lo=-INT16, hi=INT16)  # fmt: skip
    start = 0
    for part, width in (("x", sizes.d_inner), ("B", sizes.d_state), ("C", sizes.d_state)):
        silu(b, Slice(f"{at}.conv1d", start, width), bits, f"{at}.{part}",
             scales.limit(f"{at}.{part}"))  # fmt: skip
        start += width


def _scan(b: ProgramBuilder, sizes: StepSizes, at: str, layer: int, weight: Weights,
          scales: Scales) -> np.ndarray:  # fmt: skip
    """Append dt, decay and the state's update.  Returns the scale of y, (heads,)."""
    check_time_steps(at, scales.limits[f"{at}.dt"])
    heads, shape = sizes.nheads, (sizes.nheads, sizes.d_state, sizes.headdim)
    scale = {part: b.values[f"{at}.{part}"].scale for part in ("x", "B", "C")}
    table = b.const("softplus", softplus_table(), "i32", 2.0**-DT_BITS)
    b.value(f"{at}.dt", "i32", heads, (0, int(b.data[table].max())), 2.0**-DT_BITS)
    b.step("softplus", f"{at}.dt_raw", table, f"{at}.dt", entries=b.values[table].size)
    rate = decay_rates(f"{at}.A_log", weight["mamba.A_log"])
    b.value(f"{at}.decay", "i32", heads, (0, (1 << 31) - 1), 2.0**-31)
    b.step("decay", f"{at}.dt", b.const(f"{at}.rate", rate, "i32", 2.0**-RATE_BITS),
           b.const("decay.coarse", decay_coarse(), "i64", 2.0**-COARSE_BITS),
           b.const("decay.fine", decay_fine(), "i64", 2.0**-FINE_BITS), f"{at}.decay")  # fmt: skip
    limit = (1 << (scales.state.bits - 1)) - 1
    target = 1.5 * scales.heads(f"{at}.y") / INT16
    least = least_sum_unit(target, weight["mamba.D"] * scale["x"])
    wanted = scales.heads(f"next_state.{layer}") * 2.0**scales.state.headroom_bits / limit
    wanted = np.maximum(wanted, least / scale["C"])
    drive_shift, gain = _drive_scales(DRIVE_HEADROOM * scales.heads(f"{at}.drive") / scale["x"],
                                      wanted / (scale["x"] * scale["B"]))  # fmt: skip
    drive_scale = scale["x"] * 2.0 ** (drive_shift - DT_BITS)  # (heads,)
    b.value(f"{at}.drive", "i32", (heads, sizes.headdim), DRIVE_LIMIT)
    b.step("drive", f"{at}.x", f"{at}.dt", b.const(f"{at}.drive.shift", drive_shift, "i32"),
           f"{at}.drive", heads=heads, headdim=sizes.headdim, lo=-DRIVE_LIMIT,
           hi=DRIVE_LIMIT)  # fmt: skip
    state_scale = drive_scale * scale["B"] * 2.0 ** (31 - gain)
    sum_scale = np.maximum(state_scale * scale["C"], least)  # above it where the state stays 0
    skip = to_int(weight["mamba.D"] * scale["x"] / sum_scale, "int64", f"{at}.D")
    y_shift = np.array([max(0, power_at_least(t / s))
                        for t, s in zip(target, sum_scale, strict=True)])  # fmt: skip
    kept = [b.value(f"state.{layer}", "i32", shape, limit, kind="state")]
    if scales.state.error_feedback:
        kept.append(b.value(f"carry.{layer}", "i16", shape, kind="state"))
    b.value(f"{at}.y", "i16", sizes.d_inner, INT16)
    op = "scan_carry" if scales.state.error_feedback else "scan"
    b.step(op, *kept, f"{at}.decay", f"{at}.drive", f"{at}.B", f"{at}.C", f"{at}.x",
           b.const(f"{at}.skip", skip, "i64"), b.const(f"{at}.gain", gain, "i32"),
           b.const(f"{at}.y.shift", y_shift, "i32"), f"{at}.y", heads=heads,
           d_state=sizes.d_state, headdim=sizes.headdim, limit=limit, lo=-INT16,
           hi=INT16)  # fmt: skip
    return sum_scale * 2.0**y_shift


def _drive_scales(drive: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the shifts of the drive and the gains of the scan, (heads,) int each.

    drive  the largest drive in units of x's scale, (heads,)
    state  the wanted unit of the state in units of x's scale times B's, (heads,)
    The drive gets as many bits as its interval has, fewer where the state's unit is so
    coarse that the gain would be negative, and none where it would not show in the state.
    """
    shifts, gains = [], []
    for largest, unit in zip(drive, state, strict=True):
        shift = max(0, power_at_least(largest * 2.0**DT_BITS / DRIVE_LIMIT))
        gain = min(31 - power_at_least(unit * 2.0 ** (DT_BITS - shift)), LARGEST_GAIN)
        shifts.append(min(shift - min(gain, 0), LARGEST_DRIVE_SHIFT))
        gains.append(max(gain, 0))
    return np.array(shifts), np.array(gains)
