"""The engine's two kinds of kernels, its groups of worlds and its teams of threads."""

from __future__ import annotations

import os
import signal
import threading
import time
from random import Random

import numpy as np
import pytest

from tests.support import golden
from tests.wmq_kernels.programs import Case, each_kind
from wmq_kernels.conformance.network import START, network
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.engine import Engine, barrier, vnni
from wmq_kernels.engine.cpu import chosen, obstacle
from wmq_kernels.errors import ProgramError


@each_kind
@pytest.mark.parametrize("op", RECIPES)
def test_an_instruction_is_the_oracle_s(op: str, kind: str) -> None:
    for seed in range(12):
        assert not Case(*draw(op, seed), frames=4, kinds=[kind]).difference()


@each_kind
@pytest.mark.parametrize("frames", golden.SYNTHETIC)
def test_the_synthetic_programs_have_their_golden_digests(kind: str, frames: int) -> None:
    found = [golden.by_engine(seed, frames, kind) for seed in golden.SEEDS]
    assert found == golden.SYNTHETIC[frames]


@each_kind
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_team_of_threads_gives_the_same_bits(kind: str, threads: int) -> None:
    found = [golden.by_engine(seed, 60, kind, threads) for seed in golden.SEEDS]
    assert found == golden.SYNTHETIC[60]


@each_kind
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 63, 64, 65, 100, 128, 200])
@pytest.mark.parametrize("columns", [1, 3, 4, 5, 130])
def test_a_matrix_of_any_shape_is_multiplied(kind: str, rows: int, columns: int) -> None:
    """x and y are two digits: the second product is added to the first, 128-fold."""
    rng = np.random.default_rng(rows * 1000 + columns)
    weight = rng.integers(-128, 128, (rows, columns)).tolist()
    bias = rng.integers(-(1 << 20), 1 << 20, rows).tolist()
    packed = vnni.packed(np.array(weight, np.int8))
    assert len(packed) == -(-rows // 16) * 16 * -(-columns // 4) * 4
    x, y = rng.integers(-128, 128, (2, 5, columns)).astype(np.int8)
    w = np.array(weight, np.int64)
    wanted = np.array(bias) + x.astype(int) @ w.T + 128 * (y.astype(int) @ w.T)
    assert (_multiplied(kind, weight, bias, x, y) == wanted).all()


def _multiplied(kind: str, weight: list, bias: list, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`dots` of five worlds by itself."""
    from wmq_kernels.engine import aligned, kernels

    rows, columns = np.shape(weight)
    size8, size32 = 2 * columns + 64, rows + 64
    v8, v32 = aligned(5 * size8, "i8"), aligned(5 * size32, "i32")
    for world in range(5):
        v8[world * size8 :][:columns] = x[world]
        v8[world * size8 + columns :][:columns] = y[world]
    p = np.array([0, columns, 0, 0, 0, columns, rows, 7, 1, size8, size32], np.int64)
    c32, acc = np.array(bias, np.int32), aligned(256, "i32")
    if kind == "vnni":
        packed = aligned(rows * columns + 65536, "i8")
        one = vnni.packed(np.array(weight, np.int8))
        packed[: len(one)] = one
        c32 = np.concatenate([c32, np.zeros(64, np.int32)])
        vnni.dots(p, 5, packed, c32, v8, v32, acc, aligned(10, "i64"))
    else:
        c8, wide = np.array(weight, np.int8).ravel(), aligned(5 * columns, "i16")
        kernels.dots(p, 5, c8, c32, v8, v32, wide, acc)
    return v32.reshape(5, size32)[:, :rows].astype(int)


def test_kernels_are_chosen_by_name_and_an_unknown_one_is_refused() -> None:
    assert chosen("portable") == "portable"
    assert chosen("auto") == ("portable" if obstacle() else "vnni")
    with pytest.raises(ProgramError, match="unknown; choose one of auto, vnni, portable"):
        chosen("cuda")


def test_worlds_of_a_group_are_each_as_if_alone() -> None:
    engine, rng = Engine(network(1)), Random(5)
    pads = np.stack([golden.controllers(rng.randrange(99), 20) for _ in range(7)])
    given = np.repeat(np.array([[START]], np.int32), 7, axis=0)
    group = engine.zero_group(7)
    together = engine.run_group(group, given, pads, 20, heads=True)
    assert together.heads is not None
    for world in range(7):
        state = engine.zero_state()
        alone = engine.run(state, given[world], pads[world], 20, heads=True)
        assert (together.frames[world] == alone.frames).all()
        assert (together.heads[world] == alone.heads).all()
        assert (group.world(world).saturations == state.saturations).all()


def test_a_state_put_into_a_group_goes_on_there() -> None:
    engine, pads = Engine(network(2)), golden.controllers(2, 40)
    state, given = engine.zero_state(), np.array([START], np.int32)
    whole_run = engine.run(engine.zero_state(), given, pads, 40).frames
    first = engine.run(state, given, pads[:21], 20).frames
    group = engine.zero_group(3)
    group.put(1, state)
    rest = engine.run_group(group, np.repeat(first[None, -1:], 3, 0),
                            np.repeat(pads[None, 20:], 3, 0), 20).frames  # fmt: skip
    assert (np.concatenate([first, rest[1]]) == whole_run).all()


def test_who_waits_for_a_thread_that_gave_up_gives_up_too() -> None:
    shared = barrier.new()
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(barrier.meet(shared, 2, 1)))
    waiting.start()
    barrier.abandon(shared)
    waiting.join(10)
    assert answers == [False]


def test_an_error_in_one_thread_of_a_team_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from wmq_kernels.engine import loop

    right = loop.run_frames

    def wrong(*arguments: object) -> object:
        if arguments[-3] == 1:
            raise MemoryError("not for this thread")
        return right(*arguments)

    engine = Engine(network(0))
    engine.run(engine.zero_state(), np.array([START], np.int32), golden.controllers(0, 1), 1)
    monkeypatch.setattr(loop, "run_frames", wrong)
    with pytest.raises(MemoryError):
        engine.run(engine.zero_state(), np.array([START], np.int32), golden.controllers(0, 9), 9,
                   threads=2)  # fmt: skip


def test_a_thread_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from wmq_kernels.engine import loop

    right = loop.run_frames

    def late(*arguments: object) -> object:
        time.sleep(0.3 * (arguments[-3] == 1))
        return right(*arguments)

    monkeypatch.setattr(loop, "run_frames", late)
    for seed in golden.SEEDS:
        assert golden.by_engine(seed, 60, "portable", threads=2) == golden.SYNTHETIC[60][seed]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_group_goes_on_in_the_child_of_a_fork() -> None:
    """The child has none of its parent's threads."""
    engine, pads = Engine(network(2)), golden.controllers(2, 40)
    given = np.array([[START]], np.int32)
    whole = engine.run(engine.zero_state(), given[0], pads, 40).frames
    group = engine.zero_group(1)
    first = engine.run_group(group, given, pads[None, :21], 20, threads=2).frames

    def goes_on() -> bool:
        rest = engine.run_group(group, first[:, -1:], pads[None, 20:], 20, threads=2).frames
        return bool((np.concatenate([first[0], rest[0]]) == whole).all())

    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that waits for ever
        code = 1
        try:
            code = 0 if goes_on() else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert goes_on()
