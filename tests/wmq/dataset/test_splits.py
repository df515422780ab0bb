"""Splits: by content, as large as asked for, and whole whenever a process is killed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_dataset_store import made_game

from wmq.cli import main
from wmq.dataset.splits import empty_split, split_again, split_of
from wmq.dataset.store import Dataset, Rejection, write_game, write_index
from wmq.errors import WmqError
from wmq.files.folder_lock import folder_lock
from wmq.game.schema import FULL

ROOT = Path(__file__).resolve().parents[3]
CLAMPED = (("ground", 40), ("pad.trigger", 2))


def dataset_of(root: Path, count: int, split: str = "train", made: int | None = None) -> Path:
    """Games of random values, each of a match of its own; `made` of them with a shard."""
    (root / "games").mkdir(parents=True)
    games = []
    for number in range(count):
        game = made_game(f"{number + 1:02x}", split, 5)
        fingerprint = hashlib.sha256(bytes([number])).hexdigest()
        game = replace(game, info=replace(game.info, fingerprint=fingerprint, clamped=CLAMPED))
        games.append(game.info)
        if made is None or number < made:
            write_game(root, game)
    rejected = [Rejection("b.slp", "ff", "P1 plays X"), Rejection("c.slp", "fe", "P2 plays X")]
    write_index(root, games, rejected, {"ee" * 32: games[0].fingerprint})
    return root


def splits(root: Path) -> dict[str, str]:
    return {info.sha256: info.split for info in Dataset.open(root).games}


def wmq(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_automatic_split_gives_the_share_to_val(share: float) -> None:
    names = [f"{(i * 2654435761) % 2**32:08x}" for i in range(20000)]
    found = sum(split_of(name, share) == "val" for name in names) / 20000
    assert abs(found - share) < 0.002


def test_a_larger_share_keeps_what_a_smaller_one_has_in_val(tmp_path: Path) -> None:
    root, before = dataset_of(tmp_path / "d", 40, made=0), set()
    for share in (0.05, 0.1, 0.4, 0.41, 0.9):
        split_again(root, share)
        val = {sha256 for sha256, split in splits(root).items() if split == "val"}
        assert before <= val and len(val) == round(share * 40)
        before = val


@pytest.mark.parametrize(
    ("games", "share", "val"),
    [(12, 0.01, 1), (12, 0.99, 11), (2, 0.05, 1), (12, 0, 0), (12, 1, 12)],
)
def test_no_split_is_empty_unless_that_is_asked_for(
    tmp_path: Path, games: int, share: float, val: int
) -> None:
    dataset, _ = split_again(dataset_of(tmp_path / "d", games, made=0), share)
    assert len(dataset.select("val")) == val and Dataset.open(tmp_path / "d") == dataset


def test_splitting_again_gives_the_bytes_of_that_split_in_the_first_place(tmp_path: Path) -> None:
    root = dataset_of(tmp_path / "d", 4)
    before = Dataset.open(root)
    frames = {info.sha256: before.load(info, FULL).frames for info in before.games}
    after, moved = split_again(root, 1)
    other = dataset_of(tmp_path / "other", 4, "val")
    assert moved == 4
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert path.read_bytes() == (other / path.relative_to(root)).read_bytes()
    for info in after.games:
        game = after.load(info, FULL)
        assert game.info == info and (game.frames == frames[info.sha256]).all()


KILLED = """
import os, signal, sys
from pathlib import Path
from wmq.dataset.splits import split_again
step, root = sys.argv[1], Path(sys.argv[2])
real = getattr(os, step.split("-")[1])
def dying(*arguments):
    if step.startswith("after"):
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, step.split("-")[1], dying)
split_again(root, 0.5)
"""


@pytest.mark.parametrize(
    ("step", "val"), [("before-fsync", 0), ("before-replace", 0), ("after-replace", 2)]
)
def test_killed_split_is_the_old_or_the_new_one(tmp_path: Path, step: str, val: int) -> None:
    root = dataset_of(tmp_path / "d", 4)
    killed = subprocess.run([sys.executable, "-c", KILLED, step, str(root)], cwd=ROOT)
    assert killed.returncode == -9
    dataset = Dataset.open(root)
    assert len(dataset.select("val")) == val
    assert all(dataset.load(info).info == info for info in dataset.games)
    split_again(root, 0.5)
    assert list(splits(root).values()).count("val") == 2


def test_split_waits_for_no_other_process(tmp_path: Path) -> None:
    root = dataset_of(tmp_path / "d", 4, made=0)
    before = (root / "index.json").read_bytes()
    with folder_lock(root, "", pytest.fail), pytest.raises(WmqError, match="wait for it"):
        split_again(root, 0.5)
    assert (root / "index.json").read_bytes() == before


def test_rejected_files_and_copies_stay(tmp_path: Path) -> None:
    root = dataset_of(tmp_path / "d", 4, made=0)
    before = Dataset.open(root)
    after, _ = split_again(root, 0.5)
    assert (after.rejected, after.copies) == (before.rejected, before.copies)
    assert Dataset.open(root) == after


def test_warning_names_the_empty_split_and_a_command_that_fills_it(tmp_path: Path) -> None:
    root = dataset_of(tmp_path / "d", 12, made=0)
    warning = empty_split(Dataset.open(root).games, root)
    assert "no game in val" in warning and f"`wmq dataset split {root} --val-share 0.1`" in warning
    result = wmq("dataset", "split", root, "--val-share", "0.1")
    assert result.exit_code == 0 and "(11 train, 1 val)" in result.stdout
    assert not result.stderr and not empty_split(Dataset.open(root).games, root)


def test_dataset_info_counts_splits_reasons_missing_and_clamped(tmp_path: Path) -> None:
    root = dataset_of(tmp_path / "d", 3, made=0)
    facts = json.loads(wmq("dataset", "info", root, "--json").stdout)
    assert facts["games"] == {"train": 3, "val": 0} and facts["frames"] == 15
    assert facts["clamped"] == {
        "ground": {"interval": [0, 135], "player_frames": 120, "games": 3},
        "pad.trigger": {"interval": [0, 1], "player_frames": 6, "games": 3},
    }
    assert facts["missing"] == {"hitlag": 3}
    assert facts["rejected_by_reason"] == {"plays X": 2} and facts["rejected"] == 2
    assert facts["copies"] == 1
    lines = wmq("dataset", "info", root).stdout.splitlines()
    assert "2 rejected: plays X" in lines
    assert "clamped to 0..135: ground of 120 of 30 player-frames, in 3 games" in lines


def test_dataset_info_counts_games_that_training_leaves_out(tmp_path: Path) -> None:
    plain = made_game("01", "train", 5).info
    idle = replace(plain, sha256="02" * 32, idle=(0.1, 0.51))
    old = replace(plain, sha256="03" * 32, split="val", missing=("speed_y",))
    write_index(tmp_path, [plain, idle, old], [])
    assert json.loads(wmq("dataset", "info", tmp_path, "--json").stdout)["unused"] == 2
    assert "not trained on: 2 games" in wmq("dataset", "info", tmp_path).stdout


@pytest.mark.parametrize("command", ["info", "split"])
def test_folder_without_a_dataset_is_one_line(tmp_path: Path, command: str) -> None:
    result = wmq("dataset", command, tmp_path)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", ["nan", "-0.1", "1.5", "five"])
def test_share_that_is_none_is_one_line(tmp_path: Path, share: str) -> None:
    root = dataset_of(tmp_path / "d", 2, made=0)
    before = (root / "index.json").read_bytes()
    (tmp_path / "a.slp").write_bytes(b"")
    for command in (["dataset", "split", root], ["prepare", tmp_path / "a.slp", "-o", root]):
        result = wmq(*command, "--val-share", share)
        assert result.exit_code == 2 and share in result.stderr
        assert "Traceback" not in result.stderr and (root / "index.json").read_bytes() == before
