"""How near the integer functions come to the real ones, against mpmath.

The bounds are the claims of docs/SPEC.md; a unit is the last place of the result.
"""

from __future__ import annotations

from random import Random

import pytest
from mpmath import mp, mpf

from wmq_kernels import tables
from wmq_kernels.oracle import ORACLE

mp.dps = 40
SIGMOID, SOFTPLUS = tables.sigmoid_table(), tables.softplus_table()
COARSE, FINE = tables.decay_coarse(), tables.decay_fine()


def softplus(x_q16: list[int]) -> list[int]:
    found, _ = ORACLE["softplus"](x=x_q16, table=SOFTPLUS, n=len(x_q16), entries=len(SOFTPLUS))
    return found["out"]


def test_softplus_is_within_three_units_of_2_to_the_minus_26() -> None:
    """A parabola through points 2^-6 apart leaves 1.5 units where the curve bends most."""
    points = sorted({*range(-(1 << 20), 1 << 20, 509), *range(-99_000, 99_000, 71), (1 << 20) - 1})
    for x, found in zip(points, softplus(points), strict=True):
        exact = 2**26 * mp.log1p(mp.exp(mpf(x) / 2**16))
        assert abs(found - exact) < 3, x


def test_softplus_never_falls() -> None:
    found = softplus(list(range(-(1 << 20), 1 << 20, 101)))
    assert found == sorted(found)
    assert found[0] >= 0


def silu(x: list[int], fraction: int) -> list[int]:
    """With the scale of x for the result too."""
    found, saturated = ORACLE["silu"](
        x=x, table=SIGMOID, n=len(x), entries=len(SIGMOID), fraction=fraction, multiplier=1,
        shift=22 + fraction - 7, lo=-32768, hi=32767,
    )  # fmt: skip
    assert saturated == 0
    return found["out"]


@pytest.mark.parametrize("fraction", [7, 8, 11, 12, 15])
def test_silu_is_rounded_almost_as_well_as_can_be(fraction: int) -> None:
    """Half a unit is the rounding, the rest |x| times 3.6 * 2^-22 of the sigmoid."""
    points = sorted({*range(-32768, 32768, 61), *range(-70, 70), 32767})
    for x, found in zip(points, silu(points, fraction), strict=True):
        exact = x / (1 + mp.exp(-mpf(x) / 2**fraction))
        assert abs(found - exact) < 0.5 + abs(x) * mpf("3.6") / 2**22 < 0.53, x


@pytest.mark.parametrize("fraction", [7, 11, 15])
def test_silu_of_x_and_of_minus_x_differ_by_x(fraction: int) -> None:
    """silu(x) - silu(-x) = x, to the unit that two roundings leave."""
    points = list(range(0, 32768, 17))
    pairs = zip(points, silu(points, fraction), silu([-x for x in points], fraction), strict=True)
    assert all(abs(up - down - x) <= 1 for x, up, down in pairs)


def decay(v_q32: list[int]) -> list[int]:
    """exp(-v) from v with 32 fraction bits: dt is cut into what an i32 holds, times 2^j."""
    shifts = [max(v.bit_length() - 31, 0) for v in v_q32]
    dt = [v >> j for v, j in zip(v_q32, shifts, strict=True)]
    rate = [1 << (18 + j) for j in shifts]
    found, _ = ORACLE["decay"](dt=dt, rate=rate, coarse=COARSE, fine=FINE, n=len(dt),
                               entries=len(COARSE), fines=len(FINE))  # fmt: skip
    return found["out"]


def test_decay_is_within_two_and_a_quarter_units_of_2_to_the_minus_31() -> None:
    rng = Random(1)
    points = [rng.getrandbits(rng.randrange(1, 31)) for _ in range(3000)]
    points += [rng.getrandbits(31) << rng.randrange(9) for _ in range(3000)]
    points += [*range(300), *range(65_000, 66_000), (22 << 32) - 64, 22 << 32, (1 << 42) - 2048]
    for v, found in zip(points, decay(points), strict=True):
        exact = min(2**31 * mp.exp(-mpf(v) / mpf(2) ** 32), mpf(2**31 - 1))
        assert abs(found - exact) < 2.25, v


def test_decay_never_rises() -> None:
    found = decay([*range(0, 5 << 16, 7), *range(1 << 20, 22 << 32, 999_983 << 6)])
    assert found == sorted(found, reverse=True)
    assert decay([0]) == [2**31 - 1]
    assert decay([89 << 30]) == [0]  # exp(-22.25) * 2^31 = 0.47


def test_decay_of_dt_times_rate_is_within_two_and_a_half_units() -> None:
    """Rounding the exponent to 2^-32 adds up to 2^-33 of the result: a quarter at 1."""
    rng = Random(2)
    for _ in range(3000):
        dt, rate = rng.getrandbits(rng.randrange(1, 31)), rng.getrandbits(rng.randrange(1, 31))
        found, _ = ORACLE["decay"](dt=[dt], rate=[rate], coarse=COARSE, fine=FINE, n=1,
                                   entries=len(COARSE), fines=len(FINE))  # fmt: skip
        exact = 2**31 * mp.exp(-mpf(dt) * rate / mpf(2) ** 50)
        assert abs(found["out"][0] - exact) < 2.5, (dt, rate)


def test_rms_norm_is_within_half_a_unit_and_a_millionth() -> None:
    """The multiplier keeps 29 bits, so the rounding to int8 is the error that remains."""
    rng = Random(4)
    for _ in range(300):
        n, width = rng.randint(1, 400), rng.randrange(1, 24)
        x = [rng.randint(-(2**width), 2**width) for _ in range(n)]
        eps = rng.randint(1, 2 ** rng.randrange(1, 40))
        numerator, shift = rng.randrange(1 << 60, 1 << 61), rng.randint(48, 57)
        found, _ = ORACLE["rms_norm"](x=x, n=n, eps=eps, numerator=numerator, shift=shift,
                                      lo=-127, hi=127)  # fmt: skip
        root = mp.sqrt(eps + sum(v * v for v in x))
        for v, out in zip(x, found["out"], strict=True):
            exact = max(-127, min(127, v * numerator / root / mpf(2) ** shift))
            assert abs(out - exact) < 0.5 + 1e-6
