"""The checks of Gymnasium and PettingZoo pass without a warning."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import gymnasium
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

import wmq.envs
from wmq.envs import melee_v0
from wmq.inference.integer_predictor import IntegerPredictor

pytest_plugins = ("tests.support.rollout_models",)
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("opponent", ["idle", "random"])
def test_gymnasium_checks_the_single_environment(models: Path, opponent: str) -> None:
    made = gymnasium.make(wmq.envs.ID, model=str(models / "small.wmq"), opponent=opponent)
    check_env(made.unwrapped)


def test_pettingzoo_checks_the_parallel_environment(models: Path) -> None:
    made = pettingzoo.make("parallel", wmq.envs.ID, model=models / "small.wmq", max_frames=50)
    parallel_api_test(made, num_cycles=120)


def test_pettingzoo_checks_seeds(worlds: IntegerPredictor) -> None:
    def make() -> pettingzoo.ParallelEnv:
        return melee_v0.parallel_env(
            model=worlds, max_frames=60, stage="random", characters=("random", "random")
        )

    parallel_seed_test(make, num_cycles=50)


def test_pettingzoo_checks_the_turn_based_form(worlds: IntegerPredictor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like boxes for spaces, and names like player_0
        api_test(melee_v0.env(model=worlds, max_frames=50), num_cycles=120)


def test_the_vector_form_is_what_gymnasium_makes(models: Path) -> None:
    path = str(models / "small.wmq")
    made = gymnasium.make_vec("wmq.envs:wmq/Melee-v0", num_envs=3, model=path, max_frames=4)
    plain = gymnasium.make_vec(
        wmq.envs.ID, num_envs=3, model=path, max_frames=4, vectorization_mode="sync"
    )
    assert type(made).__name__ == "MeleeVectorEnv"
    for name in ("observation_space", "action_space"):
        assert getattr(made, name) == getattr(plain, name)
    made.action_space.seed(1)
    outcomes = [env.reset(seed=8) for env in (made, plain)]
    for _ in range(11):
        assert data_equivalence(outcomes[0][0], outcomes[1][0], exact=True)
        for ours, theirs in zip(outcomes[0][1:-1], outcomes[1][1:-1], strict=True):
            assert (ours == theirs).all() and ours.dtype == theirs.dtype
        infos = [outcome[-1] for outcome in outcomes]
        assert set(infos[0]) == set(infos[1])
        assert all((infos[0][key] == infos[1][key]).all() for key in infos[0])
        assert outcomes[0][0] in made.observation_space
        actions = made.action_space.sample()
        outcomes = [env.step(actions) for env in (made, plain)]
    made.close()
    plain.close()


def test_what_was_returned_stays_as_it_was(worlds: IntegerPredictor) -> None:
    made = melee_v0.vector_env(num_worlds=2, model=worlds, max_frames=3)
    made.action_space.seed(2)
    returned = [made.reset(seed=0)]
    kept = [pickle.dumps(returned[0])]
    for _ in range(5):
        returned.append(made.step(made.action_space.sample()))
        kept.append(pickle.dumps(returned[-1]))
    for ours, before in zip(returned, kept, strict=True):
        assert data_equivalence(ours, pickle.loads(before), exact=True)
