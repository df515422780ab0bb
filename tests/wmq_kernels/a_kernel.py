"""A script that compiles one kernel for two types, or finds both in numba's cache.

It prints the two results, then how many were found.
"""

from __future__ import annotations

TOTALS = """
import numpy as np
from wmq_kernels.engine.compiling import kernel

@kernel
def total(x):
    found = np.int64(0)
    for i in range(len(x)):
        found += x[i]
    return found

for dtype in (np.int8, np.int32):
    print(total(np.full(3, -5, dtype)))
print(sum(total.stats.cache_hits.values()))
"""
