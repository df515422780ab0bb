"""What a kept result depends on, as one digest: a change to any of it means measuring again."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

ROOT = Path(__file__).parents[2]
PACKAGES = ("wmq", "calib", "wmq_kernels")
LIBRARIES = ("numba", "numpy", "onnx", "onnxruntime", "torch", "torchao")


def digest(*parts: Any) -> str:
    """SHA-256 of plain data, structs, dataclasses and arrays, hex."""
    text = msgspec.json.encode(parts, order="sorted", enc_hook=_plain)
    return hashlib.sha256(text).hexdigest()


@cache
def sources(*modules: str) -> str:
    """SHA-256 of these modules and of every module of ours that they import, directly or not.

    A module that is imported by a computed name is not seen: name it too.
    Raises LookupError for a name that no file has.
    """
    found = hashlib.sha256()
    for name, path in sorted(reached(*modules).items()):
        content = path.read_bytes()
        found.update(f"{name}:{len(content)}:".encode() + content)
    return found.hexdigest()


def reached(*modules: str) -> dict[str, Path]:
    """Name -> file of these modules, of what they import, and of the packages around them.

    Imports inside functions count; those for annotations alone (`if TYPE_CHECKING`) do not.
    Raises LookupError for a name that no file has.
    """
    found: dict[str, Path] = {}
    left = list(modules)
    for name in modules:
        if _file_of(name) is None:
            raise LookupError(f"{name}: no module of {', '.join(PACKAGES)}")
    while left:
        name = left.pop()
        path = _file_of(name)
        if name in found or path is None:  # what is imported may be no module but a name in one
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        left += _around(name)
        for imported in _imports(ast.parse(path.read_bytes(), path), package):
            left += [imported, *_around(imported)]
    return found


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _plain(part: Any) -> Any:
    """Type, shape and the SHA-256 of the content of an array."""
    if not isinstance(part, np.ndarray | np.generic):
        raise TypeError(f"{type(part).__name__} has no digest")
    array = np.ascontiguousarray(part)
    content = hashlib.sha256(array.tobytes()).hexdigest()
    return {"array": [array.dtype.str, part.shape, content]}


def _file_of(name: str) -> Path | None:
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*name.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((found for found in candidates if found.is_file()), None)


def _around(name: str) -> list[str]:
    """Return the packages that a module is in."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names that a module imports; of `from a import b` both a and a.b."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _for_annotations(node.test):
            for other in node.orelse:
                yield from _imports(ast.Module([other], []), package)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node, package)


def _for_annotations(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
