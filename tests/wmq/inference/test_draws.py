"""The words of draws: a function of seed, slot, step and draw alone, as docs/SPEC.md says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ruled_frames import AGENT, RULED
from wmq.game.schema import Schema
from wmq.inference.draws import DrawSource, Sampling, draw_words, uniforms

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
U64 = st.integers(0, 2**63 - 1)


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def word(seed: int, slot: int, index: int) -> int:
    """M4 of the specification, in Python's integers; signed 32 bits."""
    key = mix((seed + GOLDEN * slot) & MASK)
    upper = mix((key + GOLDEN * (index + 1)) & MASK) >> 32
    return upper - (1 << 32) if upper >> 31 else upper


@given(U64, st.integers(0, 9), st.integers(0, 2**40), st.integers(1, 4), st.integers(1, 5))
def test_words_are_as_specified(seed: int, slot: int, first: int, steps: int, draws: int) -> None:
    found = draw_words(seed, slot, first, steps, draws)
    wanted = [[word(seed, slot, t * draws + d) for d in range(draws)]
              for t in range(first, first + steps)]  # fmt: skip
    assert found.dtype == np.int32 and found.tolist() == wanted


def test_words_spread_evenly() -> None:
    share = uniforms(draw_words(7, 3, 0, 25_000, 4).ravel())
    counts = np.bincount((share * 64).astype(int), minlength=64)
    expected = share.size / 64
    assert 0 <= share.min() and share.max() < 1
    assert ((counts - expected) ** 2 / expected).sum() < 110  # 63 degrees of freedom: p = 0.0002


def test_however_the_steps_are_cut_the_words_are_the_same() -> None:
    sampling = Sampling(((5, 3), (6, 4)))
    whole = DrawSource(RULED, 2, sampling).next(12)
    parts = DrawSource(RULED, 2, sampling)
    cut = [parts.next(n) for n in (1, 7, 4)]
    assert whole is not None
    for name in ("words", "forced"):
        joined = np.concatenate([getattr(part, name) for part in cut], axis=1)
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_a_world_that_begins_again_has_the_words_of_its_new_seed() -> None:
    source = DrawSource(AGENT, 2, Sampling(((5, 4), (5, 5))))
    source.next(3)
    source.begin(1, 9)
    found = source.next(2)
    assert found is not None
    np.testing.assert_array_equal(found.words[0], draw_words(5, 4, 3, 2, 3))
    np.testing.assert_array_equal(found.words[1], draw_words(9, 5, 0, 2, 3))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(0, 2**40))
def test_a_source_goes_on_from_any_step(cuts: list[int], begin: int) -> None:
    source = DrawSource(RULED, 2, Sampling(((5, 3), (6, 4))))
    source.next(1)
    source.go_to(np.array([begin, 7]))
    for count in cuts:
        first, other = source.steps
        found = source.next(count)
        assert found is not None and found.words.shape == found.forced.shape
        np.testing.assert_array_equal(found.words[0], draw_words(5, 3, first, count, 4))
        np.testing.assert_array_equal(found.words[1], draw_words(6, 4, other, count, 4))
    assert source.steps.tolist() == [begin + sum(cuts), 7 + sum(cuts)]


@pytest.mark.parametrize("sampling", [None, Sampling(((1, 3),), "mode")])
def test_without_sampling_the_likeliest_is_asked_for(sampling: Sampling | None) -> None:
    found = DrawSource(RULED, 1, sampling).next(2)
    assert found is not None and (found.forced == -2).all() and not found.words.any()


def test_version_1_draws_nothing() -> None:
    assert DrawSource(Schema(), 3, Sampling.of_worlds([1, 2, 3])).next(5) is None
