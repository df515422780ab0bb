"""Starts: the table agrees with the schema, and a real game starts where it says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.replay_files import OddFiles
from wmq.dataset.store import Dataset, Game, GameInfo, write_game, write_index
from wmq.errors import WmqError
from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import FIRST_FRAME, FULL, LEGAL_STAGES, Q16, Schema
from wmq.game.transitions import seen_transitions
from wmq.replays.sandbox import read_sandboxed
from wmq.replays.slippi import read_replay
from wmq.rollout.controllers import AT_REST, Source
from wmq.rollout.make_tables import start_table, transition_table
from wmq.rollout.rollout import both_controllers
from wmq.rollout.starts import match_start, parse_replay_start, replay_start

pytest_plugins = ("tests.support.replay_files",)

SCHEMA = Schema()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("schema", [Schema(), Schema(projectiles=True)])
def test_every_match_starts_within_the_schema(stage: str, schema: Schema) -> None:
    for name, number in CHARACTERS.items():
        start = match_start(schema, stage, (name, "falco"))
        frame = start.given[0]
        assert start.given.shape == (1, schema.frame_size) and start.given.dtype == np.int32
        assert (schema.lo <= frame).all() and (frame <= schema.hi).all()
        assert (start.controllers == np.tile(AT_REST, 2)).all()
        assert frame[schema.index("character", 0)] == number
        assert frame[schema.index("character", 1)] == CHARACTERS["falco"]
        assert frame[schema.stage_index] == STAGES[stage]
        for player, side in enumerate((-1, 1)):
            assert np.sign(frame[schema.index("x", player)]) == side
            assert frame[schema.index("facing", player)] == (side < 0)  # towards the middle
            assert frame[schema.index("stocks", player)] == 4
            assert frame[schema.index("shield", player)] == 60 * Q16
            assert frame[schema.index("action", player)] == 322
        assert start.first == FIRST_FRAME + 1 and start.following is None


def test_stages_and_characters_are_those_of_the_schema() -> None:
    assert set(STAGES.values()) == set(LEGAL_STAGES)
    assert len(set(CHARACTERS.values())) == len(CHARACTERS)
    assert max(CHARACTERS.values()) < SCHEMA.fields[-2].classes
    jumps = {n: match_start(SCHEMA, "battlefield", (n, n)).given[0, SCHEMA.index("jumps")]
             for n in CHARACTERS}  # fmt: skip
    assert jumps["jigglypuff"] == jumps["kirby"] == 5 and jumps["fox"] == 1


def test_match_start_is_the_first_frame_of_real_games(made_or_real: list[Path]) -> None:
    names = {number: name for name, number in CHARACTERS.items()}
    stages = {number: name for name, number in STAGES.items()}
    equal = 0
    for path in made_or_real:
        game = read_replay(path)
        characters = tuple(names[c] for c in game.info.characters)
        start = match_start(SCHEMA, stages[game.info.stage], characters)  # type: ignore[arg-type]
        equal += bool((start.given[0] == game.frames[0]).all())
    assert equal >= len(made_or_real) - 1


def test_replay_start_is_that_frame_with_its_past_and_future(val_games: list[Path]) -> None:
    game = read_replay(val_games[0])
    start = replay_start(SCHEMA, val_games[0], 500, 240)
    at = 500 - FIRST_FRAME
    assert (start.given == game.frames[at - 239 : at + 1]).all()
    assert (start.controllers == game.controllers[at - 239 : at + 1]).all()
    assert start.following is not None
    assert (start.following == game.controllers[at + 1 :]).all()
    assert start.first == 501
    early = replay_start(SCHEMA, val_games[0], FIRST_FRAME + 9, 240)
    assert (early.given == game.frames[:10]).all()
    with pytest.raises(WmqError, match=r"has no frame -124; choose one of -123\.\.\d+$"):
        replay_start(SCHEMA, val_games[0], -124)


@pytest.mark.parametrize("text", ["game.slp", "@5", "game.slp@", "game.txt@5", "a.slp@1.5",
                                  "a.slp@+1", "a.slp@1_0", "a.slp@ 1", "a.slp@\u0663", "b@a.slp",
                                  "a.slp@" + "9" * 5000])  # fmt: skip
def test_malformed_starts_are_one_line(text: str) -> None:
    with pytest.raises(WmqError, match="^--start ") as caught:
        parse_replay_start(text)
    assert "\n" not in str(caught.value)


def test_start_is_parsed() -> None:
    assert parse_replay_start("a@b.slp@-123") == (Path("a@b.slp"), -123)
    assert parse_replay_start("@.SLP@0") == (Path("@.SLP"), 0)


@pytest.fixture
def short_game(monkeypatch: pytest.MonkeyPatch) -> int:
    """The id of the last frame of a game of ten, which `read_sandboxed` gives for any file."""
    game = made_game("aa", "val", 31, [322] * 10)
    monkeypatch.setattr("wmq.replays.sandbox.read_sandboxed", lambda path: game)
    return FIRST_FRAME + 9


@pytest.mark.parametrize("after", range(10))
def test_frames_that_are_advised_are_accepted(short_game: int, after: int) -> None:
    """With the replay's controllers, at every distance from the end of the game."""
    start = replay_start(SCHEMA, Path("g.slp"), short_game - after)
    replay = (Source("replay"), Source("replay"))
    assert start.following is not None and len(start.following) == after
    for frames in range(1, 12):
        if frames <= after:
            assert len(both_controllers(replay, start, frames, 0)) == frames
            continue
        with pytest.raises(WmqError) as caught:
            both_controllers(replay, start, frames, 0)
        advised = re.search(r"ask for (\d+)", str(caught.value))
        if after:
            assert advised and len(both_controllers(replay, start, int(advised[1]), 0)) == after
        else:
            assert not advised and "start in an earlier one" in str(caught.value)
    assert len(both_controllers((Source("idle"),) * 2, start, 3, 0)) == 3


@pytest.mark.parametrize("frame", [FIRST_FRAME - 1, -999_999_999, FIRST_FRAME + 10, 999_999_999])
def test_frames_outside_of_the_game_are_named(short_game: int, frame: int) -> None:
    with pytest.raises(WmqError, match=rf"^g.slp: has no frame {frame}; choose one of -123..-114$"):
        replay_start(SCHEMA, Path("g.slp"), frame)


def test_bad_replays_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WmqError, match="no such file"):
        read_sandboxed(tmp_path / "none.slp")
    with pytest.raises(WmqError, match="not a regular file"):
        read_sandboxed(tmp_path)
    path = tmp_path / "bad.slp"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(WmqError, match="choose another game") as caught:
        read_sandboxed(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_odd_replays_never_end_the_program(odd: OddFiles) -> None:
    for path in sorted(odd.folder.glob("*.slp"))[::8]:
        try:
            read_sandboxed(path, 20)
        except WmqError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def made_game(name: str, split: str, stage: int, actions: list[int]) -> Game:
    frames = np.zeros((len(actions), FULL.frame_size), dtype=np.int32)
    frames[:, FULL.stage_index] = stage
    frames[:, FULL.index("action", 0)] = actions
    frames[:, FULL.index("character", 1)] = CHARACTERS["kirby"]
    frames[:, FULL.index("jumps", 0)], frames[:, FULL.index("jumps", 1)] = 1, 5
    frames[:, FULL.index("x", 0)] = -stage * Q16
    pads = np.zeros((len(actions), FULL.controllers_size), dtype=np.int32)
    info = GameInfo(name * 32, split, len(actions), stage, (0, 4), "3.14.0", (), (0.0, 0.0))
    return Game(info, frames, pads)


def test_tables_are_remade_from_a_dataset(tmp_path: Path) -> None:
    games = [made_game(f"{i:02x}", "train", stage, [322, 14, 14, 20])
             for i, stage in enumerate(STAGES.values())]  # fmt: skip
    games.append(made_game("ff", "val", 31, [322, 99]))
    odd = made_game("fe", "train", 31, [322])
    odd.frames[:, FULL.index("x", 0)] = 7
    games += [odd, dataclasses.replace(games[4], info=dataclasses.replace(games[4].info,
              sha256="fd" * 32))]  # fmt: skip
    for folder in ("games", "rejected"):
        (tmp_path / folder).mkdir()
    for game in games:
        write_game(tmp_path, game)
    write_index(tmp_path, [game.info for game in games], [])
    dataset = Dataset.open(tmp_path)
    table = start_table(dataset)
    assert table["stages"]["battlefield"][0] == {"x": -31 * Q16, "action": 322}
    assert table["jumps"] in ({"": 1, "kirby": 5}, {"": 5, "mario": 1})
    assert transition_table(dataset) == {"14": [20], "322": [14]}


def test_staying_is_no_change_and_death_leads_to_rebirth() -> None:
    seen = seen_transitions()
    assert seen.shape == (544, 544) and seen.diagonal().all()
    for death in (0, 1, 2, 4, 7):
        assert np.flatnonzero(seen[death]).tolist() == [death, 12]
    assert np.flatnonzero(seen[6]).tolist() == [6, 7]
    assert 0.02 < seen[:400, :400].mean() < 0.06
