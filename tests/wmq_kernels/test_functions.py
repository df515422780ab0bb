"""How near the integer functions come to the real ones, and that they keep their order.

benchmarks/function_errors.py measures compiled kernels against float64, for docs/accuracy.md; here
float64 is held against mpmath, the measured figures against their bounds, and the oracle
against mpmath where the error is largest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from mpmath import mp, mpf

import benchmarks.function_errors as measure
from wmq_kernels import tables
from wmq_kernels.oracle import ORACLE

mp.dps = 40
BENCHMARK = Path(measure.__file__)
INT16 = measure.INT16


def at_random(bits: int, count: int = 2000) -> np.ndarray:
    return measure.binades(np.random.default_rng(3), count, bits)


# --- the real functions in float64 ------------------------------------------------------------


def exact_softplus(x: int) -> mpf:
    return 2**26 * mp.log1p(mp.exp(mpf(x) / 2**16))


def exact_decay(v: int) -> mpf:
    return 2**31 * mp.exp(-mpf(v) / 2**32)


def exact_sigmoid(x: int, fraction: int, bits: int) -> mpf:
    return 2**bits / (1 + mp.exp(-mpf(x) / 2**fraction))


BELOW = 1e-5  # of a unit: what float64 may add to a measured error


@pytest.mark.parametrize(
    "real, exact, points",
    [
        (measure.real_softplus, exact_softplus, np.append(at_random(20) - 1, -at_random(20))),
        (measure.real_decay, exact_decay, at_random(37)),
    ],
    ids=["softplus", "decay"],
)
def test_float64_is_far_nearer_than_a_unit(
    real: Callable, exact: Callable[[int], mpf], points: np.ndarray
) -> None:
    for x, value in zip(points.tolist(), real(points), strict=True):
        assert abs(mpf(float(value)) - exact(x)) < BELOW, x


@pytest.mark.parametrize("fraction", [7, 11, 15])
def test_float64_is_far_nearer_than_a_unit_for_the_sigmoid(fraction: int) -> None:
    x, bits = INT16[::97], 15 + fraction
    for value, found in zip(x.tolist(), measure.real_sigmoid(x, fraction, bits), strict=True):
        assert abs(mpf(float(found)) - exact_sigmoid(value, fraction, bits)) < BELOW, value
    scale = (fraction, 1, bits)
    for value, found in zip(x.tolist(), measure.real_silu(x, *scale), strict=True):
        assert abs(mpf(float(found)) - value * exact_sigmoid(value, fraction, 0)) < BELOW, value


# --- the table of docs/SPEC.md ----------------------------------------------------------------

# (function, domain begins with) -> the claim, in the row's unit; all within what was asked
CLAIMS = {
    ("decay", "v = 0"): 1.0,
    ("decay", "v at"): 0.51,
    ("decay", "v in"): 0.57,  # 1/2 is the rounding, 1/16 the chord
    ("decay", "dt"): 0.82,  # and 1/4 the exponent's rounding to 2^-32
    ("softplus", "x"): 0.66,
    ("sigmoid in silu", "int16"): 3.47,
    ("sigmoid in silu, to Q0.15", "int16"): 0.53,
    ("silu, in x's units", "int16"): 0.53,
    ("silu, embedded model", "int16"): 0.51,
    ("1 / sqrt in rms_norm", "t"): 0.032,  # 2^-29
}


@pytest.fixture(scope="module")
def rows() -> list[measure.Row]:
    return list(measure.rows(points=300_000, seed=1))


def test_no_function_errs_more_than_it_claims_nor_than_was_asked(rows) -> None:
    claimed = set()
    for row in rows:
        (key,) = (k for k in CLAIMS if row.function == k[0] and row.domain.startswith(k[1]))
        assert row.error <= CLAIMS[key] < float(row.asked.split()[0]), row
        assert CLAIMS[key] - row.error < 0.03, f"{row}: the claim is loose"
        claimed.add(key)
    assert claimed == set(CLAIMS)


def test_every_function_keeps_the_order_of_the_real_one(rows) -> None:
    said = {row.function: row.monotone for row in rows if row.monotone}
    assert set(said) == {row.function for row in rows}
    assert all(text.startswith("yes, ") for text in said.values()), said


def test_exhaustive_rows_count_all_inputs(rows) -> None:
    found = {row.function: row.points for row in rows if row.how == "all"}
    assert found["softplus"] == 1 << 21
    assert found["sigmoid in silu"] == found["silu, in x's units"] == 9 << 16
    assert found["decay"] > 3 * 256 * 5696


def test_the_order_of_a_faulty_function_is_noticed() -> None:
    up = np.array([1, 2, 2, 5])
    assert measure.never_falls(up) and not measure.never_rises(up)
    assert not measure.never_falls(np.array([5, 4, 4, 1]))
    assert measure.silu_turns_once(np.abs(INT16.astype(int) + 163), 7)  # -1.273: a step away
    assert not measure.silu_turns_once(np.abs(INT16.astype(int) + 161), 7)
    parts = [(np.array([7, 8]), np.array([0.5, -2.0])), (np.array([9]), np.array([1.5]))]
    assert measure.largest(parts) == measure.Largest(3, 2.0, 8)


def test_the_benchmark_prints_its_table_or_json() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(BENCHMARK), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("--points", "1000", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["rows"]
    assert [row["points"] for row in found if "dt" in row["domain"]] == [1000]
    lines = run("--points", "1000").stdout.splitlines()
    assert len(lines) == 2 + len(found) and len({line.count("|") for line in lines}) == 1
    bad = run("--points", "3")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and not bad.stdout


# --- the oracle, where the kernels err most ----------------------------------------------------

SOFTPLUS, SIGMOID = tables.softplus_table(), tables.sigmoid_table()
COARSE, FINE = tables.decay_coarse(), tables.decay_fine()


def softplus(x_q16: list[int]) -> list[int]:
    found, _ = ORACLE["softplus"](x=x_q16, table=SOFTPLUS, n=len(x_q16), entries=len(SOFTPLUS))
    return found["out"]


def decay(v_q32: list[int]) -> list[int]:
    rate = [1 << 18] * len(v_q32)
    found, _ = ORACLE["decay"](dt=v_q32, rate=rate, coarse=COARSE, fine=FINE, n=len(rate),
                               entries=len(COARSE), fines=len(FINE))  # fmt: skip
    return found["out"]


def silu(x: list[int], fraction: int) -> list[int]:
    """With the scale of x for the result too."""
    found, saturated = ORACLE["silu"](
        x=x, table=SIGMOID, n=len(x), entries=len(SIGMOID), fraction=fraction, multiplier=1,
        shift=15 + fraction, lo=-32768, hi=32767,
    )  # fmt: skip
    assert saturated == 0
    return found["out"]


def farthest(inputs: np.ndarray, errors: np.ndarray, count: int = 100) -> list[int]:
    return inputs[np.argsort(-np.abs(errors))[:count]].tolist()


def test_softplus_at_its_worst_is_within_two_thirds_of_a_unit_of_2_to_the_minus_24() -> None:
    x = np.arange(-(1 << 20), 1 << 20, dtype=np.int32)
    errors = measure.softplus(x) - measure.real_softplus(x)
    worst = farthest(x, errors)
    found = [out - exact_softplus(v) for v, out in zip(worst, softplus(worst), strict=True)]
    assert 2.6 < max(map(abs, found)) < 2.64
    assert max(map(abs, found)) == pytest.approx(np.abs(errors).max(), abs=BELOW)


def test_decay_at_its_worst_is_within_four_sevenths_of_a_unit() -> None:
    v = np.unique(np.concatenate(list(measure.in_binades(200_000, np.random.default_rng(5), 37))))
    worst = farthest(v, measure.decay(v) - measure.real_decay(v))
    found = [out - exact_decay(at) for at, out in zip(worst, decay(worst), strict=True)]
    assert 0.55 < max(map(abs, found)) < 0.57


def test_decay_begins_below_one_and_ends_at_nought() -> None:
    end = (len(COARSE) - 1) << 24
    assert decay([0, 1, 2, 3, 4]) == [2**31 - 1] * 4 + [2**31 - 2]  # Q0.31 has no 1
    assert decay([end - 1, end, (1 << 37) - 1]) == [0, 0, 0]
    assert exact_decay(end) < mpf(1) / 2
    assert decay([end - (1 << 29)]) == [1]


def test_decay_of_dt_times_rate_is_within_five_sixths_of_a_unit() -> None:
    """Rounding the exponent to 2^-32 adds up to 2^-33 of the result: a quarter of a unit at 1."""
    rng = Random(2)
    for _ in range(2000):
        dt, rate = rng.getrandbits(rng.randrange(10, 31)), rng.getrandbits(rng.randrange(10, 31))
        found, _ = ORACLE["decay"](dt=[dt], rate=[rate], coarse=COARSE, fine=FINE, n=1,
                                   entries=len(COARSE), fines=len(FINE))  # fmt: skip
        if dt * rate >> 18:
            exact = 2**31 * mp.exp(-mpf(dt) * rate / 2**50)
            assert abs(found["out"][0] - exact) < 0.82, (dt, rate)


@pytest.mark.parametrize("fraction", measure.FRACTIONS)
def test_silu_is_rounded_almost_as_well_as_can_be(fraction: int) -> None:
    """Half a unit is the rounding, the rest |x| times 3.47 * 2^-22 of the sigmoid."""
    scale = (fraction, 1, 15 + fraction)
    worst = farthest(INT16, measure.silu(INT16, *scale) - measure.real_silu(INT16, *scale))
    for x, out in zip(worst, silu(worst, fraction), strict=True):
        error = abs(out - x * exact_sigmoid(x, fraction, 0))
        assert error < 0.5 + abs(x) * 3.47 / 2**22 < 0.53, x


@pytest.mark.parametrize("fraction", [7, 11, 15])
def test_silu_of_x_and_of_minus_x_differ_by_x(fraction: int) -> None:
    """silu(x) - silu(-x) = x, to the unit that two roundings leave."""
    points = list(range(32768))
    scale = (fraction, 1, 15 + fraction)
    up = measure.silu(np.array(points, np.int16), *scale).astype(int)
    down = measure.silu(-np.array(points, np.int16), *scale).astype(int)
    assert (np.abs(up - down - points) <= 1).all()


@pytest.mark.parametrize("fraction", measure.FRACTIONS)
def test_the_sigmoids_of_x_and_of_minus_x_make_one(fraction: int) -> None:
    g = measure.sigmoid(INT16[1:], fraction)
    assert (g + g[::-1] == 1 << (15 + fraction)).all()


# --- the norm ----------------------------------------------------------------------------------


def exact_norm_factor(t: int, numerator: int) -> mpf:
    return numerator / mp.sqrt(t)


@pytest.mark.parametrize("numerator", measure.NUMERATORS)
def test_the_root_of_the_norm_is_within_2_to_the_minus_29(numerator: int) -> None:
    t = np.unique(np.append(at_random(62), (1 << 62) - 1))
    for at, found in zip(t.tolist(), measure.norm_factor(t, numerator).tolist(), strict=True):
        assert abs(found / exact_norm_factor(at, numerator) - 1) < mpf(2) ** -29, at


def test_the_root_falls_from_binade_to_binade_because_the_numerator_is_even_enough() -> None:
    """With 31 zeros behind it the quotient by 2^30 is even, so halving it loses nothing."""
    beside_powers_of_4 = measure.beside(4 ** np.arange(1, 31))
    for numerator in (*measure.NUMERATORS, 3 << 59, (1 << 60) + (1 << 31)):
        assert measure.never_rises(measure.norm_factor(beside_powers_of_4, numerator))
    odd = (1 << 60) + (1 << 30)
    assert not measure.never_rises(measure.norm_factor(beside_powers_of_4, odd))


def test_the_embedded_program_s_numerators_are_multiples_of_2_to_the_31() -> None:
    numerators = [n for (n,) in measure.embedded("rms_norm", "numerator")]
    assert numerators and all(n % (1 << 31) == 0 for n in numerators)


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
