"""Files with a manifest: whole, of one key, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wmq.files.atomic import FileError
from wmq.memo.manifest import make_files, read_manifest


def write_both(folder: Path, text: str = "one") -> Iterator[Path]:
    for name in ("a", "b"):
        path = folder / name
        path.write_text(text)
        yield path


def test_files_are_whole_under_their_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "files.json"
    assert read_manifest(path, "key") is None
    make_files(path, ["key", 1], lambda: write_both(path.parent))
    found = read_manifest(path, ["key", 1])
    assert found is not None and found.sizes == {"a": 3, "b": 3} and found.seconds >= 0
    assert read_manifest(path, ["key", 2]) is None


def test_files_of_another_size_or_gone_are_none(tmp_path: Path) -> None:
    path = tmp_path / "files.json"
    make_files(path, "key", lambda: write_both(tmp_path))
    (tmp_path / "a").write_text("on")
    assert read_manifest(path, "key") is None
    (tmp_path / "a").write_text("two")
    assert read_manifest(path, "key") is not None  # sizes alone are looked at
    (tmp_path / "b").unlink()
    assert read_manifest(path, "key") is None


def test_a_second_key_takes_the_place_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "files.json"
    make_files(path, "one", lambda: write_both(tmp_path, "one"))
    make_files(path, "two", lambda: write_both(tmp_path, "two"))
    assert read_manifest(path, "one") is None and read_manifest(path, "two") is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_making_leaves_no_manifest(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "files.json"
    make_files(path, "key", lambda: write_both(tmp_path))

    def stop() -> Iterator[Path]:
        yield from write_both(tmp_path)
        raise error

    with pytest.raises(error):
        make_files(path, "key", stop)
    assert read_manifest(path, "key") is None


def test_a_damaged_manifest_is_none(tmp_path: Path) -> None:
    path = tmp_path / "files.json"
    make_files(path, "key", lambda: write_both(tmp_path))
    whole = path.read_text()
    for content in ("", whole[:-5], "{}", "[" * 10_000, whole.replace('"a"', '"a\\u0000"')):
        path.write_text(content)
        assert read_manifest(path, "key") is None
    path.write_text(whole)
    assert read_manifest(path, "key") is not None


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"file: cannot be written [^\n]*$"):
        make_files(tmp_path / "file" / "files.json", "key", lambda: write_both(tmp_path))
