"""How many int8 products a frame costs: what a second digit is paid in."""

from __future__ import annotations

from wmq_kernels.program import Program, Step

DOTS = ("dot", "dot_add")


def products(program: Program) -> int:
    """Count the multiply-accumulates of all matrix products in a frame."""
    return sum(_size(program, step) for step in program.steps if step.op in DOTS)


def least_products(program: Program) -> int:
    """Count them as if each Linear read one digit of its input and of its weights.

    The numbers of a frame keep their two.
    """
    read: set[str] = set()
    total = 0
    for step in program.steps:
        weight = step.operands["weight"].value if step.op in DOTS else ""
        if weight and weight not in read and ".weight.low." not in weight:
            read.add(weight)
            total += _size(program, step)
    return total


def _size(program: Program, step: Step) -> int:
    return program.values[step.operands["weight"].value].size
