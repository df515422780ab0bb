"""Random graphs are proven, chained and alive, and the engine runs them as the oracle does."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wmq_kernels.programs import assert_engine_equals_oracle
from wmq_kernels.conformance.graphs import graph
from wmq_kernels.isa import TABLE
from wmq_kernels.program import Program, encode
from wmq_kernels.rangecheck import prove
from wmq_kernels.reference import Reference

SEEDS = range(120)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_engine_equals_oracle(seed: int) -> None:
    program, frames = graph(seed)
    prove(program)
    assert_engine_equals_oracle(program, frames, 5)


def chained(program: Program) -> int:
    """Reads of what another instruction than a feeding requantize wrote."""
    writers: dict[str, str] = {}
    count = 0
    for step in program.steps:
        for operand in TABLE[step.op].operands:
            name = step.operands[operand.name].value
            if operand.access == "read" and step.op != "copy":
                count += not writers.get(name, "requantize").startswith("requantize")
        for operand in TABLE[step.op].operands:
            if operand.access == "write":
                writers[step.operands[operand.name].value] = step.op
    return count


def test_graphs_use_every_instruction_and_chain_them() -> None:
    programs = [graph(seed)[0] for seed in SEEDS]
    used = Counter(op for program in programs for op in {step.op for step in program.steps})
    assert set(used) == set(TABLE)
    assert min(used.values()) > len(SEEDS) // 30
    assert sum(map(chained, programs)) > len(SEEDS)


def test_the_next_frame_is_computed_and_changes() -> None:
    moving = 0
    for seed in SEEDS:
        program, frames = graph(seed)
        made = Reference(program).run(frames[:1], [[0, 0]] * 7, 6).frames
        moving += made[0] != frames[0]
    assert moving > len(SEEDS) // 2


def test_a_seed_gives_one_file() -> None:
    assert len({encode(graph(5)[0]) for _ in range(3)}) == 1
