"""The machine and the libraries that a figure was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any


def machine(libraries: Sequence[str]) -> dict[str, Any]:
    """Describe this machine: system, processor, usable cores, Python, and installed libraries."""
    from wmq.memo.provenance import versions  # not for those who only count cores

    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
        **versions(libraries),
    }


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
