"""Long runs of the golden programs; `make soak` asks for them, `make test` leaves them out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support import golden
from tests.support.golden import EMBEDDED, SEEDS, SYNTHETIC, embedded_worlds, random_play
from tests.support.ways import LONG_WAYS, gone
from tests.wmq.inference.test_same_bits import Results, assert_golden
from wmq.inference.model_files import open_program
from wmq.rollout.rollout import roll
from wmq_kernels.engine import Engine
from wmq_kernels.reference import Reference

FRAMES = 600
WORLDS = 257
pytestmark = pytest.mark.soak


def test_engine_equals_oracle_over_600_frames_of_the_embedded_model() -> None:
    model = open_program()
    start = golden.a_start()
    pads = np.concatenate([start.controllers, random_play(FRAMES)])
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
    pads = [random_play(FRAMES, seed) for seed in seeds]
    start = golden.a_start()

    def rolled(some: list[int], threads: int) -> list[str]:
        batch = roll(embedded_worlds(), start, [pads[seed] for seed in some], some, threads)
        return [world.sha256 for world in batch.worlds]

    together = rolled(seeds, threads=2)
    assert together[0] == EMBEDDED[FRAMES]
    assert len(set(together)) == WORLDS
    assert rolled(seeds[::-1], threads=8) == together[::-1]
    in_threes = [rolled(seeds[at : at + 3], threads=1) for at in range(0, WORLDS, 3)]
    assert [world for batch in in_threes for world in batch] == together


@pytest.mark.parametrize("worlds", [3, 64])
def test_a_minute_of_many_worlds_has_the_golden_world_first_and_last(worlds: int) -> None:
    seeds = [0, *range(1, worlds - 1), 0]
    pads = [random_play(3600, seed) for seed in seeds]
    batch = roll(embedded_worlds(), golden.a_start(), pads, seeds, threads=8)
    assert batch.worlds[0].sha256 == batch.worlds[-1].sha256 == EMBEDDED[3600]
