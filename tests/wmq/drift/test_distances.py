"""Distance in units of real play: what is like real play is at some 0.7, or 0.5 of a divergence."""

from __future__ import annotations

import numpy as np
import pytest

from wmq.drift.compare import without_unused
from wmq.drift.distances import HALVINGS, distances, half_of_games, unit_of
from wmq.drift.parts import in_parts
from wmq.drift.statistics import Measure, divergence_bits, measures
from wmq.evaluation.differences import GameSample
from wmq.game.schema import Schema

GAMES = 40
SCALAR, *_ = measures(Schema(), {"actions": np.ones(400)})
(SHARES,) = [m for m in measures(Schema(), {"actions": np.ones(400)}) if m.name == "actions"]


def worlds(rng: np.random.Generator, measure: Measure, games: int) -> np.ndarray:
    """Sums of worlds of one process: [events, minutes], or counts of six classes."""
    if measure is SCALAR:
        return np.stack([rng.gamma(9, 2, games), np.ones(games)], axis=1)
    return rng.multinomial(500, rng.dirichlet([8.0] * 6, games)).astype(float)


def ratio(measure: Measure, model: np.ndarray, real: np.ndarray) -> float:
    tracks = {"agents": {"real": {measure.name: real}, "int8": {measure.name: model}}}
    found, mean = distances(GameSample(range(len(real))), [measure], tracks, "real")
    assert mean["agents"]["int8"].value == found[0].models["int8"].value
    return found[0].models["int8"].value


def test_half_of_the_games_is_half_and_varies():
    chosen = half_of_games(9)
    assert chosen.shape == (HALVINGS, 9) and set(chosen.sum(axis=1)) == {4}
    assert abs(chosen.mean(axis=0) - 4 / 9).max() < 0.12
    np.testing.assert_array_equal(chosen, half_of_games(9))


@pytest.mark.parametrize(("measure", "expected"), [(SCALAR, 0.5**0.5), (SHARES, 0.5)])
def test_shuffled_labels_have_the_ratio_that_sizes_alone_give(measure: Measure, expected: float):
    """Two halves differ by twice the variance of two wholes: |x| by its root, bits by itself."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        both = worlds(rng, measure, 2 * GAMES)
        label = rng.permutation(2 * GAMES) < GAMES
        found.append(ratio(measure, both[label], both[~label]))
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 60**0.5)


def test_the_mean_distance_of_halves_is_one_unit():
    """Of halves that are dealt as the unit's are: the ratio is 1 in the mean by definition."""
    real = worlds(np.random.default_rng(4), SCALAR, GAMES)
    chosen = half_of_games(GAMES, seed=1)
    apart = SCALAR.apart(chosen @ real, (1 - chosen) @ real)
    assert apart.mean() / unit_of(SCALAR, real) == pytest.approx(1, abs=0.2)


def test_a_distance_counts_how_many_halves_it_is():
    real = np.array([[1.0, 1], [3.0, 1]])  # halves are always 2 apart
    assert unit_of(SCALAR, real) == 2
    assert ratio(SCALAR, real + [[5.0, 0]], real) == 2.5


def test_what_has_no_unit_has_no_part_in_the_mean():
    same = np.ones((6, 2))
    own = np.array([[k, 1.0] for k in range(6)])
    other = Measure("hits", "", SCALAR.of, SCALAR.apart)
    tracks = {"real": {"real": {"damage": same, "hits": own},
                       "int8": {"damage": same * [[9, 1]], "hits": own + [[8, 0]]}}}  # fmt: skip
    found, mean = distances(GameSample(range(6)), [SCALAR, other], tracks, "real")
    assert found[0].half == 0 and found[0].models["int8"].value is None
    assert mean["real"]["int8"].value == found[1].models["int8"].value > 0


def test_a_model_without_events_is_one_bit_away():
    real = np.array([[3.0, 1], [1, 1], [2, 5]])
    assert SHARES.apart(np.zeros(2), real.sum(axis=0)) == 1
    assert np.isnan(SHARES.apart(np.zeros(2), np.zeros(2)))


def test_one_game_has_no_unit():
    tracks = {"real": {name: {"damage": np.ones((2, 2))} for name in ("real", "int8")}}
    (found,), mean = distances(GameSample([0, 0]), [SCALAR], tracks, "real")
    assert found.half is None and mean["real"]["int8"].value is None


def test_bins_that_no_track_uses_change_no_divergence():
    rng = np.random.default_rng(5)
    one, other, reference = rng.integers(0, 9, (3, 4, 30)).astype(float)
    one[:, 10:], other[:, 12:] = 0, 0
    tracks = {"agents": {"real": {"n": one}, "int8": {"n": other}}}
    found, narrow = without_unused(tracks, {"n": reference[0]}, "n")
    assert len(narrow["n"]) == 13
    for track in ("real", "int8"):
        own = tracks["agents"][track]["n"], found["agents"][track]["n"]
        wide, less = (divergence_bits(own[0], reference[0]), divergence_bits(own[1], narrow["n"]))
        np.testing.assert_allclose(wide, less, atol=1e-12)


def test_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(6)
    weights, sums = rng.random((70, 5)), rng.random((5, 8))
    whole = divergence_bits(weights @ sums, sums[0])
    monkeypatch.setattr("wmq.drift.parts.LARGEST", 100)
    found = in_parts(lambda s: divergence_bits(s, sums[0]), (weights, sums))
    np.testing.assert_allclose(found, whole, atol=1e-12)
