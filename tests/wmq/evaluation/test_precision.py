"""Average precision: its definition by loops, also in every draw of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wmq.evaluation.bootstrap import Interval, draw_weights
from wmq.evaluation.precision import precision_interval

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), st.booleans()), max_size=12)
UNKNOWN = Interval(None, None, None)


def defined(rows: list[tuple[float, bool]]) -> float | None:
    """Add up (R(t) - R(before)) * P(t) over all thresholds, frame by frame."""
    total, before, came = 0.0, 0.0, sum(happened for _, happened in rows)
    if not came:
        return None
    for threshold in sorted({chance for chance, _ in rows}, reverse=True):
        taken = [happened for chance, happened in rows if chance >= threshold]
        recall = sum(taken) / came
        total += (recall - before) * sum(taken) / len(taken)
        before = recall
    return total


def found(games: list[list[tuple[float, bool]]], weights: np.ndarray) -> Interval:
    chances = [np.array([chance for chance, _ in game]) for game in games]
    return precision_interval(chances, [np.array([h for _, h in g], bool) for g in games], weights)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_it_is_that_of_the_definition(games: list[list[tuple[float, bool]]]) -> None:
    expected = defined([row for game in games for row in game])
    value = found(games, np.empty((0, len(games)))).value
    assert value is None if expected is None else value == pytest.approx(expected)


@settings(max_examples=40)
@given(st.lists(ROWS, min_size=2, max_size=4), st.integers(0, 1000))
def test_a_draw_has_the_precision_of_its_games(
    games: list[list[tuple[float, bool]]], seed: int
) -> None:
    weights = draw_weights(len(games), 70, seed)
    drawn = [defined([row for game, times in zip(games, draw, strict=True)
                      for row in game * int(times)]) for draw in weights]  # fmt: skip
    known = [value for value in drawn if value is not None]
    interval = found(games, weights)
    if interval.value is None:
        assert interval == UNKNOWN
    elif known:
        assert (interval.lo, interval.hi) == pytest.approx(np.percentile(known, [2.5, 97.5]))


def test_who_knows_nothing_has_the_base_rate_and_who_knows_all_has_one() -> None:
    happened = np.arange(100) % 4 == 0
    weights = np.empty((0, 1))
    assert precision_interval([np.full(100, 0.3)], [happened], weights).value == 0.25
    assert precision_interval([happened * 0.9], [happened], weights).value == 1
    assert precision_interval([np.ones(9)], [np.zeros(9, bool)], weights) == UNKNOWN
