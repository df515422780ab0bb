"""`wmq prepare` on several recordings of one match: one is kept, in one split."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.replay_files import FRAME_EVENTS, PRE, RAW, REPLAYS, changed, events, frame_id
from wmq.cli import main
from wmq.dataset.prepare import prepare_dataset
from wmq.dataset.splits import split_of
from wmq.dataset.store import Dataset, write_index
from wmq.game.schema import FULL
from wmq.replays.replay_file import sha256_of
from wmq.replays.slippi import read_replay

pytest_plugins = ("tests.support.replay_files",)

CASES = REPLAYS.parent / "cases"


def later_start(game: Path, copy: Path) -> Path:
    """The same recording, started at another time of the clock."""
    data = game.read_bytes()
    data, count = re.subn(rb"(startAt.{16,20}:)\d\d(:\d\d)", rb"\g<1>07\2", data, flags=re.S)
    assert count == 1
    copy.write_bytes(data)
    return copy


def cut(game: Path, copy: Path, first: int) -> Path:
    """The recording without the frames from id `first` on."""
    data = game.read_bytes()
    found = list(events(data))
    start = next(at for command, at in found if command in FRAME_EVENTS
                 and frame_id(data, at) >= first)  # fmt: skip
    end = RAW + struct.unpack_from(">I", data, RAW - 4)[0]
    last = data.index(b"\x39", found[-1][1] + 1)
    short = bytearray(data[:start] + data[last:])
    struct.pack_into(">I", short, RAW - 4, end - RAW - (last - start))
    copy.write_bytes(short)
    return copy


def mispredicted(frame: int):
    """Sticks of the last frames as a machine might have guessed them."""

    def change(data: bytearray, command: int, at: int) -> None:
        if command == PRE and frame_id(data, at) >= frame:
            struct.pack_into(">f", data, at + 0x19, 0.25)

    return change


@pytest.fixture(scope="module")
def recordings(val_games: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four recordings of one match: two whole ones, a shorter one, one of a bad end."""
    folder, game = tmp_path_factory.mktemp("recordings"), val_games[0]
    last = read_replay(game).info.frames - 124
    return [
        Path(shutil.copy(game, folder / "whole.slp")),
        later_start(game, folder / "later.slp"),
        cut(game, folder / "short.slp", last - 300),
        changed(game, folder / "guessed.slp", mispredicted(last - 6)),
    ]


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def complete(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("complete") / "d"
    summary = prepare_dataset(recordings, root, jobs=2)
    assert (summary.added, len(summary.copies), summary.files) == (1, 3, 4)
    return root


def test_recordings_of_one_match_have_one_fingerprint(recordings: list[Path]) -> None:
    infos = [read_replay(path).info for path in recordings]
    assert len({info.sha256 for info in infos}) == 4 and len({i.fingerprint for i in infos}) == 1
    assert infos[2].frames == infos[0].frames - 301


def test_longest_recording_of_the_lowest_name_is_kept(
    complete: Path, recordings: list[Path]
) -> None:
    games = Dataset.open(complete).games
    lowest = min(sha256_of(recordings[at]) for at in (0, 1, 3))
    assert [info.sha256 for info in games] == [lowest]
    assert [path.stem for path in complete.glob("games/*")] == [lowest]
    assert games[0].split == split_of(games[0].fingerprint)


def test_bytes_do_not_depend_on_order_or_a_killed_run(
    complete: Path, recordings: list[Path], tmp_path: Path
) -> None:
    """A run killed after its first file leaves a shard that no index names."""
    for number, path in enumerate(recordings[1:3]):
        root = tmp_path / str(number)
        prepare_dataset([path], root)
        write_index(root, [], [])
        prepare_dataset(recordings[::-1], root)
        assert tree(root) == tree(complete)


def test_second_run_reads_no_copy_again(
    complete: Path, recordings: list[Path], tmp_path: Path
) -> None:
    root, stages = shutil.copytree(complete, tmp_path / "d"), set()
    again = prepare_dataset(recordings, root, progress=lambda what, *_: stages.add(what))
    assert stages == {"hashing"} and tree(root) == tree(complete)
    assert (again.added, again.present, len(again.copies)) == (0, 1, 3)


def test_match_is_in_one_split_and_the_other_request_is_named(
    recordings: list[Path], tmp_path: Path
) -> None:
    first = prepare_dataset(recordings[2:3], tmp_path / "d", split="train")
    second = prepare_dataset(recordings[1:2], tmp_path / "d", split="val")
    assert second.games == first.games and second.games[0].split == "train"
    assert second.copies == (("later.slp", first.games[0].sha256),)
    assert second.elsewhere == (("later.slp", "train"),)


def test_copy_takes_the_place_of_a_game_that_is_lost(
    recordings: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "d"
    lost = prepare_dataset(recordings[:1], root).games[0].sha256
    prepare_dataset(recordings[1:2], root)
    (root / "games" / f"{lost}.arrow").unlink()
    summary = prepare_dataset(recordings[1:2], root)
    assert summary.damaged == (lost,) and summary.copies == ()
    assert [info.sha256 for info in Dataset.open(root).games] == [sha256_of(recordings[1])]


def test_games_of_an_interrupted_run_wait_for_it(
    recordings: list[Path], val_games: list[Path], tmp_path: Path
) -> None:
    """Their split is not known before; another run leaves them alone."""
    root = tmp_path / "d"
    prepare_dataset(recordings[:1], root, split="val")
    write_index(root, [], [])
    other = prepare_dataset(val_games[1:2], root, split="train")
    assert other.unfinished == 1 and [info.split for info in other.games] == ["train"]
    resumed = prepare_dataset(recordings[:1], root, split="val")
    assert resumed.unfinished == 0 and len(resumed.games) == 2


def test_both_players_files_of_a_real_match_are_one_game(tmp_path: Path) -> None:
    if not CASES.exists():
        pytest.skip(f"no cases at {CASES}")
    for number in (1, 2):
        packed = (CASES / f"same_game_player{number}.slp.xz").read_bytes()
        (tmp_path / f"{number}.slp").write_bytes(lzma.decompress(packed))
    summary = prepare_dataset([tmp_path], tmp_path / "d")
    assert (summary.added, len(summary.copies)) == (1, 1)


def test_summary_takes_the_kirby_and_names_the_match_and_the_empty_split(tmp_path: Path) -> None:
    if not CASES.exists():
        pytest.skip(f"no cases at {CASES}")
    for packed in CASES.glob("*.xz"):
        (tmp_path / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    command = ["prepare", str(tmp_path), "-o", str(tmp_path / "d"), "--jobs", "1"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert re.search(r"(?m)^same match: same_game_player\d.slp: as the game [0-9a-f]{64}$",
                     result.stdout)  # fmt: skip
    assert "2 games added, 0 already there, 0 rejected, 1 duplicate\n" in result.stdout
    assert re.search(r"(?m)^wmq: .*: no game in (train|val); .*$", result.stderr)
    facts = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert (facts["files"], facts["added"], facts["present"], len(facts["rejected"]),
            len(facts["copies"])) == (3, 0, 2, 0, 1)  # fmt: skip
    assert facts["clamped"]["state_age"]
    dataset, columns = Dataset.open(tmp_path / "d"), [FULL.index("action", p) for p in (0, 1)]
    actions = [dataset.load(info, FULL).frames[:, columns].max() for info in dataset.games]
    assert max(actions) > 399  # what Kirby copied


def test_share_goes_with_the_automatic_split_alone(tmp_path: Path) -> None:
    (tmp_path / "a.slp").write_bytes(b"")
    command = ["prepare", str(tmp_path), "-o", str(tmp_path / "d"), "--val-share", "0.2"]
    result = CliRunner().invoke(main, [*command, "--split", "train"])
    assert result.exit_code == 2 and "--val-share goes with --split auto" in result.stderr


@pytest.mark.parametrize(("share", "split"), [(0.0, "train"), (1.0, "val")])
def test_share_decides_the_automatic_split(
    recordings: list[Path], tmp_path: Path, share: float, split: str
) -> None:
    summary = prepare_dataset(recordings[:1], tmp_path / "d", val_share=share)
    assert [info.split for info in summary.games] == [split]
