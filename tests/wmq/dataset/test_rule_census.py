"""The counts of rules, on a game made by the rules, and with one of them broken in one place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.calibrating import info
from tests.support.ruled_frames import RULED, draws, frame, pads, still
from wmq.dataset.rule_census import count_rules, lines_of, main
from wmq.game.frame_update import forced_actions, next_frames
from wmq.game.schema import Q16
from wmq.replays.slippi import Game

FRAMES = 330
DEATH_RIGHT, DEATH_ABOVE = 80, 21  # the frames of which `made` tells below


def made() -> Game:
    """Player 1 slides over the right end after 5 frames of hitlag; player 2 is thrown over the top.

    224 units at 3 a frame are crossed on the 75th frame of movement, and 60 on the 21st at 3.5,
    of which 0.051 fade a frame.
    """
    now = frame({"speed_attack_x": 3, "hitlag": 6, "percent": 40, "on_ground": 1},
                {"action": 90, "y": 140, "speed_attack_y": 3.5, "percent": 90})  # fmt: skip
    rows = [now]
    while len(rows) < FRAMES:
        chosen = {}
        for player in (0, 1):
            forced = int(forced_actions(RULED, now, player)[0])
            chosen |= {f"p{player + 1}_action": forced} if forced >= 0 else {}
        if len(rows) == 30:
            chosen["p1_percent"] = 9
        now = next_frames(RULED, now, still(now), draws(now, **chosen), pads(1))
        rows.append(now)
    return Game(info(0, FRAMES), np.concatenate(rows), pads(FRAMES))


def of(counts: dict, rule: str) -> tuple[int, int]:
    (name,) = [name for name in counts if name.startswith(rule) and name.endswith(", of")]
    return counts[name.removesuffix(", of")], counts[name]


def test_a_game_made_by_the_rules_keeps_all_of_them():
    game = made()
    counts = count_rules(game)
    action = game.frames[:, [RULED.index("action", player) for player in (0, 1)]]
    assert action[DEATH_RIGHT - 1, 0] == 14 and action[DEATH_RIGHT, 0] == 2
    assert action[DEATH_ABOVE - 1, 1] == 90 and action[DEATH_ABOVE, 1] == 4
    for rule, count in (
        ("percent falls", 2), ("percent is 0", 2), ("a death left", 0), ("a death right", 1),
        ("a death below", 0), ("a death above is beyond", 1), ("a death above is of the star", 1),
        ("a death above is of one thrown", 1), ("beyond a side", 1), ("over the top such", 1),
        ("over the top anybody", 0), ("action 2 lasts 60 frames, then 12", 1),
        ("action 4 lasts 176 frames, then 12", 1), ("action 6 lasts 51 frames, then 7", 0),
        ("action 2 takes", 1), ("action 4 takes", 1), ("action 7 takes", 0),
        ("stocks fall by one", 2), ("stocks fall at", 2), ("a rebirth is at", 2),
        ("a rebirth has a full", 2), ("a rebirth has the platform", 2),
        ("speeds and hitlag are 0", 2), ("hitlag that", 6),
        ("a place follows from the speeds, in hitlag", 5),
        ("a place follows from the speeds, on the first", 0),
    ):  # fmt: skip
        assert of(counts, rule) == (count, count), rule
    assert counts["hits"] == 1 and counts["hits, error in 2^-16 %"] == 0
    assert (counts["games"], counts["player-frames"]) == (1, 2 * FRAMES)


@pytest.mark.parametrize(
    "field, player, at, value, rule, holds",
    [
        ("percent", 0, 20, 39 * Q16, "percent falls", (2, 3)),
        ("x", 0, DEATH_RIGHT, 224 * Q16, "a death right", (0, 1)),
        ("x", 0, 40, 225 * Q16, "beyond a side", (1, 2)),
        ("y", 0, 40, 201 * Q16, "over the top anybody", (1, 1)),
        ("speed_attack_y", 1, DEATH_ABOVE - 1, 2 * Q16, "a death above is of one", (0, 1)),
        ("action", 0, DEATH_RIGHT + 59, 12, "action 2 lasts", (0, 1)),
        ("stocks", 0, 300, 1, "stocks fall by one", (2, 4)),
        ("hitlag", 0, 3, 1, "hitlag that", (4, 5)),
        ("speed_air_x", 0, DEATH_RIGHT, 5, "speeds and hitlag", (1, 2)),
        ("shield", 1, DEATH_ABOVE + 176, 59 * Q16, "a rebirth has a full", (1, 2)),
        ("x", 1, DEATH_ABOVE + 176, 0, "a rebirth is at", (1, 2)),
        ("speed_attack_y", 1, 10, 3 * Q16, "in the air knockback fades", (18, 20)),
        ("speed_y", 1, 10, Q16, "in the air gravity alone", (18, 20)),
        ("speed_attack_x", 0, 20, 3 * Q16 + 9, "speed_attack_x changes by", (97, 99)),
        ("speed_air_x", 0, 20, Q16, "on the ground stick and friction", (72, 74)),
        ("speed_ground_x", 0, 20, Q16, "speed_ground_x is speed_air_x", (98, 99)),
        ("on_ground", 0, 20, 0, "an action that is always on the ground", (78, 79)),
        ("speed_y", 0, 20, Q16, "who stays on the ground", (79, 80)),
        ("y", 0, 20, -9 * Q16, "who was above a main floor", (45, 46)),
    ],
)
def test_one_broken_place_is_counted(field, player, at, value, rule, holds):
    game = made()
    frames = game.frames.copy()
    frames[at, RULED.index(field, player)] = value
    assert of(count_rules(replace(game, frames=frames)), rule) == holds


def test_rules_of_what_a_replay_lacks_are_left_out():
    game = made()
    lacking = replace(game, info=replace(game.info, missing=("hitlag", "speed_y")))
    counts = count_rules(lacking)
    assert of(counts, "a death right") == (1, 1)
    assert not any("hitlag" in name or "over the top" in name for name in counts)


def test_the_page_has_each_rule_that_is_counted():
    page = (Path(__file__).resolve().parents[3] / "docs" / "frames.md").read_text("utf-8")
    rules = [name.removesuffix(", of") for name in count_rules(made()) if name.endswith(", of")]
    assert len(rules) > 30
    assert [rule for rule in rules if f"\n| {rule} | " not in page] == []


def test_the_counts_are_a_table_and_the_command_says_what_it_takes():
    lines = lines_of(count_rules(made()))
    assert "| percent falls at a rebirth alone | 2 | 2 | 100.00 % |" in lines
    assert all(line.count("|") in (0, 5) for line in lines)
    for arguments in ([], ["/nowhere"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert "\n" not in str(caught.value)
