"""Whole small networks: engine equals oracle over 100 frames, however the run is cut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random

import numpy as np
import pytest

from tests.wmq_kernels.programs import rows
from wmq_kernels.conformance.network import START, network
from wmq_kernels.decoding import decode
from wmq_kernels.engine import Engine
from wmq_kernels.isa import TABLE
from wmq_kernels.program import encode
from wmq_kernels.reference import Reference, Rollout

FRAMES = 100
SEEDS = range(4)


@cache
def pads(seed: int, frames: int = FRAMES) -> list[list[int]]:
    rng = Random(seed)
    return [[rng.randint(-3_000_000, 3_000_000) for _ in range(2)] for _ in range(frames + 1)]


@cache
def oracle(seed: int) -> tuple[Rollout, dict[str, list[int]]]:
    reference = Reference(network(seed))
    return reference.run([START], pads(seed), FRAMES, heads=True), reference.state


@pytest.mark.parametrize("seed", SEEDS)
def test_engine_equals_oracle_over_100_frames(seed: int) -> None:
    wanted, kept = oracle(seed)
    engine = Engine(decode(encode(network(seed))))
    state = engine.zero_state()
    found = engine.run(state, rows([START]), rows(pads(seed)), FRAMES, heads=True)
    assert found.heads is not None
    assert found.frames.tolist() == wanted.frames
    assert found.heads.tolist() == wanted.heads
    assert state.saturations.tolist() == wanted.saturations
    for name, content in kept.items():
        assert engine.value(state, name).ravel().tolist() == content


def test_the_networks_use_every_instruction_and_stay_alive() -> None:
    program = network(0)
    assert {step.op for step in program.steps} == set(TABLE)
    moved = set()
    for seed in SEEDS:
        run, kept = oracle(seed)
        assert len({tuple(frame) for frame in run.frames}) > FRAMES // 2
        assert all(any(content) for content in kept.values())
        moved |= {i for i, n in enumerate(run.saturations) if n}
    assert len({program.steps[i].op for i in moved}) >= 4


@pytest.mark.parametrize("cuts", [(1,), (50,), (1, 2, 3), (33, 66, 99)])
def test_a_run_in_pieces_is_the_run_in_one(cuts: tuple[int, ...]) -> None:
    wanted, kept = oracle(1)
    reference, engine = Reference(network(1)), Engine(network(1))
    state = engine.zero_state()
    there: list[list[int]] = []
    here: list[list[int]] = []
    for begin, end in zip((0, *cuts), (*cuts, FRAMES), strict=True):
        some = pads(1)[begin : end + 1]
        there += reference.run([(there or [START])[-1]], some, end - begin).frames
        here += engine.run(
            state, rows([(here or [START])[-1]]), rows(some), end - begin
        ).frames.tolist()
    assert there == here == wanted.frames
    assert reference.saturations == state.saturations.tolist() == wanted.saturations
    assert reference.state == kept


def test_given_frames_take_the_place_of_the_program_s_own() -> None:
    """A run that is given what it would have made makes it again."""
    wanted, _ = oracle(2)
    given = [START, *wanted.frames[:29]]
    reference, engine = Reference(network(2)), Engine(network(2))
    assert reference.run(given, pads(2), FRAMES).frames == wanted.frames
    found = engine.run(engine.zero_state(), rows(given), rows(pads(2)), FRAMES)
    assert found.frames.tolist() == wanted.frames
    changed = [START, *([v + 1 for v in frame] for frame in wanted.frames[:29])]
    a = Reference(network(2)).run(changed, pads(2), FRAMES).frames
    b = engine.run(engine.zero_state(), rows(changed), rows(pads(2)), FRAMES).frames.tolist()
    assert a == b != wanted.frames


def test_a_copied_state_goes_its_own_way() -> None:
    wanted, _ = oracle(3)
    engine = Engine(network(3))
    state = engine.zero_state()
    first = engine.run(state, rows([START]), rows(pads(3)[:51]), 50).frames
    other = state.copy()
    for one in (state, other):
        rest = engine.run(one, first[-1:], rows(pads(3)[50:]), 50).frames
        assert rest.tolist() == wanted.frames[50:]
        assert one.saturations.tolist() == wanted.saturations


def test_threads_share_an_engine() -> None:
    engine = Engine(network(0))

    def run(seed: int) -> np.ndarray:
        return engine.run(engine.zero_state(), rows([START]), rows(pads(seed)), FRAMES).frames

    alone = [run(seed).tolist() for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert [frames.tolist() for frames in pool.map(run, range(8))] == alone
