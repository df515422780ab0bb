"""What a summary says, and that the rules of the real game are those of real games."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wmq.game.schema import Q16, Schema
from wmq.rollout.starts import match_start
from wmq.rollout.summary import impossible_events, impossible_rate, summarize

SCHEMA = Schema()

pytest_plugins = ("tests.support.replay_files",)


def course(frames: int = 5) -> np.ndarray:
    """A match's first frame, standing still on the ground."""
    rows = np.repeat(match_start(SCHEMA, "battlefield", ("fox", "falco")).given, frames, axis=0)
    for player in (0, 1):
        rows[:, SCHEMA.index("action", player)] = 14
        rows[:, SCHEMA.index("on_ground", player)] = 1
    return rows


def broken(rows: np.ndarray, player: int = 0) -> dict[str, int]:
    events = impossible_events(SCHEMA, rows, player)
    return {rule: int(found.sum()) for rule, found in events if found.any()}


@pytest.mark.parametrize(
    ("field", "values", "rules"),
    [
        ("stocks", [4, 4, 3, 3, 3], {"stocks": 1}),
        ("stocks", [3, 4, 4, 4, 4], {"stocks": 1}),
        ("percent", [9 * Q16, 8 * Q16, 8 * Q16, 8 * Q16, 9 * Q16], {"healing": 1}),
        ("percent", [9 * Q16, 9 * Q16 - 9, 9 * Q16, 9 * Q16, 9 * Q16], {}),
        ("x", [0, 36 * Q16, 0, 34 * Q16, 0], {"teleport": 2}),
        ("y", [0, -36 * Q16, -36 * Q16, 0, 0], {"teleport": 2}),
        ("on_ground", [1, 1, 0, 0, 1], {"ground": 2}),
        ("action", [14, 14, 324, 324, 324], {"unseen action change": 1}),
    ],
)
def test_impossible_events_are_found(field: str, values: list[int], rules: dict) -> None:
    for player in (0, 1):
        rows = course()
        rows[:, SCHEMA.index(field, player)] = values
        assert broken(rows, player) == rules
        assert not broken(rows, 1 - player)


def test_death_may_take_a_stock_and_move_a_player() -> None:
    rows = course()
    columns = {
        "action": [35, 0, 12, 12, 13],
        "stocks": [4, 3, 3, 3, 3],
        "percent": [90 * Q16, 90 * Q16, 0, 0, 0],
        "x": [-300 * Q16, -300 * Q16, 0, 0, 0],
        "on_ground": [0, 0, 0, 0, 0],
    }
    for name, values in columns.items():
        rows[:, SCHEMA.index(name)] = values
    assert not broken(rows)
    rows[2:, SCHEMA.index("action")] = 14
    rows[2:, SCHEMA.index("on_ground")] = 1
    assert set(broken(rows)) == {"death", "healing", "unseen action change"}


def test_summary_counts_stocks_damage_and_actions() -> None:
    rows = course(1203)
    rows[:, SCHEMA.index("percent")] = np.minimum(np.arange(1203) * Q16 // 100, 8 * Q16)
    rows[700:, SCHEMA.index("stocks", 1)] = 0
    rows[700:, SCHEMA.index("action", 1)] = 0
    rows[700:, SCHEMA.index("on_ground", 1)] = 0
    one, two = summarize(SCHEMA, rows[0], rows[1:])
    assert [m.seconds for m in one.moments] == [0, 10, 20, 1202 / 60]
    assert one.damage == 8 and one.stocks_lost == 0 and one.out_after is None
    assert two.stocks_lost == 4 and two.out_after == 700 / 60
    assert one.actions == {"stand, walk, dash, turn, crouch, land": 1.0}
    assert sum(two.actions.values()) == pytest.approx(1)
    assert two.impossible["stocks"] == 1
    rate = impossible_rate((one, two), 1202)
    assert rate == 1000 * sum(two.impossible.values()) / 2404


def test_real_games_break_no_rule(made_or_real: list[Path]) -> None:
    from wmq.replays.slippi import read_replay

    for path in made_or_real[:3]:
        frames = read_replay(path).frames
        for player in (0, 1):
            assert set(broken(frames, player)) <= {"unseen action change"}
