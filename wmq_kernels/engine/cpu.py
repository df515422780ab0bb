"""Choose the kernels for a processor: `vnni` for AVX-512 VNNI, `portable` everywhere.

What counts is the processor that numba compiles for, which NUMBA_CPU_NAME and
NUMBA_CPU_FEATURES may set, and the one that the code then runs on.
"""

from __future__ import annotations

from typing import Literal

from llvmlite import binding
from numba.core import config

from wmq_kernels.errors import ProgramError

Kernels = Literal["auto", "vnni", "portable"]
CHOICES = ("auto", "vnni", "portable")
NEEDED = ("avx512bw", "avx512dq", "avx512f", "avx512vl", "avx512vnni")


def chosen(kernels: str) -> str:
    """ "vnni" or "portable".  Raises ProgramError if this machine has not what is asked for."""
    if kernels not in CHOICES:
        raise ProgramError(f"kernels {kernels}: unknown; choose one of {', '.join(CHOICES)}")
    if kernels == "portable":
        return kernels
    lacking = obstacle()
    if kernels == "vnni" and lacking:
        raise ProgramError(f"kernels vnni: {lacking}; choose portable, which gives the same bits")
    return "portable" if lacking else "vnni"


def obstacle() -> str:
    """Why the vnni kernels can't run here, or ""."""
    if config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set, and they exist only compiled"
    here = binding.get_host_cpu_features()
    lacking = [name for name in NEEDED if not here.get(name)]
    if lacking:
        return f"this processor lacks {', '.join(lacking)}"
    if config.CPU_FEATURES is not None:
        given = config.CPU_FEATURES.split(",")
        lacking = [name for name in NEEDED if f"+{name}" not in given]
    if lacking:
        return f"NUMBA_CPU_FEATURES lacks {', '.join(lacking)}"
    if config.CPU_NAME not in (None, "host", binding.get_host_cpu_name()):
        return f"NUMBA_CPU_NAME is {config.CPU_NAME}"
    return ""


def processor() -> str:
    """The name that LLVM knows the processor by which code is compiled for."""
    return config.CPU_NAME or binding.get_host_cpu_name()
