"""What is no fault of a replay costs it nothing: lost disks, stops, odd names, links."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.replay_files import ROOT
from wmq.dataset.prepare import prepare_dataset
from wmq.dataset.store import Dataset, Rejection, rejection_path, write_index
from wmq.errors import WmqError
from wmq.game.schema import Schema
from wmq.replays.find import find_replays
from wmq.replays.replay_file import sha256_of
from wmq.rollout.starts import replay_start

pytest_plugins = ("tests.support.replay_files",)

WMQ = [sys.executable, "-c", "from wmq.cli import main; main()"]
SHIFT_JIS = os.fsdecode(b"\x83\x51\x81\x5b")  # no UTF-8
SHOWN = r"\x83Q\x81["


def after_hashing(act: Callable[[], object]) -> Callable[[str, int, int], None]:
    """A progress callback that acts between the hashing of all files and their reading."""

    def progress(what: str, done: int, total: int) -> None:
        if what == "hashing" and done == total:
            act()

    return progress


def folder_of(games: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for game in games:
        shutil.copy(game, folder)
    return folder


def test_disk_that_goes_away_costs_one_run(val_games: list[Path], tmp_path: Path) -> None:
    disk, away, root = (
        folder_of(val_games[:2], tmp_path / "disk"),
        tmp_path / "away",
        tmp_path / "d",
    )
    lost = prepare_dataset([disk], root, progress=after_hashing(lambda: disk.rename(away)))
    assert [r.reason for r in lost.rejected] == ["not there", "not there"]
    assert not lost.games and not list(root.glob("rejected/*"))
    away.rename(disk)
    assert len(prepare_dataset([disk], root).games) == 2


def test_file_rewritten_meanwhile_costs_one_run(val_games: list[Path], tmp_path: Path) -> None:
    file, root = Path(shutil.copy(val_games[0], tmp_path)), tmp_path / "d"
    whole = file.read_bytes()
    torn = prepare_dataset(
        [file], root, progress=after_hashing(lambda: file.write_bytes(whole[:999]))
    )
    assert [r.reason for r in torn.rejected] == ["changed while it was read; run again"]
    file.write_bytes(whole)
    assert len(prepare_dataset([file], root).games) == 1


def test_reasons_kept_by_older_programs_are_read_again(
    val_games: list[Path], tmp_path: Path
) -> None:
    root, sha256 = tmp_path / "d", sha256_of(val_games[0])
    (root / "rejected").mkdir(parents=True)
    write_index(root, [], [Rejection("g.slp", sha256, "cannot be read: Input/output error")])
    old = {"name": "g.slp", "sha256": sha256, "reason": "cannot be read: Input/output error",
           "seconds": 0.0}  # fmt: skip
    rejection_path(root, sha256).write_text(json.dumps(old))
    assert len(prepare_dataset(val_games[:1], root).games) == 1
    assert not list(root.glob("rejected/*")) and not Dataset.open(root).rejected


def test_verdict_on_the_content_is_kept(tmp_path: Path) -> None:
    file, root, titles = tmp_path / "a.slp", tmp_path / "d", []
    file.write_bytes(b"no replay")
    prepare_dataset([file], root)
    again = prepare_dataset([file], root, progress=lambda what, *_: titles.append(what))
    assert titles == ["hashing"] and len(again.rejected) == 1


@pytest.mark.parametrize(
    "facts", ["[]", '{"name": 1, "sha256": "aa", "reason": "", "form": 1}', "{"]
)
def test_damaged_rejection_counts_as_none(tmp_path: Path, facts: str) -> None:
    file, root = tmp_path / "a.slp", tmp_path / "d"
    file.write_bytes(b"no replay")
    first = prepare_dataset([file], root)
    kept = rejection_path(root, sha256_of(file))
    whole = kept.read_bytes()
    kept.write_text(facts)
    assert prepare_dataset([file], root).rejected == first.rejected
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("title", ["hashing", "reading"])
def test_dataset_that_goes_away_is_one_line(
    val_games: list[Path], tmp_path: Path, title: str
) -> None:
    root = tmp_path / "d"

    def progress(what: str, done: int, total: int) -> None:
        if what == title and root.exists():
            root.rename(tmp_path / "away")

    with pytest.raises(WmqError, match="still there and run the same command again") as caught:
        prepare_dataset(val_games[:3], root, progress=progress)
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)


def test_shard_that_cannot_be_read_now_stays_in_the_index(
    val_games: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "d"
    prepare_dataset(val_games[:1], root)
    index, shard = (root / "index.json").read_bytes(), next(root.glob("games/*.arrow"))
    shard.unlink()
    shard.symlink_to(shard.name)  # too many levels of links, for root as well
    with pytest.raises(WmqError, match="cannot be read") as caught:
        prepare_dataset(val_games[:1], root)
    assert str(shard) in str(caught.value) and "\n" not in str(caught.value)
    assert (root / "index.json").read_bytes() == index


def test_disk_that_fails_in_every_call_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(WmqError, match="cannot be written"):
        write_index(tmp_path, [], [])


def test_stop_of_the_terminal_costs_nothing(val_games: list[Path], tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path\n"
            "from wmq.dataset.prepare import prepare_dataset\n"
            "if __name__ == '__main__':\n"
            "    prepare_dataset([sys.argv[1]], Path(sys.argv[2]), seconds=2,\n"
            "                    progress=lambda what, *_: print(what, flush=True))")  # fmt: skip
    games = folder_of(val_games, tmp_path / "games")
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script, games, tmp_path / "d"], text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)},
                          stdout=subprocess.PIPE, start_new_session=True) as process:  # fmt: skip
        assert process.stdout is not None
        while process.stdout.readline() != "reading\n":  # the first game is there
            assert process.poll() is None
        time.sleep(0.03)  # into the second
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.killpg(process.pid, signal.SIGCONT)
        process.communicate()
    assert process.returncode == 0
    assert len(Dataset.open(tmp_path / "d").games) == len(val_games)


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 on other systems")
@pytest.mark.parametrize("as_json", [False, True])
def test_names_that_are_not_utf8_are_read_and_shown(
    val_games: list[Path], tmp_path: Path, as_json: bool
) -> None:
    folder, root = tmp_path / SHIFT_JIS, tmp_path / f"{SHIFT_JIS}-d"
    folder.mkdir()
    for name in (SHIFT_JIS, f"{SHIFT_JIS}2"):
        shutil.copy(val_games[0], folder / f"{name}.slp")
    (folder / f"{SHIFT_JIS}-bad.slp").write_bytes(b"no replay")
    command = [*WMQ, "prepare", folder, "-o", root, *(["--json"] if as_json else [])]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    run = subprocess.run(command, cwd=ROOT, env=strict, capture_output=True, check=True)
    shown, written = run.stdout.decode("utf-8"), (root / "index.json").read_text("utf-8")
    if as_json:
        facts = json.loads(shown)
        assert facts["duplicates"] == [{"name": f"{SHOWN}2.slp", "same_as": f"{SHOWN}.slp"}]
        assert facts["rejected"][0]["name"] == f"{SHOWN}-bad.slp"
        assert facts["dataset"] == str(tmp_path / f"{SHOWN}-d")
    else:
        assert f"same content: {SHOWN}2.slp: as {SHOWN}.slp\n" in shown
        assert f"rejected: {SHOWN}-bad.slp: " in shown
        assert f"\n{tmp_path}/{SHOWN}-d: 1 game (" in shown
    assert json.loads(written)["rejected"][0]["name"] == f"{SHOWN}-bad.slp"
    assert "ud83" not in written
    dataset = Dataset.open(root)
    assert dataset.load(dataset.games[0]).info == dataset.games[0]


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 on other systems")
def test_rollout_starts_in_a_game_with_such_a_name(val_games: list[Path], tmp_path: Path) -> None:
    game = Path(shutil.copy(val_games[0], tmp_path / f"{SHIFT_JIS}.slp"))
    start = replay_start(Schema(), game, 500)
    assert start.label == f"{SHOWN}.slp at frame 500"
    assert (start.given == replay_start(Schema(), val_games[0], 500).given).all()


def test_name_of_several_lines_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\n\x1b[2Jb.slp").write_bytes(b"no replay")
    run = subprocess.run([*WMQ, "prepare", tmp_path, "-o", tmp_path / "d"], cwd=ROOT, text=True,
                         capture_output=True)  # fmt: skip
    assert r"rejected: a\n\x1b[2Jb.slp: " in run.stdout
    assert run.returncode == 2


def made_tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    made_tree(tmp_path, "games/a.slp", "other/b.slp", "other/deep/c.slp")
    games = tmp_path / "games"
    (games / "one").symlink_to("../other")
    (games / "two").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "deep" / "up").symlink_to("../..")  # and so round and round
    (games / "itself").symlink_to(".")
    (games / "again.slp").symlink_to("a.slp")
    assert [file.name for file in find_replays([games])] == ["a.slp", "b.slp", "c.slp"]


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    made_tree(tmp_path, "games/a.slp")
    games, said = tmp_path / "games", []
    (games / "x.slp").symlink_to("gone.slp")
    (games / "2019").symlink_to("/no/such/disk")
    summary = prepare_dataset([games], tmp_path / "d", warn=said.append)
    reasons = {r.name: r.reason for r in summary.rejected}
    assert reasons["x.slp"] == "a link to gone.slp, which is not there"
    assert said == [f"{games}/2019: a link to /no/such/disk, which is not there; skipped"]
    with pytest.raises(WmqError, match="x.slp: a link to gone.slp, which is not there"):
        find_replays([games / "x.slp"])


def test_file_too_large_for_a_replay_is_named_unread(tmp_path: Path) -> None:
    with open(tmp_path / "a.slp", "wb") as file:
        file.truncate(1 << 40)  # sparse
    summary = prepare_dataset([tmp_path], tmp_path / "d")
    assert [r.reason for r in summary.rejected] == ["larger than 512 MB"]


def test_system_that_cannot_limit_a_process_is_one_line(tmp_path: Path) -> None:
    made_tree(tmp_path, "a.slp")
    for arguments in (["prepare", str(tmp_path), "-o", str(tmp_path / "d")],
                      ["rollout", "--int8", "--start", f"{tmp_path}/a.slp@0"]):  # fmt: skip
        code = ("import sys; sys.modules |= {'fcntl': None, 'resource': None}\n"
                "from wmq.cli import main; main(sys.argv[1:])")  # fmt: skip
        run = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, text=True,
                             capture_output=True)  # fmt: skip
        assert run.returncode == 2 and "POSIX" in run.stderr
        assert run.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_modules_of_the_base_package_are_imported_without_fcntl_and_resource() -> None:
    code = """
import sys
from importlib import import_module
from pathlib import Path
lacking = {"fcntl", "resource"}
extras = {"torch", "torchao", "onnx", "onnxruntime", "pyarrow", "peppi_py", "matplotlib"}
sys.modules |= dict.fromkeys(lacking | extras)
for package in ("wmq_kernels", "calib", "wmq"):
    for file in sorted(Path(package).rglob("*.py")):
        try:
            import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
        except ImportError as error:
            if (error.name or "").split(".")[0] not in extras:
                print(file, error)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert (run.stdout, run.returncode) == ("", 0), run.stderr
