"""The float step with some tensors rounded: compared with torch, and with the program itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from calib.arithmetic.grid import Grid
from calib.errors import CalibrationError
from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.simulation.clipping import count_clipped
from calib.simulation.program_weights import (
    held_convolution,
    held_embeddings,
    held_linear,
    input_grid,
    linears,
    number_grids,
)
from calib.simulation.simulate import Change, simulated, together
from calib.statistics.collect import collect
from calib.statistics.results import Ranges
from calib.statistics.tensors import observed_tensors
from calib.step.graph import StepModel
from calib.step.runner import StepRunner
from calib.step.sizes import module_name, sizes_of
from tests.support.small_step import CONFIG, random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.game.schema import Schema
from wmq.models.presets import ModelConfig
from wmq.models.world import WorldModel
from wmq_kernels.program import Program, Slice, Step
from wmq_kernels.reference import Reference

SCHEMA = Schema()
DIGITS = ["layers.0.mamba.in_proj", "layers.*.mamba.out_proj", "heads.continuous"]
FRAMES = 4


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> StepModel:
    return small_step(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def statistics(step: StepModel) -> Ranges:
    return collect(step, [calibration_game(SCHEMA, *random_play(SCHEMA, 61))]).ranges()


@pytest.fixture(scope="module")
def program(step: StepModel, statistics: Ranges) -> Program:
    return lower(step, statistics, {}, RecurrentState(headroom_bits=2), DIGITS)


def feeds(frames: int = 8) -> dict[str, np.ndarray]:
    """Inputs of so many rows, with a state that is not zero."""
    game = calibration_game(SCHEMA, *random_play(SCHEMA, frames + 1, seed=9))
    rng = np.random.default_rng(1)
    state = sizes_of(CONFIG | {"projectiles": False}, SCHEMA.step).zero_state(frames)
    state = {name: rng.normal(size=v.shape).astype(np.float32) for name, v in state.items()}
    named = ("numbers", "classes", "controllers", "next_controllers")
    return {name: getattr(game, name) for name in named} | state


def run(model: onnx.ModelProto, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # weights that are replaced are no longer used
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def torch_model(step: StepModel) -> WorldModel:
    model = WorldModel(ModelConfig(**CONFIG, projectiles=False)).eval()
    weights = {name: torch.from_numpy(array.copy()) for name, array in step.weights.items()}
    model.load_state_dict(weights, strict=True)
    return model


@torch.no_grad()
def torch_step(model: WorldModel, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    x = {name: torch.from_numpy(value) for name, value in given.items()}
    state = [(x[f"conv.{i}"], x[f"state.{i}"]) for i in range(CONFIG["n_layer"])]
    named = ("numbers", "controllers", "classes", "next_controllers")
    heads, after = model.step(*(x[name] for name in named), state)
    found = {name: value.numpy() for name, value in heads.items()}
    for i, (conv, ssm) in enumerate(after):
        found |= {f"next_conv.{i}": conv.numpy(), f"next_state.{i}": ssm.numpy()}
    return found


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], near: float) -> None:
    for name, values in one.items():
        size = np.abs(values).max()
        assert np.abs(values - other[name]).max() <= near * max(size, 1), name


def test_a_very_fine_scale_changes_nothing(step: StepModel, statistics: Ranges):
    """2^-22 of a tensor's size is about what float32 itself can tell apart."""
    given = feeds()
    exact = run(step.model, given)
    tensors = {
        name: Grid(np.maximum(statistics.limits[name], 1e-6) * 2.0**-22, -(1 << 30), 1 << 30)
        for name in observed_tensors(step.sizes)
    }
    inputs = {name: Grid(np.array([2.0**-22]), -(1 << 30), 1 << 30)
              for name in linears(step)[2:]}  # fmt: skip
    assert_same(exact, run(simulated(step, Change(tensors)), given), 2e-6)
    assert_same(exact, run(simulated(step, Change(inputs=inputs)), given), 2e-6)


def rounded(x: torch.Tensor, scale: float, lo: int, hi: int) -> torch.Tensor:
    return torch.clamp(torch.floor(x.double() / scale + 0.5), lo, hi).mul(scale).float()


def test_rounding_the_input_of_a_linear_is_that_of_torch(step: StepModel):
    model, scale = torch_model(step), 0.037
    inner = model.layers[1].mamba
    weight = inner.norm.weight.detach()
    inner.out_proj.register_forward_pre_hook(
        lambda module, x: (rounded(x[0] / weight, scale, -40, 40) * weight,)
    )
    change = Change(inputs={"layers.1.mamba.out_proj": Grid(np.array([scale]), -40, 40)})
    given = feeds()
    expected = torch_step(model, given)
    # two values of 8 x 128 may lie on a border, where division and float64 disagree
    assert_same(expected, run(simulated(step, change), given), 1e-4)
    with pytest.raises(AssertionError):  # and the rounding is felt
        assert_same(expected, run(step.model, given), 1e-2)


def sylvester(size: int) -> np.ndarray:
    """(-1)^(number of ones in i & j), orthogonal."""
    i = np.arange(size)
    ones = np.bitwise_count(i[:, None] & i).astype(np.int64)
    return (-1.0) ** ones / np.sqrt(size)


def test_an_input_that_is_mixed_is_rounded_in_the_mixed_basis(step: StepModel):
    model, scale, block = torch_model(step), 0.041, 32
    inner = model.layers[0].mamba
    weight = inner.norm.weight.detach()
    mixing = torch.from_numpy(np.kron(np.eye(len(weight) // block), sylvester(block))).float()
    inner.out_proj.register_forward_pre_hook(
        lambda module, x: (rounded(x[0] / weight @ mixing, scale, -40, 40) @ mixing.T * weight,)
    )
    name = "layers.0.mamba.out_proj"
    change = Change(inputs={name: Grid(np.array([scale]), -40, 40)}, blocks={name: block})
    given = feeds()
    assert_same(torch_step(model, given), run(simulated(step, change), given), 2e-3)
    with pytest.raises(AssertionError):  # one value on a border is far less than the rounding
        assert_same(torch_step(model, given), run(step.model, given), 1e-2)


def test_what_a_hadamard_and_channels_fold_into_weights_is_taken_out(
    step: StepModel, program: Program
):
    """The same integers behind another norm stand for other weights."""
    name, block = "layers.1.mamba.in_proj", 16
    width = step.sizes.d_model
    shift = np.array([46, 47, 44, 45] * (width // 4), np.int32)
    steps = []
    for made in program.steps:
        if made.operands.get("out", Slice("", 0, 0)).value == "layers.1.norm.unit":
            x = Slice("mixed", 0, width)
            steps.append(Step("hadamard", {"x": made.operands["x"], "out": x}, {"block": block}))
            operands = {"x": x, "shift": Slice("shifts", 0, width), "out": made.operands["out"]}
            made = Step("rms_norm_channels", operands, made.parameters)
            plain = program.values["layers.1.norm.unit"].scale * np.exp2(
                shift - float(made.parameters["shift"])
            )
        steps.append(made)
    odd = replace(program, steps=tuple(steps), data={**program.data, "shifts": shift})
    grid, found = input_grid(step, odd, name)
    assert found == block and grid.hi == 127
    np.testing.assert_allclose(grid.scale, plain, rtol=1e-6)
    norm = step.weights["layers.1.norm.weight"]
    before = held_linear(step, program, name).high * norm  # of the norm's values
    after = held_linear(step, odd, name).high * norm @ np.kron(np.eye(width // block),
                                                               sylvester(block))  # fmt: skip
    was = program.values["layers.1.norm.unit"].scale
    np.testing.assert_allclose(after, before * was / plain, rtol=1e-3, atol=1e-5)


def test_a_head_s_input_is_rounded_for_this_head_alone(step: StepModel):
    change = Change(inputs={"heads.binary": Grid(np.array([0.5]), -127, 127)})
    given = feeds()
    exact, found = run(step.model, given), run(simulated(step, change), given)
    assert np.abs(exact.pop("binary") - found.pop("binary")).max() > 0.01
    assert_same(exact, found, 0)


def test_a_rounded_state_is_what_is_read_and_what_is_handed_on(step: StepModel):
    scale = np.linspace(0.1, 0.4, step.sizes.nheads)
    grid = Grid(scale, -12, 12)
    given = feeds()
    exact = run(step.model, given)
    wanted = np.clip(np.floor(exact["next_state.1"] / scale[:, None, None] + 0.5), -12, 12)
    wanted *= scale[:, None, None]
    found = run(simulated(step, Change({"next_state.1": grid})), given)
    assert np.abs(found["next_state.1"] - wanted).max() < 1e-6
    carried = run(simulated(step, Change({"next_state.1": grid}, ["next_state.1"])), given)
    assert (carried["next_state.1"] == exact["next_state.1"]).all()
    heads = set(step.sizes.heads)
    assert_same({h: carried[h] for h in heads}, found, 1e-6)  # both read the rounded one
    assert max(np.abs(found[h] - exact[h]).max() for h in heads) > 1e-3


def test_numbers_that_enter_are_rounded_column_by_column(step: StepModel):
    scale = np.linspace(0.01, 0.3, 30) * np.pi / 3  # no value lies on a border
    given = feeds()
    model = torch_model(step)
    numbers = torch.from_numpy(given["numbers"]) * model.number_scale
    whole = torch.floor(numbers.double() / torch.from_numpy(scale) + 0.5)
    change = Change({"numbers.scaled": Grid(scale, -(1 << 20), 1 << 20)})
    moved = (whole * torch.from_numpy(scale)).float() / model.number_scale
    assert_same(torch_step(model, given | {"numbers": moved.numpy()}),
                run(simulated(step, change), given), 1e-4)  # fmt: skip


def test_held_weights_are_the_program_s_integers_times_their_scale(
    step: StepModel, program: Program
):
    """The scale of a row by its definition, a 127th of its largest weight, folded."""
    for name in linears(step)[2:]:
        weight = step.weights[f"{name}.weight"].astype(np.float64)
        if name.endswith("in_proj"):
            norm = step.weights[name.replace("mamba.in_proj", "norm.weight")]
        elif name.endswith("out_proj"):
            norm = step.weights[name.replace("out_proj", "norm.weight")]
        else:
            norm = step.weights["norm_f.weight"]
        spread = step.weights.get(f"{name.removeprefix('heads.')}_scale", np.ones(len(weight)))
        scale = np.abs(weight * norm * spread[:, None]).max(1) / 127
        ints = program.data[f"{name}.weight"].reshape(weight.shape)
        held = held_linear(step, program, name)
        assert held.low is None
        np.testing.assert_allclose(held.high * norm * spread[:, None], ints * scale[:, None],
                                   rtol=1e-6)  # fmt: skip
        bias = step.weights.get(f"{name}.bias", np.zeros(len(weight)))
        assert np.abs(held.bias - bias).max() < 1e-4


def test_held_projections_give_what_the_program_computes(step: StepModel, program: Program):
    frames, pads = random_play(SCHEMA, 2, seed=4)
    reference = Reference(program)
    reference.run(frames[:1].tolist(), pads.tolist(), 1)
    game = calibration_game(SCHEMA, frames, pads)
    given = {n: getattr(game, n) for n in ("numbers", "classes", "controllers")}
    given |= {"next_controllers": game.next_controllers}
    given |= step.sizes.zero_state()
    change = Change(
        number_grids(step, program),
        linears={n: held_linear(step, program, n) for n in ("frame_proj", "ctrl_proj")},
        weights=held_embeddings(step, program),
    )
    model = simulated(step, change)
    for name in ("frame_proj", "ctrl_proj"):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, ["batch", None]))
    found = run(model, given)
    for name in ("frame_proj", "ctrl_proj"):
        expected = np.array(reference.values[name]) * program.values[name].scale
        # units at half may fall to either side in float32: one of 2^14 at most
        assert np.abs(found[name][0] - expected).max() < 2e-4 * np.abs(expected).max()


def test_all_changes_together_come_near_to_the_program(step: StepModel, program: Program):
    """What is left is a tenth of what the program loses."""
    frames, pads = random_play(SCHEMA, FRAMES + 1, 7)
    reference = Reference(program)
    rolled = reference.run(frames[:FRAMES].tolist(), pads.tolist(), FRAMES, heads=True)
    layers, norms = range(step.sizes.n_layer), linears(step)[2:]
    change = together([
        Change(number_grids(step, program)),
        Change(inputs={n: input_grid(step, program, n)[0] for n in norms}),
        Change(linears={n: held_linear(step, program, n) for n in linears(step)}),
        Change(weights=held_embeddings(step, program)),
        *(Change(weights=held_convolution(step, program, i)) for i in layers),
    ])  # fmt: skip
    plain, changed = heads_of(step, step.model), heads_of(step, simulated(step, change))
    for head in ("continuous", "binary", "p1.action", "p2.ground"):
        start, count = program.heads[head]
        ints = np.array(rolled.heads)[:, start : start + count]
        exact = ints * program.meta["head_scales"][head]
        lost, left = np.abs(exact - plain[head]).mean(), np.abs(exact - changed[head]).mean()
        assert left < 0.1 * lost, (head, left, lost)


def heads_of(step: StepModel, model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Of the frames of `random_play`, one after the other with the state carried."""
    game = calibration_game(SCHEMA, *random_play(SCHEMA, FRAMES + 1, 7))
    state, rows = step.sizes.zero_state(), []
    for at in range(FRAMES):
        named = ("numbers", "classes", "controllers", "next_controllers")
        found = run(model, {n: getattr(game, n)[at : at + 1] for n in named} | state)
        state = {name: found[f"next_{name}"] for name in state}
        rows.append(found)
    return {h: np.concatenate([row[h] for row in rows]) for h in step.sizes.heads}


def test_a_linear_that_reads_the_high_digit_alone_is_rounded_to_eight_bits(
    step: StepModel, program: Program
):
    (two, _), (one, _) = (input_grid(step, program, f"heads.{head}")
                          for head in ("continuous", "binary"))  # fmt: skip
    assert (two.hi, one.hi) == (127 * 128, 127)
    assert one.scale == pytest.approx(128 * two.scale)


def test_clipped_values_are_counted_as_they_are(step: StepModel):
    game = calibration_game(SCHEMA, *random_play(SCHEMA, 40, seed=3))
    grid = Grid(np.array([1 / 256]), 20, 200)
    units = np.floor(game.controllers[:30].astype(np.float64) * 256 + 0.5)
    runner = StepRunner(step, ["layers.0.mamba.y"])
    y = np.concatenate([found["layers.0.mamba.y"] for found in runner.play([game], 30)])
    scale = np.linspace(0.2, 1.0, step.sizes.nheads)
    heads = np.floor(y.reshape(30, len(scale), -1) / scale[:, None] + 0.5)
    found = count_clipped(
        step, [game],
        [("controllers", grid, 1), ("layers.0.mamba.y", Grid(scale, -1, 1), 1)], 30,
    )  # fmt: skip
    assert found[0] == (int(((units < 20) | (units > 200)).sum()), units.size)
    assert found[1] == (int((np.abs(heads) > 1).sum()), heads.size)
    assert 0 < found[1][0] < heads.size


def test_an_unknown_name_is_refused(step: StepModel):
    grid = Grid(np.ones(1), -1, 1)
    for change in (
        Change({"layers.7.mamba.z": grid}),
        Change(inputs={"layers.7.mamba.in_proj": grid}),
        Change(inputs={"frame_proj": grid}),
        Change(weights={"nothing": np.zeros(3, np.float32)}),
        Change(weights={"norm_f.weight": np.zeros(3, np.float32)}),
    ):
        with pytest.raises(CalibrationError):
            simulated(step, change)


def test_a_half_form_takes_other_weights(step: StepModel, tmp_path: Path):
    from calib.step.graph import build_step, read_step, to_bytes

    path = tmp_path / "half.onnx"
    path.write_bytes(to_bytes(build_step(step.config, step.schema, step.weights, step.metadata,
                                         half=True)))  # fmt: skip
    half = read_step(path)
    name = f"heads.{module_name('p1.action')}.weight"
    change = Change(weights={name: np.zeros_like(step.weights[name])})
    found = run(simulated(half, change), feeds())["p1.action"]
    assert np.abs(found - step.weights["heads.p1_action.bias"]).max() < 2e-3
