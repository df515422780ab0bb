"""Bad options, and calls in the wrong order, are one line; so is a missing extra."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wmq
from tests.support.interrupted import interrupted
from wmq.envs import melee_v0
from wmq.envs.options import MatchOptions
from wmq.envs.single import MeleeEnv
from wmq.envs.vector import MeleeSelfPlayVectorEnv, MeleeVectorEnv
from wmq.errors import WmqError
from wmq.game.names import CHARACTERS, STAGES
from wmq.inference.integer_predictor import IntegerPredictor

pytest_plugins = ("tests.support.rollout_models",)
ROOT = Path(__file__).resolve().parents[3]

BAD: list[dict[str, Any]] = [
    {"stage": "hyrule"},
    {"stage": 31},
    {"characters": "fox"},
    {"characters": ("fox",)},
    {"characters": ("fox", "sonic")},
    {"characters": ("fox", None)},
    {"max_frames": 0},
    {"max_frames": 2.5},
    {"max_frames": True},
    {"max_frames": 10**30},
    {"threads": 0},
    {"threads": 10**6},
    {"damage_reward": float("nan")},
    {"stock_reward": "much"},
]


@pytest.mark.parametrize("options", BAD, ids=str)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(WmqError) as refused:
        MatchOptions(**options)
    assert str(refused.value).startswith(next(iter(options))) and "\n" not in str(refused.value)


@pytest.mark.parametrize("opponent", ["replay", "human", "script:", "script:nowhere", 3, None])
def test_bad_opponents_are_refused_in_one_line(opponent: Any, worlds: IntegerPredictor) -> None:
    with pytest.raises(WmqError) as refused:
        MeleeEnv(opponent, model=worlds)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", ["nowhere.wmq", "model.onnx", Path("weights.pt"), 3])
def test_bad_models_are_refused_in_one_line(model: Any) -> None:
    with pytest.raises(WmqError) as refused:
        melee_v0.parallel_env(model=model)
    assert str(model) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("count", [0, -1, 1.5, "four", True, 10**9])
def test_bad_numbers_of_worlds_are_refused_in_one_line(count: Any) -> None:
    for make in (MeleeVectorEnv, MeleeSelfPlayVectorEnv):
        with pytest.raises(WmqError, match="^num_.* give a whole number in 1..100000$"):
            make(count)


def test_an_unknown_option_is_a_type_error_as_in_any_python_call() -> None:
    """Which is what libraries look for that try render_mode."""
    with pytest.raises(TypeError, match="render_mode"):
        MeleeEnv(render_mode="rgb_array")


def test_calls_in_the_wrong_order_are_one_line(worlds: IntegerPredictor) -> None:
    rest = {"analog": np.zeros(5), "buttons": np.zeros(8)}
    single, vector = MeleeEnv(model=worlds, max_frames=1), MeleeVectorEnv(2, model=worlds)
    both = melee_v0.parallel_env(model=worlds, max_frames=1)
    batch = {name: np.stack([values] * 2) for name, values in rest.items()}
    pair = {"p1": rest, "p2": rest}
    for env, action in ((single, rest), (vector, batch), (both, pair)):
        with pytest.raises(WmqError, match="call reset first"):
            env.step(action)
        env.reset()
        env.step(action)
    for env, action in ((single, rest), (both, pair)):  # the one frame is over
        with pytest.raises(WmqError, match="call reset first"):
            env.step(action)
    both.reset()
    for wrong in ({"p1": rest}, pair | {"p3": rest}, rest, None):
        with pytest.raises(WmqError, match="^actions of p1 and p2 are needed"):
            both.step(wrong)
    with pytest.raises(WmqError, match="^p2: trigger is 2, outside"):
        both.step({"p1": rest, "p2": rest | {"analog": [0, 0, 0, 0, 2]}})
    with pytest.raises(WmqError, match="^3 seeds for 2 worlds"):
        vector.reset(seed=[1, 2, 3])


REST = {"analog": np.zeros(5), "buttons": np.zeros(8)}
BATCH = {name: np.stack([values] * 2) for name, values in REST.items()}
FORMS: list[tuple[Callable[..., Any], Any]] = [
    (MeleeEnv, REST),
    (partial(MeleeVectorEnv, 2), BATCH),
    (partial(MeleeSelfPlayVectorEnv, 1), BATCH),
    (melee_v0.parallel_env, {"p1": REST, "p2": REST}),
]


@pytest.mark.parametrize(("make", "action"), FORMS)
def test_a_closed_environment_stays_closed(
    make: Callable[..., Any], action: Any, worlds: IntegerPredictor
) -> None:
    env = make(model=worlds, threads=2)
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(WmqError, match="call reset first"):
        env.step(action)
    with pytest.raises(WmqError, match="^this environment is closed; make another$"):
        env.reset(seed=0)


@pytest.mark.parametrize(("make", "action"), FORMS)
def test_an_interrupted_step_needs_a_reset(
    make: Callable[..., Any], action: Any, worlds: IntegerPredictor
) -> None:
    env, other = make(model=worlds), make(model=worlds)
    env.reset(seed=0)
    interrupted(env.step, action)
    with pytest.raises(WmqError, match="call reset first"):
        env.step(action)
    found = []
    for one in (env, other):
        one.reset(seed=1)
        found.append(one.step(action)[-1])
    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize("way", [copy.deepcopy, pickle.dumps])
def test_an_environment_says_that_it_is_not_copied(way: Any, worlds: IntegerPredictor) -> None:
    env = MeleeEnv(model=worlds)
    with pytest.raises(WmqError, match="^an environment is neither copied nor pickled"):
        way(env)


def test_a_model_of_load_is_shared(models: Path) -> None:
    model = wmq.load(models / "small.wmq")
    made = model.rollout(1, controllers="idle").integers[0]
    for given in (model, models / "small.wmq"):
        env = melee_v0.parallel_env(model=given)
        env.reset(seed=0)
        env.step({"p1": REST, "p2": REST})
        assert (env.state() == made).all()
    with pytest.raises(WmqError, match="^model <Model small.onnx.*: give a .wmq file"):
        melee_v0.parallel_env(model=wmq.load(models / "small.onnx"))


def test_seeds_of_a_vector_may_be_of_numpy(worlds: IntegerPredictor) -> None:
    vector = MeleeVectorEnv(2, model=worlds)
    assert vector.reset(seed=np.array([5, 7]))[1]["seed"].tolist() == [5, 7]
    with pytest.raises(WmqError, match=r"^seed 1.5: give a whole number, or one for each world"):
        vector.reset(seed=1.5)  # type: ignore[arg-type]


def test_random_choices_reach_every_stage_and_character() -> None:
    options = MatchOptions(stage="random", characters=("random", "random"))
    drawn = [options.drawn(seed) for seed in range(600)]
    assert {stage for stage, _ in drawn} == set(STAGES)
    for player in (0, 1):
        assert {names[player] for _, names in drawn} == set(CHARACTERS)
    assert len({names for _, names in drawn}) > 300
    assert MatchOptions(characters=("marth", "random")).drawn(5)[1][0] == "marth"


@pytest.mark.parametrize("missing", [["gymnasium"], ["pettingzoo"], ["gymnasium", "pettingzoo"]])
def test_a_missing_extra_is_one_line(missing: list[str]) -> None:
    code = "import json, sys\nfor name in json.loads(sys.argv[1]): sys.modules[name] = None\n"
    code += "from wmq.errors import WmqError\ntry: import wmq.envs\n"
    code += "except WmqError as error: print(error)"
    command = [sys.executable, "-c", code, json.dumps(missing)]
    done = subprocess.run(command, capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    needed = " and ".join(missing)
    assert done.stdout == f"wmq.envs needs {needed}: pip install 'wmq[rl]'\n"
