"""Lowering of the two projections that read integers, frame_proj and ctrl_proj.

Their columns differ in size by orders of magnitude, which one scale a row would not survive:
columns are therefore grouped by a power of two, and each group is a dot of its own whose sum
is shifted: acc = bias + sum_k 2^k (W_k x_k).  A second weight digit is further dots over the
same columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calib.arithmetic.fixed import INT8_LIMIT, multipliers, to_int
from calib.errors import CalibrationError
from calib.lowering.builder import ProgramBuilder
from calib.lowering.inputs import Numbers, Segment, column_exponents, digit_segments, write_inputs
from calib.lowering.scales import BIAS_BITS, Wide
from calib.weights.quantize import Moments, WeightQuantizer
from wmq_kernels.program import Slice

WIDEST = 10  # powers of two between the smallest and the largest group of columns
LOW_DIGIT_VARIANCE = (128**2 - 1) / 12  # of 128 whole numbers, all as likely
EXTRA_BITS = 5  # of a weight by its second digit, at least
TOGETHER = 8 - EXTRA_BITS  # powers of two that one group of second digits spans, besides the first


@dataclass(frozen=True)
class Dot:
    """The input's columns from `start` on times an int8 matrix (out, n), times 2^shift."""

    name: str
    start: int
    matrix: np.ndarray
    shift: int

    @property
    def reach(self) -> int:
        """The largest |sum| of a row times int8 inputs in [-127, 127], shifted."""
        return int(np.abs(self.matrix.astype(np.int64)).sum(1).max()) * INT8_LIMIT << self.shift


@dataclass(frozen=True)
class DotSum:
    """A projection as dots, to be added up with a bias.

    dots  by ascending shift, the first of which is 0
    scale  (out,) output units per unit
    bias  (out,) float64, whole numbers
    """

    dots: tuple[Dot, ...]
    scale: np.ndarray
    bias: np.ndarray

    @property
    def reach(self) -> int:
        return sum(dot.reach for dot in self.dots) + int(np.abs(self.bias).max())


def lower_projection(b: ProgramBuilder, name: str, weight: np.ndarray, bias: np.ndarray,
                     numbers: Sequence[Numbers], classes: Sequence[Segment],
                     inputs: str, out: Wide, quantizer: WeightQuantizer,
                     observed: str) -> None:  # fmt: skip
    """Append the steps from ports through int8 `inputs` to the value `name`, int32 as `out` says.

    observed  the tensor whose statistics are those of the weight's columns
    """
    weight, bias = weight.astype(np.float64), bias.astype(np.float64)
    segments, offset = list(classes), np.zeros(weight.shape[1])
    for part in numbers:
        columns = slice(part.first, part.first + len(part.offset))
        segments += digit_segments(part, column_exponents(weight[:, columns], part.scale))
        offset[columns] = part.offset * part.unit
    bias = bias + weight @ offset
    moments = quantizer.moments(observed)
    exponents = np.array([int(column_exponents(weight[:, s.columns], s.scale).max())
                          for s in segments])  # fmt: skip
    for widest in range(WIDEST, -1, -1):
        shifts = np.maximum(exponents - exponents.max() + widest, 0)
        shifts -= shifts.min()
        order = np.argsort(shifts, kind="stable")
        ordered = [segments[i] for i in order]
        powers = np.repeat(shifts[order], [len(s.columns) for s in ordered])
        found = None if moments is None else _segment_moments(moments, ordered, offset)
        summed = _dot_sum(name, weight, bias, ordered, powers, quantizer, found)
        if summed.reach < 2**31 - 1:
            break
    else:
        raise CalibrationError(f"{name}: the weights' sum exceeds int32")
    ends = np.cumsum([len(s.columns) for s in ordered])
    starts = dict(zip(order.tolist(), (ends - [len(s.columns) for s in ordered]).tolist(),
                      strict=True))  # fmt: skip
    b.value(inputs, "i8", int(ends[-1]), INT8_LIMIT)
    write_inputs(b, inputs, segments, starts, numbers)
    acc = _sum_up(b, name, inputs, summed)
    m, shift = multipliers(summed.scale / out.unit)
    b.value(name, "i32", len(weight), out.limit, out.unit)
    b.step("requantize_i32", acc, b.const(f"{name}.multiplier", m, "i32"),
           b.const(f"{name}.shift", shift, "i32"), name, lo=-out.limit, hi=out.limit)  # fmt: skip


def _dot_sum(name: str, weight: np.ndarray, bias: np.ndarray, segments: Sequence[Segment],
             powers: np.ndarray, quantizer: WeightQuantizer, moments: Moments | None
             ) -> DotSum:  # fmt: skip
    """Quantize the columns of all segments to int8; powers (columns,) int, ascending."""
    whole = np.concatenate([weight[:, s.columns] * s.scale for s in segments], 1)
    scale = np.maximum(np.abs(whole * 2.0**-powers).max(1), 1e-30) / INT8_LIMIT
    fine = quantizer.fine(name)
    scale = np.maximum(scale, np.abs(bias) * 2.0 ** (EXTRA_BITS * fine - BIAS_BITS))
    step = scale[:, None] * 2.0**powers
    if fine:
        ints, gain = np.rint(whole / step).astype(np.int8), np.zeros(len(weight))
        powers, scale = powers + EXTRA_BITS, scale * 2.0**-EXTRA_BITS
    else:
        ints, gain = quantizer.round(whole, step, moments)
    dots = [_dot(f"{name}.weight.{k - powers.min()}", ints, powers == k, int(k))
            for k in np.unique(powers)]  # fmt: skip
    if fine:
        dots += _second_digits(name, (whole - ints * step) / scale[:, None], powers - EXTRA_BITS)
        dots.sort(key=lambda dot: dot.shift)
    return DotSum(tuple(dots), scale, np.rint((bias + gain) / scale))


def _second_digits(name: str, left: np.ndarray, powers: np.ndarray) -> list[Dot]:
    """Quantize what the first digits leave, (out, columns) in units, in few groups of columns."""
    dots, first = [], int(powers.min())
    while True:
        chosen = (powers >= first) & (powers <= first + TOGETHER)
        ints = np.clip(np.rint(left * 2.0**-first), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
        dots.append(_dot(f"{name}.weight.low.{first}", ints, chosen, first))
        beyond = powers[powers > first + TOGETHER]
        if not len(beyond):
            return dots
        first = int(beyond.min())


def _dot(name: str, ints: np.ndarray, chosen: np.ndarray, shift: int) -> Dot:
    """Make a dot of the chosen columns, (columns,) bool, which are neighbours."""
    return Dot(name, int(np.flatnonzero(chosen)[0]), ints[:, chosen], shift)


def _sum_up(b: ProgramBuilder, name: str, inputs: str, summed: DotSum) -> str:
    """Append all dots.  Returns the value of their sum, (out,) int32."""
    bias = to_int(summed.bias, "int32", name)
    acc, reach = "", int(np.abs(bias.astype(np.int64)).max())
    for dot in summed.dots:
        digits = Slice(inputs, dot.start, dot.matrix.shape[1])
        w = b.const(dot.name, dot.matrix, "i8")
        reach += dot.reach
        out = b.value(dot.name.replace(".weight.", ".acc."), "i32", len(bias), reach)
        if not acc:
            b.step("dot", digits, w, b.const(f"{name}.bias", bias, "i32"), out)
        else:
            b.step("dot_add", digits, w, acc, out, shift=dot.shift)
        acc = out
    return acc


def _segment_moments(found: Moments, segments: Sequence[Segment],
                     offset: np.ndarray) -> Moments:  # fmt: skip
    """Convert moments to the integers of the segments' columns; offset (in,) of the weight's.

    A low digit counts as evenly distributed and independent of everything else.
    """
    columns = np.concatenate([s.columns for s in segments])
    scale = np.concatenate([s.scale for s in segments])
    low = np.concatenate([np.full(len(s.columns), s.part == "low") for s in segments])
    moments = found.chosen(columns).scaled(scale, offset[columns])
    mean = np.where(low, 0.0, moments.mean)
    covariance = np.where(low[:, None] | low, 0.0, moments.covariance)
    covariance[low, low] = LOW_DIGIT_VARIANCE
    return Moments(mean, covariance)
