"""Environments play the frames of `wmq rollout`, whatever their form, company and threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wmq.envs import melee_v0
from wmq.envs.actions import natural_controllers
from wmq.envs.single import MeleeEnv
from wmq.envs.vector import MeleeSelfPlayVectorEnv, MeleeVectorEnv
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.controllers import Source, random_controllers
from wmq.rollout.hash_chain import rollout_sha256
from wmq.rollout.rollout import both_controllers, match_of, roll
from wmq.rollout.starts import match_start

pytest_plugins = ("tests.support.rollout_models",)

FRAMES = 40
CHARACTERS = ("marth", "sheik")


@pytest.fixture(scope="module")
def embedded() -> IntegerPredictor:
    """In which, unlike in a model with random weights, nobody dies at once."""
    return IntegerPredictor()


def an_action(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The action that holds these integer controllers, (.., 13)."""
    natural = natural_controllers(rows)
    return {"analog": natural[..., :5], "buttons": natural[..., 5:].astype(np.int8)}


def rolled(model: IntegerPredictor, pads: list[np.ndarray], seeds: list[int]) -> Any:
    start = match_start(model.schema, "dream-land", CHARACTERS)
    return start, roll(model, start, pads, seeds).worlds


def test_both_players_controllers_give_the_frames_and_the_hash_of_a_rollout(
    embedded: IntegerPredictor,
) -> None:
    pads = np.concatenate([random_controllers(FRAMES, player, 3) for player in (0, 1)], axis=1)
    start, (expected,) = rolled(embedded, [pads], [3])
    env = melee_v0.parallel_env(model=embedded, stage="dream-land", characters=CHARACTERS)
    env.reset()
    env.step({"p1": an_action(pads[5, :13]), "p2": an_action(pads[6, 13:])})  # leaves no trace
    _, infos = env.reset(seed=3)
    assert (infos["p1"]["frame"] == start.given[-1]).all()
    frames = []
    for row in pads:
        _, _, _, _, infos = env.step({"p1": an_action(row[:13]), "p2": an_action(row[13:])})
        assert (infos["p2"]["frame"] == env.state()).all()
        frames.append(env.state())
    found = np.stack(frames)
    assert (found == expected.frames).all()
    match = match_of(embedded.schema, 3, ("", ""), "sample")
    assert expected.sha256 == rollout_sha256(
        embedded.sha256, start.given, start.controllers, pads, found, match
    )


@pytest.mark.parametrize("opponent", ["idle", "random", "script"])
def test_an_opponent_plays_what_rollout_would_with_that_seed(
    embedded: IntegerPredictor, opponent: str, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("0-9 main=1,0.5 L\n10-19 c=0,1 trigger=0.35\nrepeat 25\n")
    source = Source("script", str(script)) if opponent == "script" else Source(opponent)
    start = match_start(embedded.schema, "dream-land", CHARACTERS)
    pads = both_controllers((Source("random"), source), start, FRAMES, 21)
    _, (expected,) = rolled(embedded, [pads], [21])
    env = MeleeEnv(str(source), model=embedded, stage="dream-land", characters=CHARACTERS)
    env.reset(seed=21)
    for row, frame in zip(pads, expected.frames, strict=True):
        *_, info = env.step(an_action(row[:13]))
        assert (info["frame"] == frame).all()


def test_long_random_play_of_an_opponent_is_that_of_rollout(embedded: IntegerPredictor) -> None:
    """Its rows are drawn some at a time."""
    env = MeleeEnv(model=embedded)
    env.reset(seed=4)
    expected = random_controllers(5000, 1, 4)
    for age in (0, 1, 1023, 1024, 1025, 2047, 2048, 4097, 4999):
        env._matches.ages[0] = age
        assert (env._opponent.controllers(env._matches)[0] == expected[age]).all()


def test_a_policy_plays_player_2_as_an_agent_would(embedded: IntegerPredictor) -> None:
    """And sees what that agent sees, alone or in a batch."""
    pads = np.concatenate([random_controllers(FRAMES, player, 8) for player in (0, 1)], axis=1)
    seen: list[dict[str, np.ndarray]] = []
    batches: list[dict[str, np.ndarray]] = []

    def alone(observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(observation)
        return an_action(pads[len(seen) - 1, 13:])

    def together(observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batches.append(observation)
        return an_action(np.tile(pads[len(batches) - 1, 13:], (2, 1)))

    single, vector = MeleeEnv(alone, model=embedded), MeleeVectorEnv(2, together, model=embedded)
    both = melee_v0.parallel_env(model=embedded)
    single.reset(seed=0)
    vector.reset(seed=[0, 0])
    expected, _ = both.reset(seed=0)
    for at, row in enumerate(pads):
        *_, info = single.step(an_action(row[:13]))
        *_, infos = vector.step(an_action(np.tile(row[:13], (2, 1))))
        for name, values in expected["p2"].items():
            assert (seen[at][name] == values).all() and (batches[at][name] == values).all()
        expected, *_ = both.step({"p1": an_action(row[:13]), "p2": an_action(row[13:])})
        assert (info["frame"] == both.state()).all() and (infos["frame"] == both.state()).all()
    assert len(seen) == len(batches) == len(pads)


OPTIONS = {"stage": "random", "characters": ("random", "fox"), "max_frames": 9}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_worlds_side_by_side_are_those_alone(worlds: IntegerPredictor, threads: int) -> None:
    """Through some autoresets: both players of 11 worlds against 11 worlds of their own."""
    count = 11
    vector = MeleeSelfPlayVectorEnv(count, model=worlds, threads=threads, **OPTIONS)
    singles = [melee_v0.parallel_env(model=worlds, **OPTIONS) for _ in range(count)]
    vector.action_space.seed(6)
    seen, infos = vector.reset(seed=50)
    alone = [single.reset(seed=50 + world) for world, single in enumerate(singles)]
    starts = set(infos["seed"].tolist())
    for _ in range(25):
        for world, (observations, own) in enumerate(alone):
            for player, agent in enumerate(("p1", "p2")):
                row = 2 * world + player
                assert all((seen[k][row] == v).all() for k, v in observations[agent].items())
                assert (infos["frame"][row] == own[agent]["frame"]).all()
                assert infos["seed"][row] == own[agent]["seed"]
        actions = vector.action_space.sample()
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        starts |= set(infos["seed"].tolist())
        for world, single in enumerate(singles):
            rows = slice(2 * world, 2 * world + 2)
            if not single.agents:
                alone[world] = single.reset()
                assert not rewards[rows].any() and not (terminated | truncated)[rows].any()
                continue
            given = {
                agent: {name: values[2 * world + player] for name, values in actions.items()}
                for player, agent in enumerate(("p1", "p2"))
            }
            observations, gains, ends, cuts, own = single.step(given)
            alone[world] = observations, own
            assert rewards[rows].tolist() == list(gains.values())
            assert terminated[rows].tolist() == list(ends.values())
            assert truncated[rows].tolist() == list(cuts.values())
    assert len(starts) >= 3 * count


def test_the_seed_of_an_info_begins_that_episode_again(embedded: IntegerPredictor) -> None:
    env = MeleeEnv(model=embedded, stage="random", characters=("random", "random"))
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(6)]

    def episode(seed: int | None) -> tuple[list[np.ndarray], int]:
        _, info = env.reset(seed=seed)
        return [info["frame"], *(env.step(action)[-1]["frame"] for action in actions)], info["seed"]

    env.reset(seed=1)
    drawn = [episode(None) for _ in range(5)]
    assert len({seed for _, seed in drawn}) == 5
    assert len({frames[0].tobytes() for frames, _ in drawn}) > 1
    for frames, seed in drawn:
        again, _ = episode(seed)
        assert (np.stack(again) == np.stack(frames)).all()
