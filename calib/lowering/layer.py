"""Lowering of one layer: norm, in_proj, convolution, scan, gated norm, out_proj, residual.

Activations have power-of-two or calibrated scales, chosen here from the statistics; every
scale that meets another becomes a multiplier and a shift.  Norm weights are folded into the
projection that follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calib.lowering.builder import Builder
from calib.lowering.fixed import INT8_LIMIT, multiplier, multipliers, power_at_least, to_int
from calib.lowering.limits import RATE_BITS, check_time_steps, decay_rates
from calib.lowering.scales import (
    LEAST_SIZE,
    SQUARES_BITS,
    WIDE,
    Scales,
    eps_units,
    least_sum_unit,
    unit_rows,
    wide,
)
from calib.step.sizes import StepSizes
from calib.weights.hadamard import block_of
from calib.weights.transforms import Folding, folding_of
from wmq_kernels.isa import (
    COARSE_BITS,
    DIGITS_LIMIT,
    FINE_BITS,
    SIGMOID_BITS,
    SIGMOID_STEP_BITS,
    SOFTPLUS_REACH,
)
from wmq_kernels.program import Slice
from wmq_kernels.tables import decay_coarse, decay_fine, sigmoid_table, softplus_table

INT16 = 32767
ACTIVATION_HEADROOM = 2.0  # of int16 activations over calibration
DRIVE_LIMIT = (1 << 30) - 1
DRIVE_HEADROOM = 4.0  # of what drives a head's state over calibration
LARGEST_GAIN = 17  # at which the state's update still fits int64 (the range proof shows it)
SILU_BITS = 20  # by which SiLU's unit is finer than that of what it reads, at most
CONV_WEIGHT = 8191  # int16 weights of 13 bits keep the sum of four products below 2^31
DT_BITS = 26
LARGEST_DRIVE_SHIFT = 47  # what is shifted by more than all bits of x * dt is 0


@dataclass(frozen=True)
class Input:
    """int8 input of a Linear: `high` at `scale`, and `low` at a 128th of it unless it is "".

    observed  the float step's tensor that it stands for, changed as `folding` says
    """

    high: str
    low: str
    scale: float
    observed: str
    folding: Folding


def norm(b: Builder, x: str, name: str, scale: float, scales: Scales, fine: bool,
         weight: np.ndarray) -> Input:  # fmt: skip
    """x (n,) int32 at `scale` -> int8 `<name>.unit`, as one digit or two; no weight.

    fine    whether a projection that follows reads both digits
    weight  (out, n) of all projections that follow
    """
    n, unit = b.values[x].size, f"{name}.unit"
    seen = scales.weights.inputs.get(unit)
    folding = folding_of(name, n, weight, scales.transforms, seen, fine)
    limit = scales.limit(unit)
    if seen is not None:
        limit = max(folding.limit(limit, seen), LEAST_SIZE)
    if folding.rotated:
        x, scale = _turned(b, x, scale)
    eps = eps_units(n, scale)
    out_scale = limit / INT8_LIMIT
    gain = math.sqrt(n) / (limit / DIGITS_LIMIT if fine else out_scale)
    shift = 61 - math.frexp(gain)[1]
    # A multiple of 2^31, which is above isqrt, makes numerator / isqrt monotone across all e.
    numerator = min(round(math.ldexp(gain, shift - 31)), (1 << 30) - 1) << 31
    if fine:
        b.value(unit, "i8", n, INT8_LIMIT, out_scale)
        low = b.value(f"{unit}.low", "i8", n, (-64, 63), out_scale / 128)
        b.step("rms_norm_digits", x, unit, low, eps=eps, numerator=numerator, shift=shift)
        return Input(unit, low, out_scale, unit, folding)
    if folding.exponents is not None:
        out = b.value(f"{unit}.smoothed", "i8", n, INT8_LIMIT)
        shifts = b.const(f"{unit}.shift", shift + folding.exponents, "i32")
        b.step("rms_norm_channels", x, shifts, out, eps=eps, numerator=numerator,
               lo=-INT8_LIMIT, hi=INT8_LIMIT)  # fmt: skip
        return Input(out, "", out_scale, unit, folding)
    out = f"{unit}.rotated" if folding.rotated else unit
    b.value(out, "i8", n, INT8_LIMIT, 0.0 if folding.rotated else out_scale)
    b.step("rms_norm", x, out, eps=eps, numerator=numerator, shift=shift, lo=-INT8_LIMIT,
           hi=INT8_LIMIT)  # fmt: skip
    return Input(out, "", out_scale, unit, folding)


def _turned(b: Builder, x: str, scale: float) -> tuple[str, float]:
    """x with its blocks turned, and the scale of that.

    The sums' shift is half of the block's bits, so that they keep x's size, within a root of 2.
    """
    n = b.values[x].size
    block = block_of(n)
    shift = (block.bit_length() - 1) // 2
    unit = scale * 2.0**shift / math.sqrt(block)
    limit = min(WIDE, math.isqrt(((1 << SQUARES_BITS) - 1 - eps_units(n, unit)) // n))
    out = b.value(f"{x}.turned", "i32", n, limit, unit)
    b.step("hadamard", x, out, blocks=n // block, block=block, shift=shift, lo=-limit, hi=limit)
    return out, unit


@dataclass(frozen=True)
class Acc:
    """A projection's int32 sums and the natural units of each row's unit."""

    name: str
    scale: np.ndarray  # (out,) float64


def linear(b: Builder, name: str, x: Input, weight: np.ndarray, bias: np.ndarray,
           scales: Scales) -> Acc:  # fmt: skip
    """int8 input times int8 rows; bias in natural units, (out,).

    With two digits, acc = bias + W low + 2^7 (W high), else the high one alone counts.
    """
    fine = scales.fine(name)
    unit = x.scale / (128 if fine else 1)
    weight = x.folding.weight(weight)
    row_scale = unit_rows(weight, bias, unit)
    moments = scales.weights.moments(x.observed)
    if moments is not None:
        moments = x.folding.moments(moments)
    while True:
        ints, gain = scales.weights.round(weight, row_scale[:, None], moments)
        scale = row_scale * unit
        bias_int = to_int((bias + gain) / scale, "int32", name)
        size = np.abs(ints.astype(np.int64)).sum(1)
        first = size * (64 if fine else INT8_LIMIT) + np.abs(bias_int.astype(np.int64))
        second = size * INT8_LIMIT << 7 if fine else np.zeros_like(size)
        if int(first.max()) + int(second.max()) < 1 << 31:
            break
        row_scale = np.where(first + second >= 1 << 30, 2 * row_scale, row_scale)
    reach = int(first.max()) + int(second.max())
    w = b.const(f"{name}.weight", ints, "i8")
    bias_const = b.const(f"{name}.bias", bias_int, "i32")
    acc = b.value(f"{name}.acc", "i32", len(weight), reach)
    if not fine:
        b.step("dot", x.high, w, bias_const, acc)
        return Acc(acc, scale)
    low = b.value(f"{name}.acc.low", "i32", len(weight), int(first.max()))
    b.step("dot", x.low, w, bias_const, low)
    b.step("dot_add", x.high, w, low, acc, shift=7)
    return Acc(acc, scale)


def requantize(b: Builder, acc: Acc, rows: slice, out: str, dtype: str, factor: np.ndarray | float,
               interval: int | tuple[int, int], scale: float) -> None:  # fmt: skip
    """out = acc[rows] / factor, where factor is in natural units per unit of out, or per row."""
    count = len(acc.scale[rows])
    m, shift = multipliers(acc.scale[rows] / factor)
    lo, hi = interval if isinstance(interval, tuple) else (-interval, interval)
    b.value(out, dtype, count, (lo, hi), scale)
    b.step(f"requantize_{dtype}", Slice(acc.name, rows.start, count),
           b.const(f"{out}.multiplier", m, "i32"), b.const(f"{out}.shift", shift, "i32"), out,
           lo=lo, hi=hi)  # fmt: skip


def fraction_bits(limit: float) -> int:
    """Fraction bits of an int16 that holds `limit` with a quarter to spare; may be negative."""
    return min(15 - power_at_least(1.25 * limit), 15)


def silu(b: Builder, x: Slice | str, fraction: int, out: str, limit: float) -> float:
    """SiLU of int16 with `fraction` bits; returns the scale of `out`.

    The instruction has a point of its table for every integer of 7 bits; for fewer bits the
    table has as many points fewer.
    """
    at = b.whole(x) if isinstance(x, str) else x
    scale = max(ACTIVATION_HEADROOM * limit / INT16, 2.0 ** -(fraction + SILU_BITS))
    coarser = max(SIGMOID_STEP_BITS - fraction, 0)
    table = sigmoid_table()
    table = table[:: min(1 << coarser, len(table) - 1)]
    bits = fraction + coarser - SIGMOID_STEP_BITS + SIGMOID_BITS  # of the sigmoid in the formula
    m, shift = multiplier(2.0 ** -(fraction + bits) / scale, 47 - bits)
    b.value(out, "i16", at.count, INT16, scale)
    entries = b.const(f"sigmoid.{coarser}" if coarser else "sigmoid", table, "i32")
    b.step("silu", at, entries, out, fraction=fraction + coarser, multiplier=m, shift=shift,
           lo=-INT16, hi=INT16)  # fmt: skip
    return scale


def lower_layer(b: Builder, sizes: StepSizes, weights: Mapping[str, np.ndarray], scales: Scales,
                layer: int) -> None:  # fmt: skip
    """Steps from residual.N to residual.N+1; the state lives in conv.N and state.N."""
    at = f"layers.{layer}.mamba"
    weight = {k.removeprefix(f"layers.{layer}."): v.astype(np.float64)
              for k, v in weights.items() if k.startswith(f"layers.{layer}.")}  # fmt: skip
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
    _convolve(b, sizes, at, layer, weight, scales, xbc_scale)
    y_scale = _scan(b, sizes, at, layer, weight, scales)
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
    out_proj = weight["mamba.out_proj.weight"] * weight["mamba.norm.weight"]
    x = norm(b, f"{at}.gated", f"{at}.norm", gated.unit, scales, fine, out_proj)
    acc = linear(b, f"{at}.out_proj", x, out_proj, np.zeros(sizes.d_model), scales)
    residual, limit = scales.residual.unit, scales.residual.limit
    requantize(b, acc, slice(0, sizes.d_model), f"{at}.out_proj", "i32", residual, limit,
               residual)  # fmt: skip
    after = b.value(f"residual.{layer + 1}", "i32", sizes.d_model, limit, residual)
    b.step("add", f"residual.{layer}", f"{at}.out_proj", after, lo=-limit, hi=limit)


def _convolve(b: Builder, sizes: StepSizes, at: str, layer: int, weight: Mapping[str, np.ndarray],
              scales: Scales, xbc_scale: float) -> None:  # fmt: skip
    """xbc -> x, B and C: depthwise convolution over the last frames, then SiLU."""
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


def _scan(b: Builder, sizes: StepSizes, at: str, layer: int, weight: Mapping[str, np.ndarray],
          scales: Scales) -> np.ndarray:  # fmt: skip
    """dt, decay and the state's update; returns the scale of y per head."""
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
    """Shifts of the drive and gains of the scan, (heads,) int each.

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
