"""`wmq prepare`: same bytes whatever happens, and each file's outcome by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.replay_files import EDGE, ROOT, OddFiles
from wmq.cli.prepare import prepare
from wmq.dataset import prepare as machinery
from wmq.dataset.earlier_runs import locked_dataset
from wmq.dataset.prepare import prepare_dataset
from wmq.dataset.store import Dataset, Rejection, write_index, write_rejection
from wmq.errors import WmqError
from wmq.replays.find import find_replays
from wmq.replays.replay_file import sha256_of

pytest_plugins = ("tests.support.replay_files",)

COMMAND = [sys.executable, "-c", "from wmq.cli.prepare import prepare; prepare()"]

EDGE_REASONS = {
    "e01": "failed to fill whole buffer",
    "e02": "P2 is not a human player (Cpu); 129 frames",
    "e03": "P2 is not a human player (Cpu); 142 frames",
    "e04": "3 players, not 2",
    "e05": "P1 plays Ice Climbers",
    "e06": "124 frames, fewer than 1200",
    "e07": "128 frames, fewer than 1200",
    "e08": "failed to fill whole buffer",
    "e09": "71 frames, fewer than 1200",
    "e10": "4 players, not 2",
    "e11": "3 players, not 2; team mode",
    "e12": "Invalid player placement 17",
    "e13": "stage 14 is not a tournament stage",
    "e14": "invalid game end method: 9",
    "e15": "panicked: index out of bounds",
    "e16": "panicked: called `Option::unwrap()`",
    "e17": "panicked: called `Result::unwrap()`",
    "e18": "unknown event: 0x1e",
    "e19": "first frame id is 262433, not -123",
    "e20": "failed to fill whole buffer",
    "e21": "157 frames, fewer than 1200",
    "e22": "148 frames, fewer than 1200",
    "e23": "847 frames, fewer than 1200",
    "e24": "stage 5 is not a tournament stage",
    "e30": "failed to fill whole buffer",
    "e31": "cannot read it: invalid data",
    "e32": "cannot read it: invalid data",
    "e33": "cannot read it: invalid data",
    "e34": "cannot read it: invalid data",
    "e35": "failed to fill whole buffer",
    "e36": "failed to fill whole buffer",
    "e37": "failed to fill whole buffer",
    "e38": "failed to fill whole buffer",
    "e39": "failed to fill whole buffer",
    "e40": "315 frames, fewer than 1200",
    "e41": "zero-size event payload",
    "e42": "unknown event: 0xfe",
    "e43": "x is nan in frame -48",
    "e44": "panicked: assertion failed",
    "e45": "315 frames, fewer than 1200",
    "e46": "panicked: assertion `left == right` failed left: -43 right: -73",
}


def tree(root: Path) -> dict[str, bytes]:
    """Every file of a folder and its bytes."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(prepare, [*map(str, arguments), "--jobs", "1"])


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command in a process group of its own, as from a terminal."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--jobs", "1"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_shards(process: subprocess.Popen[str], root: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(root.glob("games/*.arrow"))) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(scope="module")
def complete(
    val_games: list[Path], odd: OddFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A dataset of the made games and the odd files, made without interruption."""
    root = tmp_path_factory.mktemp("complete") / "dataset"
    summary = prepare_dataset([*val_games, odd.folder], root, jobs=2)
    assert summary.added == len(val_games)
    return root


def test_every_odd_file_is_left_out_with_its_reason(complete: Path, odd: OddFiles) -> None:
    reasons = {r.name: r.reason for r in Dataset.open(complete).rejected}
    assert reasons.keys() == odd.reasons.keys()
    for name, expected in odd.reasons.items():
        assert expected in reasons[name], name


@pytest.mark.skipif(not EDGE.exists(), reason=f"no real odd files at {EDGE}")
def test_every_real_odd_file_is_left_out_with_its_reason(tmp_path: Path) -> None:
    summary = prepare_dataset([EDGE], tmp_path / "d", jobs=2)
    reasons = {r.name[:3]: r.reason for r in summary.rejected}
    assert reasons.keys() == EDGE_REASONS.keys()
    assert len(list(EDGE.glob("*.slp"))) == len(EDGE_REASONS)
    for name, expected in EDGE_REASONS.items():
        assert expected in reasons[name], name


def test_bytes_do_not_depend_on_jobs_or_order(
    complete: Path, val_games: list[Path], odd: OddFiles, tmp_path: Path
) -> None:
    prepare_dataset([odd.folder], tmp_path / "d", jobs=1)
    prepare_dataset(val_games[::-1], tmp_path / "d", jobs=1)
    assert tree(tmp_path / "d") == tree(complete)


def test_killed_runs_are_completed_to_the_same_bytes(
    complete: Path, val_games: list[Path], odd: OddFiles, tmp_path: Path
) -> None:
    root = tmp_path / "d"
    for count in (0, 1, 3):
        process = start(*val_games, odd.folder, "-o", root)
        wait_for_shards(process, root, count)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert tree(root) != tree(complete)
    prepare_dataset([*val_games, odd.folder], root, jobs=2)
    assert tree(root) == tree(complete)


def test_interrupt_is_one_line_and_130_and_resumable(
    complete: Path, val_games: list[Path], odd: OddFiles, tmp_path: Path
) -> None:
    root = tmp_path / "d"
    process = start(*val_games, odd.folder, "-o", root)
    wait_for_shards(process, root, 1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "wmq: interrupted; to resume, run the same command again\n"
    prepare_dataset([*val_games, odd.folder], root, jobs=2)
    assert tree(root) == tree(complete)


def test_second_run_redoes_nothing(
    complete: Path,
    val_games: list[Path],
    odd: OddFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = shutil.copytree(complete, tmp_path / "d")
    before = {path: path.stat().st_mtime_ns for path in root.glob("*/*")}
    stages = []
    monkeypatch.setattr(machinery, "write_index", lambda *arguments: None)
    summary = prepare_dataset(
        [*val_games, odd.folder],
        root,
        jobs=2,
        progress=lambda what, done, total: stages.append(what),
    )
    assert set(stages) == {"hashing"}
    assert (summary.added, summary.present) == (0, len(val_games))
    assert len(summary.rejected) == len(odd.reasons)
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*")} == before


def test_damaged_shard_is_made_again(
    complete: Path, val_games: list[Path], odd: OddFiles, tmp_path: Path
) -> None:
    root = shutil.copytree(complete, tmp_path / "d")
    shard = min(root.glob("games/*.arrow"))
    shard.write_bytes(shard.read_bytes()[:1000])
    assert prepare_dataset([odd.folder], root).damaged == (shard.stem,)
    assert prepare_dataset(val_games, root).damaged == ()
    assert tree(root) == tree(complete)


def test_games_keep_their_split_and_copies_are_named(val_games: list[Path], tmp_path: Path) -> None:
    copy = Path(shutil.copy(val_games[0], tmp_path / "zz.slp"))
    first = prepare_dataset(val_games[:1], tmp_path / "d", split="val")
    assert [info.split for info in first.games] == ["val"]
    second = prepare_dataset([*val_games[:2], copy], tmp_path / "d", split="train", jobs=2)
    assert sorted(info.split for info in second.games) == ["train", "val"]
    assert second.elsewhere == ((val_games[0].name, "val"),)
    assert second.duplicates == (("zz.slp", val_games[0].name),)


def test_file_that_took_too_long_is_tried_again_with_more_time(
    val_games: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    write_index(tmp_path / "d", [], [])
    (tmp_path / "d" / "rejected").mkdir()
    sha256 = sha256_of(val_games[0])
    slow = Rejection("g.slp", sha256, "took longer than 5 s", 5.0)
    write_rejection(tmp_path / "d", slow)
    assert prepare_dataset(val_games[:1], tmp_path / "d", seconds=5).games == ()
    assert len(prepare_dataset(val_games[:1], tmp_path / "d", seconds=30).games) == 1
    assert not list(tmp_path.glob("d/rejected/*"))


def test_tiny_time_limit_rejects_and_goes_on(val_games: list[Path], tmp_path: Path) -> None:
    result = run(*val_games[:2], "-o", tmp_path / "d", "--time-limit", "0.0001")
    assert isinstance(result.exception, WmqError) and "no usable game" in str(result.exception)
    assert result.output.count("slp: took longer than 0.0001 s") == 2


def test_pipe_in_the_folder_is_refused_at_once(val_games: list[Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.slp")
    summary = prepare_dataset([val_games[0], tmp_path], tmp_path / "d")
    assert [(r.name, r.reason) for r in summary.rejected] == [("pipe.slp", "not a regular file")]


def test_json_lists_everything_and_strict_exits_with_1(complete: Path, odd: OddFiles) -> None:
    relaxed = run(odd.folder, "-o", complete, "--json")
    facts = json.loads(relaxed.stdout)
    assert relaxed.exit_code == 0
    assert len(facts["rejected"]) == len(odd.reasons)
    assert run(odd.folder, "-o", complete, "--strict").exit_code == 1


def test_each_rejected_file_is_a_line_of_the_text(complete: Path, odd: OddFiles) -> None:
    lines = run(odd.folder, "-o", complete).output.splitlines()
    for name, reason in odd.reasons.items():
        assert any(f": {name}" in line and reason in line for line in lines)


@pytest.mark.parametrize("case", ["missing", "other", "empty", "file", "foreign", "format"])
def test_wrong_calls_are_one_line_that_names_the_path(tmp_path: Path, case: str) -> None:
    replay, out = tmp_path / "a.slp", tmp_path / "d"
    replay.write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    path = {"missing": tmp_path / "nothing", "other": tmp_path / "notes.txt",
            "empty": tmp_path / "empty"}.get(case, replay)  # fmt: skip
    if case == "file":
        out.write_text("")
    if case in ("foreign", "format"):
        out.mkdir()
        name, text = {"foreign": ("a.txt", ""), "format": ("index.json", '{"format": 99}')}[case]
        (out / name).write_text(text)
    before = tree(tmp_path)
    result = run(path, "-o", out)
    assert isinstance(result.exception, WmqError)
    named = out if path == replay else path
    assert str(named) in str(result.exception) and "\n" not in str(result.exception)
    assert tree(tmp_path) == before


def test_two_runs_at_once_are_refused(val_games: list[Path], tmp_path: Path) -> None:
    with (
        locked_dataset(tmp_path / "d", pytest.fail),
        pytest.raises(WmqError, match="another `wmq prepare`"),
    ):
        prepare_dataset(val_games[:1], tmp_path / "d")


def test_a_file_given_twice_is_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.slp", "sub/A.SLP", "c.txt"):
        (tmp_path / name).write_text("")
    found = find_replays([tmp_path, tmp_path / "b.slp", tmp_path / "sub"])
    assert [path.name for path in found] == ["A.SLP", "b.slp"]


def test_command_imports_nothing_heavy() -> None:
    code = "import sys, wmq.cli.prepare; print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not {"pyarrow", "peppi_py", "torch", "onnx", "numpy"} & set(shown.split())
