"""Describe this installation for a bug report: versions, processor, kernels and their cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LIBRARIES = (
    "numpy", "numba", "llvmlite", "msgspec", "safetensors", "click", "rich", "peppi-py", "pyarrow",
    "onnx", "onnxruntime", "torch", "torchao", "matplotlib",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Describe the installation as plain data; no model is opened and nothing compiled.

    cache           folder of compiled kernels, which is there and can be written, or None
    cache obstacle  why there is none, or ""
    kernels         those that this processor gets; not vnni: why it has no others, or ""
    """
    from wmq.memo.machine import machine
    from wmq.memo.provenance import versions
    from wmq_kernels.engine.compiling import folder
    from wmq_kernels.engine.cpu import chosen, obstacle, processor

    cache = folder()
    return {
        **versions(["wmq"]),
        **machine(()),
        "libraries": versions(LIBRARIES),
        "kernels": chosen("auto"),
        "compiled for": processor(),
        "not vnni": obstacle(),
        "cache": None if cache is None else str(cache),
        "cache obstacle": _obstacle() if cache is None else "",
    }


def environment_lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield titles and texts for people."""
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    yield "machine", (f"{found['processor']}, {found['cores']} cores, {found['system']} "
                      f"{found['architecture']}")  # fmt: skip
    yield "software", (f"wmq {found.get('wmq', 'from a source folder')}, "
                       f"Python {found['python']}, {libraries}")  # fmt: skip
    yield "kernel cache", found["cache"] or f"none: {found['cache obstacle']}"


def _obstacle() -> str:
    """Say why compiled kernels cannot be kept."""
    from wmq_kernels.engine.user_cache import kernel_folder

    try:
        kernel_folder("kernels")
    except (OSError, RuntimeError) as error:
        return str(error)
    return ""
