"""docs/frames.md is fresh, and its tables have each field and control once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from wmq.game.schema import CONTROLLER_FIELDS, PLAYER_FIELDS, PROJECTILE_FIELDS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "frames.md").read_text()


def test_tables_of_the_page_are_those_of_the_schema() -> None:
    command = [sys.executable, str(ROOT / "docs" / "make_frames.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "run python docs/make_frames.py"
    fields = [field.name for field in (*PLAYER_FIELDS, *PROJECTILE_FIELDS)]
    section = PAGE.split("## Fields")[1].split("## Controllers")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", section) == fields
    section = PAGE.split("## Controllers")[1].split("## Differences")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", section) == list(CONTROLLER_FIELDS)


def test_a_changed_page_is_stale(tmp_path: Path) -> None:
    """On a copy of the scripts beside a page with one changed number."""
    (tmp_path / "docs").mkdir()
    for name in ("make_frames.py", "generated.py"):
        (tmp_path / "docs" / name).write_text((ROOT / "docs" / name).read_text())
    (tmp_path / "wmq").symlink_to(ROOT / "wmq")
    page = tmp_path / "docs" / "frames.md"
    page.write_text(PAGE.replace("| 0 to 999 |", "| 0 to 998 |"))
    command = [sys.executable, str(tmp_path / "docs" / "make_frames.py")]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1 and "docs/frames.md is stale" in stale.stderr
    assert subprocess.run(command).returncode == 0 and page.read_text() == PAGE
