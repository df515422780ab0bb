"""A small random model in both forms, and rollouts of it.

Named in `pytest_plugins` by the tests that use its fixtures; PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import to_bytes
from tests.support.small_step import random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.cli import main
from wmq.game.schema import Schema
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.rollout import rollout
from wmq.rollout.controllers import Source
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.starts import Start, match_start
from wmq_kernels.loading import load
from wmq_kernels.program import encode

SCHEMA = Schema()
RANDOM = (Source("random"), Source("random"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.onnx and small.wmq, the same model."""
    folder = tmp_path_factory.mktemp("models")
    step = small_step(folder)
    (folder / "small.onnx").write_bytes(to_bytes(step.model))
    statistics = collect(step, [calibration_game(SCHEMA, *random_play(SCHEMA, 61))]).ranges()
    (folder / "small.wmq").write_bytes(
        encode(lower(step, statistics, {"set": "random"}, RecurrentState(headroom_bits=2)))
    )
    return folder


@pytest.fixture(scope="session")
def worlds(models: Path) -> IntegerPredictor:
    return IntegerPredictor(open_program(models / "small.wmq"))


def a_start(given: int = 1) -> Start:
    if given == 1:
        return match_start(SCHEMA, "battlefield", ("fox", "falco"))
    frames, pads = random_play(SCHEMA, given + 50, seed=3)
    return Start("random play", frames[:given], pads[:given], 77, pads[given:])


def played(
    worlds: IntegerPredictor, frames: int, seeds: Sequence[int], given: int = 1, threads: int = 1
) -> rollout.Rollout:
    start = a_start(given)
    pads = [both_controllers(RANDOM, start, frames, seed) for seed in seeds]
    return roll(worlds, start, pads, seeds, threads)


def wmq(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def without_head_scales(source: Path, path: Path) -> Path:
    """The same integer program, whose heads no one can read."""
    program, _ = load(source)
    meta = {key: value for key, value in program.meta.items() if key != "head_scales"}
    path.write_bytes(encode(replace(program, meta=meta)))
    return path
