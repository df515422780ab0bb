"""Slice the operands of an instruction out of the arenas, as its row of numbers says.

In compiled code `part` is an intrinsic: functions that count no references can't return an
array that they made, and merging one in at each of a hundred places took a third of the time
that compiling takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

INT64 = ir.IntType(64)
OPERANDS = 2  # place of the first operand in an instruction's row
PARAMETERS = 30  # and of its first parameter, after up to 14 operands


def _sliced(arena: np.ndarray, code: np.ndarray, k: int) -> np.ndarray:
    """Operand k of an instruction: its row holds (start, count) of each."""
    start = code[OPERANDS + 2 * k]
    return arena[start : start + code[OPERANDS + 2 * k + 1]]


@intrinsic
def _compiled(typing: Any, arena: Any, code: Any, k: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = context.make_array(arena)(context, builder, arguments[0])
        row = context.make_array(code)(context, builder, arguments[1]).data
        first = builder.add(builder.mul(arguments[2], INT64(2)), INT64(OPERANDS))
        start, count = (
            builder.load(builder.gep(row, [place]))
            for place in (first, builder.add(first, INT64(1)))
        )
        made = context.make_array(arena)(context, builder)
        populate_array(made, data=builder.gep(whole.data, [start]), shape=[count],
                       strides=whole.strides, itemsize=whole.itemsize, meminfo=None,
                       parent=None)  # fmt: skip
        return made._getvalue()

    return arena(arena, code, types.int64), emit


part = _sliced if config.DISABLE_JIT else _compiled
