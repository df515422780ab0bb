"""Statistics of worlds, tests and intervals: hand-made frames, and figures from textbooks."""

from __future__ import annotations

import numpy as np
import pytest

from wmq.drift.compare import real_counts, summed, world_statistics
from wmq.drift.paired import horizons_to, mean_curve, pair, ratio_curve, relative
from wmq.drift.significance import exchange_test, holm, world_verdict
from wmq.drift.statistics import (
    ESCAPED_AFTER,
    FROZEN_AFTER,
    HIGHEST,
    divergence_bits,
    longest_run,
    measures,
    world_sums,
)
from wmq.evaluation.bootstrap import interval
from wmq.evaluation.differences import GameSample, percent_change
from wmq.game.schema import BLAST_ZONES, LEGAL_STAGES, Q16, Schema
from wmq.replays.slippi import Game, GameInfo

SCHEMA = Schema()
STANDING, FALLING, DEAD, REBIRTH = 14, 29, 0, 12


def course(frames: int, **columns: dict[int, object]) -> np.ndarray:
    """Both players stand with 4 stocks on Battlefield; a column is {player: values}, natural."""
    rows = np.zeros((frames, SCHEMA.frame_size), dtype=np.int32)
    rows[:, SCHEMA.stage_index] = 31
    usual = {"stocks": 4, "on_ground": 1, "action": STANDING}
    for player in (0, 1):
        for name, value in usual.items():
            rows[:, SCHEMA.index(name, player)] = value
    for name, values in columns.items():
        quantum = SCHEMA.fields[SCHEMA.index(name)].quantum
        for player, value in values.items():
            rows[:, SCHEMA.index(name, player)] = np.asarray(value) * quantum
    return rows


def sums(rows: np.ndarray) -> dict[str, list[float]]:
    return {name: v.tolist() for name, v in world_sums(SCHEMA, rows[0], rows[1:]).items()}


def test_damage_is_what_percent_rises_by():
    rows = course(6, percent={0: [5, 15, 15, 0, 0, 2.5], 1: [0, 0, 4, 4, 4, 4]},
                  stocks={0: [4, 4, 3, 3, 3, 3]},
                  action={0: [STANDING, STANDING, DEAD, REBIRTH, REBIRTH, STANDING]})  # fmt: skip
    found = sums(rows)
    assert found["damage"] == [10 + 2.5 + 4, 5 / 3600]
    assert found["stocks lost"] == [1, 5 / 3600]
    assert found["impossible: stocks"] == [0, 5 / 3600]
    assert found["impossible: healing"] == [0, 5 / 3600]


def test_shares_count_both_players_after_the_start():
    rows = course(5, on_ground={0: [0, 1, 1, 1, 1], 1: [1, 0, 0, 0, 1]},
                  action={1: [STANDING, FALLING, FALLING, FALLING, STANDING]})  # fmt: skip
    found = sums(rows)
    assert found["airborne"] == [3, 8]
    counts = np.array(found["actions"])
    assert (counts[STANDING], counts[FALLING], counts.sum()) == (5, 3, 8)


def test_a_world_counts_until_a_player_is_out_of_stocks():
    rows = course(8, stocks={0: [1, 1, 0, 0, 0, 0, 0, 0]},
                  action={0: [STANDING, STANDING, *[DEAD] * 6]},
                  percent={1: [0, 0, 0, 50, 50, 50, 50, 50]})  # fmt: skip
    found = sums(rows)
    assert found["over"] == [1, 1]
    assert found["damage"] == [0, 2 / 3600]
    assert sums(course(8))["over"] == [0, 1]


@pytest.mark.parametrize("stage", LEGAL_STAGES)
def test_outside_counts_who_leaves_the_blast_zones_alive(stage: int):
    left, right, bottom, top = (*BLAST_ZONES[stage][:3], HIGHEST[stage])
    for axis, inside, beyond in (("x", left, left - 1), ("x", right, right + 1),
                                 ("y", bottom, bottom - 1), ("y", top, top + 1)):  # fmt: skip
        way = [inside, beyond, beyond, inside, beyond]
        rows = course(5, **{axis: {1: way}})
        rows[:, SCHEMA.stage_index] = stage
        assert sums(rows)["impossible: outside"][0] == 2
        rows[:, SCHEMA.index("action", 1)] = DEAD
        assert sums(rows)["impossible: outside"][0] == 0


def test_a_world_escapes_when_someone_stays_outside():
    for frames, escaped in ((ESCAPED_AFTER - 1, 0), (ESCAPED_AFTER, 1)):
        away = np.zeros(100)
        away[10 : 10 + frames] = 300
        assert sums(course(100, x={0: away}))["escaped"] == [escaped, 1]


def test_a_world_is_frozen_when_nothing_but_age_changes():
    for still, frozen in ((FROZEN_AFTER - 1, 0), (FROZEN_AFTER, 1)):
        count = still + 20
        moving = np.arange(count) / 4
        moving[5 : 5 + still + 1] = -1
        rows = course(count, x={0: moving})
        rows[:, SCHEMA.index("state_age", 0)] = np.arange(count) % 150
        assert sums(rows)["frozen"] == [frozen, 1]


def test_longest_run():
    flags = [int(c) for c in "0110111100"]
    assert longest_run(np.array(flags, dtype=bool)) == 4
    assert longest_run(np.zeros(3, dtype=bool)) == 0
    assert longest_run(np.ones(3, dtype=bool)) == 3


def test_divergence_is_one_bit_between_disjoint_and_none_between_equal():
    assert divergence_bits(np.array([7.0, 0]), np.array([0, 3.0])) == pytest.approx(1)
    assert divergence_bits(np.array([2.0, 6, 0]), np.array([1.0, 3, 0])) == pytest.approx(0)
    # H(3/4, 1/4) - (H(1/2, 1/2) + H(1)) / 2 = 0.811278 - 0.5
    mixed = divergence_bits(np.array([[5.0, 5], [8, 0]]), np.array([1.0, 0]))
    assert mixed == pytest.approx([0.311278, 0], abs=1e-6)


def test_the_five_rules_and_zones_are_all_reported():
    names = [measure.name for measure in measures(SCHEMA, {"actions": np.ones(400)})]
    assert len(names) == len(set(names))
    assert set(names) == set(sums(course(2)))


def test_holm_is_that_of_r():
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]


def rate(s: np.ndarray) -> np.ndarray:
    return s[..., 0] / s[..., 1]


def test_exchange_of_three_games_that_agree_is_two_of_eight():
    one = np.array([[1.0, 10], [5, 10], [2, 10]])
    other = one + np.array([[3.0, 0], [2, 0], [1, 0]])
    assert exchange_test(rate, one, other) == pytest.approx(0.25, abs=0.02)
    assert exchange_test(rate, one, one) == 1


def test_exchange_raises_five_false_alarms_in_a_hundred():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        one, other = (np.stack([rng.gamma(1, 5, 15), rng.uniform(1, 3, 15)], 1) for _ in "ab")
        alarms += exchange_test(rate, one, other) < 0.05
    assert 2 <= alarms <= 21  # binomial(200, 0.05): outside in 0.2 % of all cases


def test_a_sample_resamples_games_and_not_items():
    rng = np.random.default_rng(1)
    games = np.repeat(np.arange(20), 50)
    values = rng.normal(size=20)[games] + 0.01 * rng.normal(size=1000)
    found = GameSample(games).mean(values)
    alone = GameSample(range(1000)).mean(values)
    assert found.value == pytest.approx(values.mean())
    assert alone.value == pytest.approx(values.mean())
    # the mean of 20 games has a standard error of 1 / sqrt(20), that of 1000 of 1 / sqrt(1000)
    assert found.hi - found.lo > 4 * (alone.hi - alone.lo)


def test_a_percent_change_by_hand():
    sums_of, before, counts = np.array([11.0, 22]), np.array([10.0, 20]), np.array([1.0, 4])
    change, drawn = percent_change(sums_of, before, counts, GameSample([0, 1]).weights)
    assert change.value == pytest.approx(10)
    assert drawn == pytest.approx(10)
    same, _ = percent_change(np.zeros(2), np.zeros(2), counts, GameSample([0, 1]).weights)
    assert (same.value, same.lo, same.hi) == (0, 0, 0)


def test_curves_by_hand():
    one = np.stack([course(10) for _ in range(4)])
    other = one.copy()
    x = SCHEMA.index("x", 1)
    other[1, 4:, x] = 8 * Q16  # one of four numbers: a distance of 2 in one of four starts
    other[1, 6, SCHEMA.index("action", 0)] = FALLING
    found = pair("a", "quantized", SCHEMA, GameSample([0, 0, 1, 1]), one, other)
    assert found.distance.horizons == horizons_to(10) == [1, 2, 3, 5, 10]
    assert found.distance.mean == [0, 0, 0, 0.5, 0.5]
    assert found.same.mean == [100, 100, 100, 100, 75]  # and never the same again
    assert found.first_divergence == {"median": None, "never": 75}


def test_a_ratio_is_left_out_where_the_yardstick_has_not_moved():
    distance = np.tile(np.array([1.0, 2, 6]), (4, 1))
    yardstick = np.tile(np.array([0.0, 1, 2]), (4, 1))
    sample = GameSample([0, 1, 2, 3])
    curve = relative(sample, distance, {"y": yardstick})["y"]
    assert (curve.horizons, curve.mean, curve.lo, curve.hi) == ([2, 3], [2, 3], [2, 3], [2, 3])
    assert ratio_curve(sample, yardstick, yardstick).mean == [1, 1]
    assert mean_curve(sample, yardstick).mean == [0, 1, 2]


def test_worlds_of_many_games_are_added_up():
    still = course(61)
    jumpy = course(61, on_ground={0: np.arange(61) % 2}, action={0: FALLING})
    worlds = summed(SCHEMA, np.stack([still[0], jumpy[0]]), np.stack([still[1:], jumpy[1:]]))
    measured = measures(SCHEMA, real_counts(SCHEMA, [game_of(still)]))
    same = {"real": {"real": worlds, "float": worlds, "int8": worlds}}
    found = {s.name: s for s in world_statistics(GameSample([0, 1]), measured, same, "float")}
    assert found["airborne"].tracks["int8"].value == pytest.approx(100 * 30 / 240)
    # half of the frames, of the second world's first player, are of another action: 60 of 240
    assert found["actions"].tracks["real"].value == pytest.approx(
        float(divergence_bits(np.array([180.0, 60]), np.array([1.0, 0])))
    )
    assert all(s.differences["int8"].value == 0 for s in found.values())
    assert all(s.p["int8"] == s.holm["int8"] == 1 for s in found.values())
    verdict = world_verdict("int8", 60, list(found.values()), 10)
    assert not verdict.distinguishable and "not distinguishable" in verdict.sentence


def test_only_statistics_that_can_differ_are_counted():
    rows = [course(61, on_ground={0: np.arange(61) % k}, action={0: FALLING}) for k in (2, 3, 4, 5)]
    worlds = [summed(SCHEMA, np.stack([r[0] for r in part]), np.stack([r[1:] for r in part]))
              for part in (rows, rows[::-1])]  # fmt: skip
    measured = measures(SCHEMA, real_counts(SCHEMA, [game_of(rows[0])]))
    tracks = {"real": {"real": worlds[0], "float": worlds[0], "int8": worlds[1]}}
    statistics = world_statistics(GameSample([0, 1, 2, 3]), measured, tracks, "float")
    able = [s for s in statistics if s.differences["int8"].lo != s.differences["int8"].hi]
    assert 0 < len(able) < len(statistics)
    least = min(able, key=lambda s: s.p["int8"])
    assert least.holm["int8"] == min(1, len(able) * least.p["int8"])
    assert all(s.holm["int8"] == s.p["int8"] == 1 for s in statistics if s not in able)
    assert f" of {len(able)} world statistics" in world_verdict("int8", 60, statistics, 10).sentence


def game_of(rows: np.ndarray) -> Game:
    info = GameInfo("0" * 64, "val", len(rows), 31, (0, 0), "3.12.0", (), (0.0, 0.0))
    return Game(info, rows, np.zeros((len(rows), SCHEMA.controllers_size), np.int32))


def test_an_interval_that_cannot_be_known_is_left_out():
    assert interval(float("nan"), np.array([np.nan])).value is None
