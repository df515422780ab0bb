"""The lowered program against onnxruntime, the oracle and the schema's own frame update."""

import dataclasses

import numpy as np
import onnxruntime
import pytest

from calib.errors import CalibrationError
from calib.lower import lower
from calib.statistics import collect
from calib.step_graph import to_bytes, zero_state
from tests.calib.small_step import as_game, random_play, small_step
from wmq.onnx_step import next_frames
from wmq.schema import Schema
from wmq_kernels.engine import Engine
from wmq_kernels.program import decode, encode
from wmq_kernels.reference import Reference

FRAMES = 120


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "projectiles"])
def lowered(request, tmp_path_factory):
    schema = Schema(projectiles=request.param)
    step = small_step(tmp_path_factory.mktemp("step"), request.param)
    frames, pads = random_play(schema, FRAMES + 1)
    statistics = collect(step, [as_game(schema, frames, pads)])
    return schema, step, frames, pads, lower(step, statistics, {}, 2), statistics


def float_heads(step, schema, frames, pads):
    """The heads of onnxruntime, the state carried: name -> (T, width)."""
    session = onnxruntime.InferenceSession(to_bytes(step.model))
    game, state = as_game(schema, frames, pads), zero_state(step.config, step.schema)
    names = [o.name for o in session.get_outputs()]
    rows = []
    for t in range(len(game.numbers)):
        inputs = {k: getattr(game, k)[t : t + 1]
                  for k in ("numbers", "classes", "controllers", "next_controllers")}  # fmt: skip
        found = dict(zip(names, session.run(None, inputs | state), strict=True))
        state = {k: found[f"next_{k}"] for k in state}
        rows.append(found)
    return {k: np.concatenate([r[k] for r in rows]) for k in rows[0] if "next_" not in k}


def test_every_head_follows_onnxruntime(lowered):
    schema, step, frames, pads, program, _ = lowered
    wanted = float_heads(step, schema, frames, pads)
    state = Engine(program).zero_state()
    run = Engine(program).run(state, frames[:-1], pads, FRAMES, heads=True)
    for name, (start, count) in program.heads.items():
        found = run.heads[:, start : start + count] * program.meta["head_scales"][name]
        noise = np.sum((found - wanted[name]) ** 2) / np.sum(wanted[name] ** 2)
        assert noise < 10**-1.8, f"{name}: {-10 * np.log10(noise):.1f} dB"
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
    _, step, _, _, program, statistics = lowered
    assert encode(lower(step, statistics, {}, 2)) == encode(program)


def test_the_state_has_the_room_that_was_asked_for(lowered):
    _, _, frames, pads, program, _ = lowered
    engine = Engine(program)
    state = engine.zero_state()
    engine.run(state, frames[:-1], pads, FRAMES)
    for layer in range(2):
        largest = np.abs(engine.value(state, f"state.{layer}").astype(np.int64)).max()
        assert largest < 1.05 * 2**29  # 4 times 2^29 fills int32; a twentieth is rounding


def test_a_bias_that_no_sum_can_hold_is_refused_by_name(lowered):
    _, step, _, _, _, statistics = lowered
    weights = dict(step.weights)
    weights["heads.binary.bias"] = weights["heads.binary.bias"] + np.float32(1e9)
    with pytest.raises(CalibrationError, match=r"heads\.binary"):
        lower(dataclasses.replace(step, weights=weights), statistics, {}, 2)
