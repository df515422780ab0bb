"""The values and steps of a program, collected while it is lowered.

Names of values are those of the float step's tensors where both have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wmq_kernels.isa import DTYPES, TABLE
from wmq_kernels.program import NUMPY, Program, Slice, Step, Value

Operand = str | Slice


class ProgramBuilder:
    """`const`, `value` and `step` append; `program` gives what was collected."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.data: dict[str, np.ndarray] = {}

    def const(
        self, name: str, array: np.ndarray | list[int], dtype: str, scale: float = 0.0
    ) -> str:
        """Add a constant; its interval is that of its data.  A name's second use is ignored."""
        if name not in self.values:
            flat = np.asarray(array).astype(NUMPY[dtype], casting="same_kind")
            shape, lo, hi = flat.shape or (1,), int(flat.min()), int(flat.max())
            self.values[name] = Value(name, dtype, shape, "const", lo, hi, scale)
            self.data[name] = flat.ravel()
        return name

    def value(self, name: str, dtype: str, shape: tuple[int, ...] | int, interval: int | tuple
              | None = None, scale: float = 0.0, kind: str = "temp") -> str:  # fmt: skip
        """Declare a value that changes.  interval: (lo, hi), or a limit for [-limit, limit]."""
        full = 1 << (DTYPES[dtype] - 1)
        lo, hi = (-full, full - 1) if interval is None else (
            interval if isinstance(interval, tuple) else (-interval, interval))  # fmt: skip
        shape = (shape,) if isinstance(shape, int) else shape
        self.values[name] = Value(name, dtype, shape, kind, lo, hi, float(scale))
        return name

    def step(self, op: str, *operands: Operand, **parameters: int) -> None:
        """Append a step; operands in the order of the table's row.

        Lengths that one-axis operands tell need not be given.
        """
        row = TABLE[op]
        slices = {}
        for rule, operand in zip(row.operands, operands, strict=True):
            at = operand if isinstance(operand, Slice) else self.whole(operand)
            slices[rule.name] = at
            if len(rule.shape) == 1:
                parameters.setdefault(rule.shape[0], at.count)
        self.steps.append(Step(op, slices, {p.name: parameters[p.name] for p in row.parameters}))

    def whole(self, name: str) -> Slice:
        return Slice(name, 0, self.values[name].size)

    def program(self, heads: dict[str, tuple[int, int]], meta: dict[str, Any]) -> Program:
        return Program(self.values, tuple(self.steps), self.data, heads, meta)
