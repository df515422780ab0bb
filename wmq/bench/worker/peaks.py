"""What the machine can do at best: read memory, and multiply int8."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.timing import measured
from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.cpu import obstacle
from wmq_kernels.engine.plan import aligned
from wmq_kernels.engine.vectors import everywhere32, load32, store32, vpdpbusd

LANES = 64  # products of one vpdpbusd
CHAINS = 12  # of them under way at a time: more than latency times units
TURNS = 1000


def begin(setup: Setup) -> Callable[[Request], Answer]:
    """Answer "read" and "products" with setup.threads threads, each on its own memory."""
    lacking = obstacle()

    def answer(request: Request) -> Answer:
        with ThreadPoolExecutor(setup.threads) as pool:
            if request.do == "read":
                count = request.size // setup.threads // 8
                parts = [aligned(count, "i64") for _ in range(setup.threads)]
                return measured(lambda n: list(pool.map(read, parts, [n] * len(parts))),
                                8.0 * count * len(parts), request.seconds)  # fmt: skip
            if lacking:
                return Answer(reason=lacking)
            sums = [aligned(16 * CHAINS, "i32") for _ in range(setup.threads)]
            each = TURNS * CHAINS * LANES
            return measured(lambda n: list(pool.map(products, sums, [TURNS * n] * len(sums))),
                            float(each * len(sums)), request.seconds)  # fmt: skip

    return answer


@kernel
def read(numbers, times):
    """Read all int64, again and again; each pass needs what the one before has written."""
    for _ in range(times):
        total = np.int64(0)
        for i in range(len(numbers)):
            total += numbers[i]
        numbers[0] = total


@kernel
def products(sums, times):
    """Compute CHAINS * LANES products a turn, from registers alone; sums (16 * CHAINS,) int32.

    Chains begin with numbers of their own and all end in memory: equal or unused ones
    would be left out by the compiler.
    """
    x, y = everywhere32(np.int64(0x01020304)), everywhere32(np.int64(0x04030201))
    a, b, c, d = load32(sums, 0), load32(sums, 16), load32(sums, 32), load32(sums, 48)
    e, f, g, h = load32(sums, 64), load32(sums, 80), load32(sums, 96), load32(sums, 112)
    i, j, k, m = load32(sums, 128), load32(sums, 144), load32(sums, 160), load32(sums, 176)
    for _ in range(times):
        a, b, c = vpdpbusd(a, x, y), vpdpbusd(b, x, y), vpdpbusd(c, x, y)
        d, e, f = vpdpbusd(d, x, y), vpdpbusd(e, x, y), vpdpbusd(f, x, y)
        g, h, i = vpdpbusd(g, x, y), vpdpbusd(h, x, y), vpdpbusd(i, x, y)
        j, k, m = vpdpbusd(j, x, y), vpdpbusd(k, x, y), vpdpbusd(m, x, y)
    at = 0
    for lanes in (a, b, c, d, e, f, g, h, i, j, k, m):
        store32(sums, at, lanes)
        at += 16
