"""docs/architecture.md is fresh, and says something about every room in the order of the rooms."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NEEDED = ("calib", "wmq_kernels", "engines", "benchmarks", "tests", "pyproject.toml")


def rooms(package: str) -> set[str]:
    """Folders of a package that hold modules."""
    return {file.parent.name for file in (ROOT / package).glob("*/*.py")}


def paragraphs(package: str) -> list[str]:
    return re.findall(rf"(?m)^\*\*`{package}/(\w+)/`\*\* ", PAGE)


def test_generated_parts_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "docs" / "make_architecture.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "run python docs/make_architecture.py"


def test_each_room_has_a_paragraph() -> None:
    for package in ("wmq", "calib", "wmq_kernels"):
        written = paragraphs(package)
        assert rooms(package) <= set(written), f"docs/architecture.md lacks a room of {package}"


def test_paragraphs_follow_the_layers() -> None:
    """From the lowest room of import-linter's contract to the highest."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c.get("containers") == ["wmq"])
    below = {name: -at for at, row in enumerate(layers) for name in row.split(" | ")}
    written = [room for room in paragraphs("wmq") if room in below]
    assert written == sorted(written, key=below.__getitem__)


def test_a_new_module_makes_the_page_stale(tmp_path: Path) -> None:
    """On a copy of the scripts beside the real packages and one package more."""
    (tmp_path / "docs").mkdir()
    for file in (ROOT / "docs").glob("*.py"):
        (tmp_path / "docs" / file.name).write_text(file.read_text("utf-8"), "utf-8")
    for name in NEEDED:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "wmq" / "game").mkdir(parents=True)
    page, module = tmp_path / "docs" / "architecture.md", tmp_path / "wmq" / "game" / "new.py"
    page.write_text(PAGE, "utf-8")
    command = [sys.executable, str(tmp_path / "docs" / "make_architecture.py")]
    assert subprocess.run(command).returncode == 0
    written = page.read_text("utf-8")
    module.write_text('"""Add | two\nnumbers.  Then rest.\n\nMore."""\n', "utf-8")
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1 and "docs/architecture.md is stale" in stale.stderr
    assert page.read_text("utf-8") == written
    assert subprocess.run(command).returncode == 0
    row = "**`wmq/game/`**\n\n| module | |\n|---|---|\n| `new.py` | Add \\| two numbers. |\n\n"
    assert page.read_text("utf-8").replace(row, "") == written
