"""rms_norm_channels is rms_norm with a power of two for each channel."""

from __future__ import annotations

from random import Random

import mpmath as mp
import pytest

from tests.wmq_kernels.programs import each_kind, rows
from wmq_kernels.conformance.builder import Builder, Interval
from wmq_kernels.engine import Engine
from wmq_kernels.errors import ProgramError
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import Program
from wmq_kernels.rangecheck import certified

I8 = (-127, 127)
NUMERATOR = (1 << 60) + 987_654_321


def program(
    shifts: list[int], eps: int, most: int, beside: int | None = None, clamp: Interval = I8
) -> Program:
    """The norm of [-most, most], and rms_norm of the same with the shift `beside`."""
    b, n = Builder(Random(1)), len(shifts)
    x = b.read("x", "i32", n, (-most, most))
    common = {"n": n, "eps": eps, "numerator": NUMERATOR, "lo": clamp[0], "hi": clamp[1]}
    out = b.temp("out", "i8", n, clamp)
    b.step("rms_norm_channels", {"x": x, "shift": b.const("shift", "i32", shifts), "out": out},
           **common)  # fmt: skip
    b.show("channels", out)
    if beside is not None:
        other = b.temp("other", "i8", n, clamp)
        b.step("rms_norm", {"x": x, "out": other}, shift=beside, **common)
        b.show("norm", other)
    return certified(b.program())


def computed(made: Program, given: list[list[int]], kind: str) -> tuple[list[list[int]], list[int]]:
    """Heads of each frame, and the saturations of each norm."""
    engine = Engine(made, kind)
    state = engine.zero_state()
    run = engine.run(state, rows(given), rows([[0, 0]] * (len(given) + 1)), len(given), True)
    assert run.heads is not None
    counts = [int(count) for step, count in zip(made.steps, state.saturations, strict=True)
              if step.op.startswith("rms_norm")]  # fmt: skip
    return run.heads.tolist(), counts


@each_kind
@pytest.mark.parametrize("n", [1, 5, 16, 65, 384])
def test_equal_shifts_are_rms_norm(n: int, kind: str) -> None:
    rng = Random(n)
    given = [[rng.randint(-(2**width), 2**width) for _ in range(n)] for width in range(2, 24, 3)]
    shift = 53 - n.bit_length() // 2  # the largest elements go beyond int8
    heads, counts = computed(program([shift] * n, 77, 1 << 24, beside=shift), given, kind)
    for row in heads:
        assert row[:n] == row[n:]
    assert len({v for row in heads for v in row}) > 3
    assert counts[0] == counts[1] > 0


@each_kind
def test_each_channel_has_its_own_shift(kind: str) -> None:
    """Beside rms_norm with that channel's shift for all."""
    rng, shifts = Random(3), [51, 52, 53, 54, 55, 56, 57, 58]
    given = [[rng.randint(-(2**20), 2**20) for _ in shifts] for _ in range(9)]
    for c, shift in enumerate(shifts):
        heads, _ = computed(program(shifts, 1 << 12, 1 << 20, beside=shift), given, kind)
        assert all(row[c] == row[len(shifts) + c] for row in heads)


def test_it_is_within_half_a_unit_and_a_millionth_of_the_real_one() -> None:
    rng = Random(4)
    with mp.workdps(40):
        for _ in range(200):
            n, width = rng.randint(1, 300), rng.randrange(1, 24)
            x = [rng.randint(-(2**width), 2**width) for _ in range(n)]
            shifts = [rng.randint(48, 57) for _ in x]
            eps, numerator = (
                rng.randint(1, 2 ** rng.randrange(1, 40)),
                rng.randrange(1 << 60, 1 << 61),
            )
            found, _ = ORACLE["rms_norm_channels"](x=x, shift=shifts, n=n, eps=eps, lo=-127,
                                                   numerator=numerator, hi=127)  # fmt: skip
            root = mp.sqrt(eps + sum(v * v for v in x))
            for v, shift, out in zip(x, shifts, found["out"], strict=True):
                exact = max(-127, min(127, v * numerator / root / mp.mpf(2) ** shift))
                assert abs(out - exact) < 0.5 + 1e-6


def test_the_least_shift_must_hold_e_and_the_greatest_is_in_the_product() -> None:
    """eps = 1000 needs e = 26: 1000 * 4^25 < 2^60 <= 1000 * 4^26."""
    assert 1000 * 4**25 < 2**60 <= 1000 * 4**26
    entries = program([26, 62, 30], 1000, 1 << 20).certificate
    found = next(entry for entry in entries if "squares" in entry)
    assert found["product"] == (1 << 51) + (1 << 61)
    assert found["squares"] == 1000 + 3 * (1 << 40)
    with pytest.raises(ProgramError, match=r"e reaches 26, the limit is the shift, 25"):
        program([62, 25, 30], 1000, 1 << 20)


@pytest.mark.parametrize("shift", [-1, 63])
def test_a_shift_out_of_range_is_refused(shift: int) -> None:
    with pytest.raises(ProgramError, match=r"\(rms_norm_channels\): shift has .*the limit is"):
        program([50, shift], 1 << 60, 1)
