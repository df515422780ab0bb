"""The oracle itself: examples worked by hand, and what it refuses."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wmq_kernels.conformance.builder import Builder, whole
from wmq_kernels.errors import ProgramError
from wmq_kernels.exact import round_shift
from wmq_kernels.isa import INT32
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import Program, Slice
from wmq_kernels.reference import Reference

PADS = [[0, 0]] * 10


@given(st.integers(-(2**62), 2**62), st.integers(0, 62))
def test_round_shift_is_the_nearest_integer_half_up(value: int, shift: int) -> None:
    assert round_shift(value, shift) == floor(Fraction(value, 2**shift) + Fraction(1, 2))


def test_round_shift_by_zero_is_the_value() -> None:
    assert round_shift(-7, 0) == -7
    assert [round_shift(v, 1) for v in (-3, -1, 1, 3)] == [-1, 0, 1, 2]


EXAMPLES = [
    # (-129 - 1) * 3 / 2 = -195 = -2 * 128 + 61; beyond 16256 both digits stay at the end
    ("digits", {"x": [-129, 10**6, 64], "offset": [1, 0, 0], "multiplier": [3, 1, 1],
                "shift": [1, 0, 0]}, {"n": 3},
     {"high": [-2, 127, 1], "low": [61, 0, -64]}, 1),
    ("embed", {"index": [9], "table": [1, 2, 3, 4, 5, 6]}, {"one": 1, "classes": 3, "dim": 2},
     {"out": [5, 6]}, 0),
    ("embed", {"index": [-1], "table": [1, 2, 3, 4]}, {"one": 1, "classes": 2, "dim": 2},
     {"out": [1, 2]}, 0),
    ("dot", {"x": [2, -3], "weight": [1, 1, 10, 100], "bias": [7, 0]}, {"n": 2, "o": 2},
     {"out": [6, -280]}, 0),
    ("dot_add", {"x": [2, -3], "weight": [1, 1, 10, 100], "acc": [7, 0]},
     {"n": 2, "o": 2, "shift": 3}, {"out": [-1, -2240]}, 0),
    ("requantize_i8", {"x": [5, -5, 400, -400], "multiplier": [1, 1, 1, 1], "shift": [1, 1, 1, 0]},
     {"n": 4, "lo": -127, "hi": 127}, {"out": [3, -2, 127, -127]}, 2),
    ("add", {"a": [1, 50], "b": [2, 51]}, {"n": 2, "lo": -9, "hi": 100}, {"out": [3, 100]}, 1),
    # t = 9 + 16 = 25, e = 28: isqrt(25 * 4^28) = 5 * 2^28; m = floor(2^60 / (5 * 2^28))
    ("rms_norm", {"x": [3, -4]}, {"n": 2, "eps": 0, "numerator": 2**60, "shift": 54, "lo": -127,
                                  "hi": 127}, {"out": [38, -51]}, 0),
    # the same, and half of -51.2
    ("rms_norm_channels", {"x": [3, -4], "shift": [54, 55]},
     {"n": 2, "eps": 0, "numerator": 2**60, "lo": -127, "hi": 127}, {"out": [38, -26]}, 0),
    # ++++ +-+- ++-- +--+: halves of 10, -2, -4, 0 and of 9, 11, 11, 9
    ("hadamard", {"x": [1, 2, 3, 4, 10, 0, 0, -1]},
     {"blocks": 2, "block": 4, "shift": 1, "lo": -1, "hi": 5},
     {"out": [5, -1, -1, 0, 5, 5, 5, 5]}, 3),
    ("conv", {"x": [10, 20], "history": [1, 2, 3, 4], "weight": [1, 10, 100, 1000],
              "weight_now": [5, 6], "bias": [7, 8], "multiplier": [1, 1], "shift": [0, 3]},
     {"past": 2, "n": 2, "lo": -99, "hi": 300},
     {"out": [300, 300], "history": [3, 4, 10, 20]}, 2),
    ("frame_add", {"now": [5, 5], "change": [9, -9], "least": [0, 0], "most": [10, 10]}, {"n": 2},
     {"out": [10, 0]}, 0),
    ("frame_round", {"now": [3, 3, 3], "value": [3 << 15, 5 << 16, 5 << 16], "least": [0] * 3,
                     "most": [4] * 3, "falling": [0, 0, 1]}, {"n": 3}, {"out": [2, 4, 3]}, 0),
    ("frame_sign", {"x": [-1, 0, 1]}, {"n": 3}, {"out": [0, 0, 1]}, 0),
    ("argmax", {"x": [-5, 7, 7, 6]}, {"n": 4, "one": 1}, {"out": [1]}, 0),
    ("age", {"before": [4], "after": [4], "age": [8]}, {"one": 1, "most": 9}, {"out": [9]}, 0),
    ("age", {"before": [4], "after": [4], "age": [9]}, {"one": 1, "most": 9}, {"out": [9]}, 0),
    ("age", {"before": [4], "after": [5], "age": [9]}, {"one": 1, "most": 9}, {"out": [0]}, 0),
    # distances 384, 0 and 1024, which is the cut: weights 80 / 2 + 50 / 2 and 100, of 165 in all
    *(("sample", {"x": [2, 5, 99, -3], "allowed": [1, 0, 1, 0, 1, 1, 0, 1], "state": [9],
                  "word": [word], "forced": [-1], "table": [100, 80, 50, 7, 7]},
       {"n": 4, "one": 1, "classes": 2, "entries": 5, "multiplier": 128, "shift": 0},
       {"out": [out]}, 0)
      for word, out in ((0, 0), ((65 << 32) // 165, 0), ((65 << 32) // 165 + 1, 1), (-1, 1))),
    ("sample", {"x": [5, 5, 9], "allowed": [1, 1, 0], "state": [0], "word": [-1], "forced": [-2],
                "table": [1, 0]},
     {"n": 3, "one": 1, "classes": 1, "entries": 2, "multiplier": 1, "shift": 0},
     {"out": [0]}, 0),
    ("sample", {"x": [5, 5, 9], "allowed": [1, 1, 0], "state": [0], "word": [0], "forced": [7],
                "table": [1, 0]},
     {"n": 3, "one": 1, "classes": 1, "entries": 2, "multiplier": 1, "shift": 0},
     {"out": [2]}, 0),
    ("lookup", {"index": [8], "table": [1, 2, 3, 70000]}, {"one": 1, "entries": 2, "n": 2},
     {"out": [3, 70000]}, 0),
    # the clock of state 1 runs, has run; state 0 has none; what is forced comes first
    *(("timed", {"state": [state], "age": [age], "forced": [forced], "last": [-1, 3],
                 "next": [8, 9]}, {"one": 1, "entries": 2}, {"out": [out]}, 0)
      for state, age, forced, out in ((1, 2, -1, 1), (1, 3, -1, 9), (7, 2, -1, 1), (0, 9, -2, -2),
                                      (1, 3, 0, 0))),
    # beyond the left, which has no fate, and above, which needs a push; then on the edge
    *(("cross", {"before": [1], "after": [6], "index": [0], "x": x, "push": [push],
                 "least": [-5, 0], "most": [5, 10], "need": [-9, -9, -9, 4],
                 "fate": [1, 2, 3, 4, -1, 22, 33, 44]},
       {"one": 1, "entries": 1, "axes": 2, "sides": 4, "states": 2}, {"out": [out]}, 0)
      for x, push, out in (([-6, 11], 4, 44), ([-6, 11], 3, 6), ([6, 11], 4, 22), ([5, 10], 4, 6),
                           ([-5, -1], 0, 33))),
    *(("strike", {"state": [state], "age": [age], "x": [x], "at": [2, -1]},
       {"one": 1, "entries": 2}, {"out": [out]}, 0)
      for state, age, x, out in ((0, 2, 4, 3), (0, 2, 0, 0), (0, 1, 4, 4), (1, 2, 4, 4))),
    # 1.5 raises it to 2; 2 equals now, which falls; 0 stays; most is 7
    ("frame_down", {"now": [1, 2, 0, 9], "value": [3 << 15, 2 << 16, -9 << 16, 99 << 16],
                    "least": [0] * 4, "most": [7] * 4}, {"n": 4}, {"out": [2, 1, 0, 7]}, 0),
    *(("frame_move", {"now": [10, 0], "change": [1, 2], "speed": [100, -50], "push": [1000, 7],
                      "still": [still], "least": [0, -9], "most": [2000, 9]}, {"n": 2, "one": 1},
       {"out": out}, 0) for still, out in ((0, [1111, -9]), (1, [11, 2]), (-1, [11, 2]))),
    # 4 and -4 are too small where 5 are needed; 5 and -5 are not, nor is any where 0 are
    ("threshold", {"x": [4, -4, 5, -5, 0, 7], "least": [5, 5, 5, 5, 0, 0]}, {"n": 6},
     {"out": [0, 0, 5, -5, 0, 7]}, 0),
    *(("blank", {"x": [3, -9], "first": [first], "second": [second]}, {"n": 2, "one": 1},
       {"out": out}, 0)
      for first, second, out in ((1, 1, [0, 0]), (-2, 7, [0, 0]), (0, 1, [3, -9]), (1, 0, [3, -9]),
                                 (0, 0, [3, -9]))),
    # 3 is the reach; row 1, column 2 is -20, row 0, column 1 is none
    *(("stand", {"x": [x], "flag": [flag], "row": [row], "column": [column],
                 "table": [10, -(2**31), 12, 20, 21, -20]},
       {"one": 1, "rows": 2, "columns": 3, "reach": 3}, {"out": [out]}, 0)
      for x, flag, row, column, out in (
          (13, 1, 0, 0, 10), (7, -1, -5, -1, 10), (14, 1, 0, 0, 14), (6, 1, 0, 0, 6),
          (13, 0, 0, 0, 13), (-23, 1, 9, 9, -20), (-(2**31) + 1, 1, 0, 1, -(2**31) + 1))),
    *(("inside", {"x": [x], "flag": [flag], "row": [row], "column": [column],
                  "least": [-5, 1, 3, 4], "most": [5, 1, 2, 8]},
       {"one": 1, "rows": 2, "columns": 2}, {"out": [out]}, 0)
      for x, flag, row, column, out in (
          (-5, 7, 0, 0, 7), (5, 7, -3, 0, 7), (6, 7, 0, 0, 0), (-6, 7, 0, 0, 0), (1, -2, 0, 9, -2),
          (3, 1, 1, 0, 0), (8, 1, 9, 9, 1), (5, 0, 0, 0, 0))),
    # gravity 3 and terminal speed 10, or 0 and 7; state 1 does not fall
    *(("fall", {"x": [x], "still": [still], "flag": [flag], "state": [state], "row": [row],
                "weighs": [1, 0, -2], "gravity": [3, 0], "terminal": [10, 7]},
       {"one": 1, "states": 3, "entries": 2}, {"out": [out]}, 0)
      for x, still, flag, state, row, out in (
          (5, 0, 0, 0, 0, 2), (-8, 0, 0, -4, -4, -10), (-10, 0, 0, 0, 0, -10),
          (-11, 0, 0, 0, 0, -11), (5, 1, 0, 0, 0, 5), (5, 0, -1, 0, 0, 5), (5, 0, 0, 1, 0, 5),
          (5, 0, 0, 9, 0, 2), (-9, 0, 0, 0, 9, -9), (-2, 0, 0, 0, 1, -2))),
    # lengths 5, 13, 25; sqrt(5) and sqrt(8) count as 2, sqrt(2) as 1; 3 * 3 / 5 = 1.8, and so on
    *(("fade", {"x": x, "still": [still], "flag": [flag]}, {"n": 2, "one": 1, "amount": amount},
       {"out": out}, 0)
      for x, still, flag, amount, out in (
          ([3, -4], 0, 0, 2, [2, -2]), ([3, -4], 0, 0, 5, [0, 0]), ([3, -4], 0, 0, 4, [1, -1]),
          ([3, -4], -1, 0, 2, [3, -4]), ([3, -4], 0, 1, 5, [3, -4]), ([-5, 0], 0, 0, 0, [-5, 0]),
          ([1, -2], 0, 0, 1, [1, -1]), ([-1, 2], 0, 0, 1, [0, 1]),
          ([2, -2], 0, 0, 1, [1, -1]), ([0, -2], 0, 0, 1, [0, -1]), ([6, 0], 0, 0, 1, [5, 0]),
          ([1, -1], 0, 0, 0, [1, -1]), ([1, -1], 0, 0, 1, [0, 0]), ([0, 0], 0, 0, 0, [0, 0]),
          ([-9, -12], 0, 0, 10, [-3, -4]), ([10, 24], 0, 0, 13, [5, 12]),
          ([-15, 36], 0, 0, 13, [-10, 24]), ([-5, 12], 0, 0, 3, [-4, 9]),
          ([-7, -24], 0, 0, 20, [-1, -5]), ([-6, 8], 0, 0, 5, [-3, 4]),
          ([7, -1], 0, 0, 5, [2, 0]))),
    # a floor at 10 from -5 to 5, one at -7 everywhere, none
    *(("hold_above", {"x": [x], "before": [before], "y": [y], "row": [row],
                      "least": [-5, -(2**31), 1], "most": [5, 2**31 - 1, 0],
                      "level": [10, -7, 0]}, {"one": 1, "entries": 3}, {"out": [out]}, 0)
      for x, before, y, row, out in (
          (-5, 10, 9, 0, 10), (5, 99, -99, -3, 10), (6, 10, 9, 0, 9), (-6, 10, 9, 0, 9),
          (0, 9, 8, 0, 8), (0, 11, 10, 0, 10), (0, 9, 12, 0, 12), (2**31 - 1, 0, -8, 1, -7),
          (0, 5, -5, 2, -5), (0, 5, -5, 9, -5))),
    *(("override", {"state": [state], "flag": [flag], "x": [x], "table": [-1, 0, 7]},
       {"one": 1, "entries": 3}, {"out": [out]}, 0)
      for state, flag, x, out in ((0, 0, 5, 5), (-1, 0, -5, -5), (1, 0, 5, 0), (2, 0, 5, 7),
                                  (9, 0, 5, 7), (2, 1, 5, 5), (2, -1, 5, 5))),
    *(("near", {"x": [x], "flag": [flag], "row": [row], "column": [column],
                "table": [10, -(2**31), 12, 20, 21, -20]},
       {"one": 1, "rows": 2, "columns": 3, "reach": 3}, {"out": [out]}, 0)
      for x, flag, row, column, out in (
          (13, 1, 0, 0, 1), (7, -4, -5, -1, -4), (14, 1, 0, 0, 0), (6, 1, 0, 0, 0),
          (13, 0, 0, 0, 0), (-23, 1, 9, 9, 1), (-24, 1, 9, 9, 0), (99, 5, 0, 1, 5))),
    # row 0, mode 0: friction 3, 6 above 20, asks for 40, pushes by 8 and 2; its other modes
    # and rows stand still, or ask for 1 and push by 1 and 0, of which half goes up
    *(("drift", {"x": [x], "still": [still], "flag": [flag], "state": [state], "row": [row],
                 "stick": [stick], "loose": [0, -1, 1], "held": [-1, 0, 1],
                 "friction": [3, 0, 0, 0], "walk": [20, 0, 0, 0], "most": [40, 1, 0, 9],
                 "slope": [8, 1, 0, 1], "base": [2, 0, 0, 0]},
       {"one": 1, "states": 3, "rows": 2, "modes": 2}, {"out": [out]}, 0)
      for x, still, flag, state, row, stick, out in (
          # at rest: 20 is slow enough to lose 3, 21 loses 6, 2 stops
          (20, 0, 0, 0, 0, 1 << 15, 17), (21, 0, 0, 0, 0, 1 << 15, 15),
          (-20, 0, 0, 0, 0, 1 << 15, -17), (-21, 0, 0, 0, 0, 1 << 15, -15),
          (2, 0, 0, 0, 0, 1 << 15, 0), (-2, 0, 0, 0, 0, 1 << 15, 0),
          # full right and full left push by 10, half right by 6, and so do sticks beyond the end
          (0, 0, 0, 0, 0, 1 << 16, 10), (0, 0, 0, 0, 0, 0, -10), (0, 0, 0, 0, 0, 3 << 14, 6),
          (5, 0, 0, 0, 0, 1 << 30, 15), (5, 0, 0, 0, 0, -(1 << 31), -5),
          # not past 40, nor past the 20 that half asks for; 40 itself is kept
          (30, 0, 0, 0, 0, 1 << 16, 40), (35, 0, 0, 0, 0, 1 << 16, 40),
          (-35, 0, 0, 0, 0, 0, -40), (40, 0, 0, 0, 0, 1 << 16, 40), (18, 0, 0, 0, 0, 3 << 14, 20),
          # beyond it friction alone, down to it
          (50, 0, 0, 0, 0, 1 << 16, 44), (42, 0, 0, 0, 0, 1 << 16, 40),
          (-50, 0, 0, 0, 0, 0, -44), (-42, 0, 0, 0, 0, 0, -40), (24, 0, 0, 0, 0, 3 << 14, 20),
          # against the way it goes
          (50, 0, 0, 0, 0, 0, 40), (-4, 0, 0, 0, 0, 1 << 16, 6),
          # held in place, or of no mode, by flag and state
          (50, 1, 0, 0, 0, 0, 50), (50, -1, 0, 0, 0, 0, 50), (50, 0, 1, 0, 0, 0, 50),
          (50, 0, 0, 1, 0, 0, 50), (50, 0, -1, 1, 0, 0, 40), (50, 0, 0, -9, -9, 0, 40),
          # the second mode: halves of 1 go up, so that right asks for 1 and left for 0
          (0, 0, 0, 2, 0, 3 << 14, 1), (0, 0, 0, 9, 0, 1 << 14, 0), (0, 0, 1, 9, 0, 0, -1),
          # the second row asks for 0 and does not push; its second mode asks for 9
          (7, 0, 0, 0, 1, 1 << 16, 7), (-7, 0, 0, 0, 9, 1 << 16, -7), (7, 0, 0, 2, 9, 1 << 16, 8),
          (10, 0, 0, 2, 9, 1 << 16, 10))),
    ("gate", {"a": [3, -3], "b": [5, 5], "multiplier": [1, 2], "shift": [1, 0]},
     {"n": 2, "lo": -20, "hi": 20}, {"out": [8, -20]}, 1),
    ("drive", {"x": [3, -3, 5, 9], "dt": [5, 7], "shift": [1, 0]},
     {"heads": 2, "headdim": 2, "lo": -8, "hi": 40}, {"out": [8, -7, 35, 40]}, 1),
    # k = 1, r = 3 of 8: g = 100 * 8 + 20 * 3 = 860 for x = 11, and 2^25 - 860 for -11
    ("silu", {"x": [11, -11], "table": [0, 100, 120]},
     {"n": 2, "entries": 3, "fraction": 10, "multiplier": 1, "shift": 0, "lo": -10**9,
      "hi": 10**9}, {"out": [11 * 860, -11 * (2**25 - 860)]}, 0),
    # k = 0, r = 256, a quarter of the step: 100 + 40 / 4 - 8 * 3 / 32 = 109.25
    ("softplus", {"x": [256 - 2**20], "table": [100, 140, 188]}, {"n": 1, "entries": 3},
     {"out": [109]}, 0),
    # v = 2^16 + 2: e(1) = 3 * 2^40 - 2^27, e(2) = 3 * 2^40 - 2^28, r = 2; then k = 1 is beyond
    ("decay", {"dt": [2**18, 2**20], "rate": [2**16 + 2, 2**23], "coarse": [3 << 40, 7],
               "fine": [0, (1 << 25) // 3 + 1, (1 << 26) // 3 + 1] + [0] * 253},
     {"n": 2, "entries": 2, "fines": 256},
     {"out": [(((3 << 40) - (1 << 27)) * 65534 + ((3 << 40) - (1 << 28)) * 2 + 2**30) >> 31, 0]},
     0),
    # t = 5 * 2^30 + 3 * 2 * 2^30 + 7 * 2^15 = 11 * 2^30 + 7 * 2^15: u = 6, and -2^15 + 7 is left
    ("scan_carry", {"state": [5], "carry": [7], "decay": [2**30], "drive": [3 << 20], "B": [2],
                    "C": [10], "x": [1], "skip": [100], "gain": [10], "shift": [2]},
     {"heads": 1, "d_state": 1, "headdim": 1, "limit": 6, "lo": -30, "hi": 30},
     {"state": [6], "carry": [7 - 2**15], "out": [30]}, 1),
]  # fmt: skip


@pytest.mark.parametrize("op, operands, parameters, written, saturated", EXAMPLES)
def test_examples_worked_by_hand(op, operands, parameters, written, saturated) -> None:
    assert ORACLE[op](**operands, **parameters) == (written, saturated)


def test_scan_is_the_recurrence_in_fractions() -> None:
    """Two heads, two frames, against the formula in exact fractions."""
    rng = Random(3)
    heads, d_state, headdim, limit = 2, 3, 4, 5000
    state = [0] * (heads * d_state * headdim)
    for _ in range(2):
        keep = [rng.randrange(2**31) for _ in range(heads)]
        push = [rng.randrange(-(2**26), 2**26) for _ in range(heads * headdim)]
        B, C = ([rng.randrange(-(2**15), 2**15) for _ in range(d_state)] for _ in range(2))
        x = [rng.randrange(-(2**15), 2**15) for _ in range(heads * headdim)]
        skip, gain, shift = [3, -70_000], [2, 4], [13, 15]
        wanted, out, clamps = [], [], 0
        for h in range(heads):
            sums = [skip[h] * x[h * headdim + p] for p in range(headdim)]
            for n in range(d_state):
                for p in range(headdim):
                    exact = state[(h * d_state + n) * headdim + p] * Fraction(keep[h], 2**31)
                    exact += push[h * headdim + p] * B[n] * Fraction(2 ** gain[h], 2**31)
                    near = floor(exact + Fraction(1, 2))
                    wanted.append(max(-limit, min(limit, near)))
                    clamps += wanted[-1] != near
                    sums[p] += wanted[-1] * C[n]
            near = [floor(Fraction(s, 2 ** shift[h]) + Fraction(1, 2)) for s in sums]
            out += [max(-9000, min(9000, v)) for v in near]
            clamps += sum(abs(v) > 9000 for v in near)
        found, saturated = ORACLE["scan"](
            state=state, decay=keep, drive=push, B=B, C=C, x=x, skip=skip, gain=gain,
            shift=shift, heads=heads, d_state=d_state, headdim=headdim, limit=limit,
            lo=-9000, hi=9000,
        )  # fmt: skip
        assert found == {"state": wanted, "out": out}
        assert saturated == clamps > 0
        state = wanted


# --- what it refuses --------------------------------------------------------------------


def requantized(multiplier: int, shift: int, interval: tuple[int, int] = INT32) -> Program:
    b = Builder(Random(0))
    x, out = b.part(1, INT32), b.temp("out", "i32", 1, interval)
    b.step("requantize_i32", {"x": x, "multiplier": b.const("m", "i32", [multiplier]),
                              "shift": b.const("s", "i32", [shift]), "out": out},
           n=1, lo=INT32[0], hi=INT32[1])  # fmt: skip
    b.show("out", out)
    return b.program()


def test_a_result_outside_of_its_declared_interval_is_refused_by_name() -> None:
    reference = Reference(requantized(1, 0, (-5, 5)))
    assert reference.run([[5]], PADS[:2], 1, heads=True).heads == [[5]]
    with pytest.raises(ProgramError, match=r"steps\[0\] \(requantize_i32\)\.out.*\[6, 6\]"):
        reference.run([[6]], PADS[:2], 1)


def test_a_product_beyond_int64_is_refused_by_name() -> None:
    reference = Reference(requantized(INT32[1], 62))
    reference.run([[INT32[1]]], PADS[:2], 1)
    b = Builder(Random(0))
    a, out = b.read("a", "i16", 1), b.temp("out", "i32", 1, INT32)
    b.step("silu", {"x": a, "table": b.const("t", "i32", [0, 1 << 16]),
                    "out": b.temp("y", "i16", 1, whole("i16"))},
           n=1, entries=2, fraction=15, multiplier=INT32[1], shift=0, lo=-9, hi=9)  # fmt: skip
    b.step("copy", {"x": b.part(1, INT32), "out": out}, n=1)
    with pytest.raises(ProgramError, match=r"steps\[1\] \(silu\): x \* g \* multiplier"):
        Reference(b.program()).run([[32767, 0]], PADS[:2], 1)


@pytest.mark.parametrize("shift", [-1, 63])
def test_a_shift_out_of_range_is_refused(shift: int) -> None:
    with pytest.raises(ProgramError, match=r"steps\[0\].*shift"):
        Reference(requantized(1, shift)).run([[1]], PADS[:2], 1)


def test_a_temp_that_is_read_before_it_is_written_is_refused() -> None:
    b = Builder(Random(0))
    x = b.part(2, INT32)
    out = b.temp("out", "i32", 2, INT32)
    b.step("copy", {"x": Slice("frame", 0, 1), "out": Slice(out.value, out.start, 1)}, n=1)
    b.show("out", out)
    assert x.count == 2
    with pytest.raises(ProgramError, match=r"steps\[1\] \(copy\)\.x: .*before it is written"):
        Reference(b.program())


@pytest.mark.parametrize(
    "given_frames, controllers, frames",
    [([], 2, 1), ([[1], [1]], 2, 1), ([[1]], 1, 1), ([[1]], 3, 1), ([[1, 2]], 2, 1),
     ([[1 << 31]], 2, 1)],
)  # fmt: skip
def test_inputs_of_another_shape_or_range_are_refused(
    given_frames: list[list[int]], controllers: int, frames: int
) -> None:
    with pytest.raises(ProgramError):
        Reference(requantized(1, 0)).run(given_frames, PADS[:controllers], frames)


def test_saturations_are_counted_per_step_over_all_runs() -> None:
    reference = Reference(requantized(4, 0))
    big = [[1 << 30]]
    assert reference.run(big, PADS[:2], 1).saturations == [1, 0, 0]
    assert reference.run(big * 3, PADS[:4], 3).saturations == [4, 0, 0]
    assert reference.run([[1]], PADS[:2], 1).saturations == [4, 0, 0]
