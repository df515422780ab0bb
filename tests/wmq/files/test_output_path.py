"""Where files will be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.rollout_models import wmq
from wmq.errors import WmqError
from wmq.files.output_path import output_path

pytest_plugins = ("tests.support.rollout_models",)


def test_a_file_that_is_there_or_not_can_be_named(tmp_path: Path) -> None:
    for name in ("new.json", "OLD.JSON"):
        (tmp_path / "OLD.JSON").touch()
        assert output_path(tmp_path / name, "-o", (".json",)) == tmp_path / name


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
        output_path(tmp_path / name, "--chart", (".json", ".svg"))
    assert str(caught.value).startswith(f"--chart {tmp_path / name}: ")


def test_a_folder_without_leave_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the answer of the system is made up here."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == tmp_path and mode == os.W_OK))
    with pytest.raises(WmqError, match="its folder cannot be written"):
        output_path(tmp_path / "a.json", "-o", (".json",))


FOREIGN = {
    ".csv": b"name,grade\n", ".npz": b"PK\3\4 other arrays", ".arrow": b"ARROW1", ".png": b"GIF89a",
    ".parquet": b"PAR1", ".svg": b"notes", ".html": b"<p>", ".wmq": b"RIFF", ".json": b"{}",
}  # fmt: skip


@pytest.mark.parametrize("suffix", FOREIGN)
def test_a_file_of_another_kind_is_never_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(FOREIGN[suffix])
    with pytest.raises(WmqError, match="is nothing that this command wrote; remove it"):
        output_path(path, "-o", (suffix,), b'"pairs"' if suffix == ".json" else b"")
    path.write_bytes(b"")
    assert output_path(path, "-o", (suffix,)) == path


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(WmqError, match="is no regular file"):
        output_path(tmp_path / "pipe.csv", "-o", (".csv",))


def test_every_command_writes_over_its_own_and_over_nothing_else(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice each of what the quick ones write, then each under the name of another."""
    monkeypatch.chdir(tmp_path)
    files = [f"a{suffix}" for suffix in (".npz", ".csv", ".arrow", ".parquet")]
    small = ("--frames", 2)
    for name in files:
        for _ in range(2):
            assert wmq("rollout", models / "small.wmq", *small, "-o", name).exit_code == 0
    pair = ("report", "--int8", models / "small.wmq", *small, "--viewer")
    for _ in range(2):
        assert wmq(*pair, "v.json").exit_code == 0
    for option, command in (
        ("-o", ("drift", "--data", "d", "-o", "v.json")),
        ("-o", ("sensitivity", "--data", "d", "-o", "v.json")),
        ("--chart", ("sensitivity", "--data", "d", "--chart", "text.svg")),
        ("--chart", ("bench", "speed", "--chart", "text.svg")),
        ("-o", ("report", "d", "-o", "text.html")),
        ("--viewer", (*pair, "text.json")),
        ("-o", ("calibrate", models / "small.onnx", "--set", "self-play", "-o", "text.wmq")),
        ("-o", ("rollout", "-o", "text.csv")),
        ("", ("conformance", "build", "-o", "text.csv")),
    ):
        for suffix in (".svg", ".html", ".json", ".wmq", ".csv"):
            Path(f"text{suffix}").write_text("mine\n")
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        result = wmq(*command)
        assert result.exit_code == 2 and result.stderr.splitlines()[-1].startswith(
            f"wmq: {option} {command[-1]}: is there" if option else "wmq: text.csv: exists"
        ), (command, result.output)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
