"""The ways of other libraries, beside torch in float and beside what their files hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from calib.step.graph import read_step, to_bytes
from tests.support.tiny import TINY, walking_dataset
from wmq.dataset.store import Dataset
from wmq.export.onnx import step_bytes, usual_frames
from wmq.inference.float_predictor import LANES, FloatStep, OnnxPredictor, StepPredictor
from wmq.inference.model_files import open_float
from wmq.inference.onnx_session import OnnxStep, SessionStep
from wmq.inference.predictor import StartRow
from wmq.models.world import WorldModel
from wmq.replays.slippi import Game
from wmq.toolkits import backends, onnx_files, torch_methods, torch_models
from wmq.toolkits.calibration_play import play
from wmq.toolkits.methods import Lacking, Method, MethodContext
from wmq.toolkits.onnx_count import counts
from wmq.toolkits.onnx_export import CalibrationReader, plain_export
from wmq.toolkits.onnx_methods import saturates
from wmq.toolkits.torch_predictor import TorchModelStep, TorchSequence
from wmq.training.config import RunConfig

LINEARS = 2 + 2 * TINY.n_layer + 16  # projections of inputs, of layers, and the heads
PRESENT = [name for name in backends.NAMES if not name.startswith("torchao")]
COUNTED = {"float32 onnxruntime": 0, "float32 torch": 0, "bfloat16 torch": 0} | {
    name: LINEARS - 4 for name in backends.NAMES if name.startswith("torch dynamic 22")
}  # int8 layers, where they are not all
STARTS = [StartRow(2, 5), StartRow(0, 0), StartRow(1, 90), StartRow(2, 88)]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> MethodContext:
    root = tmp_path_factory.mktemp("peers")
    walking_dataset(root / "data")
    torch.manual_seed(3)
    model = WorldModel(TINY).eval()
    for head, scale in (("continuous", 2.0), ("velocity", 0.5), ("dynamics", 3.0)):
        getattr(model, f"{head}_scale").fill_(scale)
    (root / "tiny.onnx").write_bytes(step_bytes(model, RunConfig("tiny"), 1))
    (root / "made").mkdir()
    return MethodContext(root / "tiny.onnx", root / "data", root / "made", threads=1, frames=256)


@pytest.fixture(scope="module")
def plain(context: MethodContext) -> WorldModel:
    return torch_models.world_model(read_step(context.onnx))


@pytest.fixture(scope="module")
def games(context: MethodContext) -> list[Game]:
    dataset = Dataset.open(context.data)
    return [dataset.load(info) for info in dataset.games]


@pytest.fixture(scope="module")
def float_heads(context: MethodContext, games: list[Game]) -> list[dict[str, np.ndarray]]:
    return walked(OnnxPredictor(context.onnx, 1), games)


@pytest.fixture(scope="module")
def made(context: MethodContext) -> Iterator[Callable[[str], Method]]:
    """Each way made once, with a shorter look at whether two back ends are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_methods, "PROBE", 20)
        yield cache(partial(backends.make, context=context))


def walked(predictor: StepPredictor, games: list[Game]) -> list[dict[str, np.ndarray]]:
    """All heads of each game."""
    found: list[dict[int, dict[str, np.ndarray]]] = [{} for _ in games]

    def take(number: int, first: int, heads: dict[str, np.ndarray]) -> None:
        assert first not in found[number]
        found[number][first] = heads

    predictor.walk(games, [], take)
    return [{head: np.concatenate([rows[at][head] for at in sorted(rows)])
             for head in rows[0]} for rows in found]  # fmt: skip


def steps(step: FloatStep, frames: np.ndarray, pads: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """frames (t, batch, frame_size), pads (t + 1, batch, 26)."""
    state = step.zero_state(frames.shape[1])
    for t in range(len(frames)):
        heads, state = step.step(frames[t], pads[t], pads[t + 1], state)
        yield heads


@pytest.mark.parametrize("name", PRESENT)
def test_each_way_says_what_it_is_and_stays_near_the_float_step(
    name: str, made: Callable[[str], Method], games: list[Game],
    float_heads: list[dict[str, np.ndarray]],
) -> None:  # fmt: skip
    way = made(name)
    assert way.layers == COUNTED.get(name, LINEARS)
    assert way.static_layers == (LINEARS if "static" in name else 0)
    assert way.float_operations is not None and way.float_operations > 30
    assert way.side_by_side == 1 if "dynamic" in name else way.side_by_side > 1
    assert 0 < way.share <= 1 and all("\n" not in note for note in way.notes)
    assert way.predictor.spreads is not None and set(way.predictor.spreads["continuous"]) == {2.0}
    ours, exact = walked(way.predictor, games[:2])[1], float_heads[1]
    floating = name.startswith("float32")
    clipped = name.startswith("onnxruntime") and saturates()
    assert clipped == ("VNNI" in " ".join(way.notes))
    near = 1e-5 if floating else 2 if clipped else 0.3
    for head, values in exact.items():
        assert len(ours[head]) == len(games[1].frames) - 1
        error = np.linalg.norm(ours[head] - values) / np.linalg.norm(values)
        assert error < near, head
    assert floating or (ours["binary"] != exact["binary"]).any()


def test_int8_files_are_smaller_than_float_ones(made: Callable[[str], Method]) -> None:
    """Three of the four bytes of each weight are gone, less what scales and names take."""
    gone = 3 * sum(module.weight.numel() for module in torch_models.linears(WorldModel(TINY)))
    for name in PRESENT:
        if name.startswith(("torch dynamic 26", "onnxruntime static", "weights-only")):
            exact = made("float32 torch" if name.startswith("torch") else "float32 onnxruntime")
            assert exact.bytes is not None and exact.bytes - (made(name).bytes or 0) > 0.5 * gone


@pytest.mark.parametrize("name", ["float32 torch", "float32 onnxruntime"])
def test_float_ways_roll_as_the_torch_step_alone(
    name: str, made: Callable[[str], Method], games: list[Game], plain: WorldModel
) -> None:
    way = made(name)
    games = games[:3]
    states = way.predictor.walk(games, STARTS, lambda number, first, heads: None)
    ticks: list[int] = []
    rolled = way.predictor.roll(games, STARTS, states, 9, ticks.append)
    assert sum(ticks) == 9 * len(STARTS)
    alone = StepPredictor(TorchModelStep(plain, plain.step), {}, 1, lanes=1)
    expected = alone.roll(
        games, STARTS, alone.walk(games, STARTS, lambda *_: None), 9, ticks.append
    )
    assert np.abs(rolled - expected).max() <= 8  # of 2^16 units
    assert (np.abs(rolled - rolled[0]).max(axis=(1, 2)) > 0).sum() == len(STARTS) - 1


def test_weights_that_fit_int8_lose_nothing_in_the_weights_only_form(
    context: MethodContext, games: list[Game]
) -> None:
    """Its float limit: with such weights it is the float step."""
    step = read_step(context.onnx)
    for name, weight in step.weights.items():
        if name.endswith("proj.weight") or (name.startswith("heads.") and weight.ndim == 2):
            integers = np.rint(weight / np.abs(weight).max(axis=1, keepdims=True) * 127)
            step.weights[name][:] = integers / 256
    schema = open_float(context.onnx).schema
    exact = SessionStep(to_bytes(plain_export(step)), schema, context.onnx)
    ours = SessionStep(onnx_files.weights_only(step), schema, context.onnx)
    frames, pads = games[0].frames[:20, None], games[0].controllers[:21, None]
    for one, other in zip(steps(exact, frames, pads), steps(ours, frames, pads), strict=True):
        for head, values in one.items():
            np.testing.assert_allclose(other[head], values, rtol=1e-5, atol=1e-5)


def test_rounded_weights_are_within_half_a_unit_of_their_output() -> None:
    weight = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    weight[3] = 0
    values, unit = onnx_files.rounded(weight)
    assert np.abs(values).max(axis=1).tolist() == [127] * 3 + [0] + [127] * 3
    assert (np.abs(values * unit[:, None] - weight) <= unit[:, None] * 0.5001).all()


def test_trace_and_eager_step_have_the_same_bits(plain: WorldModel, games: list[Game]) -> None:
    backend = torch.backends.quantized.supported_engines[-1]
    step, model = torch_methods._dynamic_step(plain, backend, as_planned=False)
    frames, pads = games[0].frames[:40, None], games[0].controllers[:41, None]
    eager = steps(TorchModelStep(plain, model.step), frames, pads)
    for one, other in zip(steps(step, frames, pads), eager, strict=True):
        assert all((one[head] == other[head]).all() for head in one)


def test_sequence_in_pieces_is_the_step(plain: WorldModel, games: list[Game]) -> None:
    sequence = TorchSequence(plain, plain.forward, None, torch.float32)
    game, state, pieces = games[2], sequence.zero_state(), []
    for first, last in ((0, 1), (1, 70), (70, 100)):
        heads, state = sequence.run(game.frames[first:last], game.controllers[first : last + 1],
                                    state, None)  # fmt: skip
        pieces.append(heads["p2.action"])
    one = steps(TorchModelStep(plain, plain.step), game.frames[:100, None],
                game.controllers[:101, None])  # fmt: skip
    expected = np.concatenate([heads["p2.action"] for heads in one])
    np.testing.assert_allclose(np.concatenate(pieces), expected, rtol=1e-4, atol=1e-5)


def test_scale_of_a_dynamic_call_is_of_all_games_in_it_and_a_static_one_is_not(
    context: MethodContext, plain: WorldModel, games: list[Game]
) -> None:
    opened = open_float(context.onnx)
    dynamic = onnx_files.dynamic(opened, context.folder, "linear")
    static, _ = onnx_files.static(opened, context, "min-max")
    backend = torch.backends.quantized.supported_engines[-1]
    models = {
        "onnxruntime dynamic": SessionStep(dynamic, opened.schema, opened.path),
        "torch dynamic": TorchModelStep(plain, torch_models.dynamic(plain, backend).step),
        "onnxruntime static": SessionStep(static, opened.schema, opened.path),
    }
    wild, pads = usual_frames(opened.schema, 12)
    game = games[0]
    alone = game.frames[:11, None], game.controllers[:12, None]
    beside = (np.stack([game.frames[:11], wild[:11]], axis=1),
              np.stack([game.controllers[:12], pads], axis=1))  # fmt: skip
    for name, step in models.items():
        differences = [
            np.abs(one["p1.action"][0] - other["p1.action"][0]).max()
            for one, other in zip(steps(step, *alone), steps(step, *beside), strict=True)
        ]
        assert (max(differences) > 1e-3) == ("dynamic" in name), (name, differences)


@pytest.mark.parametrize(
    "name", ["onnxruntime dynamic", "torch dynamic 26 of 26 (qnnpack)", "float32 torch"]
)
def test_game_has_the_same_heads_in_whatever_company(
    name: str, made: Callable[[str], Method], games: list[Game]
) -> None:
    predictor = made(name).predictor
    together = walked(predictor, games[:3])
    alone = walked(predictor, games[1:2])
    assert all((together[1][head] == alone[0][head]).all() for head in alone[0])


def test_threads_change_no_bit(context: MethodContext, games: list[Game]) -> None:
    many = [*games, *games[::-1], *games[:3]]
    assert len(many) > LANES  # so that there are two groups
    starts = [StartRow(number, 3 * number) for number in range(len(many))]
    found = []
    for threads in (1, 3):
        predictor = OnnxPredictor(context.onnx, threads)
        states = predictor.walk(many, starts, lambda number, first, heads: None)
        rolled = predictor.roll(many, starts, states, 7, lambda frames: None)
        found.append((walked(predictor, many), rolled))
    assert (found[0][1] == found[1][1]).all()
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert all((one[head] == other[head]).all() for head in one)


def test_calibration_sees_the_state_that_the_torch_model_carries(
    context: MethodContext, plain: WorldModel
) -> None:
    source, what = play(context, open_float(context.onnx).schema, 256)
    assert what == "7 training games"
    played = list(source.games())
    reader = CalibrationReader(OnnxStep(context.onnx), played, lanes=2, part=3)
    assert len(reader) % 3 == 0
    feeds = list(reader)
    assert len(feeds) == len(reader) and sum(len(f["numbers"]) for f in feeds) == reader.frames
    torch_step = TorchSequence(plain, plain.forward, None, torch.float32)
    state = torch_step.layers(torch_step.zero_state())
    rows = (played[1].numbers, played[1].controllers, played[1].classes, played[1].next_controllers)
    with torch.inference_mode():
        _, state = plain(*(torch.from_numpy(row[None, :20]) for row in rows), state)
    for layer, (conv, ssm) in enumerate(state):
        np.testing.assert_allclose(feeds[20][f"conv.{layer}"][1:], conv, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(feeds[20][f"state.{layer}"][1:], ssm, rtol=1e-4, atol=1e-5)
    assert (feeds[0]["state.0"] == 0).all()


def test_min_max_scale_is_that_of_the_inputs_that_were_played(
    context: MethodContext, plain: WorldModel
) -> None:
    """Of the first Linear, whose inputs torch encodes here."""
    opened = open_float(context.onnx)
    model = onnx.load_from_string(onnx_files.static(opened, context, "min-max")[0])
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    gemm = next(node for node in model.graph.node
                if node.op_type == "Gemm" and "frame_proj" in node.input[1])  # fmt: skip
    scale = constants[maker[gemm.input[0]].input[1]]
    reader = CalibrationReader(OnnxStep(context.onnx),
                               list(play(context, opened.schema, 256)[0].games()),
                               onnx_files.LANES, onnx_files.PART // onnx_files.LANES)  # fmt: skip
    keys = ("numbers", "controllers", "classes")
    with torch.inference_mode():
        seen = [plain.encode(*(torch.from_numpy(feeds[key]) for key in keys)).numpy()
                for feeds in reader]  # fmt: skip
    lo, hi = (float(end([end(part) for part in seen])) for end in (np.min, np.max))
    assert scale == pytest.approx((max(hi, 0) - min(lo, 0)) / 255, rel=1e-4)


def test_file_is_found_again_and_another_model_has_another(
    context: MethodContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = open_float(context.onnx)
    made = onnx_files.dynamic(opened, tmp_path, "all")

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(onnx_files, "quantize_dynamic", fail)
    assert onnx_files.dynamic(opened, tmp_path, "all") == made
    other = replace(opened, sha256="0" * 64)
    with pytest.raises(AssertionError, match="made again"):
        onnx_files.dynamic(other, tmp_path, "all")
    assert len(list(tmp_path.iterdir())) == 1


def test_nodes_are_counted_as_they_are_run() -> None:
    """Two float products, one of them by int8 weights, a sum; the Reshape moves."""
    rng = np.random.default_rng(0)
    weights = {
        "w8": rng.integers(-127, 128, (6, 5), np.int8), "unit": np.ones(6, np.float32),
        "w": rng.normal(size=(6, 6)).astype(np.float32), "shape": np.array([-1, 3]),
        "bias": np.ones(3, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "unit"], ["w8f"], axis=0),
        helper.make_node("Gemm", ["x", "w8f"], ["a"], transB=1),
        helper.make_node("Gemm", ["a", "w"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["c"]),
        helper.make_node("Sub", ["c", "bias"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", [2, 5]), ("y", [4, 3]))]  # fmt: skip
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "few", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    found = counts(model.SerializeToString())
    assert (found.layers, found.static_layers, found.dequantized) == (1, 0, 1)
    assert found.float_operations == 4  # the conversion of the weights too


def test_operations_of_torch_are_counted_but_for_views() -> None:
    x, linear = torch.ones(3, 4), nn.Linear(4, 6)
    # addmm, exp, add; t, reshape and an integer sum are none
    counted = lambda: (torch.exp(linear(x)).reshape(-1) + 1, torch.arange(3) + 1)  # noqa: E731
    assert torch_models.float_operations(counted) == 3


def test_torch_itself_quantizes_every_linear_and_the_plan_leaves_four(plain: WorldModel) -> None:
    backend = torch.backends.quantized.supported_engines[-1]
    with pytest.warns(DeprecationWarning):
        itself = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    assert torch_models.int8_layers(itself) == LINEARS
    left = torch_methods.left_float(plain)
    assert left == [f"heads.{p}_{field}" for p in ("p1", "p2") for field in ("l_cancel", "hurtbox")]
    planned = torch_models.dynamic(plain, backend, left)
    assert torch_models.int8_layers(planned) == LINEARS - 4
    assert torch.backends.quantized.engine != "none"


def test_what_is_not_there_is_a_reason_of_one_line(
    context: MethodContext, plain: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Lacking, match="^this torch has no quantized back end sparc, only "):
        torch_models.dynamic(plain, "sparc")
    monkeypatch.setitem(sys.modules, "torchao", None)
    for name in ("torchao int8 dynamic", "torchao int8 weight-only"):
        with pytest.raises(Lacking, match=r"^torchao is not installed: .*'wmq\[bench\]'$"):
            backends.make(name, context)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "wmq.toolkits.torch_methods")
    with pytest.raises(Lacking, match=r"^torch is not installed: pip install 'wmq\[train\]'$"):
        backends.make("float32 torch", context)


@pytest.mark.parametrize("name", ["torchao int8 dynamic", "torchao int8 weight-only"])
def test_torchao_rounds_each_frame_by_itself(
    name: str, context: MethodContext, games: list[Game], float_heads: list[dict[str, np.ndarray]]
) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed: pip install 'wmq[bench]'")
    way = backends.make(name, context)
    assert (way.layers, way.static_layers) == (LINEARS, 0)
    found = walked(way.predictor, games[:1])[0]
    sequence = way.predictor.sequence
    frames, pads = games[0].frames[:-1, None], games[0].controllers[:, None]
    alone = np.concatenate([heads["binary"] for heads in steps(sequence, frames, pads)])
    np.testing.assert_allclose(alone, found["binary"], rtol=0.02, atol=0.02)
    assert 0 < np.abs(found["binary"] - float_heads[0]["binary"]).max() < 0.3
