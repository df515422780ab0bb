"""The most frames a second that memory and multipliers of a machine allow a program.

From the program: bytes and products of a frame.  From the machine, measured in the same
run: how fast it reads a working set, and how many products of two int8 it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wmq.inference.model_facts import FrameCost

GROUP = 4  # worlds of ours that share a reading of the weights


@dataclass(frozen=True)
class Limit:
    """Of one number of worlds and threads.

    bound     "reading" or "products", whichever takes longer
    bytes     read for a world's frame
    """

    batch: int
    threads: int
    frames_per_second: float
    bound: str
    bytes: float
    products: int
    working_set: int


def group_size(batch: int, threads: int) -> int:
    """Count the worlds computed side by side: GROUP, or fewer, so that no thread is idle."""
    return min(GROUP, -(-batch // threads))


def limit(cost: FrameCost, batch: int, threads: int, read: Callable[[float], float],
          products: float | None) -> Limit:  # fmt: skip
    """Invert the longer of two times of a world's frame.

    Reading: (weights / g + states) / read(w).  The weights are read once for a group
    of g = group_size worlds (g is 1 for one world, whatever the threads), and each state
    once.  That states are written too is left out, as it may go on beside the reading.
    w = weights + n * g * states is the working set of n threads with a group each, or of
    the one world.
    Products: their number / the peak rate.

    What else a frame needs, as activations, biases, multipliers and tables, and all other
    arithmetic, is left out: it would only lower the limit.

    read      bytes/s of `threads` threads at a working set in bytes
    products  of int8 a second, of `threads` threads; None where it is not known
    """
    group, sets = group_size(batch, threads), min(batch, threads)
    working_set = cost.weights + group * sets * cost.states
    moved = cost.weights / group + cost.states
    reading = moved / read(working_set)
    multiplying = cost.products / products if products else 0.0
    bound = "reading" if reading >= multiplying else "products"
    return Limit(batch, threads, 1 / max(reading, multiplying), bound, moved, cost.products,
                 working_set)  # fmt: skip


def between(rates: Mapping[int, float]) -> Callable[[float], float]:
    """Interpolate rates linearly over the logarithm of the size."""
    sizes = np.array(sorted(rates), dtype=np.float64)
    values = np.array([rates[int(size)] for size in sizes])
    return lambda size: float(np.interp(np.log2(size), np.log2(sizes), values))
