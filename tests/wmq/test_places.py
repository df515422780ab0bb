"""Where files will be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wmq.errors import WmqError
from wmq.places import checked_place


def test_a_file_that_is_there_or_not_can_be_named(tmp_path: Path) -> None:
    for name in ("new.json", "OLD.JSON"):
        (tmp_path / "OLD.JSON").touch()
        assert checked_place(tmp_path / name, "-o", (".json",)) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder.json", "is a folder"),
        ("a.txt", "end the name with .json or .svg"),
        ("nowhere/a.json", "its folder does not exist"),
    ],
)
def test_what_cannot_be_written_is_named(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(WmqError, match=reason) as caught:
        checked_place(tmp_path / name, "--chart", (".json", ".svg"))
    assert str(caught.value).startswith(f"--chart {tmp_path / name}: ")


def test_a_folder_without_leave_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the answer of the system is made up here."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == tmp_path and mode == os.W_OK))
    with pytest.raises(WmqError, match="its folder cannot be written"):
        checked_place(tmp_path / "a.json", "-o", (".json",))
