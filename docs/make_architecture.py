"""Writes the order of rooms and the list of modules in docs/architecture.md, between markers.

python docs/make_architecture.py           writes
python docs/make_architecture.py --check   exits with 1 if the page is stale, and writes nothing
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from generated import ROOT, write_parts

PACKAGES = ("wmq_kernels", "calib", "wmq", "engines", "benchmarks", "tests/support", "docs")


def contracts() -> list[dict]:
    """The contracts of import-linter in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return settings["tool"]["importlinter"]["contracts"]


def layers() -> list[str]:
    """The rooms and single modules of wmq, the lowest first."""
    (contract,) = (c for c in contracts() if c.get("containers") == ["wmq"])
    rows = [row.split(" | ") for row in contract["layers"]]
    return [name for row in reversed(rows) for name in row]


def order() -> str:
    """The layers of wmq in one line, then the names of all contracts."""
    names = [f"`{name}`" for name in layers()]
    rows = [f"- {contract['name']}" for contract in contracts()]
    return "\n".join([*wrapped(" · ".join(names)), "", "All contracts:", "", *rows, ""])


def wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100)


def modules() -> str:
    """A table for each folder with code: its modules and the first sentence of their docstrings."""
    tables = []
    for folder in sorted(folders(), key=place):
        told = [(file.name, opening(file)) for file in sources(folder)]
        rows = [f"| `{name}` | {line} |" for name, line in told if line]
        if rows:
            name = folder.relative_to(ROOT).as_posix()
            tables += [f"**`{name}/`**", "", "| module | |", "|---|---|", *rows, ""]
    return "\n".join(tables)


def folders() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package, *(f for f in (ROOT / package).rglob("*") if f.is_dir()))


def place(folder: Path) -> tuple[int, int, str]:
    """Packages from the lowest up, and the rooms of wmq as well."""
    name = folder.relative_to(ROOT).as_posix()
    package = next(i for i, p in enumerate(PACKAGES) if name == p or name.startswith(f"{p}/"))
    _, _, room = name.partition("wmq/")
    room = room.split("/")[0]
    return package, layers().index(room) if room in layers() else -1, name


def sources(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix in (".py", ".mjs", ".js"))


def opening(file: Path) -> str:
    """The first sentence of a module's docstring, or of a script's first comment."""
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = takewhile(lambda line: line.startswith("//"), text.splitlines())
        text = "\n".join(line.removeprefix("//") for line in comment)
    sentence, *_ = re.split(r"(?<=[.?])  |\n\s*\n", text.strip())
    return " ".join(sentence.split()).replace("|", "\\|")


PARTS = {"order": order, "modules": modules}


if __name__ == "__main__":
    sys.exit(write_parts("docs/make_architecture.py", ROOT / "docs" / "architecture.md", PARTS))
