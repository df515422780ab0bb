"""What a kept result depends on, as one digest: whoever changes any of it measures anew."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[3]
SUITE = "wmq/bench/quantization"
MEASURING = (
    "wmq/schema.py", "wmq/targets.py", "wmq/encoding.py", "wmq/metrics.py", "wmq/horizons.py",
    "wmq/intervals.py", "wmq/onnx_step.py", "wmq/lanes.py", "wmq/predictors.py",
    f"{SUITE}/figures.py", f"{SUITE}/heads.py", f"{SUITE}/measuring.py",
    f"{SUITE}/play.py", f"{SUITE}/record.py",
)  # fmt: skip
ENGINE = ("wmq_kernels/*.py", "wmq_kernels/engine/*.py")  # runs our programs
CALIBRATING = (
    "calib/**/*.py", "wmq/calibrat*.py", "wmq/self_play.py", f"{SUITE}/ours.py", *ENGINE,
)  # fmt: skip
# Whatever else is in the suite's folder makes the ways of other libraries.
PEERS = (
    f"{SUITE}/*.py", "wmq/bench/onnx_export.py", "wmq/bench/worker/*.py", "wmq/models/*.py",
    "wmq/calibrat*.py",
)  # fmt: skip
NO_PEERS = (*MEASURING, *(f"{SUITE}/{name}.py" for name in (
    "__init__", "keys", "ours", "recipe_figures", "running", "table")))  # fmt: skip
LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "torchao")


def digest(*parts: Any) -> str:
    """SHA-256 of plain data, hex."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


@cache
def sources(patterns: tuple[str, ...], but: tuple[str, ...] = ()) -> str:
    """SHA-256 of the program's own files that the patterns match, in the order of their names."""
    found = hashlib.sha256()
    matching = {path for pattern in patterns for path in ROOT.glob(pattern)}
    for path in sorted(matching - {ROOT / name for name in but}):
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT)}:{len(content)}:".encode() + content)
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Of the libraries that are installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
