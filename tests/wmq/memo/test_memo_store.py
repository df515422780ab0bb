"""What is kept in a folder, or in memory where there is none, and found again by its key."""

from __future__ import annotations

import errno
import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import wmq.memo.store
from wmq.errors import WmqError
from wmq.files.atomic import FileError
from wmq.files.limited import read_limited
from wmq.memo.forms import Arrays, arrays_form, json_form
from wmq.memo.store import Cache, Store


class Point(msgspec.Struct, frozen=True):
    x: int
    name: str = ""


POINT = json_form(Point)
THREE = arrays_form({"values": ((3,), np.dtype(np.int64)), "one": ((), np.dtype(np.float64))})


def never() -> Point:
    raise AssertionError("made again")


def three(first: int = 0) -> Arrays:
    return {"values": np.arange(first, first + 3), "one": np.array(0.5)}


def test_a_value_is_made_once_and_found_by_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert Store(folder).kept("a kind", [1, "key"], POINT, lambda: Point(3)) == Point(3)
    assert Store(folder).kept("a kind", [1, "key"], POINT, never) == Point(3)
    (file,) = folder.iterdir()
    assert file.name.startswith("a-kind-") and len(file.name) == len("a-kind-.json") + 64


def test_another_key_or_kind_is_another_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("kind", "key", POINT, Point(1))
    assert store.read("kind", "other", POINT) is None
    assert store.read("kind.", "key", POINT) is None  # which the file system would not tell apart
    store.write("kind", "other", POINT, Point(2))
    assert store.read("kind", "key", POINT) == Point(1)
    store.remove("kind", "key", POINT)
    store.remove("kind", "key", POINT)
    assert store.read("kind", "key", POINT) is None and len(list(tmp_path.iterdir())) == 1


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    Store(tmp_path).write("kind", "key", THREE, three())
    found = Store(tmp_path).read("kind", "key", THREE)
    assert found is not None and found["one"] == 0.5
    assert_array_equal(found["values"], [0, 1, 2])


def test_reading_takes_the_memory_of_the_file_and_not_of_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        assert read_limited(path, 1 << 32) == bytes(1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert read_limited(path, 999) == bytes(1000)  # one byte more than the limit
    assert read_limited(path, 500) == bytes(501)


def test_without_a_folder_a_store_keeps_nothing() -> None:
    store = Store(None)
    assert store.kept("kind", "key", POINT, lambda: Point(3)) == Point(3)
    assert store.read("kind", "key", POINT) is None
    store.remove("kind", "key", POINT)


def damages(content: bytes) -> Iterator[bytes]:
    """What a file may hold after a crash, or if someone else wrote it."""
    yield from (b"", content[:-2], content[: len(content) // 2], b"\0" * len(content))
    yield from (b"[" * 10_000, b"{}", b"junk")


@pytest.mark.parametrize("form", [POINT, THREE], ids=["json", "arrays"])
def test_a_damaged_file_is_made_again(tmp_path: Path, form: object) -> None:
    value = Point(3) if form is POINT else three()
    store, warned = Store(tmp_path), []
    store.write("kind", "key", form, value)
    (file,) = tmp_path.iterdir()
    for content in [*damages(file.read_bytes())]:
        file.write_bytes(content)
        assert store.read("kind", "key", form) is None, content[:20]
        assert Cache(tmp_path, warned.append).read("kind", "key", form) is None
        (line,) = warned
        assert line.startswith(f"{file}: ") and line.endswith("; made again")
        warned.clear()
        store.kept("kind", "key", form, lambda: value)
        assert store.read("kind", "key", form) is not None


def test_arrays_of_another_shape_or_type_or_name_are_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for other in (
        {**three(), "values": np.arange(4)},
        {**three(), "values": np.arange(3, dtype=np.int32)},
        {**three(), "more": np.arange(3)},
        {"values": np.arange(3)},
        {**three(), "one": np.array(None, dtype=object)},
    ):
        (tmp_path / "file.npz").unlink(missing_ok=True)
        np.savez(tmp_path / "file.npz", **other)
        store.write("kind", "key", THREE, three())
        (kept,) = [path for path in tmp_path.iterdir() if path.name != "file.npz"]
        kept.write_bytes((tmp_path / "file.npz").read_bytes())
        assert store.read("kind", "key", THREE) is None


def test_a_file_beyond_the_largest_is_not_read(tmp_path: Path) -> None:
    limited = replace(POINT, largest=40)
    store = Store(tmp_path)
    store.write("kind", "key", limited, Point(1, "short"))
    assert store.read("kind", "key", limited) == Point(1, "short")
    store.write("kind", "key", limited, Point(1, "long" * 20))
    assert store.read("kind", "key", limited) is None


@contextmanager
def full_disk() -> Iterator[None]:
    """The kernel refuses a write beyond a file's largest size as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_store_that_cannot_write_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(FileError, match=f"^{folder}: cannot be written [^\n]*$"):
            Store(folder).write("kind", "key", POINT, Point(3))
    with full_disk(), pytest.raises(WmqError, match="cannot be written"):
        Store(tmp_path / "new").write("kind", "key", POINT, Point(3))
    assert not list((tmp_path / "new").iterdir())


def test_a_cache_that_cannot_write_is_one_line_and_memory_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    warned: list[str] = []
    cache = Cache(tmp_path / "file" / "folder", warned.append)
    for key in ("a", "b"):
        cache.write("kind", key, POINT, Point(3))
    assert len(warned) == 1 and str(tmp_path / "file") in warned[0]
    assert cache.read("kind", "a", POINT) == cache.read("kind", "b", POINT) == Point(3)
    cache.remove("kind", "a", POINT)
    assert cache.read("kind", "a", POINT) is None


def test_a_cache_on_a_full_disk_goes_on_in_memory(tmp_path: Path) -> None:
    warned: list[str] = []
    cache = Cache(tmp_path, warned.append)
    with full_disk():
        assert cache.kept("kind", "key", POINT, lambda: Point(3)) == Point(3)
    assert len(warned) == 1 and cache.kept("kind", "key", POINT, never) == Point(3)


def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, largest: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    warned: list[str] = []
    monkeypatch.setattr(wmq.memo.store, "read_limited", refuse)
    assert Cache(tmp_path, warned.append).read("kind", "key", POINT) is None
    assert len(warned) == 1 and warned[0].endswith("Input/output error; going on without it")


def test_memory_keeps_arrays_as_they_were() -> None:
    cache, arrays = Cache(None, print), three()
    cache.write("kind", "key", THREE, arrays)
    arrays["values"][0] = 9
    found = cache.read("kind", "key", THREE)
    assert found is not None and found["values"].tolist() == [0, 1, 2]


def test_files_that_go_while_the_folder_is_counted_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes beside, prunes, or removes its unfinished pass."""
    warned: list[str] = []
    cache, listed = Cache(tmp_path, warned.append), type(tmp_path).iterdir
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda path: [*listed(path), path / "gone"])
    cache.write("kind", "key", POINT, Point(3))
    assert Cache(tmp_path, print).read("kind", "key", POINT) == Point(3)
    assert cache.folder == tmp_path and not warned


def test_the_folder_of_a_cache_keeps_what_was_used_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path, print)
    for age, kind in enumerate(("old", "older", "oldest"), 1):
        cache.write(kind, "", POINT, Point(1000))
        (path,) = tmp_path.glob(f"{kind}-*")
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(wmq.memo.store, "LARGEST_FOLDER", 3 * path.stat().st_size)
    cache.read("older", "", POINT)
    cache.write("new", "", POINT, Point(1000))
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"new", "older", "old"}
