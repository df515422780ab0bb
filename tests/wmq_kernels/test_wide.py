"""Instructions as large as those of a model, which the kernels in wide vectors are for."""

from __future__ import annotations

from random import Random

import pytest

from tests.wmq_kernels.programs import Case, each_kind
from wmq_kernels.conformance import recipes
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.drawing import Drawing
from wmq_kernels.rangecheck import certified

SIZES = (1, 7, 8, 16, 17, 32, 40, 48, 64)


class Large(Drawing):
    """Draws whose sizes are as often as not some vectors."""

    def size(self, *most: int) -> int:
        return self.rng.choice(SIZES)


def case(op: str, seed: int, kind: str, frames: int) -> Case:
    builder = Builder(Random(seed))
    recipes.RECIPES[op](Large(builder.rng, builder, False))
    return Case(certified(builder.program()), builder.frames(3), frames, [kind])


@each_kind
@pytest.mark.parametrize("op", ["scan_carry", "silu"])
def test_a_large_instruction_is_the_oracle_s(op: str, kind: str) -> None:
    """Over some frames, so that what is known of the states is used again."""
    for seed in range(40):
        assert not case(op, seed, kind, 6).difference(), seed


@each_kind
def test_a_state_that_another_step_writes_is_looked_at_again(kind: str) -> None:
    """The step puts numbers of any size in the state between one frame's scan and the next's."""
    for seed in range(20):
        builder = Builder(Random(seed))
        draw = Large(builder.rng, builder, False)
        recipes.scan_carry(draw)
        scan = next(step for step in builder.steps if step.op == "scan_carry")
        state = scan.operands["state"]
        kept = builder.values[state.value]
        fresh = builder.read("fresh", "i32", state.count, (kept.lo, kept.hi))
        builder.requantize(fresh, state, (kept.lo, kept.hi))
        one = Case(certified(builder.program()), builder.frames(6), 6, [kind])
        assert not one.difference(), seed
