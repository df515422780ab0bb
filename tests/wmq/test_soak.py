"""Long runs of the embedded model; `make soak` asks for them, `make test` leaves them out."""

from __future__ import annotations

import numpy as np
import pytest

from wmq.controllers import parse_source
from wmq.opening import open_program
from wmq.rollout import both_controllers
from wmq.starts import match_start
from wmq_kernels.engine import Engine
from wmq_kernels.reference import Reference

FRAMES = 600


@pytest.mark.soak
def test_engine_equals_oracle_over_600_frames_of_the_embedded_model():
    model = open_program()
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    random = parse_source("random", "--p1")
    new = both_controllers((random, random), start, FRAMES, 0)
    pads = np.concatenate([start.controllers, new])
    engine, oracle = Engine(model.program), Reference(model.program)
    state = engine.zero_state()
    ours = engine.run(state, start.given, pads, FRAMES, heads=True)
    assert ours.heads is not None
    now = start.given.tolist()
    for row in range(FRAMES):
        true = oracle.run(now, pads[row : row + 2].tolist(), 1, heads=True)
        assert ours.frames[row].tolist() == true.frames[0], f"frame {row}"
        assert true.heads is not None
        assert ours.heads[row].tolist() == true.heads[0], f"heads of frame {row}"
        now = true.frames
    for name, value in model.program.values.items():
        if value.kind == "state":
            assert engine.value(state, name).ravel().tolist() == oracle.values[name], name
    assert state.saturations.tolist() == oracle.saturations
