"""Rewards and ends, on frames that are made up: what a world's frames say, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wmq.envs import melee_v0
from wmq.envs.single import MeleeEnv
from wmq.envs.vector import MeleeVectorEnv
from wmq.game.schema import Q16, Schema
from wmq.inference.integer_predictor import IntegerPredictor

SCHEMA = Schema()
REST = {"analog": np.zeros(5), "buttons": np.zeros(8)}
# (percent, stocks) of player 1 and of player 2, frame after frame, from a start of 0 % and 4 stocks
COURSE = [
    ((0, 4), (0, 4)),
    ((12.5, 4), (0, 4)),  # player 2 hits
    ((12.5, 4), (7, 4)),  # player 1 hits
    ((20.5, 4), (8, 4)),  # both
    ((20.5, 3), (8, 4)),  # player 1 dies
    ((0, 3), (8, 4)),  # and respawns
    ((0, 3), (3, 4)),  # healing is no damage
    ((0, 2), (3, 3)),  # both die
    ((0, 2), (3, 1)),  # two at once
    ((0, 2), (30, 0)),  # the last stock
]
DAMAGE = [(0, 0), (12.5, 0), (0, 7), (8, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 27)]
STOCKS = [(0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (0, 0), (0, 0), (1, 1), (0, 2), (0, 1)]


class Told(IntegerPredictor):
    """A world in which COURSE happens, again and again."""

    def __init__(self) -> None:
        self.schema = SCHEMA

    def compile(self) -> None:
        pass

    def worlds(self, count: int, threads: int = 1, states: Any = None, sampling: Any = None) -> Any:
        return ToldWorlds(count)


class ToldWorlds:
    def __init__(self, count: int) -> None:
        self.at = np.zeros(count, int)

    def begin(self, world: int, seed: int) -> None:
        self.at[world] = 0

    def advance(self, given: np.ndarray, controllers: np.ndarray, frames: int) -> np.ndarray:
        assert frames == given.shape[1] == 1
        made = given.copy()
        for world, at in enumerate(self.at):
            for player, (percent, stocks) in enumerate(COURSE[at % len(COURSE)]):
                made[world, 0, SCHEMA.index("percent", player)] = int(percent * Q16)
                made[world, 0, SCHEMA.index("stocks", player)] = stocks
        self.at += 1
        return made


@pytest.mark.parametrize(
    "weights", [{}, {"damage_reward": 0.5}, {"stock_reward": 0, "damage_reward": 2}]
)
def test_reward_is_what_the_opponent_loses_less_what_the_player_loses(weights: dict) -> None:
    damage, stock = weights.get("damage_reward", 0.01), weights.get("stock_reward", 1.0)
    env = melee_v0.parallel_env(model=Told(), **weights)
    env.reset(seed=0)
    for hurt, lost in zip(DAMAGE, STOCKS, strict=True):
        _, rewards, *_ = env.step({"p1": REST, "p2": REST})
        expected = damage * (hurt[1] - hurt[0]) + stock * (lost[1] - lost[0])
        assert rewards["p1"] == pytest.approx(expected, abs=1e-12)
        assert rewards["p2"] == -rewards["p1"]


def test_a_match_ends_with_the_last_stock_of_a_player() -> None:
    env = melee_v0.parallel_env(model=Told())
    env.reset(seed=0)
    for at in range(len(COURSE)):
        _, _, terminated, truncated, _ = env.step({"p1": REST, "p2": REST})
        last = at == len(COURSE) - 1
        assert terminated == {"p1": last, "p2": last} and not any(truncated.values())
    assert env.agents == []


@pytest.mark.parametrize(("frames", "ends"), [(4, (False, True)), (10, (True, False))])
def test_a_match_is_truncated_at_max_frames_unless_it_is_over(frames: int, ends: tuple) -> None:
    env = MeleeEnv("idle", model=Told(), max_frames=frames)
    env.reset(seed=0)
    outcomes = [env.step(REST)[2:4] for _ in range(frames)]
    assert outcomes == [(False, False)] * (frames - 1) + [ends]


def test_autoreset_takes_a_step_of_its_own_without_reward() -> None:
    env = MeleeVectorEnv(3, "idle", model=Told(), max_frames=5)
    batch = {"analog": np.zeros((3, 5)), "buttons": np.zeros((3, 8))}
    env.reset(seed=[7, 8, 9])
    rewards, truncations = [], []
    for _ in range(12):
        seen, gains, terminated, truncated, _ = env.step(batch)
        rewards.append(gains[0])
        truncations.append(truncated.all())
        assert (gains == gains[0]).all() and not terminated.any()
        if len(truncations) in (6, 12):
            assert (seen["numbers"][:, 0] == 0).all() and (seen["controller"] == 0).all()
    episode = [0, -0.125, 0.07, -0.07, -1]
    assert rewards == pytest.approx([*episode, 0, *episode, 0])
    assert np.flatnonzero(truncations).tolist() == [4, 10]
