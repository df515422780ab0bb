"""The float step of a chain: it draws as numpy says, and its file may not be changed."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from calib.errors import CalibrationError
from calib.step.graph import build_step, read_step, to_bytes
from tests.support.ruled_frames import RULED, random_frames
from tests.support.small_chain import CONFIGS, SCHEMAS, Session, chain_weights, small_chain
from wmq.export.onnx import size_of
from wmq.game.schema import Q16

KINDS = ["world", "agent"]
BATCH = 24
BY_UNIFORM, LIKELIEST = -1, -2


def play(kind: str, frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames (frames, BATCH, frame_size) and controllers (frames + 1, BATCH, n)."""
    schema, rng = SCHEMAS[kind], np.random.default_rng(seed)
    rows = np.stack([random_frames(rng, BATCH) for _ in range(frames)])
    pads = rng.integers(0, Q16 + 1, (frames + 1, BATCH, schema.controllers_size))
    return rows, pads.astype(np.int32)


def drawn_by_numpy(logits: np.ndarray, allowed: np.ndarray, uniform: float,
                   decode: tuple[float, float]) -> int:  # fmt: skip
    """The class of one draw in float64; -1 where float32 may well choose a neighbour."""
    temperature, min_p = decode
    share = np.exp((logits - logits[allowed].max()) / temperature) * allowed
    near_cut = np.abs(share - min_p) < 1e-5 * min_p
    share[share < min_p] = 0
    sums = np.cumsum(share) / share.sum()
    chosen = int(np.searchsorted(sums, uniform, side="right"))
    near = np.abs(sums - uniform).min() < 1e-5 or near_cut.any()
    return -1 if near else chosen


@pytest.mark.parametrize("decode", [None, (0.5, 0.2), (3.0, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_by_uniforms_is_the_one_that_numpy_states(kind, decode, tmp_path):
    given = {} if decode is None else {"decode": np.array(decode, np.float32)}
    step = small_chain(kind, tmp_path, **given)
    schema, rng = SCHEMAS[kind], np.random.default_rng(1)
    frames, pads = play(kind, 8)
    session, compared, seen = Session(step, schema, BATCH), 0, set()
    settings = tuple(float(value) for value in step.weights["decode"])
    for t in range(8):
        uniforms = rng.random((BATCH, len(schema.draws)), np.float32)
        found = session.run(frames[t], pads[t], pads[t + 1], uniforms)
        for number, draw in enumerate(schema.draws):
            allowed = np.ones((BATCH, draw.classes), bool)
            if draw.field == "action":
                before = frames[t][:, schema.index("action", draw.player)]
                allowed = step.weights["allowed"][before] > 0
            for row in range(BATCH):
                logits = found[draw.name][row].astype(np.float64)
                wanted = drawn_by_numpy(logits, allowed[row], uniforms[row, number], settings)
                if wanted >= 0:
                    assert found["drawn"][row, number] == wanted
                    compared += 1
                    seen.add((number, wanted))
    assert compared > 0.9 * 8 * BATCH * len(schema.draws) and len(seen) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_the_mode_is_the_likeliest_class_that_is_allowed(kind, tmp_path):
    step = small_chain(kind, tmp_path)
    schema = SCHEMAS[kind]
    frames, pads = play(kind, 4)
    session = Session(step, schema, BATCH)
    for t in range(4):
        found = session.run(frames[t], pads[t], pads[t + 1], forced=LIKELIEST)
        for number, draw in enumerate(schema.draws):
            logits = found[draw.name].copy()
            if draw.field == "action":
                before = frames[t][:, schema.index("action", draw.player)]
                logits[step.weights["allowed"][before] == 0] = -np.inf
            assert (found["drawn"][:, number] == logits.argmax(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_forced_class_is_drawn_and_told_to_all_that_follows(kind, tmp_path):
    """Also one that is not allowed: a rule decides it."""
    step = small_chain(kind, tmp_path)
    schema, rng = SCHEMAS[kind], np.random.default_rng(2)
    frames, pads = play(kind, 1)
    sizes = [draw.classes for draw in schema.draws]
    forced = rng.integers(0, sizes, (BATCH, len(sizes)))
    one = Session(step, schema, BATCH).run(frames[0], pads[0], pads[1], forced=forced)
    assert (one["drawn"] == forced).all()
    for number in range(len(sizes)):
        other = forced.copy()
        other[:, number] = (forced[:, number] + 1) % sizes[number]
        two = Session(step, schema, BATCH).run(frames[0], pads[0], pads[1], forced=other)
        names = list(schema.heads)
        same = [(one[name] == two[name]).all() for name in names]
        assert all(same[: number + 1]) and not any(same[number + 1 :])


def test_a_barred_class_is_never_drawn(tmp_path):
    """Though it be the likeliest by far, and at both ends of the uniforms."""
    weights = chain_weights("world")
    barred = 20
    biases = {}
    for player in ("p1", "p2"):
        bias = weights[f"heads.{player}_action.bias"].copy()
        bias[[barred, 543]] += 1000
        biases[f"heads__{player}_action__bias"] = bias
    allowed = weights["allowed"].copy()
    allowed[:, [barred, 543]] = 0
    np.fill_diagonal(allowed, 1)
    step = small_chain("world", tmp_path, allowed=allowed, **biases)
    frames, pads = play("world", 6)
    before = frames[..., [RULED.index("action", player) for player in (0, 1)]]
    for uniform in (0.0, 0.3, 0.7, np.float32(1) - np.float32(2.0**-24)):
        session = Session(step, RULED, BATCH)
        for t in range(6):
            found = session.run(frames[t], pads[t], pads[t + 1],
                                np.full((BATCH, 4), uniform, np.float32))  # fmt: skip
            actions = found["drawn"][:, 2:]
            assert (allowed[before[t], actions] == 1).all()
    assert not np.isin(before, (barred, 543)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_read_back_whole(kind, tmp_path):
    step = small_chain(kind, tmp_path)
    assert step.schema == SCHEMAS[kind].step and step.config == size_of(CONFIGS[kind])
    for name, array in chain_weights(kind).items():
        assert (step.weights[name] == array).all(), name
    onnx.checker.check_model(step.model, full_check=True)
    assert [draw.name for draw in step.sizes.draws] == {
        "world": ["p1.percent", "p2.percent", "p1.action", "p2.action"],
        "agent": ["buttons", "main", "trigger"],
    }[kind]


def node_named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def unmask(model: onnx.ModelProto) -> None:
    node_named(model, "draw.2.likeliest").input[0] = "p1.action"


def barter(model: onnx.ModelProto) -> None:
    node_named(model, "draw.0.below").op_type = "Less"


def forget(model: onnx.ModelProto) -> None:
    node_named(model, "chain.1.mix.norm.squares").input[0] = "residual.1"


def loosen(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "never")
    tensor.CopyFrom(numpy_helper.from_array(np.array(1, np.float32), "never"))


def shorten(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "draw.0.last")
    tensor.CopyFrom(numpy_helper.from_array(np.array([3], np.int64), "draw.0.last"))


def drop_decode(model: onnx.ModelProto) -> None:
    model.graph.initializer.remove(next(t for t in model.graph.initializer if t.name == "decode"))


def add_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["drawn"], ["more"], name="more"))


def forget_drawn(model: onnx.ModelProto) -> None:
    model.graph.output.remove(next(o for o in model.graph.output if o.name == "drawn"))


@pytest.mark.parametrize(
    "damage, message",
    [
        (unmask, "node .* is ArgMax draw.2.likeliest (p1.action"),
        (barter, "node .* is Less draw.0.below"),
        (forget, "node .* is Mul chain.1.mix.norm.squares (residual.1"),
        (loosen, "initializer never differs"),
        (shorten, "initializer draw.0.last differs"),
        (drop_decode, "weight decode is missing"),
        (add_node, "Identity more (drawn), does not belong there"),
        (forget_drawn, "output drawn is missing|output next_conv.0 differs"),
    ],
)
def test_a_changed_graph_is_refused_in_one_line(damage, message, tmp_path):
    step = small_chain("world", tmp_path)
    damage(step.model)
    path = tmp_path / "changed.onnx"
    path.write_bytes(to_bytes(step.model))
    pattern = re.escape(message).replace(r"\.\*", ".*").replace(r"\|", "|")
    with pytest.raises(CalibrationError, match=pattern) as caught:
        read_step(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_that_does_not_suit_its_schema_is_refused(kind):
    weights, config = chain_weights(kind), size_of(CONFIGS[kind])
    other = {"world": "agent", "agent": "world"}[kind]
    metadata = {"wmq.run": "0" * 64, "wmq.training": "{}"}
    for wrong in (config | {"d_mix": 0}, {k: v for k, v in config.items() if k != "d_mix"},
                  config | {"d_mix": -1}, config | {"d_mix": 5000}, config | {"d_mix": 16.0},
                  config | {"agent": kind == "world"}, config | {"agent": 1},
                  size_of(CONFIGS[other])):  # fmt: skip
        with pytest.raises(CalibrationError) as caught:
            build_step(wrong, SCHEMAS[kind].step, weights, metadata)
        assert "\n" not in str(caught.value)
