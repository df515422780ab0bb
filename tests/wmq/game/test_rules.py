"""The rules of a frame update on frames made by hand, each with the answer that the game gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.ruled_frames import RULED, draws, frame, pads, quantum, read, set_head, still
from wmq.game.frame_update import forced_actions, next_frames
from wmq.game.schema import BLAST_ZONES, Q16, REBIRTH_PLACES, REBIRTH_SPEED_Y

DEAD_DOWN, DEAD_LEFT, DEAD_RIGHT, STAR, FALL, HIT = 0, 1, 2, 4, 6, 7
STAND, THROWN, REBORN = 14, 90, 12
UNIT = 1 / Q16
SPEEDS = ("speed_air_x", "speed_y", "speed_ground_x", "speed_attack_x", "speed_attack_y")


def after(now, player: int = 0, heads: dict[str, float] | None = None, sticks=(0.0, 0.0),
          **chosen: int):  # fmt: skip
    """The frame after `now`, of which nothing is foreseen but what is named.

    sticks  main_x of both players, -1 to 1
    """
    values = still(now)
    for name, value in (heads or {}).items():
        set_head(values, name, player, value)
    return next_frames(RULED, now, values, draws(now, **chosen), pads(len(now), sticks))


# --- blast zones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", BLAST_ZONES)
@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize("side, fate", list(enumerate((DEAD_LEFT, DEAD_RIGHT, DEAD_DOWN))))
def test_who_crosses_a_side_or_the_bottom_dies_and_who_is_exactly_on_it_lives(
    stage, player, side, fate
):
    end, field = round(BLAST_ZONES[stage][side] * Q16) / Q16, "x" if side < 2 else "y"
    outwards = UNIT if side == 1 else -UNIT
    for step, wanted in ((0, STAND), (outwards, fate), (-outwards, STAND)):
        players = [{field: end + step} if p == player else {} for p in (0, 1)]
        found = after(frame(*players, stage=stage))
        assert read(found, field, player) == end + step
        assert read(found, "action", player) == wanted
        assert read(found, "action", 1 - player) == STAND


@pytest.mark.parametrize("stage", BLAST_ZONES)
@pytest.mark.parametrize("player", [0, 1])
def test_over_the_top_dies_who_is_thrown_upwards_fast_enough_alone(stage, player):
    top = round(BLAST_ZONES[stage][3] * Q16) / Q16
    for action, speed, step, wanted in (
        (THROWN, 2.4, UNIT, STAR),
        (THROWN, 2.4, 0, THROWN),  # exactly on the edge
        (THROWN, 2.3, UNIT, THROWN),
        (STAND, 2.4, UNIT, STAND),
        (25, 5, 100, 25),  # a jump
        (87, 2.4, UNIT, STAR),
        (91, 2.4, UNIT, STAR),
        (86, 2.4, UNIT, 86),
        (92, 2.4, UNIT, 92),
    ):
        thrown = {"y": top + step, "action": action, "speed_attack_y": speed, "hitlag": 2}
        players = [thrown if p == player else {} for p in (0, 1)]
        found = after(frame(*players, stage=stage))
        assert read(found, "action", player) == wanted, (action, speed, step)


def test_a_side_comes_before_the_bottom_and_the_bottom_before_the_top():
    left, right, bottom, top = BLAST_ZONES[31]
    corner = frame({"x": left - 1, "y": bottom - 1}, {"x": right + 1, "y": bottom - 1})
    found = after(corner)
    assert [read(found, "action", p) for p in (0, 1)] == [DEAD_LEFT, DEAD_RIGHT]
    thrown = {"action": THROWN, "speed_attack_y": 3, "hitlag": 2}
    found = after(frame({"x": right + 1, "y": top + 1} | thrown, {"y": top + 1} | thrown))
    assert [read(found, "action", p) for p in (0, 1)] == [DEAD_RIGHT, STAR]


@pytest.mark.parametrize("action", range(14))
def test_nothing_happens_beyond_the_ends_to_who_is_dead_enters_or_is_reborn(action):
    beyond = {"x": BLAST_ZONES[31][0] - 9, "y": BLAST_ZONES[31][2] - 9, "action": action}
    found = after(frame(beyond))
    assert read(found, "action") == action and read(found, "state_age") == 1


def test_a_fate_comes_before_what_was_drawn():
    now = frame({"x": BLAST_ZONES[31][1]})
    found = after(now, heads={"x": 1}, p1_action=STAND + 6)
    assert read(found, "action") == DEAD_RIGHT and read(found, "state_age") == 0


def test_all_speeds_and_hitlag_stop_on_the_frame_of_death_and_the_place_stays():
    moving = {name: k + 1.5 for k, name in enumerate(SPEEDS)} | {"hitlag": 0, "percent": 57}
    end = BLAST_ZONES[31][1]
    found = after(frame({"x": end} | moving, {"x": 3} | moving), heads={"hitlag": 7, "x": 2})
    assert read(found, "action") == DEAD_RIGHT
    assert [read(found, name) for name in (*SPEEDS, "hitlag")] == [0] * 6
    assert read(found, "percent") == 57 and read(found, "stocks") == 3
    assert read(found, "x") == pytest.approx(end + 2)  # in hitlag, so without speeds
    assert [read(found, name, 1) for name in SPEEDS[:2]] == [1.5, 2.5]  # no gravity, no friction


def test_a_stage_without_blast_zones_kills_nobody():
    found = after(frame({"x": -499}, {"y": -499}, stage=9))
    assert [read(found, "action", p) for p in (0, 1)] == [STAND, STAND]


# --- death to rebirth ----------------------------------------------------------------------------


def lives(action: int, frames: int, stocks: int = 4, player: int = 0) -> list[tuple[int, int, int]]:
    """(action, state_age, stocks) of the first frame with an action, and of those that follow."""
    now = frame(*[{"action": action, "stocks": stocks, "percent": 80} if p == player else {}
                  for p in (0, 1)])  # fmt: skip
    rows = []
    for _ in range(frames):
        rows.append(tuple(int(read(now, name, player))
                          for name in ("action", "state_age", "stocks")))  # fmt: skip
        forced = int(forced_actions(RULED, now, player)[0])
        chosen = {f"p{player + 1}_action": forced} if forced >= 0 else {}
        now = after(now, **chosen)
    return rows


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize(
    "action, length, following",
    [(DEAD_DOWN, 60, REBORN), (DEAD_LEFT, 60, REBORN), (DEAD_RIGHT, 60, REBORN),
     (STAR, 176, REBORN), (FALL, 51, HIT), (HIT, 78, REBORN)],
)  # fmt: skip
def test_each_death_lasts_its_time_and_then_goes_on_by_itself(action, length, following, player):
    rows = lives(action, length + 1, player=player)
    assert [row[0] for row in rows] == [action] * length + [following]
    assert [row[1] for row in rows] == [*range(length), 0]


@pytest.mark.parametrize("action, age", [(STAR, 131), (FALL, 51 + 43)], ids=["star", "fall"])
def test_a_death_above_takes_one_stock_at_its_age(action, age):
    stocks = [row[2] for row in lives(action, 200)]
    assert stocks == [4] * age + [3] * (200 - age)


@pytest.mark.parametrize("stocks", [4, 1])
def test_a_death_at_a_side_takes_one_stock_at_once(stocks):
    dying = after(frame({"x": BLAST_ZONES[31][0] - 1, "stocks": stocks}))
    assert read(dying, "action") == DEAD_LEFT and read(dying, "stocks") == stocks - 1
    later = dying
    for _ in range(70):
        forced = int(forced_actions(RULED, later, 0)[0])
        later = after(later, **({"p1_action": forced} if forced >= 0 else {}))
        assert read(later, "stocks") == stocks - 1
    assert read(later, "action") == REBORN


def test_stocks_do_not_fall_below_none():
    found = after(frame({"x": BLAST_ZONES[31][0] - 1, "stocks": 0}))
    assert read(found, "action") == DEAD_LEFT and read(found, "stocks") == 0


@pytest.mark.parametrize("stage", BLAST_ZONES)
@pytest.mark.parametrize("player", [0, 1])
def test_a_rebirth_heals_stops_and_places(stage, player):
    hurt = {"action": DEAD_DOWN, "state_age": 59, "percent": 123.5, "shield": 11, "hitlag": 3,
            "x": -70, "y": -120, "stocks": 2} | dict.fromkeys(SPEEDS, 1.25)  # fmt: skip
    now = frame(*[hurt if p == player else {} for p in (0, 1)], stage=stage)
    assert forced_actions(RULED, now, player).tolist() == [REBORN]
    found = after(now, **{f"p{player + 1}_action": REBORN, f"p{player + 1}_percent": 5})
    x, y = REBIRTH_PLACES[stage][player]
    assert [read(found, name, player) for name in ("percent", "shield", "hitlag", "stocks")] == [
        0, 60, 0, 2]  # fmt: skip
    assert (read(found, "x", player), read(found, "y", player)) == (x / Q16, y / Q16)
    speeds = [read(found, name, player) for name in SPEEDS]
    assert speeds == [0, REBIRTH_SPEED_Y[stage] / Q16, 0, 0, 0]
    assert read(found, "percent", 1 - player) == 0 and read(found, "shield", 1 - player) == 60


def test_who_stays_reborn_is_placed_no_second_time():
    found = after(frame({"action": REBORN, "state_age": 4, "y": 100, "percent": 3}),
                  heads={"y": -0.5})  # fmt: skip
    assert (read(found, "y"), read(found, "percent"), read(found, "state_age")) == (99.5, 3, 5)


@pytest.mark.parametrize("action", [3, 5, 8, 10, 11, 12, 13, 14, 90, 322, 543])
def test_no_clock_decides_another_action(action):
    for age in (0, 59, 176, 255):
        now = frame({"action": action, "state_age": age})
        assert forced_actions(RULED, now, 0).tolist() == [-1]


# --- what is drawn, counted and moved ------------------------------------------------------------


@pytest.mark.parametrize("player", [0, 1])
def test_percent_rises_by_what_was_drawn_and_never_beyond_its_end(player):
    for chosen, now, wanted in ((0, 50, 50), (1, 50, 50 + 63481 * UNIT), (17, 0, 547251 * UNIT),
                                (32, 998, 999)):  # fmt: skip
        players = [{"percent": now} if p == player else {} for p in (0, 1)]
        found = after(frame(*players), **{f"p{player + 1}_percent": chosen})
        assert read(found, "percent", player) == pytest.approx(wanted, abs=UNIT / 4)
        assert read(found, "percent", 1 - player) == 0


@pytest.mark.parametrize(
    "now, said, wanted",
    [(0, 0, 0), (0, 6.4, 6), (0, 6.5, 7), (5, 0, 4), (5, 5.4, 4), (5, 5.5, 6), (5, 9, 9),
     (1, 0.6, 0), (1, 1.5, 2), (60, 70, 59), (3, 70, 60), (2, -8, 1)],
)  # fmt: skip
def test_hitlag_falls_by_one_unless_the_head_raises_it(now, said, wanted):
    assert read(after(frame({"hitlag": now}), heads={"hitlag": said}), "hitlag") == wanted


def test_state_age_counts_from_a_change_of_action_to_its_end():
    for age, chosen, wanted in ((7, STAND, 8), (7, 20, 0), (254, STAND, 255), (255, STAND, 255)):
        found = after(frame({"state_age": age}), p1_action=chosen)
        assert (read(found, "state_age"), read(found, "action")) == (wanted, chosen)


def test_a_place_moves_by_the_new_speeds_and_by_what_the_head_adds():
    speeds = {"speed_air_x": 1, "speed_y": -2, "speed_attack_x": 0, "speed_attack_y": 3,
              "speed_ground_x": 7}  # fmt: skip
    heads = {"x": 0.25, "y": -0.125, "speed_air_x": 0.5, "speed_attack_y": -1}
    found = after(frame({"x": 10, "y": 20} | speeds), heads=heads)
    assert read(found, "x") == 10 + 0.25 + 1.5
    assert read(found, "y") == pytest.approx(20 - 0.125 - 2 + 2 - 0.051, abs=2 * UNIT)


@pytest.mark.parametrize("hitlag, still_", [(3, True), (1, False), (0, False)])
def test_in_hitlag_nobody_moves(hitlag, still_):
    """The frame after the last of hitlag is a frame of movement: hitlag is 0 on it."""
    found = after(frame({"hitlag": hitlag, "speed_air_x": 4}), heads={"y": 0.5})
    assert (read(found, "x"), read(found, "y")) == (0 if still_ else 4, 0.5)


def test_a_place_is_clamped_once_when_all_has_been_added():
    speeds = {"action": 0, "speed_air_x": -30}  # dead: no end matters
    found = after(frame({"x": 490} | speeds, {"x": -490, "action": 0}), heads={"x": 40})
    assert read(found, "x") == 500
    found = after(frame({"x": 490} | speeds), heads={"x": 20})
    assert read(found, "x") == 480
    found = after(frame({"x": 490, "action": 0}), heads={"x": 40})
    assert read(found, "x") == 500


# --- what speeds do by themselves ----------------------------------------------------------------

FOX, PUFF, AIRBORNE, LEDGE = 1, 15, 29, 253


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize(
    "state, speed, wanted",
    [
        ({"character": FOX}, 1, 0.77),
        ({"character": FOX}, -2.7, -2.8),  # its terminal speed
        ({"character": FOX}, -2.8, -2.8),
        ({"character": FOX}, -3.4, -3.4),  # who falls fast goes on so
        ({"character": PUFF}, 1, 0.936),
        ({"character": FOX, "hitlag": 2}, 1, 1),
        ({"character": FOX, "hitlag": 1}, 1, 0.77),
        ({"character": FOX, "action": LEDGE}, 1, 1),
    ],
)
def test_gravity_pulls_who_is_in_the_air_down_to_a_terminal_speed(player, state, speed, wanted):
    whose = {"action": AIRBORNE, "y": 50, "speed_y": speed} | state
    found = after(frame(*[whose if p == player else {} for p in (0, 1)]))
    assert read(found, "speed_y", player) == pytest.approx(wanted, abs=1.5 * UNIT)


@pytest.mark.parametrize(
    "push, wanted",
    [((3, 4), (3 * 4.949 / 5, 4 * 4.949 / 5)), ((-3, 4), (-3 * 4.949 / 5, 4 * 4.949 / 5)),
     ((0, -2), (0, -1.949)), ((0.03, 0.04), (0, 0)), ((0, 0), (0, 0))],
)  # fmt: skip
def test_knockback_fades_along_its_own_direction(push, wanted):
    whose = dict(zip(SPEEDS[3:], push, strict=True)) | {"action": THROWN, "y": 50}
    found = after(frame(whose))
    assert [read(found, name) for name in SPEEDS[3:]] == pytest.approx(wanted, abs=1.5 * UNIT)
    for state in ({"hitlag": 4}, {"on_ground": 1, "action": 75}):
        kept = after(frame(whose | state))
        assert [read(kept, name) for name in SPEEDS[3:]] == [
            pytest.approx(p if abs(p) > 0.02 else 0, abs=UNIT) for p in push
        ]


FALCO, DASH, WAIT, SKID = 22, 20, 14, 43


@pytest.mark.parametrize("way", [-1, 1])
@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize(
    "state, speed, stick, wanted",
    [
        # in the air: friction 0.02, at most 0.83, 0.05 times the stick and 0.02
        ({"action": AIRBORNE}, 0.5, 0, 0.48),
        ({"action": AIRBORNE}, 0.01, 0, 0),
        ({"action": AIRBORNE}, 0.5, 1, 0.57),
        ({"action": AIRBORNE}, 0.5, -1, 0.43),
        ({"action": AIRBORNE}, 0.2, 0.5, 0.245),
        ({"action": AIRBORNE}, 0.8, 1, 0.83),
        ({"action": AIRBORNE}, 1.5, 1, 1.48),  # faster than he can steer
        ({"action": AIRBORNE}, 0.84, 1, 0.83),
        ({"action": AIRBORNE, "hitlag": 3}, 0.5, 1, 0.5),
        ({"action": 88}, 0.5, 1, 0.5),  # flying from a hit
        # on the ground: traction 0.08, twice that above 1.4
        ({"action": WAIT, "on_ground": 1}, 0.5, 1, 0.42),
        ({"action": SKID, "on_ground": 1}, 1.39, 0, 1.31),
        ({"action": SKID, "on_ground": 1}, 1.41, 0, 1.25),
        ({"action": WAIT, "on_ground": 1}, 0.05, 0, 0),
        # running: at most 1.5, 0.1 times the stick and 0.02
        ({"action": DASH, "on_ground": 1}, 1.0, 1, 1.12),
        ({"action": DASH, "on_ground": 1}, 1.45, 1, 1.5),
        ({"action": DASH, "on_ground": 1}, 1.9, 1, 1.82),
        ({"action": DASH, "on_ground": 1}, 1.0, 0, 0.92),
    ],
)
def test_a_stick_steers_and_friction_slows(way, player, state, speed, stick, wanted):
    whose = {"y": 50, "speed_air_x": way * speed, "character": FALCO} | state
    sticks = [way * stick if p == player else 0 for p in (0, 1)]
    found = after(frame(*[whose if p == player else {} for p in (0, 1)]), sticks=sticks)
    assert read(found, "speed_air_x", player) == pytest.approx(way * wanted, abs=3 * UNIT)
    on_ground = state.get("on_ground", 0)
    assert read(found, "speed_ground_x", player) == pytest.approx(
        way * wanted * on_ground, abs=3 * UNIT
    )


def test_a_small_change_of_a_speed_is_none():
    for said, wanted in ((0.0039, 1), (-0.0039, 1), (0.0041, 1.0041)):
        found = after(frame({"speed_air_x": 1}), heads={"speed_air_x": said})
        assert read(found, "speed_air_x") == pytest.approx(wanted, abs=UNIT)


# --- the ground of an action ---------------------------------------------------------------------


@pytest.mark.parametrize("player", [0, 1])
def test_an_action_says_whether_it_is_on_the_ground(player):
    """Those that may be both are left to the head."""
    for action, bit, wanted in ((STAND, -1, 1), (AIRBORNE, 1, 0), (76, 1, 1), (76, -1, 0)):
        players = [{"action": action, "ground": 2} if p == player else {} for p in (0, 1)]
        found = after(frame(*players), player, heads={"on_ground": bit})
        assert (read(found, "on_ground", player), read(found, "action", player)) == (wanted, action)


@pytest.mark.parametrize(
    "place, wanted",
    [({"x": 0, "y": 0}, STAND), ({"x": 0, "y": 11.9}, STAND), ({"x": 0, "y": 12.1}, AIRBORNE),
     ({"x": 61.9, "y": 0}, STAND), ({"x": 62.1, "y": 0}, AIRBORNE)],
)  # fmt: skip
def test_who_stands_where_no_ground_is_falls(place, wanted):
    """Battlefield's main floor ends at 59.95, and 2 units more are given."""
    found = after(frame(place | {"ground": 2, "on_ground": 1}))
    assert read(found, "action") == wanted
    assert read(found, "on_ground") == (wanted == STAND)
    assert read(found, "y") == pytest.approx(0 if wanted == STAND else place["y"], abs=1e-3)


@pytest.mark.parametrize("drawn", [42, 20])
@pytest.mark.parametrize("before, wanted", [(236, 236), (76, 76), (STAND, AIRBORNE)])
def test_who_lands_where_no_ground_is_goes_on_as_he_was(drawn, before, wanted):
    found = after(frame({"y": 60, "ground": 2, "action": before, "state_age": 9}), p1_action=drawn)
    assert read(found, "action") == wanted and read(found, "on_ground") == 0
    assert read(found, "state_age") == (10 if wanted == before else 0)


@pytest.mark.parametrize(
    "x, y, speed, wanted",
    [(0, -7, -3, -8), (0, 1, -20, -8), (0, -9, -3, -12), (0, -8, -1, -8), (70, -7, -3, -10),
     (68, -7, -3, -8), (0, -9, 3, -6)],
)  # fmt: skip
def test_nobody_sinks_through_a_main_floor(x, y, speed, wanted):
    found = after(frame({"x": x, "y": y, "speed_y": speed, "action": AIRBORNE}))
    assert read(found, "y") == wanted


def test_ends_and_places_are_those_of_each_row_of_a_batch():
    rows = [frame({"x": 230.5}, stage=stage) for stage in (3, 28, 31, 32, 2, 8)]
    now = np.concatenate(rows)
    found = next_frames(RULED, now, still(now), draws(now), pads(len(now)))
    alone = [next_frames(RULED, row, still(row), draws(row), pads(1)) for row in rows]
    assert (found == np.concatenate(alone)).all()
    actions = found[:, RULED.index("action")].tolist()
    assert actions == [DEAD_RIGHT, STAND, DEAD_RIGHT, STAND, DEAD_RIGHT, DEAD_RIGHT]
    assert quantum("x") == Q16
