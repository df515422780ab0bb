"""Check the user's NUMBA_ variables, and import numba for the first time.

numba answers a setting that it can't read with a traceback, or LLVM ends the process; here
one line names it.
"""

from __future__ import annotations

import os
import re
import warnings

from wmq_kernels.errors import ProgramError

WAY_OUT = "correct it or unset it"


def import_numba() -> None:
    """Raises ProgramError that names a setting which numba can't use."""
    features = os.environ.get("NUMBA_CPU_FEATURES", "")
    if not all(re.fullmatch(r"[+-].+", feature) for feature in features.split(",") if features):
        raise ProgramError(f"NUMBA_CPU_FEATURES is {features!r}, where each feature begins with "
                           f"+ or -; {WAY_OUT}")  # fmt: skip
    threads = os.environ.get("NUMBA_NUM_THREADS", "1")
    if re.fullmatch(r"\s*(-\d+|[+-]?0+)\s*", threads):
        raise ProgramError(f"NUMBA_NUM_THREADS is {threads!r}, less than 1; {WAY_OUT}")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Environment variable 'NUMBA_", RuntimeWarning)
        try:
            import numba  # noqa: F401
        except RuntimeWarning as warning:
            name, value = re.findall(r"'([^']*)'", str(warning))[:2]
            raise ProgramError(f"{name} is {value!r}, which numba can't read; {WAY_OUT}") from None


import_numba()
