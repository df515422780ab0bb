"""Draws have the probabilities that exp gives them, and words their exact shares."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from wmq_kernels import tables
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.engine import Engine
from wmq_kernels.engine.frame_kernels import sample
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32
from wmq_kernels.program import Slice
from wmq_kernels.rangecheck import certified

mp.dps = 40
TABLE = tables.weights_table(1003)  # of min-p 0.02
CUT = 1002 << 8  # the distance of its last point, Q.16
DRAWS = 1_000_000
MANY = [-0.008 * (i * 37 % 543) for i in range(543)]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def g3_words(seed: int, count: int) -> np.ndarray:
    """The upper halves of the words of SPEC's G3 for player 1, as int32."""

    def mix(z: np.ndarray) -> np.ndarray:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    key = mix(np.array([seed], np.uint64) + GOLDEN)
    words = mix(key + GOLDEN * np.arange(1, count + 1, dtype=np.uint64))
    return (words >> np.uint64(32)).astype(np.uint32).view(np.int32)


def drawn(x: list[int], allowed: list[int], words: np.ndarray, table: list[int] = TABLE,
          multiplier: int = 1, shift: int = 0) -> np.ndarray:  # fmt: skip
    """What the engine draws, a frame for each word; x has 16 fraction bits."""
    b = Builder(Random(0))
    logits = b.read("x", "i32", len(x), (-(1 << 24), 1 << 24))
    state, forced = b.part(1, (0, 0)), b.part(1, INT32)
    out = b.temp("out", "i32", 1, (0, len(x) - 1))
    b.step("sample", {"x": logits, "allowed": b.const("allowed", "i8", allowed), "state": state,
                      "word": Slice("controllers", 0, 1), "forced": forced,
                      "table": b.const("table", "i32", table), "out": out},
           n=len(x), one=1, classes=1, entries=len(table), multiplier=multiplier,
           shift=shift)  # fmt: skip
    b.show("out", out)
    engine = Engine(certified(b.program()), "portable")
    controllers = np.zeros((len(words) + 1, 2), np.int32)
    controllers[:-1, 0] = words
    frame = np.array([[*x, 0, -1]], np.int32)
    run = engine.run(engine.zero_state(), frame, controllers, len(words), heads=True)
    assert run.heads is not None
    return run.heads[:, 0]


def one(x: list[int], word: int, allowed: list[int], table: list[int], multiplier: int = 1,
        shift: int = 0) -> int:  # fmt: skip
    """The kernel by itself; the word is unsigned."""
    out = np.zeros(1, np.int32)
    numbers = (np.array(part, np.int32) for part in ([0], [word - (word >> 31 << 32)], [-1], table))
    sample(np.array(x, np.int32), np.array(allowed, np.int8), *numbers,
           np.zeros(len(x), np.int32), out, multiplier, shift)  # fmt: skip
    return int(out[0])


def weights(x: list[int], allowed: list[int], table: list[int], multiplier: int = 1,
            shift: int = 0) -> list[int]:  # fmt: skip
    """The formula in exact fractions."""
    most = max(v for v, may in zip(x, allowed, strict=True) if may)
    found = []
    for v, may in zip(x, allowed, strict=True):
        distance = Fraction((most - v) * multiplier, 1 << shift)
        k, rest = divmod(int(distance + Fraction(1, 2)) if may else 0, 256)
        weight = Fraction(0)
        if may and k < len(table) - 1:
            weight = table[k] + (table[k + 1] - table[k]) * Fraction(rest, 256)
        found.append(int(weight + Fraction(1, 2)))
    return found


# --- against exp ------------------------------------------------------------------------------


def error(u: int) -> mpf:
    """Of the weight at a distance of u / 2^16, as a share of the likeliest class's."""
    return abs(mpf(weights([u, 0], [1, 1], TABLE)[1]) / 2**21 - mp.exp(-mpf(u) / 2**16))


def test_a_weight_on_a_point_is_within_2_to_the_minus_22_of_exp() -> None:
    assert max(error(u) for u in range(0, CUT, 256)) <= mpf(2) ** -22


def test_a_weight_between_points_is_above_exp_by_2_to_the_minus_19_of_it_at_most() -> None:
    """A chord of exp over 2^-8 is h^2 / 8 = 2^-19 of it too high; roundings add 2 * 2^-22."""
    for u in [*range(0, CUT, 97), *range(128, CUT, 2560), CUT - 1]:
        assert error(u) < mpf(2) ** -19 * mp.exp(-mpf(u - 256) / 2**16) + mpf(2) ** -21, u
    assert max(error(u) for u in range(128, 2560, 256)) > mpf(2) ** -20


@pytest.mark.parametrize(
    ("name", "logits", "allowed"),
    [
        ("two", [0.0, -0.7], [1, 1]),
        ("equal", [1.25] * 8, [1] * 8),
        ("around the cut", [0.0, -3.9, -3.92, -8.0, -3.0, -1.0], [1] * 6),
        ("masked", [9.0, 0.5, 8.0, 0.0, -1.0], [0, 1, 0, 1, 1]),
        ("many", MANY, [1] * len(MANY)),
    ],
)
def test_a_million_draws_have_the_probabilities_of_the_softmax(
    name: str, logits: list[float], allowed: list[int]
) -> None:
    """chi-squared, with fixed words; classes under the mask or behind the cut are never drawn."""
    x = [round(v * 65536) for v in logits]
    counts = np.bincount(drawn(x, allowed, g3_words(7, DRAWS)), minlength=len(x)).tolist()
    most = max(v for v, may in zip(x, allowed, strict=True) if may)
    shares = [mp.exp(mpf(v - most) / 65536) if may and most - v < CUT else mpf(0)
              for v, may in zip(x, allowed, strict=True)]  # fmt: skip
    expected = [DRAWS * share / mp.fsum(shares) for share in shares]
    assert [count for count, e in zip(counts, expected, strict=True) if e == 0 and count] == []
    live = [(count, e) for count, e in zip(counts, expected, strict=True) if e]
    squared = mp.fsum((count - e) ** 2 / e for count, e in live)
    chance = mp.gammainc(mpf(len(live) - 1) / 2, squared / 2, mp.inf, regularized=True)
    assert chance > 0.001, (squared, len(live))


def test_another_temperature_would_be_noticed() -> None:
    """The test above is not vacuous: a temperature of 1.02 fails it."""
    x = [round(v * 65536) for v in MANY]
    counts = np.bincount(drawn(x, [1] * len(x), g3_words(7, DRAWS)), minlength=len(x)).tolist()
    shares = [mp.exp(mpf(v) / 65536 / 1.02) if -v < CUT else mpf(0) for v in x]
    expected = [DRAWS * share / mp.fsum(shares) for share in shares]
    squared = mp.fsum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True) if e)
    assert mp.gammainc(mpf(sum(map(bool, shares)) - 1) / 2, squared / 2, mp.inf,
                       regularized=True) < 1e-6  # fmt: skip


def test_a_temperature_is_a_multiplier() -> None:
    """Logits twice as far apart at half the inverse temperature draw the same."""
    x, words = [0, -20_000, -70_001, 5_000], g3_words(1, 2000)
    found = drawn(x, [1] * 4, words)
    assert (drawn([2 * v for v in x], [1] * 4, words, multiplier=1, shift=1) == found).all()
    assert (drawn([v + 9 for v in x], [1] * 4, words) == found).all()
    assert len(set(found.tolist())) == 4


@pytest.mark.parametrize("word", [0, 1 << 31, (1 << 32) - 1])
def test_a_class_is_dropped_from_the_cut_on(word: int) -> None:
    """One unit nearer it has a word, and no word from there on."""
    assert one([CUT, 0], word, [1, 1], TABLE) == 0
    assert one([0, CUT, 1], (1 << 32) - 1, [1, 1, 1], TABLE) == 2
    assert {one([0, CUT, 0], word, [1, 1, 1], TABLE)} == {1}


# --- exactly ----------------------------------------------------------------------------------


@st.composite
def draws(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], int, int]:
    n = draw(st.integers(1, 9))
    spread = draw(st.sampled_from([3, 3_000, 300_000]))
    x = draw(st.lists(st.integers(-spread, spread), min_size=n, max_size=n))
    allowed = draw(st.lists(st.sampled_from([0, 1, -1]), min_size=n, max_size=n).filter(any))
    table = draw(st.sampled_from([TABLE, TABLE[:2], [5, 1, 0, 1], [1, 0, 0], [1, 1 << 27, 1]]))
    return x, allowed, table, draw(st.integers(0, 1000)), draw(st.integers(0, 12))


@settings(max_examples=300, deadline=None)
@given(case=draws(), words=st.lists(st.integers(0, (1 << 32) - 1), max_size=5))
def test_each_class_has_its_words_to_the_last(case, words: list[int]) -> None:
    """A sum of weights, over all, times 2^32: the word below is this class's, it is the next's."""
    x, allowed, table, multiplier, shift = case
    sums = list(accumulate(weights(*case)))
    for seen in sums[:-1]:
        if 0 < seen < sums[-1]:
            words += [-(-(seen << 32) // sums[-1]) + d for d in (-1, 0)]
    for word in [*words, 0, (1 << 32) - 1]:
        wanted = bisect_right(sums, Fraction(word * sums[-1], 1 << 32))
        assert one(x, word, allowed, table, multiplier, shift) == wanted


@settings(max_examples=200, deadline=None)
@given(case=draws(), words=st.lists(st.integers(0, (1 << 32) - 1), min_size=2, max_size=20))
def test_a_greater_word_never_draws_a_lower_class(case, words: list[int]) -> None:
    x, allowed, table, multiplier, shift = case
    found = [one(x, word, allowed, table, multiplier, shift) for word in sorted(words)]
    assert found == sorted(found)
    assert all(allowed[i] for i in found)


def test_1023_classes_are_the_most() -> None:
    """So many weights of 2^21 stay below 2^31."""
    words = np.array([0, -1, 1 << 22, (1 << 22) - 1], np.int32)  # 2^32 / 1023 is 2^22 and more
    assert drawn([5] * 1023, [1] * 1023, words).tolist() == [0, 1022, 0, 0]
    with pytest.raises(ProgramError, match="draw reaches 9223372036854775808"):
        drawn([5] * 1024, [1] * 1024, words)
