"""The golden hashes, however the engine is compiled, cut into runs, spread and surrounded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.support import golden
from tests.support.golden import EMBEDDED, GOLDEN, SEEDS, SYNTHETIC, embedded_worlds
from tests.support.ways import WAYS, Way, gone
from tests.wmq_kernels.programs import each_kind
from wmq.inference.draws import Sampling
from wmq.inference.predictor import Worlds
from wmq.rollout.rollout import agent_sha256
from wmq.rollout.starts import Start
from wmq_kernels.conformance.network import START, network
from wmq_kernels.engine import Engine, State
from wmq_kernels.engine.cpu import obstacle
from wmq_kernels.isa import TABLE

FRAMES = 6  # of many worlds
Results = dict[str, Future[dict[str, Any]]]


def test_the_golden_hashes_are_those_of_the_embedded_model() -> None:
    agent = agent_sha256(golden.embedded_agents())[0]
    found = {"model_sha256": embedded_worlds().sha256, "agent_sha256": agent}
    assert found == {name: GOLDEN[name] for name in found}, (
        "the embedded models were changed: python -m tests.support.golden renew"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_golden_digests_are_those_of_the_synthetic_programs(seed: int) -> None:
    assert golden.program_sha256(seed) == golden.PROGRAM_SHA256[seed], (
        f"network({seed}) was changed: renew PROGRAM_SHA256 and SYNTHETIC in "
        "tests/support/golden.py (golden.by_oracle)"
    )
    assert {step.op for step in network(seed).steps} == set(TABLE)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_gets_the_golden_digest(seed: int) -> None:
    assert golden.by_oracle(seed, 60) == SYNTHETIC[60][seed]


@pytest.mark.parametrize("frames", SYNTHETIC)
def test_the_engine_gets_the_golden_digests(frames: int) -> None:
    assert [golden.by_engine(seed, frames) for seed in SEEDS] == SYNTHETIC[frames]


@each_kind
@pytest.mark.parametrize("frames", EMBEDDED)
def test_the_engine_gets_the_golden_hashes(frames: int, kind: str) -> None:
    assert golden.embedded(frames, kind) == EMBEDDED[frames]


@each_kind
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_that_share_a_frame_get_the_golden_hash(threads: int, kind: str) -> None:
    assert golden.embedded(60, kind, threads) == EMBEDDED[60]


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    with gone(WAYS) as futures:
        yield futures


@pytest.mark.parametrize("name", WAYS)
def test_another_way_of_compiling_gives_the_same_bits(name: str, results: Results) -> None:
    if WAYS[name].obstacle:
        pytest.skip(WAYS[name].obstacle)
    assert_golden(WAYS[name], results[name].result())


def assert_golden(way: Way, found: dict[str, Any]) -> None:
    """The result of a way has the golden hashes, and that way was really gone."""
    assert found["synthetic"] == SYNTHETIC[way.synthetic]
    assert found["embedded"] == EMBEDDED.get(way.embedded)
    assert found["compiled"] == ("NUMBA_DISABLE_JIT" not in way.settings)
    if found["compiled"]:
        assert found["cpu"] == way.settings.get("NUMBA_CPU_NAME", found["cpu"])
        assert found["checked"] == ("NUMBA_BOUNDSCHECK" in way.settings)
        code = found["code"]
        assert [code[key] for key in ("llvm", "assembly", "foreign")] == [[], [], []]
        if way.settings.get("NUMBA_CPU_NAME") in ("generic", "haswell"):
            assert code["avx512"] == []  # which such a processor would not survive
        elif "NUMBA_CPU_NAME" not in way.settings:
            assert code["avx512"] == ([] if obstacle() else ["vpdpbusd", "zmm"])


def test_each_way_of_compiling_made_other_code(results: Results) -> None:
    codes = [found["code"]["code_sha256"] for future in results.values()
             if (found := future.result())["compiled"]]  # fmt: skip
    assert len(set(codes)) == len(codes) > 2


@cache
def alone(seed: int) -> str:
    """The hash of a world that was the only one."""
    return golden.rolled(FRAMES, [seed]).sha256


@each_kind
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 3, 64, 257])
def test_a_world_in_a_batch_is_the_world_alone(count: int, threads: int, kind: str) -> None:
    batch = golden.rolled(FRAMES, range(count), kind, threads)
    assert [world.sha256 for world in batch.worlds] == [alone(seed) for seed in range(count)]
    assert batch.worlds[0].sha256 == EMBEDDED[FRAMES]


@pytest.mark.parametrize("seeds", [(0, 5, 9), (5, 0, 9), (9, 5, 0), (0, 0, 0)], ids=str)
def test_a_world_is_the_same_at_any_place(seeds: tuple[int, ...]) -> None:
    batch = golden.rolled(FRAMES, seeds, threads=2)
    assert [world.sha256 for world in batch.worlds] == [alone(seed) for seed in seeds]


class Played:
    """A world that was played, made once more by any number of frames at a time."""

    def __init__(self, start: Start, seed: int, frames: int) -> None:
        self.played = golden.rolled(frames, [seed], start=start).worlds[0]
        self.pads = np.concatenate([start.controllers, self.played.controllers])
        self.made = start.given
        self.world: Worlds = embedded_worlds().worlds(1, sampling=Sampling.of_worlds([seed]))

    def begun_again(self) -> Played:
        twin = copy(self)
        twin.world = embedded_worlds().worlds(1, sampling=Sampling.of_worlds([self.played.seed]))
        return twin

    def advance(self, frames: int) -> None:
        done = len(self.made) - 1
        frames = min(frames, len(self.pads) - 1 - done)
        if frames > 0:
            pads = self.pads[done : done + frames + 1]
            (block,) = self.world.advance(self.made[None, -1:], pads[None], frames)
            self.made = np.concatenate([self.made, block])

    @property
    def same(self) -> bool:
        return np.array_equal(self.made[1:], self.played.frames)


STARTS = [("battlefield", ("fox", "falco")), ("dream-land", ("marth", "sheik")),
          ("yoshis-story", ("falco", "fox")), ("battlefield", ("fox", "falco"))]  # fmt: skip


@pytest.mark.parametrize("block", [1, 7, 60])
def test_worlds_from_other_starts_in_between_change_nothing(block: int) -> None:
    """The first and the last are the golden world; the others take turns with them."""
    worlds = [Played(golden.a_start(*start), seed, 60)
              for seed, start in zip((0, 1, 2, 0), STARTS, strict=True)]  # fmt: skip
    for _ in range(60):
        for turn, world in enumerate(worlds):
            world.advance(block + turn)
    assert all(world.same for world in worlds)
    assert worlds[0].played.sha256 == worlds[3].played.sha256 == EMBEDDED[60]
    assert len({world.played.sha256 for world in worlds}) == 3


def test_worlds_from_other_starts_in_other_threads_change_nothing() -> None:
    alone = [Played(golden.a_start(*STARTS[i]), (0, 1, 2, 0)[i], 60) for i in range(4)]
    worlds = [world.begun_again() for world in 4 * alone]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda world: [world.advance(5) for _ in range(12)], worlds))
    assert all(world.same for world in worlds)


def moved(state: State) -> State:
    """A copy; the original is spoilt, so that nothing can go on living in it."""
    copy = state.copy()
    for numbers in (*state.arenas.values(), state.saturations):
        numbers.fill(77)
    return copy


@pytest.mark.parametrize("block", [1, 7, 60])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_in_pieces_with_copied_states_gets_the_golden_digest(seed: int, block: int) -> None:
    engine = Engine(network(seed))
    state, pads = engine.zero_state(), golden.controllers(seed, 60)
    frames, heads = [np.array([START], np.int32)], []
    for first in range(0, 60, block):
        count = min(block, 60 - first)
        run = engine.run(state, frames[-1][-1:], pads[first : first + count + 1], count, True)
        frames.append(run.frames)
        heads.append(run.heads)
        state = moved(state)
    made = np.concatenate(frames[1:])
    found = golden.digest(made, np.concatenate(heads), golden.kept(engine, state),
                          state.saturations)  # fmt: skip
    assert found == SYNTHETIC[60][seed]


def test_the_synthetic_programs_stay_alive() -> None:
    """Most of their frames are new ones, no state has died, and some clamps act."""
    for seed in SEEDS:
        engine = Engine(network(seed))
        state = engine.zero_state()
        given = np.array([START], np.int32)
        run = engine.run(state, given, golden.controllers(seed, 3600), 3600)
        assert len(np.unique(run.frames, axis=0)) > 1800
        assert all(numbers.any() for numbers in golden.kept(engine, state))
        assert np.count_nonzero(state.saturations) > 2
