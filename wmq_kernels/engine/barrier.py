"""Synchronize a few threads within a frame at a barrier, without a system call.

Threads meet some 40 times a frame, so they spin: an arrival is one atomic addition, and
who comes first watches the count.  A thread that waits for long gives its core away, so
that more threads than cores come on, and looks whether the others have given up.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from wmq_kernels.engine.compiling import kernel

ARRIVED, ABANDONED = 0, 16  # places, on cache lines of their own
SIZE = 32
PATIENCE = 2000  # looks at the count before the core is given away
_PAUSE = platform.machine().lower() in ("x86_64", "amd64")
_YIELDS = os.name == "posix"


def new() -> np.ndarray:
    """What the threads of one run share, (SIZE,) int64."""
    return np.zeros(SIZE, np.int64)


def abandon(shared: np.ndarray) -> None:
    """Have all that wait, or will, give up."""
    shared[ABANDONED] = 1


def _pointer(context: Any, builder: Any, array: Any, value: Any, at: Any) -> Any:
    return builder.gep(context.make_array(array)(context, builder, value).data, [at])


@intrinsic
def _add(typing: Any, array: Any, at: Any, number: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), emit


@intrinsic
def _look(typing: Any, array: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(array, types.int64), emit


@intrinsic
def _pause(typing: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.none(), emit


@intrinsic
def _give_core_away(typing: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _YIELDS:
            kind = ir.FunctionType(ir.IntType(32), [])
            name = "sched_yield"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.none(), emit


@kernel
def meet(shared, team, turn):
    """Wait until all `team` threads have come here `turn` times; False if one gave up."""
    _add(shared, ARRIVED, 1)
    looks = 0
    while _look(shared, ARRIVED) < team * turn:
        _pause()
        looks += 1
        if looks >= PATIENCE:
            if _look(shared, ABANDONED) != 0:
                return False
            _give_core_away()
            looks = 0
    return True
