"""Long runs of the golden programs; `make soak` asks for them, `make test` leaves them out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support import golden
from tests.support.golden import EMBEDDED, SEEDS, SYNTHETIC
from tests.support.ways import LONG_WAYS, gone
from tests.wmq.inference.test_same_bits import Results, assert_golden
from wmq.inference.model_files import open_program
from wmq_kernels.engine import Engine
from wmq_kernels.program import Draws
from wmq_kernels.reference import Reference

FRAMES = 600
WORLDS = 257
pytestmark = pytest.mark.soak


def test_engine_equals_oracle_over_600_frames_of_the_embedded_model() -> None:
    model = open_program()
    start = golden.a_start()
    played = golden.rolled(FRAMES, [0]).worlds[0]
    pads, draws = np.concatenate([start.controllers, played.controllers]), golden.drawn(FRAMES)
    engine, oracle = Engine(model.program), Reference(model.program)
    state = engine.zero_state()
    ours = engine.run(state, start.given, pads, FRAMES, heads=True, draws=draws)
    assert ours.heads is not None and np.array_equal(ours.frames, played.frames)
    now = start.given.tolist()
    for row in range(FRAMES):
        one = slice(row, row + 1)
        by = draws and Draws(draws.words[one], draws.forced[one])
        true = oracle.run(now, pads[row : row + 2].tolist(), 1, heads=True, draws=by)
        assert ours.frames[row].tolist() == true.frames[0], f"frame {row}"
        assert true.heads is not None
        assert ours.heads[row].tolist() == true.heads[0], f"heads of frame {row}"
        now = true.frames
    for name, value in model.program.values.items():
        if value.kind == "state":
            assert engine.value(state, name).ravel().tolist() == oracle.values[name], name
    assert state.saturations.tolist() == oracle.saturations


@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_gets_the_golden_digest_of_3600_frames(seed: int) -> None:
    assert golden.by_oracle(seed, 3600) == SYNTHETIC[3600][seed]


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    with gone(LONG_WAYS) as futures:
        yield futures


@pytest.mark.parametrize("name", LONG_WAYS)
def test_another_way_of_compiling_gives_the_same_bits_for_long(name: str, results: Results) -> None:
    if LONG_WAYS[name].obstacle:
        pytest.skip(LONG_WAYS[name].obstacle)
    assert_golden(LONG_WAYS[name], results[name].result())


def test_257_worlds_are_the_same_in_any_order_any_batch_and_any_threads() -> None:
    seeds = list(range(WORLDS))

    def rolled(some: list[int], threads: int) -> list[str]:
        return [world.sha256 for world in golden.rolled(FRAMES, some, threads=threads).worlds]

    together = rolled(seeds, threads=2)
    assert together[0] == EMBEDDED[FRAMES]
    assert len(set(together)) == WORLDS
    assert rolled(seeds[::-1], threads=8) == together[::-1]
    in_threes = [rolled(seeds[at : at + 3], threads=1) for at in range(0, WORLDS, 3)]
    assert [world for batch in in_threes for world in batch] == together


@pytest.mark.parametrize("worlds", [3, 64])
def test_a_minute_of_many_worlds_has_the_golden_world_first_and_last(worlds: int) -> None:
    seeds = [0, *range(1, worlds - 1), 0]
    batch = golden.rolled(3600, seeds, threads=8)
    assert batch.worlds[0].sha256 == batch.worlds[-1].sha256 == EMBEDDED[3600]
