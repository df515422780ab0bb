"""Models with chained heads: whole games and single frames agree, in torch and in onnxruntime."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from calib.step.graph import read_step, to_bytes
from tests.support.ruled_frames import AGENT, RULED
from tests.support.small_chain import (
    CONFIGS,
    SCHEMAS,
    Session,
    made_play,
    small_chain,
)
from wmq.export.onnx import difference_to_torch, step_bytes
from wmq.game.schema import Schema
from wmq.game.targets import true_draws
from wmq.models.base import RARE, begin_from, fits, model_of
from wmq.models.presets import PRESETS, ModelConfig
from wmq.models.world import WorldModel
from wmq.training.batches import model_inputs
from wmq.training.config import RunConfig

KINDS = ["world", "agent"]
FRAMES = 60
PLAN = msgspec.structs.replace(CONFIGS["world"], d_mix=0)


def torch_heads(model: WorldModel, kind: str, drawn: np.ndarray, whole: bool) -> dict:
    """Heads of FRAMES frames, by `forward` at once or by `step` one after the other."""
    schema = SCHEMAS[kind]
    frames, pads = (rows[200 : 201 + FRAMES] for rows in made_play(schema))
    numbers, classes, controllers = model_inputs(schema, frames, pads[:, : schema.controllers_size])
    given = torch.from_numpy(drawn)
    state = model.zero_state(1)
    if whole:
        inputs = (x.unsqueeze(0) for x in (numbers[:-1], controllers[:-1], classes[:-1],
                                           controllers[1:]))  # fmt: skip
        heads, _ = model(*inputs, state, lambda number, _: given[None, :, number])
        return {name: value[0] for name, value in heads.items()}
    rows = []
    for t in range(FRAMES):
        now, after = slice(t, t + 1), slice(t + 1, t + 2)
        heads, state = model.step(numbers[now], controllers[now], classes[now], controllers[after],
                                  state, lambda number, _, now=now: given[now, number])  # fmt: skip
        rows.append(heads)
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_torch_and_onnxruntime_give_the_same_heads_for_the_true_draws(kind, tmp_path):
    step, schema = small_chain(kind, tmp_path), SCHEMAS[kind]
    frames, pads = (rows[200 : 201 + FRAMES] for rows in made_play(schema))
    drawn = true_draws(schema, frames, pads)
    own = pads[:, : schema.controllers_size]
    session = Session(step, schema)
    rows = [session.run(frames[t : t + 1], own[t : t + 1], own[t + 1 : t + 2], forced=drawn[t])
            for t in range(FRAMES)]  # fmt: skip
    model = model_of(step).eval()
    for whole in (True, False):
        found = torch_heads(model, kind, drawn, whole)
        assert set(found) == set(schema.heads)
        for name, value in found.items():
            wanted = np.concatenate([row[name] for row in rows])
            np.testing.assert_allclose(value.numpy(), wanted, rtol=0,
                                       atol=2e-4 * np.abs(wanted).max(), err_msg=name)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_step_s_own_draws_lead_torch_to_the_same_heads(kind, tmp_path):
    """By uniforms and by the mode: torch is told what onnxruntime drew."""
    step, schema = small_chain(kind, tmp_path), SCHEMAS[kind]
    frames, pads = (rows[200 : 201 + FRAMES] for rows in made_play(schema))
    own, rng = pads[:, : schema.controllers_size], np.random.default_rng(0)
    model = model_of(step).eval()
    for forced in (-1, -2):
        session = Session(step, schema)
        rows = [session.run(frames[t : t + 1], own[t : t + 1], own[t + 1 : t + 2],
                            rng.random((1, len(schema.draws)), np.float32), forced)
                for t in range(FRAMES)]  # fmt: skip
        drawn = np.concatenate([row["drawn"] for row in rows])
        for name, value in torch_heads(model, kind, drawn, whole=True).items():
            wanted = np.concatenate([row[name] for row in rows])
            np.testing.assert_allclose(value.numpy(), wanted, rtol=0,
                                       atol=2e-4 * np.abs(wanted).max(), err_msg=name)  # fmt: skip


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_is_read_back_and_agrees_with_torch(kind, half, tmp_path):
    torch.manual_seed(0)
    model = WorldModel(CONFIGS[kind]).eval()
    content = step_bytes(model, RunConfig(preset=kind), 0, half)
    assert difference_to_torch(content, model, 20, half) < 1e-4
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    step = read_step(path)
    assert step.schema == SCHEMAS[kind].step and step.half == half
    assert set(step.weights) == set(model.state_dict())
    assert to_bytes(step.model) == content
    assert step.weights["decode"] == pytest.approx(CONFIGS[kind].decoding)


def test_presets_are_what_their_names_say():
    for name, schema in (("world", RULED), ("agent", AGENT), ("mamba2-medium", Schema())):
        config = PRESETS[name]
        assert Schema(config.projectiles, config.schema_version, config.agent) == schema


# --- beginning from another model ----------------------------------------------------------------


def filled(config: ModelConfig, seed: int) -> WorldModel:
    torch.manual_seed(seed)
    model = WorldModel(config)
    for name, value in model.state_dict().items():
        if name.endswith(("_offset", "_scale")):
            value.copy_(torch.rand(value.shape) + 0.5)
    return model


def test_a_world_begins_with_what_version_1_has_in_common_and_keeps_the_rest():
    base, model = filled(PLAN, 1), filled(CONFIGS["world"], 2)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    theirs = base.state_dict()
    assert fits(base.config, model.config) and not fits(base.config, CONFIGS["agent"])
    begin_from(model, base)
    found = model.state_dict()
    other_fields = ("heads.continuous.", "heads.velocity.", "heads.dynamics.", "continuous_",
                    "velocity_", "dynamics_")  # fmt: skip
    wider = ("embeddings.action", "embeddings.ground", "embeddings.state_age", "heads.p1_action",
             "heads.p2_action", "heads.p1_ground", "heads.p2_ground")  # fmt: skip
    for name, value in found.items():
        if name not in theirs or name.startswith(other_fields):
            assert torch.equal(value, fresh[name]), name
        elif name.startswith(wider):
            rows = len(theirs[name])
            assert len(value) > rows and torch.equal(value[:rows], theirs[name]), name
            if name.startswith("embeddings."):
                assert (value[rows:] == theirs[name][-1]).all(), name
            elif name.endswith(".bias"):
                assert (value[rows:] == RARE).all(), name
            else:
                assert torch.equal(value[rows:], fresh[name][rows:]), name
        else:
            assert torch.equal(value, theirs[name]), name
    assert torch.equal(found["allowed"], fresh["allowed"])


@torch.no_grad()
def test_a_world_of_the_same_form_becomes_its_base():
    base, model = filled(CONFIGS["world"], 1), filled(CONFIGS["world"], 2)
    begin_from(model, base)
    assert all(torch.equal(value, base.state_dict()[name])
               for name, value in model.state_dict().items())  # fmt: skip


def test_uniforms_below_1_never_reach_the_last_class_by_rounding():
    """The largest float32 below 1 times a total, for totals of every last bit."""
    below = np.float32(1) - np.float32(2.0**-24)
    totals = np.random.default_rng(0).uniform(1, 4, 100_000).astype(np.float32)
    assert (totals * below < totals).all()
