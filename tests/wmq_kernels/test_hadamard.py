"""hadamard is the Sylvester-Hadamard matrix, in every block, up to the last sum that fits int32."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tests.wmq_kernels.programs import assert_engine_equals_oracle, each_kind, rows
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.engine import Engine
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32
from wmq_kernels.oracle import ORACLE
from wmq_kernels.program import Program
from wmq_kernels.rangecheck import certified

BLOCKS = [1 << k for k in range(1, 11)]


def sylvester(block: int) -> np.ndarray:
    """(block, block) int64, by its definition."""
    matrix = np.ones((1, 1), np.int64)
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def program(
    block: int, most: int, shift: int = 0, blocks: int = 1, passes: int = 1,
    clamp: tuple[int, int] = INT32,
) -> Program:  # fmt: skip
    """Numbers of [-most, most], multiplied so many times."""
    b = Builder(Random(0))
    x = b.read("x", "i32", blocks * block, (-most, most))
    for _ in range(passes):
        out = b.temp("out", "i32", blocks * block, clamp)
        b.step("hadamard", {"x": x, "out": out}, blocks=blocks, block=block, shift=shift,
               lo=clamp[0], hi=clamp[1])  # fmt: skip
        x = out
    b.show("out", x)
    return certified(b.program())


def computed(made: Program, x: np.ndarray, kind: str = "portable", threads: int = 1) -> np.ndarray:
    """(n,) that the engine makes of (n,)."""
    engine = Engine(made, kind)
    run = engine.run(engine.zero_state(), rows([x.tolist()]), rows([[0, 0]] * 2), 1, heads=True,
                     threads=threads)  # fmt: skip
    assert run.heads is not None
    return run.heads[0].astype(np.int64)


def drawn(count: int, most: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most + 1, count)


@each_kind
@pytest.mark.parametrize("block", BLOCKS)
def test_the_engine_multiplies_each_block_by_the_matrix(block: int, kind: str) -> None:
    most, blocks = INT32[1] // block, 3
    x = drawn(blocks * block, most)
    wanted = x.reshape(blocks, block) @ sylvester(block)
    found = computed(program(block, most, blocks=blocks), x, kind)
    np.testing.assert_array_equal(found, wanted.ravel())


@pytest.mark.parametrize("block", BLOCKS[:8])
def test_the_oracle_multiplies_by_the_matrix_too(block: int) -> None:
    x = drawn(2 * block, 1 << 20)
    found, clamped = ORACLE["hadamard"](x=x.tolist(), blocks=2, block=block, shift=0,
                                        lo=INT32[0], hi=INT32[1])  # fmt: skip
    assert found["out"] == (x.reshape(2, block) @ sylvester(block)).ravel().tolist()
    assert clamped == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_the_matrix_is_orthogonal(block: int) -> None:
    """H * H = block * I: the instruction twice is a multiplication."""
    most = INT32[1] // block // block
    twice = program(block, most, passes=2, clamp=(-block * most, block * most))
    x = drawn(block, most)
    np.testing.assert_array_equal(computed(twice, x), block * x)


@each_kind
@pytest.mark.parametrize("block", BLOCKS)
def test_sums_reach_the_end_of_int32(block: int, kind: str) -> None:
    """Numbers with the signs of a row: its sum is all that the proof allows, all others are 0."""
    most = INT32[1] // block
    made, matrix = program(block, most), sylvester(block)
    for row in {0, 1, block // 2, block - 1}:
        for sign in (1, -1):
            wanted = np.zeros(block, np.int64)
            wanted[row] = sign * most * block
            found = computed(made, sign * most * matrix[row], kind)
            np.testing.assert_array_equal(found, wanted)


def test_halves_go_up_and_both_ends_are_clamped() -> None:
    made = program(2, 9, shift=1, clamp=(-3, 3))
    for x, wanted in (((1, 0), (1, 1)), ((-1, 0), (0, 0)), ((-3, 0), (-1, -1)),
                      ((5, 4), (3, 1)), ((-5, -4), (-3, 0))):  # fmt: skip
        assert computed(made, np.array(x)).tolist() == list(wanted)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_blocks(threads: int) -> None:
    x = drawn(7 * 32, 1 << 20)
    made = program(32, 1 << 20, blocks=7)
    wanted = (x.reshape(7, 32) @ sylvester(32)).ravel()
    np.testing.assert_array_equal(computed(made, x, threads=threads), wanted)


def test_the_longest_block_is_the_oracle_s() -> None:
    made = program(1024, (1 << 21) - 1, shift=5, clamp=(-(1 << 20), 1 << 20))
    given = [drawn(1024, (1 << 21) - 1, seed).tolist() for seed in range(2)]
    assert_engine_equals_oracle(made, given, 2)


@pytest.mark.parametrize(
    ("block", "shift", "most"),
    [(2, 0, (1 << 30) - 1), (8, 0, (1 << 28) - 1), (1024, 0, (1 << 21) - 1),
     (8, 3, (1 << 28) - 1), (8, 4, (1 << 28) - 2), (2, 31, (1 << 29) - 1)],
)  # fmt: skip
def test_the_proof_allows_what_fits_int32_and_no_more(block: int, shift: int, most: int) -> None:
    entries = program(block, most, shift).certificate
    bound = next(entry["sum"] for entry in entries if "sum" in entry)
    assert bound == block * most + 2**shift // 2 <= INT32[1]
    with pytest.raises(ProgramError, match=r"\(hadamard\): sum reaches \d+, the limit is 2147"):
        program(block, most + 1, shift)


@pytest.mark.parametrize("block", [3, 6, 10, 24, 1023])
def test_a_block_that_is_no_power_of_two_is_refused(block: int) -> None:
    with pytest.raises(ProgramError, match=f"block is {block}, which is no power of two"):
        program(block, 1)
