"""On random instances of every instruction the engine equals the oracle, bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wmq_kernels.programs import assert_engine_equals_oracle
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.recipes import RECIPES, draw
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32, ROWS
from wmq_kernels.rangecheck import certified, prove
from wmq_kernels.reference import Reference

SEEDS = st.integers(0, 2**32 - 1)
NAMES = [row.name for row in ROWS]


def test_every_instruction_has_a_recipe() -> None:
    assert set(RECIPES) == set(NAMES)


@pytest.mark.parametrize("op", NAMES)
@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
def test_engine_equals_oracle(op: str, seed: int) -> None:
    program, given_frames = draw(op, seed)
    assert_engine_equals_oracle(program, given_frames, 5)


@pytest.mark.parametrize("op", NAMES)
@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
def test_what_is_proven_never_overflows(op: str, seed: int) -> None:
    """Constants and intervals are drawn without care: refused, or safe to the last bit."""
    program, given_frames = draw(op, seed, wild=True)
    try:
        program = certified(program)
    except ProgramError:
        return
    assert_engine_equals_oracle(program, given_frames, 5)


@pytest.mark.parametrize("op", NAMES)
def test_recipes_are_proven_and_alive(op: str) -> None:
    """Not vacuous: all tame instances pass the proof, and their outputs differ."""
    seen = set()
    for seed in range(40):
        program, given_frames = draw(op, seed)
        prove(program)
        run = Reference(program).run(given_frames, [[0, 0]] * 4, 3, heads=True)
        assert run.heads is not None
        seen |= {v for row in run.heads for v in row}
    assert len(seen) > (1 if op == "frame_sign" else 3)


@pytest.mark.parametrize("sign", [-1, 1])
def test_dot_reaches_the_ends_of_int32(sign: int) -> None:
    """The longest sum of int8 products that fits, with a bias that fills the rest."""
    from random import Random

    n = INT32[1] // (128 * 128)
    b = Builder(Random(0))
    x = b.read("x", "i8", n, (-128, -128))
    weight = b.const("weight", "i8", [-128 if sign > 0 else 127] * n)
    total = n * 128 * (128 if sign > 0 else -127)
    end = INT32[1] if sign > 0 else INT32[0]
    bias = b.const("bias", "i32", [end - total])
    out = b.temp("out", "i32", 1, INT32)
    b.step("dot", {"x": x, "weight": weight, "bias": bias, "out": out}, n=n, o=1)
    b.show("out", out)
    program, frames = certified(b.program()), b.frames(1)
    run = Reference(program).run(frames, [[0, 0]] * 2, 1, heads=True)
    assert run.heads == [[end]]
    assert_engine_equals_oracle(program, frames, 1)
