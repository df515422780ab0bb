"""Every row of the instruction table has its formula, oracle, kernel and range rule."""

from __future__ import annotations

import inspect
import re

import pytest

from wmq_kernels.conformance.recipes import draw
from wmq_kernels.context import Context
from wmq_kernels.engine import frame_kernels, kernels
from wmq_kernels.engine.operands import OPERANDS, PARAMETERS
from wmq_kernels.engine.plan import CODE_SIZE
from wmq_kernels.isa import DTYPES, OPCODE, ROWS, TABLE, Instruction
from wmq_kernels.oracle import ORACLE
from wmq_kernels.rangecheck import RULES

DIGITS = ("digits", "rms_norm_digits")  # which clamp to what two digits hold
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def test_the_registries_name_the_rows_and_nothing_else() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert set(ORACLE) == set(RULES) == set(TABLE) == set(OPCODE) == set(names)
    assert [OPCODE[name] for name in names] == list(range(len(names)))


@each_row
def test_oracle_takes_the_operands_and_parameters_by_name(row: Instruction) -> None:
    wanted = [o.name for o in row.operands if o.access != "write"]
    wanted += [p.name for p in row.parameters]
    assert sorted(inspect.signature(ORACLE[row.name]).parameters) == sorted(wanted)


@each_row
def test_a_kernel_has_the_row_s_name(row: Instruction) -> None:
    name = row.name.split("_i")[0] if row.name.startswith("requantize") else row.name
    name = {"dot": "dots", "dot_add": "dots", "lookup": "embed"}.get(name, name)
    assert callable(getattr(kernels, name, None) or getattr(frame_kernels, name))


@each_row
def test_the_range_rule_bounds_all_that_is_written(row: Instruction) -> None:
    program, _ = draw(row.name, seed=1)
    number = max(i for i, step in enumerate(program.steps) if step.op == row.name)
    bounds = RULES[row.name](Context(program, program.steps[number], "test"))
    assert set(bounds) == {o.name for o in row.operands if o.access in ("write", "update")}


@each_row
def test_the_row_is_whole(row: Instruction) -> None:
    names = [p.name for p in row.parameters]
    assert all(p.lo <= p.hi for p in row.parameters)
    for operand in row.operands:
        assert operand.dtype in DTYPES
        assert operand.access in ("const", "read", "write", "update")
        assert set(operand.shape) <= set(names)


@each_row
def test_the_formula_speaks_of_every_operand_and_parameter(row: Instruction) -> None:
    words = set(re.findall(r"[A-Za-z_]+", row.formula))
    lengths = {name for o in row.operands for name in o.shape}
    for operand in row.operands:
        assert operand.name in words, operand.name
    for parameter in row.parameters:
        assert parameter.name in words | lengths, parameter.name


def test_the_rows_of_the_engine_have_a_place_for_every_operand_and_parameter() -> None:
    assert OPERANDS + 2 * max(len(row.operands) for row in ROWS) <= PARAMETERS
    assert PARAMETERS + max(len(row.parameters) for row in ROWS) <= CODE_SIZE


@each_row
def test_saturates_says_whether_the_formula_clamps(row: Instruction) -> None:
    assert row.saturates == ("clamp(" in row.formula)
    assert row.saturates == ("hi" in [p.name for p in row.parameters] or row.name in DIGITS)
