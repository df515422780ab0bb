"""The lowered program against onnxruntime, the oracle and the schema's own frame update."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from benchmarks.recurrence import KINDS, layer_errors
from calib.errors import CalibrationError
from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import to_bytes
from calib.weights.quantize import WeightQuantizer
from tests.support.small_step import random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.cli import main
from wmq.game.frame_update import next_frames
from wmq.game.schema import REBIRTH_PLACES, Schema
from wmq_kernels.decoding import decode
from wmq_kernels.engine import Engine
from wmq_kernels.loading import load
from wmq_kernels.program import encode
from wmq_kernels.rangecheck import bounds
from wmq_kernels.reference import Reference

FRAMES = 120
STATE = RecurrentState(headroom_bits=2)


DIGITS = ("layers.0.mamba.in_proj", "layers.*.mamba.out_proj", "heads.*")


@pytest.fixture(scope="module", params=[(), DIGITS], ids=["one digit", "two digits, projectiles"])
def lowered(request, tmp_path_factory):
    schema = Schema(projectiles=bool(request.param))
    step = small_step(tmp_path_factory.mktemp("step"), bool(request.param))
    frames, pads = random_play(schema, FRAMES + 1)
    statistics = collect(step, [calibration_game(schema, frames, pads)]).ranges()
    program = lower(step, statistics, {}, STATE, request.param)
    return schema, step, frames, pads, program, statistics


def float_heads(step, schema, frames, pads):
    """The heads of onnxruntime, the state carried: name -> (T, width)."""
    session = onnxruntime.InferenceSession(to_bytes(step.model))
    game, state = calibration_game(schema, frames, pads), step.sizes.zero_state()
    names = [o.name for o in session.get_outputs()]
    rows = []
    for t in range(len(game.numbers)):
        inputs = {k: getattr(game, k)[t : t + 1]
                  for k in ("numbers", "classes", "controllers", "next_controllers")}  # fmt: skip
        found = dict(zip(names, session.run(None, inputs | state), strict=True))
        state = {k: found[f"next_{k}"] for k in state}
        rows.append(found)
    return {k: np.concatenate([r[k] for r in rows]) for k in rows[0] if "next_" not in k}


def decibels(program, step, schema, frames, pads):
    """Signal to noise of each head."""
    wanted = float_heads(step, schema, frames, pads)
    run = Engine(program).run(Engine(program).zero_state(), frames[:-1], pads, FRAMES, heads=True)
    ratios = {}
    for name, (start, count) in program.heads.items():
        found = run.heads[:, start : start + count] * program.meta["head_scales"][name]
        noise = np.sum((found - wanted[name]) ** 2) / np.sum(wanted[name] ** 2)
        ratios[name] = -10 * np.log10(noise)
    return ratios


def test_two_digits_of_every_input_gain_at_least_three_decibels(lowered):
    schema, step, frames, pads, _, statistics = lowered
    one, two = (
        decibels(lower(step, statistics, {}, STATE, chosen), step, schema, frames, pads)
        for chosen in ((), ("*",))
    )
    assert all(two[head] > one[head] + 3 for head in one), (one, two)


def test_a_player_born_again_stands_at_the_stages_place(lowered):
    schema, step, frames, pads, _, statistics = lowered
    weights = dict(step.weights)
    for player in ("p1", "p2"):  # every frame is foreseen to be a rebirth
        bias = weights[f"heads.{player}_action.bias"].copy()
        bias[12] += 1000
        weights[f"heads.{player}_action.bias"] = bias
    program = lower(dataclasses.replace(step, weights=weights), statistics, {}, STATE)
    given = frames[:4].copy()
    given[:, schema.stage_index] = [2, 28, 31, 32]
    run = Engine(program).run(Engine(program).zero_state(), given, pads[:5], 4)
    x, y = schema.index("x", 1), schema.index("y", 1)
    expected = [REBIRTH_PLACES[stage][1] for stage in (2, 28, 31, 32)]
    assert run.frames[:, [x, y]].tolist() == [list(place) for place in expected]


def test_every_head_follows_onnxruntime(lowered):
    schema, step, frames, pads, program, _ = lowered
    assert min(decibels(program, step, schema, frames, pads).values()) > 18
    state = Engine(program).zero_state()
    Engine(program).run(state, frames[:-1], pads, FRAMES)
    assert state.saturations.sum() <= FRAMES // 10  # at the very end of a min-max range


def test_engine_and_oracle_agree_on_the_whole_frame(lowered):
    _, _, frames, pads, program, _ = lowered
    run = Engine(program).run(Engine(program).zero_state(), frames[:5], pads[:13], 12, heads=True)
    found = Reference(program).run(frames[:5].tolist(), pads[:13].tolist(), 12, heads=True)
    assert run.frames.tolist() == found.frames
    assert run.heads.tolist() == found.heads


def test_the_frame_update_is_that_of_the_schema(lowered):
    schema, _, frames, pads, program, _ = lowered
    run = Engine(program).run(Engine(program).zero_state(), frames[:-1], pads, FRAMES, heads=True)
    heads = {name: run.heads[:, start : start + count] * program.meta["head_scales"][name]
             for name, (start, count) in program.heads.items()}  # fmt: skip
    assert (next_frames(schema, frames[:-1], heads) == run.frames).all()


def test_a_file_gives_the_same_program_back(lowered):
    program = lowered[4]
    content = encode(program)
    assert encode(decode(content)) == content


def test_the_same_inputs_give_the_same_bytes(lowered):
    _, step, _, _, _, statistics = lowered
    again = encode(lower(step, statistics, {}, STATE))
    assert encode(lower(step, statistics, {}, STATE)) == again


def test_the_state_has_the_room_that_was_asked_for(lowered):
    _, _, frames, pads, program, _ = lowered
    engine = Engine(program)
    state = engine.zero_state()
    engine.run(state, frames[:-1], pads, FRAMES)
    for layer in range(2):
        largest = np.abs(engine.value(state, f"state.{layer}").astype(np.int64)).max()
        assert largest < 1.05 * 2**29  # 4 times 2^29 fills int32; a twentieth is rounding


def test_a_pattern_that_names_no_linear_is_refused(lowered):
    _, step, _, _, _, statistics = lowered
    with pytest.raises(CalibrationError, match=r"two_digits\[1\].*'frame_proj'"):
        lower(step, statistics, {}, STATE, ("heads.*", "frame_proj"))


def test_a_bias_beside_which_its_row_hardly_counts_is_held_as_well_as_by_float32(lowered):
    _, step, _, _, _, statistics = lowered
    weights, name = dict(step.weights), "heads.continuous"
    weights[f"{name}.bias"] = weights[f"{name}.bias"] + np.float32(1e5)
    program = lower(dataclasses.replace(step, weights=weights), statistics, {}, STATE)
    unit = program.data[f"{name}.multiplier"] / np.exp2(program.data[f"{name}.shift"]) / 2**16
    wanted = weights[f"{name}.bias"] * step.weights["continuous_scale"].astype(np.float64)
    wanted += step.weights["continuous_offset"]
    np.testing.assert_allclose(program.data[f"{name}.bias"] * unit, wanted, rtol=2.0**-24)


# --- six kinds of state ------------------------------------------------------------------------

# bits, carry -> relative rms error of the state against float64 in the worse layer, at most
LOST = {(32, True): 2e-8, (32, False): 6e-8, (16, True): 1e-3, (16, False): 4e-3,
        (8, True): 0.2, (8, False): 0.6}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_of_state_is_proven_exact_and_loses_what_is_known(lowered, kind):
    _, step, frames, pads, _, statistics = lowered
    program = lower(step, statistics, {}, RecurrentState(2, kind.bits, kind.carry))
    assert bounds(program) == program.certificate
    scans = [s for s in program.steps if s.op.startswith("scan")]
    assert [s.op for s in scans] == ["scan_carry" if kind.carry else "scan"] * 2
    assert [s.parameters["limit"] for s in scans] == [kind.limit] * 2
    state, oracle = Engine(program).zero_state(), Reference(program)
    run = Engine(program).run(state, frames[:5], pads[:13], 12, heads=True)
    found = oracle.run(frames[:5].tolist(), pads[:13].tolist(), 12, heads=True)
    assert run.frames.tolist() == found.frames and run.heads.tolist() == found.heads
    for name, content in oracle.state.items():
        assert Engine(program).value(state, name).ravel().tolist() == content, name
    layers = layer_errors(program, frames[:-1], pads, None)
    worst = max(layer.state for layer in layers)
    assert LOST[kind.bits, kind.carry] / 4 < worst < LOST[kind.bits, kind.carry]
    for layer in layers:
        assert layer.saturations == 0 and layer.reached < 0.27  # a quarter and a rounding
        assert layer.carried is None if not kind.carry else layer.carried < layer.state


@pytest.mark.parametrize(
    "options, bits, carry",
    [
        ((), 32, True),
        (("--state-bits", 16), 16, True),
        (("--no-state-error-feedback",), 32, False),
        (("--state-bits", 8, "--state-error-feedback"), 8, True),
    ],
    ids=str,
)
def test_wmq_calibrate_writes_the_state_that_was_asked_for(tmp_path, options, bits, carry):
    small_step(tmp_path)
    out = tmp_path / "a.wmq"
    arguments = [tmp_path / "small.onnx", "-o", out, "--set", "self-play", *options]
    result = CliRunner().invoke(main, ["calibrate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    program, _ = load(out)
    kept = program.meta["calibration"]["recipe"]["state"]
    assert kept == {"headroom_bits": 2, "bits": bits, "error_feedback": carry}
    scans = [s for s in program.steps if s.op.startswith("scan")]
    assert {s.op for s in scans} == {"scan_carry" if carry else "scan"}
    assert {s.parameters["limit"] for s in scans} == {(1 << (bits - 1)) - 1}


def test_options_come_before_the_recipe_and_others_stay_the_recipe_s(tmp_path):
    small_step(tmp_path)
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n[activations]\nobserver = "minmax"\n[state]\n'
                      "headroom_bits = 3\nbits = 16\nerror_feedback = false\n")  # fmt: skip
    out = tmp_path / "a.wmq"
    common = ["calibrate", str(tmp_path / "small.onnx"), "-o", str(out), "--set", "self-play",
              "--recipe", str(recipe)]  # fmt: skip
    for options, bits, carry in (((), 16, False), (("--state-error-feedback",), 16, True),
                                 (("--state-bits", "32"), 32, False)):  # fmt: skip
        assert CliRunner().invoke(main, [*common, *options]).exit_code == 0
        kept = load(out)[0].meta["calibration"]["recipe"]["state"]
        assert kept == {"headroom_bits": 3, "bits": bits, "error_feedback": carry}


def test_a_width_that_does_not_exist_is_refused(tmp_path):
    small_step(tmp_path)
    arguments = [tmp_path / "small.onnx", "-o", tmp_path / "a.wmq", "--set", "self-play"]
    result = CliRunner().invoke(main, ["calibrate", *map(str, arguments), "--state-bits", "12"])
    assert result.exit_code == 2 and "'8', '16', '32'" in result.stderr
    assert not (tmp_path / "a.wmq").exists()


@pytest.mark.parametrize("digits", [(), ("frame_proj", "ctrl_proj")])
def test_a_bias_far_larger_than_its_weights_is_held_by_fewer_powers_of_two(tmp_path, digits):
    """The widest range of powers has the finest unit of a row, in which this one does not fit."""
    schema, step = Schema(), small_step(tmp_path)
    frames, pads = random_play(schema, 20)
    ranges = collect(step, [calibration_game(schema, frames, pads)]).ranges()
    weights = {name: array.copy() for name, array in step.weights.items()}
    plain = lower(step, ranges, {}, STATE, (), WeightQuantizer(two_digits=digits))
    unit = plain.values["frame_proj"].scale * (
        plain.data["frame_proj.multiplier"] / np.exp2(plain.data["frame_proj.shift"])
    )
    weights["frame_proj.bias"][3] = 1.5 * 2**31 * unit[3]
    changed = dataclasses.replace(step, weights=weights)
    program = lower(changed, ranges, {}, STATE, (), WeightQuantizer(two_digits=digits))
    after = program.values["frame_proj"].scale * (
        program.data["frame_proj.multiplier"] / np.exp2(program.data["frame_proj.shift"])
    )
    held = float(program.data["frame_proj.bias"][3] * after[3])
    assert held == pytest.approx(float(weights["frame_proj.bias"][3]), rel=1e-2)
