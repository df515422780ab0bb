"""Replays: what an accepted game holds, and why others are refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import peppi_py
import pytest
from peppi_py import _peppi

from tests.support.replay_files import (
    PRE,
    OddFiles,
    changed,
    frame_id,
    with_ids,
    with_post,
    with_start,
)
from wmq.game.schema import CONTROLLER_FIELDS, FULL, PLAYER_FIELDS, VERSIONS, Field, Schema
from wmq.replays.slippi import (
    BUTTON_BITS,
    PORTS,
    Items,
    ReplayError,
    last_rows,
    nearest_items,
    read_replay,
    state_age,
    to_units,
)

pytest_plugins = ("tests.support.replay_files",)


def last_values(ids: list[int], values: list) -> list:
    """By id, the value of the last row: a dict keeps the last."""
    return [value for _, value in sorted(dict(zip(ids, values, strict=True)).items())]


def expected_player(post: object, ids: list[int]) -> dict[str, list[int]]:
    """A player's fields in integer units from peppi's own data classes, in plain Python."""
    speeds = post.velocities

    def fixed(column: object) -> list[int]:
        values = last_values(ids, column.to_pylist())
        return [math.floor(value * 65536 + 0.5) for value in values]

    def whole(column: object, convert: object = int) -> list[int]:
        return [convert(value) for value in last_values(ids, column.to_pylist())]

    return {
        "percent": fixed(post.percent),
        "x": fixed(post.position.x),
        "y": fixed(post.position.y),
        "shield": fixed(post.shield),
        "speed_air_x": fixed(speeds.self_x_air),
        "speed_y": fixed(speeds.self_y),
        "speed_ground_x": fixed(speeds.self_x_ground),
        "speed_attack_x": fixed(speeds.knockback_x),
        "speed_attack_y": fixed(speeds.knockback_y),
        "hitlag": whole(post.hitlag),
        "stocks": whole(post.stocks),
        "combo": whole(post.combo_count),
        "facing": whole(post.direction, lambda v: int(v > 0)),
        "invulnerable": whole(post.hurtbox_state, lambda v: int(v != 0)),
        "on_ground": whole(post.airborne, lambda v: 1 - v),
        "action": whole(post.state),
        "jumps": whole(post.jumps),
        "l_cancel": whole(post.l_cancel),
        "hurtbox": whole(post.hurtbox_state),
        "ground": whole(post.ground, lambda v: 0 if v == 65535 else v + 1),
        "last_attack": whole(post.last_attack_landed),
        "character": whole(post.character),
    }


def ages(actions: list[int]) -> list[int]:
    """The rule of the frame update without its end, one frame after the other."""
    found = [0]
    for before, after in pairwise(actions):
        found.append(0 if after != before else found[-1] + 1)
    return found


def test_state_age_counts_from_the_last_change() -> None:
    actions = [14, 14, 20, 20, 20, 14, *[39] * 300]
    found = state_age(np.array(actions)).tolist()
    assert found[:7] == [0, 1, 0, 1, 2, 0, 0] and found[-2:] == [298, 299]
    assert found == ages(actions)


@pytest.mark.parametrize("schema", [Schema(version=version) for version in VERSIONS])
def test_every_field_is_the_last_copy_of_peppis_column(
    made_or_real: list[Path], schema: Schema
) -> None:
    with_rollbacks = 0
    for path in made_or_real[:3]:
        theirs = peppi_py.read_slippi(str(path))
        ids = theirs.frames.id.to_pylist()
        with_rollbacks += len(ids) != len(set(ids))
        game = read_replay(path, schema)
        for player, port in enumerate(theirs.frames.ports):
            expected = expected_player(port.leader.post, ids)
            if "hitlag" in game.info.missing:
                expected["hitlag"] = [0] * game.info.frames
            expected["state_age"] = ages(expected["action"])
            assert set(expected) == {field.name for field in PLAYER_FIELDS}
            for field in schema.fields:
                ours = game.frames[:, schema.index(field.name, player)]
                held = np.clip(expected[field.name], field.lo * field.quantum,
                               field.hi * field.quantum)  # fmt: skip
                assert (ours == held).all(), (path.name, player, field.name)
        assert (game.frames[:, schema.stage_index] == theirs.start.stage).all()
    assert with_rollbacks, "no game with rollbacks among those looked at"


def test_controllers_are_the_inputs_of_the_same_frame(made_or_real: list[Path]) -> None:
    theirs = peppi_py.read_slippi(str(made_or_real[0]))
    ids = theirs.frames.id.to_pylist()
    game = read_replay(made_or_real[0])
    for player, port in enumerate(theirs.frames.ports):
        pre = port.leader.pre
        pads = game.controllers[:, player * 13 : player * 13 + 13]
        sticks = (pre.joystick.x, pre.joystick.y, pre.cstick.x, pre.cstick.y)
        for at, column in enumerate(sticks):
            values = last_values(ids, column.to_pylist())
            assert pads[:, at].tolist() == [math.floor((v + 1) * 32768 + 0.5) for v in values]
        pressed = last_values(ids, pre.buttons_physical.to_pylist())
        for at, name in enumerate(CONTROLLER_FIELDS[5:], 5):
            assert pads[:, at].tolist() == [65536 * bool(v & BUTTON_BITS[name]) for v in pressed]
    assert game.controllers.min() >= 0 and game.controllers.max() <= 65536


def test_projectiles_are_the_nearest_of_the_opponents_items(made_or_real: list[Path]) -> None:
    seen = 0
    for path in made_or_real[:3]:
        raw = _peppi.read_slippi(str(path))
        ids = raw.frames.field("id").to_pylist()
        rows = last_values(ids, list(range(len(ids))))
        items = raw.frames.field("item")
        ports = [player["port"] for player in raw.start["players"]]
        game = read_replay(path, FULL)
        for t in range(0, len(rows), 7):
            present = items[rows[t]].as_py()
            for player in (0, 1):
                position = raw.frames.field("ports").field(ports[player]).field("leader")
                position = position.field("post").field("position")[rows[t]].as_py()
                owner = PORTS.index(ports[1 - player])
                away = [
                    (i["position"]["x"] - position["x"], i["position"]["y"] - position["y"])
                    for i in present
                    if i["owner"] == owner
                ]
                near = min(away, key=lambda d: d[0] ** 2 + d[1] ** 2, default=(0, 0))
                columns = ("projectile_dx", "projectile_dy", "projectiles")
                ours = [game.frames[t, FULL.index(name, player)] for name in columns]
                fixed = [math.floor(value * 65536 + 0.5) for value in near]
                assert ours == [*fixed, min(len(away), 15)]
                seen += len(away)
    assert seen > 100


def test_a_schema_of_one_version_is_a_selection_of_another(val_games: list[Path]) -> None:
    plain = Schema(version=FULL.version)
    full, frames = read_replay(val_games[0], FULL), read_replay(val_games[0], plain).frames
    for player in (0, 1):
        for field in plain.fields:
            ours = frames[:, plain.index(field.name, player)]
            assert (ours == full.frames[:, FULL.index(field.name, player)]).all()
    assert (frames >= plain.lo).all() and (frames <= plain.hi).all()


def test_last_rows_keeps_the_last_copy_in_order_of_the_ids() -> None:
    ids = np.array([-123, -122, -121, -122, -121, -120, -121])
    assert last_rows(ids).tolist() == [0, 3, 6, 5]


def test_first_of_equally_near_items_wins_and_other_owners_do_not_count() -> None:
    items = Items(
        frame=np.array([0, 0, 0, 2]), owner=np.array([1, 1, 0, 1]),
        x=np.array([3.0, -3.0, 0.5, 8.0]), y=np.zeros(4),
    )  # fmt: skip
    dx, dy, count = nearest_items(items, 1, np.zeros(3), np.zeros(3))
    assert (dx.tolist(), dy.tolist(), count.tolist()) == ([3, 0, 8], [0, 0, 0], [2, 0, 1])


def test_units_round_half_up_and_clamp() -> None:
    field = Field("v", "", "fixed", "", "", 1.0, -1, 1)
    values = np.array([0.5, 1.5, -0.5, -1.5]) / 65536
    assert to_units(values, field).tolist() == [1, 2, 0, -1]
    assert to_units(np.array([7.0, -7.0]), field).tolist() == [65536, -65536]


# Offsets from an event's command byte, as in the Slippi file specification.
TEAMS, STAGE, CHARACTER_P1, TYPE_P1, CHARACTER, ACTION, X, PERCENT = (
    0x0D, 0x13, 0x65, 0x66, 0x07, 0x08, 0x0A, 0x16,
)  # fmt: skip
LAST_ATTACK, GROUND, TRIGGER = 0x1E, 0x30, 0x29


def test_every_clamped_value_is_counted_by_field(val_games: list[Path], tmp_path: Path) -> None:
    changes = [with_post(100, GROUND, b"\0\x87"), with_post(101, GROUND, b"\0\x88"),
               with_post(102, GROUND, b"\0\x86"), with_post(103, LAST_ATTACK, b"\xc8"),
               with_post(104, PERCENT, struct.pack(">f", 1000)),
               with_trigger(105, 1.5)]  # fmt: skip

    def all_of_them(data: bytearray, command: int, at: int) -> None:
        for change in changes:
            change(data, command, at)

    before = dict(read_replay(val_games[0]).info.clamped)
    game = read_replay(changed(val_games[0], tmp_path / "game.slp", all_of_them), FULL)
    added = {name: n - before.get(name, 0) for name, n in game.info.clamped}
    assert {name: n for name, n in added.items() if n} == {
        "ground": 4, "last_attack": 2, "percent": 2, "pad.trigger": 2
    }  # fmt: skip
    ground = game.frames[[223, 224, 225], FULL.index("ground")]
    assert ground.tolist() == [135, 135, 135]  # ids 135 and 136 are lost, 134 is not


def test_the_plans_schema_gets_values_within_its_intervals(
    val_games: list[Path], tmp_path: Path
) -> None:
    def change(data: bytearray, command: int, at: int) -> None:
        with_post(100, GROUND, b"\0\x22")(data, command, at)
        with_post(101, ACTION, b"\1\x9a")(data, command, at)

    copy = changed(val_games[0], tmp_path / "game.slp", change)
    full, plan = read_replay(copy, FULL), read_replay(copy)
    for name, row, of_the_game, held in (("ground", 223, 35, 31), ("action", 224, 410, 399)):
        assert full.frames[row, FULL.index(name)] == of_the_game
        assert plan.frames[row, Schema().index(name)] == held
    assert full.info == plan.info


def with_trigger(frame: int, value: float) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, command: int, at: int) -> None:
        if command == PRE and frame_id(data, at) == frame:
            struct.pack_into(">f", data, at + TRIGGER, value)

    return change


def test_state_age_beyond_its_last_class_is_counted(val_games: list[Path]) -> None:
    """From peppi's own columns, in plain Python."""
    theirs = peppi_py.read_slippi(str(val_games[1]))
    ids, beyond = theirs.frames.id.to_pylist(), 0
    for port in theirs.frames.ports:
        run, before = 0, None
        for action in last_values(ids, port.leader.post.state.to_pylist()):
            run = run + 1 if action == before else 0
            beyond += run > 255
            before = action
    assert dict(read_replay(val_games[1]).info.clamped).get("state_age", 0) == beyond


def test_missing_columns_are_named_and_zero(old_game: Path) -> None:
    game = read_replay(old_game, FULL)
    lacking = {f.name for f in FULL.fields if f.since > (2, 0)}
    assert set(game.info.missing) == lacking
    for name in lacking:
        assert not game.frames[:, [FULL.index(name, 0), FULL.index(name, 1)]].any()


def test_info_states_the_facts_of_the_file(made_or_real: list[Path]) -> None:
    info = read_replay(made_or_real[0]).info
    theirs = peppi_py.read_slippi(str(made_or_real[0]))
    assert info.frames == len(set(theirs.frames.id.to_pylist()))
    assert info.version == ".".join(map(str, theirs.start.slippi.version))
    first = [port.leader.post.character[0].as_py() for port in theirs.frames.ports]
    assert list(info.characters) == first
    assert all(0 < share < 0.6 for share in info.idle)


NAN, INF, FAR = (struct.pack(">f", value) for value in (math.nan, -math.inf, 500.5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_start(TEAMS, b"\1"), "team mode"),
        (with_start(STAGE, b"\0\5"), "stage 5 is not a tournament stage"),
        (with_start(CHARACTER_P1, b"\x0e"), "plays Ice Climbers"),
        (with_post(50, X, NAN), "x is nan in frame 50"),
        (with_post(51, X, INF), "x is -inf in frame 51"),
        (with_post(52, X, FAR), "x is 500.5 in frame 52, outside -500..500"),
        (with_post(53, PERCENT, NAN), "percent is nan in frame 53"),
        (with_post(54, ACTION, b"\2\x20"), "action is 544 in frame 54, outside 0..543$"),
        (with_post(55, CHARACTER, b"\x21"), "character is 33 in frame 55, outside 0..32"),
        (with_ids(1, 400), "frame ids jump from 399 to 401"),
        (with_ids(10, -123), "first frame id is -113, not -123"),
    ],
)
def test_one_changed_value_is_refused_by_name(
    val_games: list[Path], tmp_path: Path, change: object, reason: str
) -> None:
    with pytest.raises(ReplayError, match=reason.replace(".", r"\.")):
        read_replay(changed(val_games[0], tmp_path / "game.slp", change))


def test_computer_player_is_refused(val_games: list[Path], tmp_path: Path) -> None:
    port = PORTS.index(_peppi.read_slippi(str(val_games[0])).start["players"][0]["port"])
    copy = changed(val_games[0], tmp_path / "g.slp", with_start(TYPE_P1 + 0x24 * port, b"\1"))
    with pytest.raises(ReplayError, match=r"not a human player \(Cpu\)"):
        read_replay(copy)


def test_panic_is_an_error_and_silent(odd: OddFiles, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReplayError, match="panicked"):
        read_replay(odd.folder / "port_out_of_range.slp")
    assert capfd.readouterr().err == ""


def test_folder_is_refused_as_a_replay(tmp_path: Path) -> None:
    with pytest.raises(ReplayError):
        read_replay(tmp_path)
