"""Targets and draws of version 2: what they are, and that they lead back to the true frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ruled_frames import (
    AGENT,
    RULED,
    draws,
    frame,
    pads,
    quantum,
    random_frames,
    set_head,
    still,
)
from wmq.game.controls import control_classes
from wmq.game.frame_update import forced_actions, next_frames
from wmq.game.rules import RISES
from wmq.game.schema import Q16, Schema
from wmq.game.targets import (
    drawn_classes,
    head_index,
    number_targets,
    spreads,
    travelled,
    true_draws,
)

STAND, STAR, FALL, HIT, REBORN = 14, 4, 6, 7, 12


def test_the_way_of_a_frame_is_both_speeds_and_nothing_in_hitlag():
    speeds = {"speed_air_x": 1.5, "speed_attack_x": -4, "speed_y": 2, "speed_attack_y": 0.25,
              "speed_ground_x": 9}  # fmt: skip
    made = np.concatenate([frame(speeds, speeds | {"hitlag": 1}), frame({}, speeds)])
    assert (travelled(RULED, made, 0) / Q16).tolist() == [[-2.5, 2.25], [0, 0]]
    assert (travelled(RULED, made, 1) / Q16).tolist() == [[0, 0], [-2.5, 2.25]]


def test_a_target_of_a_place_is_what_the_new_speeds_leave_unexplained():
    now = frame({"x": 10, "y": 5, "speed_air_x": 30}, {"x": -7})
    after = frame({"x": 12.5, "y": 5, "speed_air_x": 2, "shield": 58, "speed_y": 1, "hitlag": 0},
                  {"x": -6, "speed_attack_x": 3, "hitlag": 4})  # fmt: skip
    names = [(player, field.name) for player in (0, 1) for field in RULED.head("continuous")]
    targets = dict(
        zip(names, number_targets(RULED, "continuous", now, after, pads(1))[0], strict=True)
    )
    wanted = {(0, "x"): 0.5, (0, "y"): -1, (0, "shield"): -2, (1, "x"): 1, (1, "y"): 0,
              (1, "shield"): 0}  # fmt: skip
    assert targets == wanted
    names = [(player, field.name) for player in (0, 1) for field in RULED.head("dynamics")]
    found = number_targets(RULED, "dynamics", now, after, pads(1))[0]
    assert dict(zip(names, found, strict=True))[1, "hitlag"] == 4  # absolute


def test_a_hit_is_the_nearest_of_the_rises():
    middle = (RISES[5] + RISES[6]) / 2
    for rise, wanted in ((0, 0), (-80 * Q16, 0), (1, 1), (RISES[1], 1), (RISES[7] + 3, 7),
                         (RISES[7] - 3, 7), (middle - 1, 5), (middle + 1, 6), (RISES[-1], 32),
                         (99 * Q16, 32)):  # fmt: skip
        now, after = frame({"percent": 100}), frame({"percent": 100})
        after[0, RULED.index("percent")] += round(rise)
        found = drawn_classes(RULED, now, after)
        names = [draw.name for draw in RULED.draws]
        chosen = dict(zip(names, found.classes[0], strict=True))
        assert chosen == {"p1.percent": wanted, "p2.percent": 0, "p1.action": STAND,
                          "p2.action": STAND}, rise  # fmt: skip
        assert found.counted.all() and not found.extrapolated.any()
    assert list(RISES) == sorted(set(RISES))  # as the nearest is found by their middles


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize(
    "before, now, taken, counted, dies",
    [
        (STAND, STAND, STAND, True, False),
        (STAND, 20, 20, True, False),
        (REBORN, 13, 13, True, False),
        # a fate is no choice: he who dies is taken to have stayed
        *((STAND, fate, STAND, False, True) for fate in (0, 1, 2, STAR, FALL)),
        # nor is what a clock ends
        *((dead, dead, dead, False, False) for dead in (0, 1, 2, STAR, FALL, HIT)),
        *((dead, REBORN, REBORN, False, False) for dead in (0, 1, 2, STAR, HIT)),
        (FALL, HIT, HIT, False, False),
    ],
)
def test_a_choice_is_told_from_a_rule(player, before, now, taken, counted, dies):
    pair = [frame(*[{"action": action} if p == player else {} for p in (0, 1)])
            for action in (before, now)]  # fmt: skip
    found = drawn_classes(RULED, *pair)
    column = [draw.name for draw in RULED.draws].index(f"p{player + 1}.action")
    assert found.classes[0, column] == taken
    assert found.counted[0].tolist() == [k != column or counted for k in range(4)]
    assert found.extrapolated[0].tolist() == [p == player and dies for p in (0, 1)]


def test_an_agent_s_draws_are_the_next_controllers_of_player_1_and_version_1_has_none():
    pads = np.random.default_rng(0).integers(0, Q16 + 1, (5, 26)).astype(np.int32)
    frames = np.concatenate([frame()] * 5)
    found = true_draws(AGENT, frames, pads)
    assert (found == control_classes(pads[1:, :13])).all() and found.shape == (4, 3)
    plan = Schema()
    assert true_draws(plan, np.zeros((5, plan.frame_size), np.int32), pads).shape == (4, 0)


def perfect_heads(now: np.ndarray, after: np.ndarray, sticks: np.ndarray) -> dict[str, np.ndarray]:
    """Heads that are the true targets."""
    heads = {h: number_targets(RULED, h, now, after, sticks).astype(np.float64)
             for h in ("continuous", "velocity", "dynamics")}  # fmt: skip
    bits = after[:, head_index(RULED, "binary")]
    heads["binary"] = np.where(bits, 9.0, -9.0)
    rows = np.arange(len(now))
    for player, prefix in enumerate(("p1", "p2")):
        for field in RULED.head("classes"):
            logits = np.zeros((len(now), field.classes))
            logits[rows, after[:, RULED.index(field.name, player)]] = 5
            heads[f"{prefix}.{field.name}"] = logits
    return heads


def lawful(rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Present frames, next frames that keep all rules, the draws and the controllers that lead
    to these.

    Made by the update itself from heads that anything may have said.
    """
    now = random_frames(rng, count)
    percents = [RULED.index("percent", player) for player in (0, 1)]
    now[:, percents] = np.minimum(now[:, percents], 900 * Q16)  # so that a rise is seen whole
    heads = {name: rng.normal(0, 4, (count, width)) for name, width in RULED.heads.items()}
    chosen = draws(now)
    for column, draw in enumerate(RULED.draws):
        if draw.field == "action":
            forced = forced_actions(RULED, now, draw.player)
            free = np.where(rng.random(count) < 0.5, chosen[:, column],
                            rng.integers(14, 544, count))  # fmt: skip
            dead = np.isin(now[:, RULED.index("action", draw.player)], range(14))
            free = np.where(dead, chosen[:, column], free)
            chosen[:, column] = np.where(forced >= 0, forced, free)
        else:
            chosen[:, column] = rng.integers(0, draw.classes, count)
    sticks = rng.integers(0, Q16 + 1, (count, RULED.controllers_size)).astype(np.int32)
    return now, next_frames(RULED, now, heads, chosen, sticks), chosen, sticks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_true_targets_and_true_draws_lead_to_the_true_frame(seed):
    """Wherever the rules hold, deaths and rebirths included.

    A float32 head may be off by 2 units of Q15.16: its last bit at 500 game units is 2^-15; a
    speed or place by what the rules take for nothing.
    """
    now, after, chosen, sticks = lawful(np.random.default_rng(seed), 64)
    found = drawn_classes(RULED, now, after)
    again = next_frames(RULED, now, perfect_heads(now, after, sticks), found.classes, sticks)
    steady, drift = RULED.rules.motion.steady, RULED.rules.standing.drift
    for player in (0, 1):
        reborn = after[:, RULED.index("action", player)] == REBORN
        for name in (field.name for field in RULED.fields):
            at = RULED.index(name, player)
            off = np.abs(again[:, at].astype(np.int64) - after[:, at])
            hidden = reborn | found.extrapolated[:, player]  # the platform, or death, hides the way
            sure = ~hidden if name in ("on_ground", "x", "y") else True
            least = 2 if quantum(name) == Q16 else 0
            least = max(least, steady.get(name, 0))
            least = drift + sum(steady.values()) if name in ("x", "y") else least
            assert (off * sure <= least).all(), (name, player)
        assert (found.classes[~reborn, player] == chosen[~reborn, player]).all()
    assert found.extrapolated.any()


def test_spreads_are_of_targets_and_alike_for_both_players():
    rng = np.random.default_rng(0)
    games = [(random_frames(rng, 50), pads(50, (0.5, -1))) for _ in range(2)]
    found = spreads(RULED, games)
    for head in ("continuous", "velocity", "dynamics"):
        rows: list[np.ndarray] = []
        for frames, sticks in games:
            now, after = frames[:-1], frames[1:]
            targets = number_targets(RULED, head, now, after, sticks[1:]).astype(np.float64)
            died = drawn_classes(RULED, now, after).extrapolated
            for player, own in enumerate(np.split(targets, 2, axis=1)):
                before, action = (part[:, RULED.index("action", player)] for part in (now, after))
                counts = ~died[:, player] & ~((action == REBORN) & (before != REBORN))
                rows += list(own[counts])
        both = np.array(rows)
        offset, scale = found[head]
        for column, field in enumerate(RULED.head(head)):
            values = both[:, column]
            mean, spread = values.mean(), 2 * np.abs(values - values.mean()).mean()
            if field.update == "move" or head == "velocity":
                nothing = 0.02 if field.update == "move" else (
                    0.01 if "attack" in field.name else 0.004)  # fmt: skip
                big = values[np.abs(values) >= nothing - 1e-5]
                mean, spread = 0, np.sqrt((big**2).mean())
            for end in (column, column + len(offset) // 2):
                assert offset[end] == pytest.approx(mean, rel=1e-5, abs=1e-7)
                assert scale[end] == pytest.approx(spread, rel=1e-5)


def test_heads_made_by_hand_say_what_is_set():
    now = frame({"x": 3})
    heads = still(now)
    set_head(heads, "facing", 1, 4.0)
    set_head(heads, "shield", 0, -2.5)
    found = next_frames(RULED, now, heads, draws(now), pads(1))
    assert found[0, RULED.index("facing", 1)] == 1 and found[0, RULED.index("facing", 0)] == 0
    assert found[0, RULED.index("shield", 0)] == 57.5 * Q16
