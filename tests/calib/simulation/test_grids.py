"""Roundings: the scales that are reported are those that the program computes with."""

from __future__ import annotations

import numpy as np

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.simulation.grids import grids_of
from calib.simulation.noise import decibels
from calib.statistics.collect import collect
from calib.statistics.tensors import observed_tensors
from calib.step.runner import StepRunner
from tests.support.small_step import random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.game.schema import Schema
from wmq_kernels.engine import Engine

LEAST_DECIBELS = 12  # int8 noise of two random layers; a wrong scale gives 6 or less
FRAMES = 60


def test_the_program_follows_the_float_step_tensor_by_tensor(tmp_path):
    step, schema = small_step(tmp_path), Schema()
    frames, controllers = random_play(schema, FRAMES + 1, 7)
    game = calibration_game(schema, frames, controllers)
    program = lower(step, collect(step, [game]).ranges(), {}, RecurrentState(headroom_bits=2))
    grids = grids_of(step, program)
    observed = observed_tensors(step.sizes)
    heads = {name for name in observed if name.startswith("heads.")}
    digits = {"encoded"}
    numbers = {"heads.continuous", "heads.velocity", "heads.dynamics"}
    assert set(observed) - set(grids) == digits | numbers

    engine = Engine(program)
    state = engine.zero_state()
    names = [name for name in grids if name not in heads]
    sums = {name: np.zeros(2) for name in names}
    for at, found in enumerate(StepRunner(step, names).play([game], None)):
        engine.run(state, frames[at : at + 1], controllers[at : at + 2], 1)
        for name in names:
            if name.startswith("next_state."):  # (heads, d_state, headdim) in the program
                units = engine.value(state, name.removeprefix("next_")).swapaxes(1, 2)
            else:
                units = engine.value(state, name)
            scale = grids[name].scale
            values = units.reshape(len(scale), -1) * scale[:, None]
            expected = found[name].reshape(values.shape).astype(np.float64)
            sums[name] += (expected**2).sum(), ((expected - values) ** 2).sum()
    ratios = {name: decibels(*both) for name, both in sums.items()}
    assert min(ratios.values()) > LEAST_DECIBELS, ratios
