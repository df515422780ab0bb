"""docs/frames.md is fresh, and its tables have each field and control once."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.stale_page import assert_staleness_is_noticed, assert_up_to_date
from wmq.game.schema import CONTROLLER_FIELDS, PLAYER_FIELDS, PROJECTILE_FIELDS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "frames.md").read_text()


def test_tables_of_the_page_are_those_of_the_schema() -> None:
    assert_up_to_date("make_frames.py")
    fields = [field.name for field in (*PLAYER_FIELDS, *PROJECTILE_FIELDS)]
    section = PAGE.split("## Fields")[1].split("## Controllers")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", section) == fields
    section = PAGE.split("## Controllers")[1].split("## Differences")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", section) == list(CONTROLLER_FIELDS)


def test_a_changed_page_is_stale(tmp_path: Path) -> None:
    assert_staleness_is_noticed(
        "make_frames.py", "frames.md", "| 0 to 999 |", "| 0 to 998 |", tmp_path
    )
