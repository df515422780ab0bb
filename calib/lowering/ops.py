"""Operations that layers and heads are lowered to: norm, Linear, requantization, SiLU.

Each appends steps to a `ProgramBuilder`.  Activations have power-of-two or calibrated scales;
every scale that meets another becomes a multiplier and a shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calib.arithmetic.fixed import INT8_LIMIT, multiplier, multipliers, power_at_least, to_int
from calib.arithmetic.hadamard import block_of
from calib.lowering.builder import ProgramBuilder
from calib.lowering.scales import LEAST_SIZE, SQUARES_BITS, WIDE, Scales, eps_units, unit_rows
from calib.weights.transforms import Folding, folding_of
from wmq_kernels.isa import DIGITS_LIMIT, SIGMOID_BITS, SIGMOID_STEP_BITS
from wmq_kernels.program import Slice
from wmq_kernels.tables import sigmoid_table

INT16 = 32767
ACTIVATION_HEADROOM = 2.0  # of int16 activations over calibration
SILU_BITS = 20  # by which SiLU's unit is finer than that of what it reads, at most


@dataclass(frozen=True)
class LinearInput:
    """int8 input of a Linear: `high` at `scale`, and `low` at a 128th of it unless it is "".

    observed  the float step's tensor that it stands for, changed as `folding` says
    """

    high: str
    low: str
    scale: float
    observed: str
    folding: Folding


def norm(b: ProgramBuilder, x: str, name: str, scale: float, scales: Scales, fine: bool,
         weight: np.ndarray) -> LinearInput:  # fmt: skip
    """Append x (n,) int32 at `scale` -> int8 `<name>.unit`, one digit or two, without weight.

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
        return LinearInput(unit, low, out_scale, unit, folding)
    if folding.exponents is not None:
        out = b.value(f"{unit}.smoothed", "i8", n, INT8_LIMIT)
        shifts = b.const(f"{unit}.shift", shift + folding.exponents, "i32")
        b.step("rms_norm_channels", x, shifts, out, eps=eps, numerator=numerator,
               lo=-INT8_LIMIT, hi=INT8_LIMIT)  # fmt: skip
        return LinearInput(out, "", out_scale, unit, folding)
    out = f"{unit}.rotated" if folding.rotated else unit
    b.value(out, "i8", n, INT8_LIMIT, 0.0 if folding.rotated else out_scale)
    b.step("rms_norm", x, out, eps=eps, numerator=numerator, shift=shift, lo=-INT8_LIMIT,
           hi=INT8_LIMIT)  # fmt: skip
    return LinearInput(out, "", out_scale, unit, folding)


def _turned(b: ProgramBuilder, x: str, scale: float) -> tuple[str, float]:
    """Append the rotation of x in blocks.  Returns its name and scale.

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
class LinearSum:
    """A projection's int32 sums and the natural units of each row's unit."""

    name: str
    scale: np.ndarray  # (out,) float64


def linear(b: ProgramBuilder, name: str, x: LinearInput, weight: np.ndarray, bias: np.ndarray,
           scales: Scales) -> LinearSum:  # fmt: skip
    """Append int8 input times int8 rows plus bias, (out,) in natural units.

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
        return LinearSum(acc, scale)
    low = b.value(f"{name}.acc.low", "i32", len(weight), int(first.max()))
    b.step("dot", x.low, w, bias_const, low)
    b.step("dot_add", x.high, w, low, acc, shift=7)
    return LinearSum(acc, scale)


def requantize(b: ProgramBuilder, acc: LinearSum, rows: slice, out: str, dtype: str,
               factor: np.ndarray | float, interval: int | tuple[int, int],
               scale: float) -> None:  # fmt: skip
    """Append out = acc[rows] / factor; factor: natural units per unit of out, or one a row."""
    count = len(acc.scale[rows])
    m, shift = multipliers(acc.scale[rows] / factor)
    lo, hi = interval if isinstance(interval, tuple) else (-interval, interval)
    b.value(out, dtype, count, (lo, hi), scale)
    b.step(f"requantize_{dtype}", Slice(acc.name, rows.start, count),
           b.const(f"{out}.multiplier", m, "i32"), b.const(f"{out}.shift", shift, "i32"), out,
           lo=lo, hi=hi)  # fmt: skip


def fraction_bits(limit: float) -> int:
    """Count the fraction bits of an int16 that holds 1.25 * limit; may be negative."""
    return min(15 - power_at_least(1.25 * limit), 15)


def silu(b: ProgramBuilder, x: Slice | str, fraction: int, out: str, limit: float) -> float:
    """Append SiLU of int16 with `fraction` bits.  Returns the scale of `out`.

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
