"""Dead, nearly dead and outsized tensors: every such model calibrates, is proven and follows its
float step, or is refused by the name of the weight."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from calib.errors import UnfitWeight
from calib.lowering.lower import lower
from calib.recipe import read_recipe
from calib.simulation.program_weights import held_linear
from calib.statistics.collect import collect
from calib.statistics.results import Statistics
from calib.step.graph import StepModel, build_step, read_step, to_bytes
from calib.step.runner import CalibrationGame
from calib.weights.quantize import WeightQuantizer
from calib.weights.transforms import Transforms
from tests.support.calibrating import run
from tests.support.small_chain import made_play
from tests.support.small_step import CONFIG, random_play, random_weights
from wmq.calibration.play import calibration_game
from wmq.game.schema import Q16, Schema
from wmq.inference.draws import forced_draws
from wmq.inference.model_files import embedded_model, schema_of
from wmq_kernels.engine import Engine
from wmq_kernels.reference import Reference

pytest_plugins = ("tests.support.calibrating",)
SCHEMA = Schema()
SMALL = CONFIG | {"d_model": 32, "n_layer": 1, "d_state": 8, "projectiles": False}
INNER, STATE, HEADS = 64, 8, 4
FRAMES = 24
MAMBA = "layers.0.mamba"
# Weight -> its rows, by what they make.
IN_PROJ = dict(zip(("z", "x", "B", "C", "dt"), (
    slice(0, INNER), slice(INNER, 2 * INNER), slice(2 * INNER, 2 * INNER + STATE),
    slice(2 * INNER + STATE, 2 * (INNER + STATE)), slice(-HEADS, None)), strict=True))  # fmt: skip
CONV = {"x": slice(0, INNER), "B": slice(INNER, INNER + STATE), "C": slice(INNER + STATE, None)}
WHOLE = slice(None)


def step_of(folder, weights: dict[str, np.ndarray]) -> StepModel:
    metadata = {"wmq.run": "0" * 64, "wmq.training": "{}"}
    path = folder / "pruned.onnx"
    path.write_bytes(to_bytes(build_step(SMALL, SCHEMA.step, weights, metadata)))
    return read_step(path)


def scaled(factor: float, *places: tuple[str, slice]) -> dict[str, np.ndarray]:
    weights = random_weights(SMALL, SCHEMA)
    for name, rows in places:
        weights[name][rows] *= np.float32(factor)
    return weights


def float_heads(step: StepModel, game: CalibrationGame) -> dict[str, np.ndarray]:
    """Teacher-forced, what was drawn too, the state carried: name -> (T, width)."""
    session = onnxruntime.InferenceSession(to_bytes(step.model))
    names, state = [o.name for o in session.get_outputs()], step.sizes.zero_state()
    rows = []
    for t in range(len(game.numbers)):
        inputs = {k: getattr(game, k)[t : t + 1]
                  for k in ("numbers", "classes", "controllers", "next_controllers")}  # fmt: skip
        if game.drawn.size:
            inputs["uniforms"] = np.zeros(game.drawn[t : t + 1].shape, np.float32)
            inputs["forced"] = game.drawn[t : t + 1]
        rows.append(dict(zip(names, session.run(None, inputs | state), strict=True)))
        state = {k: rows[-1][f"next_{k}"] for k in state}
    return {k: np.concatenate([r[k] for r in rows]) for k in rows[0] if "next_" not in k}


def lowered(step: StepModel, statistics: Statistics, recipe: str = "static-best"):
    found = read_recipe(recipe)
    weights, changes = found.weights, found.transforms
    rounding = WeightQuantizer(weights.rounding == "gptq", weights.damping,
                              weights.bias_correction, weights.two_digits,
                              statistics.inputs)  # fmt: skip
    return lower(step, statistics.ranges(found.activations.observer), {}, found.state,
                 found.activations.two_digits, rounding,
                 Transforms(changes.smoothing, hadamard=changes.hadamard))  # fmt: skip


def decibels(program, step: StepModel, frames: np.ndarray, pads: np.ndarray,
             schema: Schema = SCHEMA) -> dict[str, float]:  # fmt: skip
    """Signal to noise of each head, what no head can hold left out."""
    game = calibration_game(schema, frames, pads)
    draws = forced_draws(game.drawn) if schema.draws else None
    run_ = Engine(program).run(Engine(program).zero_state(), frames[:-1], pads, len(frames) - 1,
                               heads=True, draws=draws)  # fmt: skip
    wanted, ratios = float_heads(step, game), {}
    for name, (start, count) in program.heads.items():
        scale = program.meta["head_scales"][name]
        most = program.values["heads"].hi * scale
        held = np.clip(wanted[name], -most, most)
        noise = np.sum((run_.heads[:, start : start + count] * scale - held) ** 2)
        ratios[name] = 10 * np.log10((np.sum(held**2) + 1e-12) / (noise + 1e-18))
    return ratios


@pytest.fixture(scope="module")
def play():
    return random_play(SCHEMA, FRAMES + 1)


@pytest.fixture(scope="module")
def unpruned(tmp_path_factory, play):
    step = step_of(tmp_path_factory.mktemp("whole"), random_weights(SMALL, SCHEMA))
    statistics = collect(step, [calibration_game(SCHEMA, *play)])
    return {recipe: decibels(lowered(step, statistics, recipe), step, *play)
            for recipe in ("static-best", "static-light")}  # fmt: skip


CASES = [
    *((f"in_proj {part} times {factor:g}", factor, ((f"{MAMBA}.in_proj.weight", rows),))
      for part, rows in IN_PROJ.items() for factor in (0, 1e-5)),
    ("in_proj dt times 0.001", 1e-3, ((f"{MAMBA}.in_proj.weight", IN_PROJ["dt"]),)),
    ("in_proj z times 1000", 1e3, ((f"{MAMBA}.in_proj.weight", IN_PROJ["z"]),)),
    ("in_proj x times 1000", 1e3, ((f"{MAMBA}.in_proj.weight", IN_PROJ["x"]),)),
    ("in_proj times 0", 0, ((f"{MAMBA}.in_proj.weight", WHOLE),)),
    ("in_proj times 1e-5", 1e-5, ((f"{MAMBA}.in_proj.weight", WHOLE),)),
    ("conv times 0", 0, ((f"{MAMBA}.conv1d.weight", WHOLE), (f"{MAMBA}.conv1d.bias", WHOLE))),
    ("B and C times 0", 0, tuple((f"{MAMBA}.conv1d.{kind}", CONV[part])
                                 for kind in ("weight", "bias") for part in "BC")),
    ("B times 0.001", 1e-3, tuple((f"{MAMBA}.conv1d.{kind}", CONV["B"])
                                  for kind in ("weight", "bias"))),
    ("C times 1e-5", 1e-5, tuple((f"{MAMBA}.conv1d.{kind}", CONV["C"])
                                 for kind in ("weight", "bias"))),
    ("x times 1e-5", 1e-5, tuple((f"{MAMBA}.conv1d.{kind}", CONV["x"])
                                 for kind in ("weight", "bias"))),
    ("a head's x times 0", 0, ((f"{MAMBA}.in_proj.weight", slice(INNER, INNER + 16)),)),
    ("out_proj times 0", 0, ((f"{MAMBA}.out_proj.weight", WHOLE),)),
    ("out_proj times 1000", 1e3, ((f"{MAMBA}.out_proj.weight", WHOLE),)),
    ("norm times 0", 0, (("layers.0.norm.weight", WHOLE),)),
    ("a channel of norm times 1e-5", 1e-5, (("layers.0.norm.weight", slice(3, 4)),)),
    ("mamba.norm times 1e-5", 1e-5, ((f"{MAMBA}.norm.weight", WHOLE),)),
    ("D times 0", 0, ((f"{MAMBA}.D", WHOLE),)),
    ("D times 1000", 1e3, ((f"{MAMBA}.D", WHOLE),)),
    ("dt_bias times 1000", 1e3, ((f"{MAMBA}.dt_bias", WHOLE),)),
    ("A_log times 0", 0, ((f"{MAMBA}.A_log", WHOLE),)),
    ("norm_f times 0", 0, (("norm_f.weight", WHOLE),)),
    ("norm_f times 1e-5", 1e-5, (("norm_f.weight", WHOLE),)),
    ("a row of a head times 0", 0, (("heads.p1_action.weight", slice(0, 1)),)),
    ("a head times 0", 0, (("heads.p1_jumps.weight", WHOLE), ("heads.p1_jumps.bias", WHOLE))),
    ("a head's weight times 1e-5", 1e-5, (("heads.continuous.weight", WHOLE),)),
    ("an embedding times 0", 0, (("embeddings.action.weight", WHOLE),)),
    ("an embedding times 1000", 1e3, (("embeddings.action.weight", WHOLE),)),
    ("both projections times 0", 0, (("frame_proj.weight", WHOLE), ("ctrl_proj.weight", WHOLE))),
    ("all that is read times 0", 0, tuple((f"{name}_proj.{kind}", WHOLE)
                                          for name in ("frame", "ctrl")
                                          for kind in ("weight", "bias"))),
    ("frame_proj times 1e-5", 1e-5, (("frame_proj.weight", WHOLE),)),
    ("a spread times 0", 0, (("continuous_scale", WHOLE),)),
]  # fmt: skip
LOST = 8.0  # decibels of any head beside the unpruned model, of which this much suffices:
ENOUGH = 45.0


@pytest.mark.parametrize("factor, places", [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_model_with_a_dead_or_outsized_tensor_is_proven_and_follows_its_float_step(
    tmp_path, play, unpruned, factor, places
):
    step = step_of(tmp_path, scaled(factor, *places))
    statistics = collect(step, [calibration_game(SCHEMA, *play)])
    for recipe, whole in unpruned.items():
        found = decibels(lowered(step, statistics, recipe), step, *play)
        assert all(found[head] > min(whole[head], ENOUGH) - LOST for head in whole), (recipe, found)


def test_engine_and_oracle_agree_where_silu_has_fewer_points(tmp_path, play):
    """z reaches beyond the 256 that seven fraction bits of int16 hold."""
    step = step_of(tmp_path, scaled(1e4, (f"{MAMBA}.in_proj.weight", IN_PROJ["z"])))
    program = lowered(step, collect(step, [calibration_game(SCHEMA, *play)]))
    assert any(name.startswith("sigmoid.") for name in program.values)
    frames, pads = play
    ours = Engine(program).run(Engine(program).zero_state(), frames[:3], pads[:7], 6, heads=True)
    oracle = Reference(program).run(frames[:3].tolist(), pads[:7].tolist(), 6, heads=True)
    assert ours.heads.tolist() == oracle.heads


@pytest.mark.parametrize(
    "name, rows, value, said",
    [
        (f"{MAMBA}.A_log", slice(2, 3), np.log(130), r"A_log: 4\.8675 in head 2.*below 4\.852"),
        (f"{MAMBA}.A_log", slice(1, 2), 4000, r"A_log: 4000 in head 1"),
        (f"{MAMBA}.dt_bias", slice(3, 4), 900, r"dt_bias.*head 3.*end at 16"),
        (
            f"{MAMBA}.out_proj.weight",
            WHOLE,
            3e38,
            r"not finite.*3e\+38 in layers\.0\.mamba\.out",
        ),
    ],
)
def test_what_no_program_can_hold_is_refused_by_the_weights_name(
    tmp_path, play, name, rows, value, said
):
    weights = random_weights(SMALL, SCHEMA)
    weights[name][rows] = value
    step = step_of(tmp_path, weights)
    with pytest.raises(UnfitWeight, match=said) as caught:
        lowered(step, collect(step, [calibration_game(SCHEMA, *play)]))
    assert "varied" not in str(caught.value) and "training" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_one_line_of_calibrate(tmp_path, value):
    """Written by hand, as `wmq export` refuses it."""
    step_of(tmp_path, random_weights(SMALL, SCHEMA))
    content = (tmp_path / "pruned.onnx").read_bytes()
    old = random_weights(SMALL, SCHEMA)[f"{MAMBA}.D"].tobytes()
    assert content.count(old) == 1
    new = np.full(HEADS, value, np.float32).tobytes()
    (tmp_path / "pruned.onnx").write_bytes(content.replace(old, new))
    result = run(tmp_path / "pruned.onnx", "-o", tmp_path / "a.wmq", "--set", "self-play")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"pruned.onnx: {MAMBA}.D: a weight is not finite; the run has diverged" in result.stderr
    assert "export`" not in result.stderr


@pytest.mark.parametrize("kind", ["nothing moves", "controllers at zero", "constant zero"])
def test_play_in_which_nothing_happens_is_enough(tmp_path, kind):
    frames, pads = random_play(SCHEMA, FRAMES + 1)
    if kind != "controllers at zero":
        frames[:] = 0 if kind == "constant zero" else frames[0]
    pads[:] = 0 if kind != "nothing moves" else Q16 // 2
    step = step_of(tmp_path, random_weights(SMALL, SCHEMA))
    statistics = collect(step, [calibration_game(SCHEMA, frames, pads)])
    for recipe, least in (("static-best", 25), ("static-light", 15), ("static-entropy", 0)):
        found = decibels(lowered(step, statistics, recipe), step, frames, pads)
        assert min(found.values()) > least, (recipe, found)


def test_a_spread_of_zero_can_be_taken_out_of_a_held_head(tmp_path, play):
    step = step_of(tmp_path, scaled(0, ("continuous_scale", WHOLE)))
    program = lowered(step, collect(step, [calibration_game(SCHEMA, *play)]))
    held = held_linear(step, program, "heads.continuous")
    assert np.isfinite(held.high).all() and np.isfinite(held.bias).all()


def test_the_embedded_model_with_a_dead_layer_follows_its_float_step(tmp_path):
    whole = read_step(embedded_model(".onnx"))
    schema = schema_of(whole.schema, "embedded")
    weights = {name: array.copy() for name, array in whole.weights.items()}
    weights["layers.3.mamba.in_proj.weight"][:] = 0
    weights["layers.2.mamba.in_proj.weight"][: whole.sizes.d_inner] *= np.float32(1e-5)  # z
    metadata = {key: whole.metadata[key] for key in ("wmq.run", "wmq.training")}
    path = tmp_path / "pruned.onnx"
    path.write_bytes(to_bytes(build_step(whole.config, whole.schema, weights, metadata)))
    frames, pads = (part[100 : 100 + FRAMES] for part in made_play(schema))
    ratios = []
    for step in (whole, read_step(path)):
        statistics = collect(step, [calibration_game(schema, frames, pads)])
        program = lowered(step, statistics, "static-digits")
        ratios.append(decibels(program, step, frames, pads, schema))
    assert all(ratios[1][head] > ratios[0][head] - LOST for head in ratios[0])
