"""Trivial predictors: they say what they claim to say, and rollouts are scored by hand."""

from __future__ import annotations

import numpy as np
import pytest

from wmq.evaluation.metrics import Tally
from wmq.evaluation.rollout_error import (
    LONGEST,
    choose_starts,
    divergence_figures,
    first_divergence,
    position_errors,
    rc,
    rc_table,
    true_frames,
)
from wmq.game.frame_update import next_frames
from wmq.game.schema import Q16, Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.inference.baselines import Trivial, shares_unchanged, speeds
from wmq.inference.predictor import StartRow
from wmq.replays.slippi import Game, GameInfo

SCHEMA = Schema()
ONES = {head: np.ones(2 * len(SCHEMA.head(head)), np.float32) for head in NUMBER_HEADS}
SHARES = {f.name: 0.9 for f in (*SCHEMA.head("binary"), *SCHEMA.head("classes"))}


def game_of(frames: np.ndarray, missing: tuple[str, ...] = ()) -> Game:
    info = GameInfo("0" * 64, "val", len(frames), 31, (0, 1), "3.12.0", missing, (0.0, 0.0))
    return Game(info, frames, np.zeros((len(frames), SCHEMA.controllers_size), np.int32))


def random_frames(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(SCHEMA.lo, SCHEMA.hi, (count, SCHEMA.frame_size), np.int32, endpoint=True)


def test_shares_are_counted_over_both_players_with_one_frame_of_each_kind_added():
    frames = np.zeros((4, SCHEMA.frame_size), np.int32)
    frames[2:, SCHEMA.index("action", 0)] = 7  # one change in six pairs
    shares = shares_unchanged(SCHEMA, [game_of(frames)])
    assert shares["action"] == pytest.approx((5 + 1) / (6 + 2))
    assert shares["facing"] == pytest.approx(7 / 8)


def test_shares_leave_out_what_a_replay_lacks():
    frames = random_frames(1, 30)
    shares = shares_unchanged(SCHEMA, [game_of(frames, missing=("hurtbox",))])
    assert shares["hurtbox"] == pytest.approx(1 / 2)
    assert shares["action"] < 0.2


def test_frozen_gives_each_field_the_share_as_probability():
    now = random_frames(2, 10)
    heads = Trivial(SCHEMA, SHARES, moving=False).heads(now)
    for player, prefix in enumerate(("p1", "p2")):
        for field in SCHEMA.head("classes"):
            weights = np.exp(heads[f"{prefix}.{field.name}"].astype(np.float64))
            chances = weights / weights.sum(1, keepdims=True)
            here = now[:, SCHEMA.index(field.name, player)]
            np.testing.assert_allclose(chances[np.arange(10), here], 0.9, rtol=1e-6)
            assert chances.min() == pytest.approx(0.1 / (field.classes - 1))
    at = [SCHEMA.index(f.name, p) for p in (0, 1) for f in SCHEMA.head("binary")]
    np.testing.assert_allclose(
        1 / (1 + np.exp(-heads["binary"].astype(np.float64))),
        np.where(now[:, at] == 1, 0.9, 0.1),
        rtol=1e-6,
    )


def test_the_heads_of_frozen_lead_to_the_same_frame():
    now = random_frames(3, 50)
    after = next_frames(SCHEMA, now, Trivial(SCHEMA, SHARES, moving=False).heads(now))
    ages = [SCHEMA.index("state_age", player) for player in (0, 1)]
    np.testing.assert_array_equal(np.delete(after, ages, 1), np.delete(now, ages, 1))


def moving_frame() -> np.ndarray:
    """P1 on the ground, P2 in the air, one of every speed set."""
    now = np.zeros((1, SCHEMA.frame_size), np.int32)
    values = {
        0: {"on_ground": 1, "speed_ground_x": Q16, "speed_air_x": 5 * Q16, "speed_y": 3 * Q16,
            "speed_attack_x": Q16 // 4, "x": 10 * Q16},
        1: {"speed_ground_x": 7 * Q16, "speed_air_x": -2 * Q16, "speed_y": -Q16,
            "speed_attack_y": Q16 // 2, "y": 20 * Q16},
    }  # fmt: skip
    for player, fields in values.items():
        for name, value in fields.items():
            now[0, SCHEMA.index(name, player)] = value
    return now


def test_speeds_are_of_the_ground_or_of_the_air_plus_knockback():
    assert speeds(SCHEMA, moving_frame(), "x").tolist() == [[Q16 + Q16 // 4, -2 * Q16]]
    assert speeds(SCHEMA, moving_frame(), "y").tolist() == [[0, -Q16 // 2]]


def test_constant_velocity_goes_on_in_a_straight_line_and_stops_at_the_end_of_the_world():
    trivial = Trivial(SCHEMA, SHARES, moving=True)
    heads = trivial.heads(moving_frame())
    names = [f.name for f in SCHEMA.head("continuous")]
    moved = dict(zip([f"p1.{n}" for n in names] + [f"p2.{n}" for n in names],
                     heads["continuous"][0].tolist(), strict=True))  # fmt: skip
    assert {k: v for k, v in moved.items() if v} == {"p1.x": 1.25, "p2.x": -2, "p2.y": -0.5}
    rolled = trivial.roll(moving_frame(), 400)[0]
    x1, x2 = (rolled[:, SCHEMA.index("x", p)] / Q16 for p in (0, 1))
    np.testing.assert_allclose(x1, np.minimum(10 + 1.25 * np.arange(1, 401), 500))
    np.testing.assert_allclose(x2, np.maximum(-2 * np.arange(1, 401), -500))
    others = [i for i in range(SCHEMA.frame_size) if i not in
              {SCHEMA.index(a, p) for a in "xy" for p in (0, 1)}]  # fmt: skip
    assert (rolled[:, others] == moving_frame()[0, others]).all()


def test_constant_velocity_is_exact_for_who_moves_evenly():
    frames = np.repeat(moving_frame(), 30, axis=0)
    frames[:, SCHEMA.index("x", 0)] += np.arange(30, dtype=np.int32) * (Q16 + Q16 // 4)
    frames[:, SCHEMA.index("x", 1)] += np.arange(30, dtype=np.int32) * (-2 * Q16)
    frames[:, SCHEMA.index("y", 1)] += np.arange(30, dtype=np.int32) * (-Q16 // 2)
    figures = {}
    for moving in (False, True):
        tally = Tally(SCHEMA, ONES)
        heads = Trivial(SCHEMA, SHARES, moving).heads(frames[:-1])
        tally.add(frames[:-1], frames[1:], heads)
        figures[moving] = tally.result()
    assert figures[True]["pos_mae"] == pytest.approx(0, abs=1e-6)
    assert figures[False]["pos_mae"] == pytest.approx((1.25 + 2 + 0.5) / 4)


def test_starts_are_spread_evenly_and_have_frames_before_and_after_them():
    games = [game_of(random_frames(4, n)) for n in (1000, 150, 400)]
    starts = choose_starts(games, 60, 20)
    assert len(set(starts)) == 60
    assert starts == choose_starts(games, 60, 5)  # a shorter horizon starts at the same places
    for start in starts:
        assert start.row >= 123  # frame 0
        assert start.row + LONGEST < len(games[start.game].frames)
    counts = np.bincount([s.game for s in starts], minlength=3)
    # 817 and 217 rows are open in games 0 and 2, none in game 1
    assert counts.tolist() == [round(60 * 817 / 1034), 0, round(60 * 217 / 1034)]
    assert np.ptp(np.diff([s.row for s in starts if s.game == 0])) <= 1


def test_too_few_rows_give_fewer_starts():
    games = [game_of(random_frames(5, 123 + LONGEST + 4))]
    assert [s.row for s in choose_starts(games, 300, 20)] == [123, 124, 125, 126]
    assert choose_starts([game_of(random_frames(5, 100))], 300, 20) == []


def test_rc_is_the_mean_over_horizons_of_the_mean_position_error():
    game = game_of(np.zeros((300, SCHEMA.frame_size), np.int32))
    rolled = true_frames([game], [StartRow(0, 130), StartRow(0, 140)], 6)
    assert rolled.shape == (2, 6, SCHEMA.frame_size)
    drift = rolled.copy()
    drift[0, :, SCHEMA.index("y", 1)] = np.arange(1, 7) * -4 * Q16
    errors = position_errors(SCHEMA, drift, rolled)
    np.testing.assert_allclose(errors, [[1, 2, 3, 4, 5, 6], [0] * 6])
    assert rc(errors, 2) == pytest.approx((1 + 2) / 2 / 2)
    assert rc_table(errors) == {"rc(5)": pytest.approx(1.5), "rc(6)": pytest.approx(1.75)}


def test_first_divergence_is_the_first_frame_with_another_action():
    one = np.zeros((4, 10, SCHEMA.frame_size), np.int32)
    other = one.copy()
    other[0, 3:, SCHEMA.index("action", 1)] = 1
    other[1, 0, SCHEMA.index("action", 0)] = 1
    other[2, :, SCHEMA.index("x", 0)] = 1  # no action
    first = first_divergence(SCHEMA, one, other)
    assert first.tolist() == [4, 1, 0, 0]
    assert divergence_figures(first[:2]) == {"median": 2.5, "never": 0}
    assert divergence_figures(first) == {"median": None, "never": 50}
    assert divergence_figures(np.array([3, 5, 0])) == {
        "median": 5,
        "never": pytest.approx(100 / 3),
    }


def test_the_same_rows_come_from_a_whole_game_and_from_pieces():
    frames = random_frames(6, 40)
    trivial = Trivial(SCHEMA, SHARES, moving=True)
    whole = trivial.heads(frames)
    for name, values in trivial.heads(frames[13:29]).items():
        np.testing.assert_array_equal(values, whole[name][13:29])
