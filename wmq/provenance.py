"""What a kept result depends on, as one digest: whoever changes any of it measures anew."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
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


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
