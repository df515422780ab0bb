"""docs/environments.md is fresh, and its example runs as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "environments.md").read_text("utf-8")


def test_tables_of_the_page_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "docs" / "make_environments.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "run python docs/make_environments.py"


def test_a_changed_page_is_stale(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("make_environments.py", "generated.py"):
        (tmp_path / "docs" / name).write_text((ROOT / "docs" / name).read_text())
    (tmp_path / "wmq").symlink_to(ROOT / "wmq")
    page = tmp_path / "docs" / "environments.md"
    page.write_text(PAGE.replace("| `percent` | % | 0 | 999 |", "| `percent` | % | 0 | 998 |"))
    command = [sys.executable, str(tmp_path / "docs" / "make_environments.py")]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1 and "docs/environments.md is stale" in stale.stderr
    assert subprocess.run(command).returncode == 0 and page.read_text() == PAGE


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """With matches of ten frames, so that they end."""
    names: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for example in examples:
        exec(example.replace("parallel_env(", "parallel_env(max_frames=10, "), names)
    assert len(examples) == 2 and "'p1': " in capsys.readouterr().out
    for form in re.findall(r"`((?:pettingzoo|gymnasium)\.make\w*\(.*?\))`", PAGE):
        exec(f"import gymnasium, pettingzoo\n{form.replace('num_envs=64', 'num_envs=2')}", names)
