"""A class name says which class it is: no two modules of the product define the same one."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("wmq", "calib", "wmq_kernels")

# Name -> why two modules define it; nothing imports both.
REASONED = {"Rollout": "the oracle's own, which shares no code with the engine's users"}


def classes(tree: ast.AST) -> Iterator[str]:
    return (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def doubled() -> dict[str, list[str]]:
    """Class name -> the modules that define it, of those in two or more."""
    found = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in set(classes(ast.parse(path.read_bytes()))):
                found[name].append(path.relative_to(ROOT).as_posix())
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_class_name_stands_in_two_modules_without_reason() -> None:
    unreasoned = {name: m for name, m in doubled().items() if name not in REASONED}
    assert not unreasoned


def test_a_reason_is_for_two_modules_that_still_share_the_name() -> None:
    found = doubled()
    assert all(len(found[name]) == 2 for name in REASONED)
