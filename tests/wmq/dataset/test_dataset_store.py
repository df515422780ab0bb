"""Datasets: what is written is read back, and what is not whole is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from wmq.dataset.store import (
    INDEX,
    Dataset,
    DatasetError,
    Game,
    GameInfo,
    Rejection,
    shard_path,
    write_game,
    write_index,
)
from wmq.game.schema import FULL, Schema


def made_game(name: str, split: str = "train", frames: int = 50) -> Game:
    """A game of random values that includes both ends of every field's interval."""
    rng = np.random.default_rng(int(name, 16))
    lo, hi = FULL.lo.astype(np.int64), FULL.hi.astype(np.int64)
    values = rng.integers(lo, hi + 1, size=(frames, FULL.frame_size)).astype(np.int32)
    values[0], values[1], values[:, FULL.stage_index] = lo, hi, 31
    pads = rng.integers(0, 65537, size=(frames, FULL.controllers_size)).astype(np.int32)
    for player in (0, 13):
        pads[:, player + 5 : player + 13] = rng.integers(0, 2, (frames, 8)) * 65536
    info = GameInfo(name * 32, split, frames, 31, (2, 22), "3.14.0", ("hitlag",), (0.25, 0.5))
    return Game(info, values, pads)


def made_dataset(root: Path) -> list[Game]:
    games = [made_game("bb"), made_game("aa", "val"), made_game("0c")]
    (root / "games").mkdir(parents=True)
    for game in games:
        write_game(root, game)
    write_index(root, [g.info for g in games], [Rejection("b.slp", "ff", "team mode")])
    return games


def test_games_come_back_bit_for_bit(tmp_path: Path) -> None:
    games = made_dataset(tmp_path)
    dataset = Dataset.open(tmp_path)
    for game in games:
        back = dataset.load(game.info, FULL)
        assert back.info == game.info
        assert back.frames.dtype == back.controllers.dtype == np.int32
        assert (back.frames == game.frames).all()
        assert (back.controllers == game.controllers).all()


@pytest.mark.parametrize("schema", [Schema(), FULL, Schema(version=FULL.version)])
def test_a_schema_chooses_its_fields_and_intervals(tmp_path: Path, schema: Schema) -> None:
    game = made_dataset(tmp_path)[0]
    frames = Dataset.open(tmp_path).load(game.info, schema).frames
    assert frames.shape == (50, schema.frame_size)
    for player in (0, 1):
        for field in schema.fields:
            theirs = game.frames[:, FULL.index(field.name, player)]
            held = np.clip(theirs, field.lo * field.quantum, field.hi * field.quantum)
            assert (frames[:, schema.index(field.name, player)] == held).all()


def test_index_is_sorted_and_selects_by_split(tmp_path: Path) -> None:
    made_dataset(tmp_path)
    dataset = Dataset.open(tmp_path)
    assert [info.sha256[:2] for info in dataset.games] == ["0c", "aa", "bb"]
    assert [info.sha256[:2] for info in dataset.select("val")] == ["aa"]
    assert dataset.select(None) == list(dataset.games)
    assert dataset.rejected == (Rejection("b.slp", "ff", "team mode"),)


def test_bytes_depend_on_the_games_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made_dataset(tmp_path / name)
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == twin.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no dataset here"),
        ("{", "not an index"),
        ("[]", "not an index"),
        ('{"format": 99, "schema": 1}', "format 99, schema 1"),
        ('{"format": 1, "schema": 1}', "prepare the replays into a new folder"),
        ('{"format": 2, "schema": 99}', "format 2, schema 99"),
        ('{"format": 2, "schema": 1}', "prepare the replays into a new folder"),
        ('{"format": 2, "schema": 2}', "not an index"),
        ('{"format": 2, "schema": 2, "games": [{}], "rejected": [], "copies": {}}', "not an index"),
        ('{"format": 2, "schema": 2, "games": [], "rejected": [], "copies": 7}', "not an index"),
        ('{"format": 2, "schema": 2, "games": [], "rejected": [], "copies": {}}', "has no game"),
    ],
)
def test_bad_index_is_one_line_that_names_it(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / INDEX).write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        Dataset.open(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_shard_is_one_line_that_names_it(tmp_path: Path) -> None:
    game = made_dataset(tmp_path)[0]
    path = shard_path(tmp_path, game.info.sha256)
    whole = path.read_bytes()
    dataset = Dataset.open(tmp_path)
    for damaged in (b"", whole[:100], whole[:-20], whole[: len(whole) // 2], b"x" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="damaged or missing shard") as caught:
            dataset.load(game.info)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(DatasetError, match="damaged or missing shard"):
        dataset.load(game.info)


def test_shard_of_another_game_is_refused(tmp_path: Path) -> None:
    games = made_dataset(tmp_path)
    first, second = (shard_path(tmp_path, game.info.sha256) for game in games[:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(DatasetError, match="damaged or missing shard"):
        Dataset.open(tmp_path).load(games[0].info)


def test_index_holds_the_facts_of_each_game(tmp_path: Path) -> None:
    made_dataset(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    facts = {"sha256", "split", "frames", "stage", "characters", "version", "missing", "idle",
             "fingerprint", "clamped"}  # fmt: skip
    assert all(set(game) == facts for game in index["games"])
