"""A small world that draws and a small agent in both forms; PYTEST_DONT_REWRITE.

Named in `pytest_plugins` by the tests that use its fixture.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import to_bytes
from tests.support.small_chain import SCHEMAS, made_play, small_chain
from wmq.calibration.play import calibration_game
from wmq_kernels.program import encode


@pytest.fixture(scope="session")
def match_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with world.onnx, world.wmq, agent.onnx and agent.wmq."""
    folder = tmp_path_factory.mktemp("match")
    for kind, schema in SCHEMAS.items():
        step = small_chain(kind, folder)
        (folder / f"{kind}.onnx").write_bytes(to_bytes(step.model))
        frames, pads = made_play(schema)
        ranges = collect(step, [calibration_game(schema, frames[:80], pads[:80])]).ranges()
        program = lower(step, ranges, {"set": "made"}, RecurrentState(headroom_bits=2))
        (folder / f"{kind}.wmq").write_bytes(encode(program))
    return folder
