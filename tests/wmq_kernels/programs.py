"""One comparison of the engine with the oracle, which most tests here rest on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wmq_kernels.conformance.builder import Rows
from wmq_kernels.program import Program


def rows(values: Iterable[Iterable[int]]) -> np.ndarray:
    return np.array([list(row) for row in values], dtype=np.int32)


def assert_engine_equals_oracle(program: Program, given: Rows, frames: int) -> None:
    """Frames, heads, states and saturations are the same, number by number."""
    from wmq_kernels.engine import Engine
    from wmq_kernels.reference import Reference

    oracle, engine = Reference(program), Engine(program)
    state = engine.zero_state()
    pads = [[t % 5, -t] for t in range(frames + 1)]
    wanted = oracle.run(given, pads, frames, heads=True)
    found = engine.run(state, rows(given), rows(pads), frames, heads=True)
    assert found.heads is not None
    assert found.heads.tolist() == wanted.heads
    assert found.frames.tolist() == wanted.frames
    assert state.saturations.tolist() == wanted.saturations
    for name, content in oracle.state.items():
        assert engine.value(state, name).ravel().tolist() == content, name
