"""docs/environments.md is fresh, and its example runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.stale_page import assert_staleness_is_noticed, assert_up_to_date

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "environments.md").read_text("utf-8")


def test_tables_of_the_page_are_those_of_the_code() -> None:
    assert_up_to_date("make_environments.py")


def test_a_changed_page_is_stale(tmp_path: Path) -> None:
    assert_staleness_is_noticed(
        "make_environments.py",
        "environments.md",
        "| `percent` | % | 0 | 999 |",
        "| `percent` | % | 0 | 998 |",
        tmp_path,
    )


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """With matches of ten frames, so that they end."""
    names: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for example in examples:
        exec(example.replace("parallel_env(", "parallel_env(max_frames=10, "), names)
    assert len(examples) == 2 and "'p1': " in capsys.readouterr().out
    for form in re.findall(r"`((?:pettingzoo|gymnasium)\.make\w*\(.*?\))`", PAGE):
        exec(f"import gymnasium, pettingzoo\n{form.replace('num_envs=64', 'num_envs=2')}", names)
