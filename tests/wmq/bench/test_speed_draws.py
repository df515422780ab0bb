"""The speed benchmark of worlds that draw, of agents, and of matches: what it plays, and says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.rollout_models import wmq
from wmq.bench.speed.contenders import chosen, contenders
from wmq.bench.worker import integer_worlds, match_worlds, onnx_worlds, torch_worlds
from wmq.bench.worker.matches import LENGTH, beginnings, ports
from wmq.bench.worker.profile import profile
from wmq.inference.agents import FloatAgent, IntegerAgent
from wmq.inference.draws import Sampling
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_float
from wmq.inference.onnx_session import OnnxStep
from wmq.inference.torch_step import drawing
from wmq.toolkits.torch_models import world_model

pytest_plugins = ("tests.support.match_models",)
STEPS, WORLDS = 6, 3
SAMPLING = Sampling.of_worlds(range(WORLDS))


def played(model: IntegerPredictor | OnnxPredictor) -> np.ndarray:
    """The frames that worlds of a predictor end in."""
    frames, pads = beginnings(model.schema, WORLDS)
    worlds = model.worlds(WORLDS, sampling=SAMPLING)
    return worlds.advance(frames[:, None], pads[:, : STEPS + 1], STEPS)[:, -1]


def given(agent: IntegerAgent | FloatAgent) -> np.ndarray:
    """The controllers that actors end with, who see the first frame again and again."""
    frames, pads = beginnings(agent.schema, WORLDS)
    actors, own = agent.actors(SAMPLING), pads[:, :1, :13]
    for _ in range(STEPS):
        own = actors.act(frames[:, None], own)[:, None]
    return own[:, 0]


@pytest.mark.parametrize("role", ["world", "agent"])
def test_a_group_plays_what_a_rollout_plays(match_models: Path, role: str) -> None:
    path = match_models / f"{role}.wmq"
    model = IntegerPredictor(path) if role == "world" else IntegerAgent(path)
    group = integer_worlds.WorldGroup(model.engine, model.schema, *ports(model.schema, WORLDS))
    group.advance(STEPS)
    wanted = played(model) if isinstance(model, IntegerPredictor) else given(model)
    np.testing.assert_array_equal(group.now, wanted)
    kinds = profile(model.engine, model.schema, 0.05)
    assert {"sample", "dots"} <= set(kinds)


@pytest.mark.parametrize("role", ["world", "agent"])
@torch.inference_mode()
def test_float_forms_play_what_the_float_step_plays(match_models: Path, role: str) -> None:
    path = match_models / f"{role}.onnx"
    wanted = played(OnnxPredictor(path)) if role == "world" else given(FloatAgent(path))
    step = OnnxStep(path)
    plain = world_model(open_float(path).step)
    bound = onnx_worlds.SessionWorlds(step.session, step.schema, WORLDS)
    peer = torch_worlds.TorchWorlds(drawing(plain), plain, WORLDS)
    for form in (bound, peer):
        form.frame(STEPS)
        found = form.frames if role == "world" else form.own
        assert np.abs(found.astype(np.int64) - wanted).max() <= 64  # of 2^16 units


def test_a_match_goes_on_where_it_stopped(match_models: Path) -> None:
    world = IntegerPredictor(match_models / "world.wmq")
    agent = IntegerAgent(match_models / "agent.wmq")
    for player in (agent, None):
        whole, parts = (match_worlds.TimedMatch(world, player) for _ in (0, 1))
        whole.advance(9)
        for count in (2, 3, 4):
            parts.advance(count)
        np.testing.assert_array_equal(whole.frame, parts.frame)
        np.testing.assert_array_equal(whole.controllers, parts.controllers)
    _, pads = beginnings(world.schema, 1)
    np.testing.assert_array_equal(whole.controllers, pads[:, 9 % LENGTH])  # nobody's agent


def test_a_match_is_a_row_beside_the_embedded_program(match_models: Path) -> None:
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    asked = ("bench", "speed", world, "--match", agent, "--only", "match", "--batch", 1,
             "--batch", 2, "--seconds", 0.01, "--repeats", 3)  # fmt: skip
    facts = json.loads(wmq(*asked, "--json").stdout)
    assert facts["agent"] == "agent.wmq" and facts["onnx"] == ""
    median = {cell["row"]: cell["figure"]["median"] for cell in facts["cells"]}
    names = ["embedded program", "world alone", "two agents"]
    assert list(median) == [f"match {name}, 1 thread" for name in names]
    assert {cell["batch"] for cell in facts["cells"]} == {1}
    assert len(facts["ratios"]) == 2
    for ratio in facts["ratios"]:
        assert ratio["row"] == "match embedded program, 1 thread"
        assert ratio["ratio"] == pytest.approx(median[ratio["ours"]] / median[ratio["row"]])
    shown = wmq(*asked)
    assert shown.exit_code == 0 and "one match, 1 thread" in shown.stdout
    assert "world.wmq and agent.wmq" in shown.stdout


def test_rows_of_a_match_are_there_with_a_match_alone() -> None:
    assert {row.library for row in contenders(match=True)} - {
        row.library for row in contenders()} == {"match"}  # fmt: skip
    assert [row.threads for row in chosen(["match"], match=True)] == [1, 1, 1]


def test_a_match_that_cannot_be_is_one_line(match_models: Path) -> None:
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    for arguments, text in (
        ((world, "--match", agent, "--batch", 8), "a match is one world; add --batch 1"),
        ((world, "--match", world), "is a world, not an agent"),
        ((agent, "--match", agent), "is an agent, not a world"),
        (("--match", agent), "sees other fields than mamba2-medium.wmq has"),
        ((world, "--only", "match"), "--only match: in no row's name"),
    ):
        found = wmq("bench", "speed", *arguments)
        assert found.exit_code == 2 and found.stdout == ""
        assert text in found.stderr and found.stderr.count("\n") == 1
