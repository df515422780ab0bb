"""Check that a script of docs/ notices a stale page, on a copy beside a page with one change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def assert_up_to_date(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / script), "--check"]
    assert subprocess.run(command).returncode == 0, f"run python docs/{script}"


def assert_staleness_is_noticed(script: str, name: str, old: str, new: str, folder: Path) -> None:
    """`old` of the page docs/NAME becomes `new`; the script says so, and then restores it."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    assert old in text
    (folder / "docs").mkdir()
    for file in (script, "generated.py"):
        (folder / "docs" / file).write_text((ROOT / "docs" / file).read_text("utf-8"), "utf-8")
    (folder / "wmq").symlink_to(ROOT / "wmq")
    page = folder / "docs" / name
    page.write_text(text.replace(old, new), "utf-8")
    command = [sys.executable, str(folder / "docs" / script)]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1 and f"docs/{name} is stale" in stale.stderr
    assert subprocess.run(command).returncode == 0 and page.read_text("utf-8") == text
