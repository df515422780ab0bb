"""Sums, means and differences over games, beside plain loops over what was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wmq.evaluation.bootstrap import DRAWS, draw_weights
from wmq.evaluation.differences import (
    GameSample,
    paired_figure,
    percent_change,
    percent_more,
    sums_of_games,
)

GAMES = [7, 3, 3, 9, 7, 7]  # of six starts
VALUES = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def test_sums_of_games_are_those_of_a_loop() -> None:
    values = np.random.default_rng(0).lognormal(0, 3, (6, 2))
    for count in (10, 12):
        expected = np.zeros((count, 2))
        for game, row in zip(GAMES, values, strict=True):
            expected[game] += row
        assert (sums_of_games(values, GAMES, count) == expected).all()
        assert (sums_of_games(values[:, 0], GAMES, count) == expected[:, 0]).all()


def test_a_sample_has_the_games_of_its_items_alone() -> None:
    sample = GameSample(GAMES)
    assert sample.groups == 3 and sample.counts.tolist() == [2, 3, 1]
    assert sample.sums(VALUES).tolist() == [6, 49, 8]
    assert sample.weights.shape == (DRAWS, 3)


def test_a_mean_in_a_draw_is_that_of_the_items_of_the_games_drawn() -> None:
    sample = GameSample(GAMES)
    drawn = sample.drawn(VALUES)
    order = sorted(set(GAMES))
    for weights, mean in zip(sample.weights[:50], drawn[:50], strict=True):
        items = [value for value, game in zip(VALUES, GAMES, strict=True)
                 for _ in range(int(weights[order.index(game)]))]  # fmt: skip
        assert mean == pytest.approx(sum(items) / len(items))
    found = sample.mean(VALUES)
    assert found.value == pytest.approx(63 / 6)
    assert (found.lo, found.hi) == tuple(np.percentile(drawn, [2.5, 97.5]))


def test_twice_as_much_is_a_hundred_percent_more_in_every_draw() -> None:
    sample = GameSample(range(12))
    before = np.random.default_rng(1).lognormal(0, 1, 12)
    change, drawn = percent_change(2 * before, before, np.ones(12), sample.weights)
    assert change.value == change.lo == change.hi == 100 and set(drawn) == {100}
    weights = draw_weights(12)
    for percent, expected in ((True, 100), (False, 2.5)):
        figure = paired_figure(5.0, 2.5, np.full(len(weights), 5.0), np.full(len(weights), 2.5),
                               percent)  # fmt: skip
        assert figure.difference is not None and figure.detectable == 0
        assert (figure.difference.value, figure.difference.lo, figure.difference.hi) == \
            (expected, expected, expected)  # fmt: skip


def test_percent_more_than_nothing_is_no_number() -> None:
    found = percent_more(np.array([1.0, 0.0, 3.0]), np.array([0.0, 0.0, 4.0]))
    assert not math.isfinite(found[0]) and not math.isfinite(found[1]) and found[2] == -25
    change, _ = percent_change(np.ones(3), np.zeros(3), np.ones(3), GameSample(range(3)).weights)
    assert change.value is change.lo is change.hi is None
