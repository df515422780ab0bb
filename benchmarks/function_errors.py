"""How far the integer functions are from the real ones: the table of docs/accuracy.md.

Compiled kernels, which equal the oracle bit by bit, are run over whole domains, or over every
binade and random points; the real functions are taken in float64, whose own error is below a
hundred-thousandth of each unit (tests/wmq_kernels/test_functions.py shows it with mpmath).

    python benchmarks/function_errors.py [--points N] [--seed N] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numba import njit

from wmq.inference.model_files import embedded_model
from wmq_kernels import tables
from wmq_kernels.engine import kernels
from wmq_kernels.isa import COARSE_BITS, SIGMOID_BITS, SIGMOID_STEP_BITS, SOFTPLUS_REACH
from wmq_kernels.loading import load

SIGMOID = np.array(tables.sigmoid_table(), np.int32)
SOFTPLUS = np.array(tables.softplus_table(), np.int32)
COARSE, FINE = np.array(tables.decay_coarse()), np.array(tables.decay_fine())
DECAY_END = (len(COARSE) - 1) << 24  # v from which decay is 0
INT16 = np.arange(-(1 << 15), 1 << 15, dtype=np.int16)
FRACTIONS = range(SIGMOID_STEP_BITS, 16)
SILU_LEAST = -1.2784645427610738  # where the real SiLU turns
NUMERATORS = (1 << 60, (1 << 61) - (1 << 31))  # the ends; lowering writes multiples of 2^31
CHUNK = 1 << 20

Part = tuple[np.ndarray, np.ndarray]  # inputs and errors of a kernel


@dataclass(frozen=True)
class Row:
    """One line of the table; `error` and `asked` are in `unit`, `where` is an input."""

    function: str
    domain: str
    points: int
    how: str
    error: float
    unit: str
    where: str
    monotone: str
    asked: str
    others: str


@dataclass(frozen=True)
class Largest:
    """The largest |error| of `points` inputs, and where it is."""

    points: int
    error: float
    where: int


def largest(parts: Iterable[Part]) -> Largest:
    points, error, where = 0, -1.0, 0
    for inputs, errors in parts:
        points += len(inputs)
        at = int(np.abs(errors).argmax())
        if abs(errors[at]) > error:
            error, where = float(abs(errors[at])), int(inputs[at])
    return Largest(points, error, where)


# --- kernels, and the real functions in units of their results --------------------------------


def softplus(x_q16: np.ndarray) -> np.ndarray:
    out = np.empty(len(x_q16), np.int32)
    kernels.softplus(x_q16, SOFTPLUS, out)
    return out


def real_softplus(x_q16: np.ndarray) -> np.ndarray:
    return np.ldexp(np.logaddexp(0.0, x_q16 / 2**16), tables.SOFTPLUS_BITS)


def decay(v_q32: np.ndarray) -> np.ndarray:
    """exp(-v) from the exponent alone: dt = v, rate = 2^18, both wider than a program's."""
    return decay_of(v_q32, np.full(len(v_q32), 1 << 18))


def decay_of(dt_q26: np.ndarray, rate_q24: np.ndarray) -> np.ndarray:
    out = np.empty(len(dt_q26), np.int32)
    kernels.decay(dt_q26, rate_q24, COARSE, FINE, out)
    return out


def real_decay(v_q32: np.ndarray) -> np.ndarray:
    return np.ldexp(np.exp(-v_q32 / 2**32), 31)


def sigmoid(x: np.ndarray, fraction: int) -> np.ndarray:
    """g of silu with 15 + fraction bits: silu's product x * g, unrounded, over x."""
    product = np.empty(len(x), np.int64)
    near, far = np.empty((2, len(x)), np.int32)
    kernels.silu(x, SIGMOID, near, far, product, fraction, 1, 0, -(1 << 62), 1 << 62)
    g = np.full(len(x), int(SIGMOID[0]) << (fraction - SIGMOID_STEP_BITS))  # which x = 0 hides
    np.floor_divide(product, x, out=g, where=x != 0)
    return g


def real_sigmoid(x: np.ndarray, fraction: int, bits: int) -> np.ndarray:
    return np.ldexp(1 / (1 + np.exp(-np.ldexp(x.astype(np.float64), -fraction))), bits)


def silu(x: np.ndarray, fraction: int, multiplier: int, shift: int) -> np.ndarray:
    out = np.empty(len(x), np.int16)
    near, far = np.empty((2, len(x)), np.int32)
    kernels.silu(x, SIGMOID, near, far, out, fraction, multiplier, shift, -32767, 32767)
    return out


def real_silu(x: np.ndarray, fraction: int, multiplier: int, shift: int) -> np.ndarray:
    exact = x * real_sigmoid(x, fraction, 0)
    scaled = exact * np.ldexp(float(multiplier), g_bits(fraction) - shift)
    return np.clip(scaled, -32767, 32767)


def g_bits(fraction: int) -> int:
    return SIGMOID_BITS + fraction - SIGMOID_STEP_BITS


@njit  # and no cache, which would not see that the kernels changed
def _norm_factors(t, numerator, out):
    nothing = np.empty(0, np.int32)
    for i in range(len(t)):
        m, e = kernels.norm_factor(nothing, t[i], numerator)
        out[i] = m << e


def norm_factor(t: np.ndarray, numerator: int) -> np.ndarray:
    """m * 2^e of rms_norm for sums of squares t (n,) int64."""
    out = np.empty(len(t), np.int64)
    _norm_factors(t, numerator, out)
    return out


def norm_error(t: np.ndarray, numerator: int) -> np.ndarray:
    """Relative error of m * 2^e / numerator as 1 / sqrt(t), in units of 2^-24."""
    return np.ldexp(norm_factor(t, numerator) * np.sqrt(t.astype(np.float64)) / numerator - 1, 24)


# --- inputs -----------------------------------------------------------------------------------


def binades(rng: np.random.Generator, count: int, bits: int) -> np.ndarray:
    """`count` integers of [1, 2^bits), as many in each binade, its first and last among them."""
    least = 1 << np.arange(count) % bits
    found = least + (rng.integers(0, 1 << 62, count) & (least - 1))
    ends = np.append(least[:bits], 2 * least[:bits] - 1)[:count]
    found[: len(ends)] = ends
    return found


def in_binades(points: int, rng: np.random.Generator, bits: int) -> Iterator[np.ndarray]:
    for first in range(0, points, CHUNK):
        yield binades(rng, min(CHUNK, points - first), bits)


def fine_points() -> np.ndarray:
    """v of every entry that decay interpolates between, rising."""
    return np.arange(0, DECAY_END + 1, 1 << 16)


def beside(points: np.ndarray) -> np.ndarray:
    """Each point with the integers on either side, rising, none below 0."""
    near = (points[:, None] + np.array([-1, 0, 1])).ravel()
    return near[near >= 0]


def runs(length: int, bits: int) -> Iterator[np.ndarray]:
    """Consecutive integers from the first of every binade on."""
    for exponent in range(bits):
        yield np.arange(1 << exponent, (1 << exponent) + length)


def embedded(op: str, *names: str) -> list[tuple[int, ...]]:
    """These parameters of the embedded program's steps, each combination once."""
    program, _ = load(embedded_model(".wmq"))
    steps = [s for s in program.steps if s.op.startswith(op)]
    return sorted({tuple(s.parameters[name] for name in names) for s in steps})


# --- claims about order -----------------------------------------------------------------------


def never_falls(found: np.ndarray) -> bool:
    return bool((np.diff(found.astype(np.int64)) >= 0).all())


def never_rises(found: np.ndarray) -> bool:
    return bool((np.diff(found.astype(np.int64)) <= 0).all())


def silu_turns_once(found: np.ndarray, fraction: int) -> bool:
    """Found for all int16: falls as far as the real SiLU does, then rises."""
    turn = int(np.searchsorted(INT16 / 2**fraction, SILU_LEAST))
    return never_rises(found[:turn]) and never_falls(found[turn:])


def decay_points() -> np.ndarray:
    """e at every fine point, from the tables alone, with 46 fraction bits."""
    head = COARSE[:-1, None]
    return np.append((head - ((head >> 14) * FINE >> 24)).ravel(), COARSE[-1])


def decay_bound() -> float:
    """No v can have a larger error than this, in units of 2^-31.

    Between two points e is their chord and exp is convex: the chord is off by what its ends
    are, and above exp by at most h^2 / 8 with h = 2^-16; then comes the rounding.
    """
    exact = np.ldexp(np.exp(-fine_points() / 2**32), COARSE_BITS)
    ends = float(np.abs(decay_points() - exact).max()) + 2.0**-6  # float64's own error
    return np.ldexp(ends, 31 - COARSE_BITS) + 2.0 ** (31 - 32 - 3) + 0.5


# --- rows -------------------------------------------------------------------------------------

GEMMLOWP_EXP = "gemmlowp: 500 of 2^-31"
SIGMOIDS = "gemmlowp: 155 of 2^-31; CMSIS-NN: 1.29 of 2^-15"


def _said(holds: bool, scope: str) -> str:
    return f"{'yes' if holds else 'NO'}, {scope}"


def softplus_row() -> Row:
    x = np.arange(-SOFTPLUS_REACH, SOFTPLUS_REACH, dtype=np.int32)
    found = softplus(x)
    worst = largest([(x, found - real_softplus(x))])
    return Row("softplus", "x in [-16, 16)", worst.points, "all", worst.error / 4, "2^-24",
               f"x = {worst.where}", _said(never_falls(found), "all"), "2", "")  # fmt: skip


def decay_rows(points: int, rng: np.random.Generator) -> Iterator[Row]:
    asked = ("8 (4 of 2^-30)", GEMMLOWP_EXP)
    ends = beside(fine_points())
    found = decay(ends)
    falls = never_rises(found) and never_rises(decay_points())
    falls = falls and all(never_rises(decay(run)) for run in runs(CHUNK, 37))
    zero = float(real_decay(ends[:1])[0] - found[0])
    yield Row("decay", "v = 0 (Q0.31 has no 1)", 1, "all", zero, "2^-31", "v = 0", "", *asked)
    worst = largest([(ends[1:], found[1:] - real_decay(ends[1:]))])
    yield Row("decay", "v at and beside table points", worst.points, "all", worst.error, "2^-31",
              f"v = {worst.where}", _said(falls, "all v: chords fall"), *asked)  # fmt: skip
    worst = largest((v, decay(v) - real_decay(v)) for v in in_binades(points, rng, 37))
    yield Row("decay", "v in (0, 2^5)", worst.points, "random, every binade", worst.error,
              "2^-31", f"v = {worst.where}", "", *asked)  # fmt: skip
    yield Row("decay", "v in (0, 2^5)", DECAY_END, "all, by convexity", decay_bound(), "2^-31",
              "-", "", *asked)  # fmt: skip
    worst = largest(_decays_of_products(points, rng))
    yield Row("decay", "dt * rate, v in (0, 2^5)", worst.points, "random, every binade",
              worst.error, "2^-31", f"dt * rate = {worst.where}", "", *asked)  # fmt: skip


def _decays_of_products(points: int, rng: np.random.Generator) -> Iterator[Part]:
    """dt and rate of i32, with 26 and 24 fraction bits, of products in about [2^18, 2^55)."""
    for v in in_binades(points, rng, 37):
        bits = np.frexp(v)[1] + 17  # dt's and rate's together, but one
        wide = rng.integers(np.maximum(bits - 30, 0), np.minimum(bits, 30) + 1)
        rate = (1 << wide) + (rng.integers(0, 1 << 31, len(v)) & ((1 << wide) - 1))
        dt = np.minimum(1 + (v << 18) // rate, (1 << 31) - 1)
        found = decay_of(dt.astype(np.int32), rate.astype(np.int32))
        yield dt * rate, found - real_decay(np.ldexp(1.0 * dt * rate, -18))


def sigmoid_rows() -> Iterator[Row]:
    found = {f: sigmoid(INT16, f) for f in FRACTIONS}
    rises = _said(all(never_falls(g) for g in found.values()), "all")
    own = [(f, g * 2.0 ** (SIGMOID_STEP_BITS - f) - real_sigmoid(INT16, f, SIGMOID_BITS))
           for f, g in found.items()]  # fmt: skip
    yield _int16_row("sigmoid in silu", own, "2^-22", rises, "128 (1 of 2^-15)", SIGMOIDS)
    q15 = [(f, _rounded(g, g_bits(f) - 15) - real_sigmoid(INT16, f, 15)) for f, g in found.items()]
    yield _int16_row("sigmoid in silu, to Q0.15", q15, "2^-15", rises, "1", SIGMOIDS)


def _rounded(g: np.ndarray, shift: int) -> np.ndarray:
    return (g + (1 << (shift - 1))) >> shift


def silu_rows() -> Iterator[Row]:
    same = [(f, 1, g_bits(f)) for f in FRACTIONS]
    used = embedded("silu", "fraction", "multiplier", "shift")
    for name, scales in (("silu, in x's units", same), ("silu, embedded model", used)):
        found = [(scale, silu(INT16, *scale)) for scale in scales]
        errors = [(scale[0], y - real_silu(INT16, *scale)) for scale, y in found]
        turns = _said(all(silu_turns_once(y, scale[0]) for scale, y in found), "beside -1.278")
        yield _int16_row(name, errors, "last place", turns, "1", "")


def _int16_row(name: str, errors: list[tuple[int, np.ndarray]], unit: str, monotone: str,
               asked: str, others: str) -> Row:  # fmt: skip
    """errors  (fraction, errors of all int16), one for each way to scale x"""
    fractions = [f for f, _ in errors]
    worst = [largest([(INT16, e)]) for _, e in errors]
    at = max(range(len(errors)), key=lambda i: worst[i].error)
    return Row(name, f"int16, {min(fractions)} to {max(fractions)} fraction bits",
               len(INT16) * len(errors), "all", worst[at].error, unit,
               f"x = {worst[at].where} / 2^{fractions[at]}", monotone, asked,
               others)  # fmt: skip


def norm_rows(points: int, rng: np.random.Generator) -> Iterator[Row]:
    numerators = [*NUMERATORS, *(n for (n,) in embedded("rms_norm", "numerator"))]
    falls = all(never_rises(norm_factor(t, n)) for n in numerators for t in rising_squares())
    share = -(-points // len(numerators))
    worst = largest((t, norm_error(t, n)) for n in numerators for t in in_binades(share, rng, 62))
    yield Row("1 / sqrt in rms_norm", "t in [1, 2^62)", worst.points, "random, every binade",
              worst.error, "2^-24 relative", f"t = {worst.where}",
              _said(falls, "runs and powers of 2"), "1", "")  # fmt: skip


def rising_squares() -> Iterator[np.ndarray]:
    """Rising sums of squares: a run in each binade, and both sides of every power of two."""
    yield from runs(1 << 16, 62)
    yield np.unique(beside(1 << np.arange(62)))[1:]


def rows(points: int, seed: int) -> Iterator[Row]:
    rng = np.random.default_rng(seed)
    parts: list[Callable[[], Iterable[Row]]] = [
        lambda: decay_rows(points, rng), lambda: [softplus_row()], sigmoid_rows, silu_rows,
        lambda: norm_rows(points, rng),
    ]  # fmt: skip
    for part in parts:
        for row in part():
            print(f"{row.function}: {row.points:,} points, {row.how}", file=sys.stderr)
            yield row


# --- the table --------------------------------------------------------------------------------

TITLES = ("function", "domain", "points", "how", "largest error", "unit", "where", "monotone",
          "asked", "others reach (quoted)")  # fmt: skip


def table(found: list[Row]) -> str:
    """Markdown, with columns of even width."""
    cells = [list(TITLES)]
    cells += [[r.function, r.domain, f"{r.points:,}", r.how, f"{r.error:.4f}", r.unit, r.where,
               r.monotone, r.asked, r.others] for r in found]  # fmt: skip
    widths = [max(len(line[i]) for line in cells) for i in range(len(TITLES))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
             for line in cells]  # fmt: skip
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000_000, help="random points a row "
                        "(default 10,000,000)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random points (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.points < 1000 or options.seed < 0:
        print("function_errors: --points needs 1000 or more, --seed 0 or more", file=sys.stderr)
        return 2
    found = list(rows(options.points, options.seed))
    if options.json:
        print(json.dumps({"points": options.points, "seed": options.seed,
                          "rows": [asdict(row) for row in found]}, indent=1))  # fmt: skip
    else:
        print(table(found))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
