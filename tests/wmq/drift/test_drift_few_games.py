"""What few games can say: figures, no verdict, and of one game no interval; in 80 columns."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.support.made_up import a_drift, curve
from tests.wmq.drift.test_drift_statistics import SCHEMA, course, game_of
from wmq.drift.compare import real_counts, summed, world_statistics
from wmq.drift.paired import mean_curve
from wmq.drift.significance import error_verdict, one_sentence, world_verdict
from wmq.drift.statistics import measures
from wmq.drift.text import lines
from wmq.evaluation.bootstrap import FEW_GAMES, Interval, caveat, detectable, draw_weights
from wmq.evaluation.differences import GameSample, percent_change


def test_one_game_has_no_interval_and_two_have_one() -> None:
    values = np.array([1.0, 2.0, 4.0])
    alone, several = GameSample([5, 5, 5]).mean(values), GameSample([5, 5, 6]).mean(values)
    assert alone == Interval(pytest.approx(7 / 3), None, None) and not alone.excludes_zero
    assert several.lo == 1.5 and several.hi == 4
    change, drawn = percent_change(values[:1], values[1:2], np.ones(1), draw_weights(1))
    assert (change.value, change.lo, change.hi) == (-50, None, None)
    assert detectable(drawn) is None
    curve = mean_curve(GameSample([0, 0]), np.ones((2, 3)))
    assert curve.mean == [1, 1, 1] and curve.lo == curve.hi == [None] * 3


@pytest.mark.parametrize("games", [1, 3, FEW_GAMES - 1, FEW_GAMES])
def test_few_games_give_figures_and_no_verdict(games: int) -> None:
    """A difference that every game shows, far beyond any interval."""
    sample = GameSample(range(games))
    change = percent_change(np.full(games, 2.0), np.ones(games), np.ones(games), sample.weights)
    near = error_verdict("int8", 20, "rc(20)", " %", change, games)
    one, other = course(61), course(61, on_ground={0: np.arange(61) % 2})
    worlds = [summed(SCHEMA, np.stack([rows[0]] * games), np.stack([rows[1:]] * games))
              for rows in (one, other)]  # fmt: skip
    tracks = {"real": {"real": worlds[0], "float": worlds[0], "int8": worlds[1]}}
    measured = measures(SCHEMA, real_counts(SCHEMA, [game_of(one)]))
    statistics = world_statistics(sample, measured, tracks, "float")
    far = world_verdict("int8", 60, statistics, games)
    sentence = one_sentence("int8", [near, far], statistics, games)
    enough = games == FEW_GAMES
    assert near.distinguishable is (True if enough else None)
    assert isinstance(far.distinguishable, bool) is enough
    for text in (near.sentence, far.sentence, sentence):
        assert ("distinguishable" in text) is enough
        assert (caveat(games) in text and f"{games} game" in text) is not enough
    assert sentence.startswith("Is int8 dist" if enough else f"{games} game")
    assert "yes" not in sentence or enough
    assert near.difference.value == 100 and "+100 %" in sentence


def test_every_line_of_the_text_fits_80_columns() -> None:
    found = a_drift("a" * 64)
    alone = mean_curve(GameSample([0, 0]), np.ones((2, 3)))
    long = f"{'long-name ' * 12}.onnx against float"
    pairs = [msgspec.structs.replace(found.pairs[0], name=long),
             msgspec.structs.replace(found.pairs[1], same=alone)]  # fmt: skip
    wide = {"int8 against float": {"float64": curve(1e9, 1e12), "torch": curve(1e-9, 1e-9)}}
    odd = msgspec.structs.replace(found, pairs=pairs, relative=wide, notes=["note " * 40])
    for drift in (found, odd):
        listed = list(lines(drift))
        assert max(map(len, listed)) <= 80
        assert listed[0] == "Can int8 be told from float?"
        assert listed[1].split()[:4] == ["one", "frame", "no", "pos_mae"]
