"""One comparison of the engine with the oracle, which most tests here rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from wmq_kernels.conformance.builder import Rows
from wmq_kernels.engine import Engine, State
from wmq_kernels.engine.cpu import obstacle
from wmq_kernels.program import Program
from wmq_kernels.reference import Reference


def rows(values: Iterable[Iterable[int]]) -> np.ndarray:
    return np.array([list(row) for row in values], dtype=np.int32)


KINDS = ("portable",) if obstacle() else ("portable", "vnni")
needs_vnni = pytest.mark.needs("AVX-512 VNNI", obstacle())
each_kind = pytest.mark.parametrize("kind", ["portable", pytest.param("vnni", marks=needs_vnni)])


class Case:
    """A program with its input, and what the oracle makes of it."""

    def __init__(
        self, program: Program, given: Rows, frames: int, kinds: Sequence[str] = KINDS
    ) -> None:
        self.program, self.given, self.frames = program, given[:frames], frames
        self.pads = [[3_000_017 * (t % 5 - 2), -700_001 * t] for t in range(frames + 1)]
        oracle = Reference(program)
        wanted = oracle.run(self.given, self.pads, frames, heads=True)
        self.heads, self.made = wanted.heads, wanted.frames
        self.saturations, self.state = wanted.saturations, oracle.state
        self.engines = {kind: Engine(program, kind) for kind in kinds}

    @property
    def executions(self) -> int:
        """Instructions that a comparison executes in both: each step in each frame."""
        return self.frames * len(self.program.steps)

    def difference(self) -> str:
        """The first that the engine's frames, heads, states and saturations show, or "".

        With either kind of kernels, in three worlds side by side, of which each is to be the
        oracle's.
        """
        found = ((kind, self._of_kind(engine)) for kind, engine in self.engines.items())
        return next((f"{kind}: {text}" for kind, text in found if text), "")

    def _of_kind(self, engine: Engine) -> str:
        group = engine.zero_group(3)
        given, pads = (np.repeat(rows(part)[None], 3, axis=0) for part in (self.given, self.pads))
        run = engine.run_group(group, given, pads, self.frames, heads=True)
        assert run.heads is not None
        found = (self._shown(engine, group.world(w), run.frames[w], run.heads[w]) for w in range(3))
        return next((f"world {w}, {text}" if w else text for w, text in enumerate(found) if text),
                    "")  # fmt: skip

    def _shown(self, engine: Engine, state: State, frames: np.ndarray, heads: np.ndarray) -> str:
        for t in range(self.frames):
            for name, wanted, found in (("heads", self.heads, heads),
                                        ("next_frame", self.made, frames)):  # fmt: skip
                assert wanted is not None
                if found[t].tolist() != wanted[t]:
                    return f"frame {t}, {name}{_first(wanted[t], found[t].tolist())}"
        if state.saturations.tolist() != self.saturations:
            return f"saturations{_first(self.saturations, state.saturations.tolist())}"
        for name, content in self.state.items():
            kept = engine.value(state, name).ravel().tolist()
            if kept != content:
                return f"{name}{_first(content, kept)}"
        return ""


def _first(wanted: Sequence[int], found: Sequence[int]) -> str:
    at = next(i for i, (a, b) in enumerate(zip(wanted, found, strict=True)) if a != b)
    return f"[{at}]: the oracle has {wanted[at]}, the engine {found[at]}"


def assert_engine_equals_oracle(program: Program, given: Rows, frames: int) -> None:
    """Frames, heads, states and saturations are the same, number by number."""
    difference = Case(program, given, frames).difference()
    assert not difference, difference
