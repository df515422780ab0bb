"""Made replays are replays: peppi reads back what was written, and the game keeps its rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.made_games import made_game
from tests.support.odd_files import events
from tests.support.players import CHARACTERS, STAGES
from tests.support.replay_files import REPLAYS, unpack
from tests.support.slp import (
    BOOKEND,
    COLUMNS,
    END,
    FRAME_START,
    ITEM,
    POST,
    PRE,
    START,
    Recording,
    Version,
    layout,
)
from wmq.game.schema import Schema
from wmq.replays.slippi import read_replay
from wmq.rollout.summary import impossible_events

_peppi = pytest.importorskip("peppi_py._peppi")

# Payload sizes that recordings of each version announce.
SIZES: dict[Version, dict[int, int]] = {
    (2, 0, 1): {START: 418, PRE: 63, POST: 51, END: 2},
    (2, 2, 0): {START: 418, PRE: 63, POST: 52, END: 2, FRAME_START: 8},
    (3, 7, 0): {START: 420, PRE: 63, POST: 72, END: 2, FRAME_START: 8, ITEM: 42, BOOKEND: 8},
    (3, 9, 0): {START: 584, PRE: 63, POST: 76, END: 2, FRAME_START: 8, ITEM: 42, BOOKEND: 8},
    (3, 12, 0): {START: 701, PRE: 63, POST: 80, END: 2, FRAME_START: 12, ITEM: 42, BOOKEND: 8},
    (3, 14, 0): {START: 760, PRE: 63, POST: 80, END: 6, FRAME_START: 12, ITEM: 42, BOOKEND: 8},
    (3, 16, 0): {START: 760, PRE: 64, POST: 84, END: 6, FRAME_START: 12, ITEM: 44, BOOKEND: 8},
    (3, 17, 0): {START: 760, PRE: 66, POST: 84, END: 6, FRAME_START: 12, ITEM: 44, BOOKEND: 8},
}
UNREAD = {"id", "port", "follower", "spawn", "raw_analog_cstick_x", "raw_analog_cstick_y",
          "last_hit_by_instance", "instance_id"}  # fmt: skip


def column(node: object, path: str) -> list:
    for name in path.split("."):
        node = node.field(name)
    return node.to_pylist()


def written(game: Recording, path: Path) -> Path:
    path.write_bytes(game.to_bytes())
    return path


@pytest.mark.parametrize("version", SIZES, ids=lambda v: ".".join(map(str, v)))
def test_peppi_reads_back_every_column(version: Version, tmp_path: Path) -> None:
    game = made_game(5, 200, 8, (15, 4), (1, 3), version)
    data = game.to_bytes()
    table = data[17 : 16 + data[16]]  # of Event Payloads
    assert SIZES[version] == {
        table[at]: int.from_bytes(table[at + 1 : at + 3], "big") for at in range(0, len(table), 3)
    }
    theirs = _peppi.read_slippi(str(written(game, tmp_path / "game.slp")))
    assert theirs.start["slippi"]["version"] == list(version)
    assert [(p["port"], p["character"], p["type"], p["stocks"]) for p in theirs.start["players"]] \
        == [("P2", 15, "Human", 4), ("P4", 4, "Human", 4)]  # fmt: skip
    assert (theirs.start["stage"], theirs.start["is_teams"]) == (8, False)
    assert theirs.frames.field("id").to_pylist() == game.ids.tolist()
    read = 0
    for player, port in enumerate(("P2", "P4")):
        leader = theirs.frames.field("ports").field(port).field("leader")
        for event, name, ours in ((PRE, "pre", game.pre), (POST, "post", game.post)):
            for path in layout(event, version).names or ():
                if path not in UNREAD:
                    assert column(leader.field(name), path) == ours[player][path].tolist(), path
                    read += 1
    assert read >= 2 * 30
    if version >= (3, 0, 0):
        rows = theirs.frames.field("item")
        assert np.repeat(np.arange(len(rows)), [len(row) for row in rows.to_pylist()]).tolist() \
            == game.item_rows.tolist()  # fmt: skip
        for path in layout(ITEM, version).names or ():
            if path not in UNREAD:
                assert column(rows.values, path) == game.items[path].tolist(), path
        assert column(rows.values, "id") == game.items["spawn"].tolist()


@pytest.mark.skipif(not (REPLAYS / "unpack").exists(), reason=f"no real replays at {REPLAYS}")
def test_a_real_file_is_laid_out_as_the_tables_say(tmp_path: Path) -> None:
    """Its events, taken apart with `layout`, are peppi's columns."""
    path = unpack(tmp_path, "val", 1)[0]
    data, theirs = path.read_bytes(), _peppi.read_slippi(str(path))
    version = tuple(theirs.start["slippi"]["version"])

    def taken_apart(event: int) -> np.ndarray:
        kept = layout(event, version)
        places = [at + 1 for command, at in events(data) if command == event]
        return np.frombuffer(b"".join(data[at : at + kept.itemsize] for at in places), kept)

    pairs = [(taken_apart(ITEM), theirs.frames.field("item").values)]
    for event, part in ((PRE, "pre"), (POST, "post")):
        rows = taken_apart(event)
        for port in theirs.frames.field("ports").type:
            leader = theirs.frames.field("ports").field(port.name).field("leader")
            pairs.append((rows[rows["port"] == int(port.name[1]) - 1], leader.field(part)))
    for ours, node in pairs:
        for name in set(ours.dtype.names or ()) - UNREAD:
            known = np.array(column(node, name), ours.dtype[name])
            assert np.array_equal(ours[name], known, equal_nan=True), name


def test_columns_are_those_of_the_newest_version() -> None:
    for event in COLUMNS:
        assert layout(event) == layout(event, (3, 17, 0))


@pytest.mark.parametrize("stage", STAGES)
def test_made_games_keep_the_rules_of_the_game(stage: int, tmp_path: Path) -> None:
    schema = Schema()
    names = list(CHARACTERS)
    lost = hits = 0
    for seed in range(3):
        chosen = (names[(seed + stage) % len(names)], names[(2 * seed + stage + 1) % len(names)])
        game = made_game(seed, 2400, stage, chosen)
        found = read_replay(written(game, tmp_path / "game.slp"))
        assert found.info.stage == stage and not found.info.missing
        over = found.frames[-1, [schema.index("stocks", player) for player in (0, 1)]].min() == 0
        assert 1200 <= found.info.frames <= 2400 and (found.info.frames == 2400 or over)
        assert len(game.ids) > found.info.frames, "no rollbacks"
        assert all(0.1 < share < 0.6 for share in found.info.idle)
        for player in (0, 1):
            column = {name: found.frames[:, schema.index(name, player)].astype(int)
                      for name in ("action", "stocks", "percent", "hitlag", "jumps")}  # fmt: skip
            broken = {rule for rule, at in impossible_events(schema, found.frames, player)
                      if at.any()}  # fmt: skip
            assert broken <= {"unseen action change"}
            assert len(set(column["action"])) > 30
            assert 0.04 < (np.diff(column["action"]) != 0).mean() < 0.12
            hits += (np.diff(column["percent"]) > 0).sum()
            lost += column["stocks"][0] - column["stocks"][-1]
    assert lost >= 3 and hits >= 20


def test_a_seed_is_one_game_and_another_seed_another() -> None:
    first = made_game(1, 300).to_bytes()
    assert first == made_game(1, 300).to_bytes() != made_game(2, 300).to_bytes()
