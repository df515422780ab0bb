"""The cache: what lies in a folder, or in memory where there is none."""

from __future__ import annotations

import os

import numpy as np

import wmq.memo.store
from wmq.memo.store import Cache


def values(cache: Cache, name: str) -> list[int] | None:
    return cache.read(name, lambda arrays, where: arrays["values"].tolist())


def test_arrays_are_found_again_by_another_process_and_gone_when_removed(tmp_path):
    Cache(tmp_path / "new" / "folder", print).write("a", {"values": np.arange(3)})
    cache = Cache(tmp_path / "new" / "folder", print)
    assert values(cache, "a") == [0, 1, 2]
    assert values(cache, "b") is None
    cache.remove("a")
    cache.remove("a")
    assert values(cache, "a") is None


def test_a_folder_that_cannot_be_written_is_one_line_and_memory_does(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    warned: list[str] = []
    cache = Cache(tmp_path / "file" / "folder", warned.append)
    for name in ("a", "b"):
        cache.write(name, {"values": np.arange(2)})
    assert len(warned) == 1 and str(tmp_path / "file") in warned[0]
    assert values(cache, "a") == values(cache, "b") == [0, 1]
    cache.remove("a")
    assert values(cache, "a") is None


def test_memory_keeps_arrays_as_they_were():
    cache, arrays = Cache(None, print), {"values": np.arange(2)}
    cache.write("a", arrays)
    arrays["values"][0] = 9
    assert values(cache, "a") == [0, 1]


def test_files_that_go_while_the_folder_is_counted_are_no_failure(tmp_path, monkeypatch):
    """Another process writes beside, prunes, or removes its unfinished pass."""
    warned: list[str] = []
    cache, listed = Cache(tmp_path, warned.append), type(tmp_path).iterdir
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda path: [*listed(path), path / "gone"])
    cache.write("a", {"values": np.arange(3)})
    assert values(Cache(tmp_path, print), "a") == [0, 1, 2]
    assert cache.folder == tmp_path and not warned


def test_the_folder_keeps_what_was_used_last(tmp_path, monkeypatch):
    cache = Cache(tmp_path, print)
    for age, name in enumerate(("old", "older", "oldest"), 1):
        cache.write(name, {"values": np.arange(1000)})
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    size = (tmp_path / "old").stat().st_size
    monkeypatch.setattr(wmq.memo.store, "LARGEST_FOLDER", 3 * size)
    values(cache, "older")
    cache.write("new", {"values": np.arange(1000)})
    assert {path.name for path in tmp_path.iterdir()} == {"new", "older", "old"}
