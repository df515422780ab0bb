"""One comparison of the engine with the oracle, which most tests here rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from wmq_kernels.conformance.builder import Rows
from wmq_kernels.conformance.ports import run_of
from wmq_kernels.engine import Engine, State
from wmq_kernels.engine.cpu import obstacle
from wmq_kernels.program import DRAWS, Draws, Program
from wmq_kernels.reference import Reference


def rows(values: Iterable[Iterable[int]]) -> np.ndarray:
    return np.array([list(row) for row in values], dtype=np.int32)


KINDS = ("portable",) if obstacle() else ("portable", "vnni")
needs_vnni = pytest.mark.needs("AVX-512 VNNI", obstacle())
each_kind = pytest.mark.parametrize("kind", ["portable", pytest.param("vnni", marks=needs_vnni)])


class Case:
    """A program with its input, and what the oracle makes of it."""

    def __init__(
        self, program: Program, given: Rows, frames: int, kinds: Sequence[str] = KINDS,
        inputs: Rows | None = None, draws: Draws | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        self.program, self.given, self.frames = program, given[:frames], frames
        pads = [[3_000_017 * (t % 5 - 2), -700_001 * t] for t in range(frames + 1)]
        self.inputs, self.draws, self.threads = inputs or pads, draws, threads
        oracle = Reference(program)
        wanted = oracle.run(self.given, self.inputs, frames, heads=True, draws=draws)
        self.heads, self.made = wanted.heads, wanted.made
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
        given, inputs = (np.repeat(rows(part)[None], 3, axis=0)
                         for part in (self.given, self.inputs))  # fmt: skip
        run = engine.run_group(group, given, inputs, self.frames, heads=True, threads=self.threads,
                               draws=of_worlds(self.draws, 3))  # fmt: skip
        assert run.heads is not None
        found = (self._shown(engine, group.world(w), run.made[w], run.heads[w]) for w in range(3))
        return next((f"world {w}, {text}" if w else text for w, text in enumerate(found) if text),
                    "")  # fmt: skip

    def _shown(self, engine: Engine, state: State, made: np.ndarray, heads: np.ndarray) -> str:
        for t in range(self.frames):
            for name, wanted, found in (("heads", self.heads, heads),
                                        (self.program.roles.made, self.made, made)):  # fmt: skip
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


def of_worlds(draws: Draws | None, worlds: int) -> Draws | None:
    """The same draws in each of some worlds."""
    if draws is None:
        return None
    return Draws(*(np.repeat(getattr(draws, name)[None], worlds, axis=0) for name in DRAWS))


def case_of_ports(of: str, seed: int, kinds: Sequence[str] = KINDS, threads: int = 1) -> Case:
    """A random program of a kind of `ports.KINDS_OF_PORTS`."""
    t = run_of(of, seed)
    return Case(t.program, t.given, t.frames, kinds, t.inputs, t.draws, threads)


def assert_engine_equals_oracle(program: Program, given: Rows, frames: int) -> None:
    """Frames, heads, states and saturations are the same, number by number."""
    difference = Case(program, given, frames).difference()
    assert not difference, difference
