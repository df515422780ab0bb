"""Controllers: exact integers, on the grid of real ones, and scripts that err by line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from wmq.errors import WmqError
from wmq.game.schema import CONTROLLER_FIELDS, Q16, Field
from wmq.replays.slippi import to_units
from wmq.rollout.controllers import (
    AT_REST,
    Source,
    parse_source,
    player_controllers,
    random_controllers,
    random_words,
    read_script,
    stick_q16,
)

# sha256 of a minute of both players, seed 0: it must never change, whatever the machine.
PINNED = "35738212186cc6f8792ff60d406c95d1bb39cd5eec23c8ead7f357256ea42adc"
A, X, L = (CONTROLLER_FIELDS.index(name) for name in ("A", "X", "L"))


def test_sticks_lie_where_replays_put_them() -> None:
    field = Field("stick", "0..1", "fixed", "", "", 1.0, 0, 1)
    for n in range(-80, 81):
        real = np.array([np.float32(n * 0.0125)]).astype(np.float64)
        assert stick_q16(n) == to_units((real + 1) / 2, field)[0]


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("seed", [0, 1, 2**62])
@pytest.mark.parametrize("player", [0, 1])
def test_random_words_are_splitmix64_of_a_counter(seed: int, player: int) -> None:
    golden = 0x9E3779B97F4A7C15
    key = mix((seed + golden * (player + 1)) % 2**64)
    wanted = [mix((key + golden * (n + 1)) % 2**64) for n in range(50)]
    assert random_words(seed, player, 50).tolist() == wanted


def test_mix_is_the_published_generator() -> None:
    """The first outputs of SplitMix64 from seed 1234567 (Vigna's reference program)."""
    golden = 0x9E3779B97F4A7C15
    found = [mix((1234567 + golden * n) % 2**64) for n in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_play_is_pinned() -> None:
    rows = np.concatenate([random_controllers(3600, p, 0) for p in (0, 1)], axis=1)
    assert hashlib.sha256(rows.astype("<i4").tobytes()).hexdigest() == PINNED


def test_random_play_is_a_prefix_of_longer_play_and_differs_by_player_and_seed() -> None:
    long = random_controllers(600, 0, 5)
    for frames in (1, 2, 59, 600):
        assert (random_controllers(frames, 0, 5) == long[:frames]).all()
    assert (random_controllers(600, 1, 5) != long).any()
    assert (random_controllers(600, 0, 6) != long).any()


def test_random_play_is_plausible() -> None:
    rows = np.concatenate([random_controllers(3600, 0, seed) for seed in range(20)])
    assert rows.min() >= 0 and rows.max() <= Q16
    deflection = (rows[:, :4].astype(np.int64) - Q16 // 2) / (Q16 // 2)
    assert np.hypot(deflection[:, 0], deflection[:, 1]).max() < 1.001
    assert np.hypot(deflection[:, 2], deflection[:, 3]).max() < 1.001
    assert 0.5 < (rows[:, :2] != Q16 // 2).any(axis=1).mean() < 0.75  # real games: 0.63
    held = rows[:, 5:] > 0
    presses = (held[1:] & ~held[:-1]).mean(axis=0)
    real = [0.0066, 0.0049, 0.0033, 0.0100, 0.0010, 0.0045, 0.0049]
    assert np.allclose(presses[:7], real, rtol=0.35)
    assert not held[:, 7].any()
    assert (rows[rows[:, L] > 0, 4] == Q16).all()


def test_kinds_of_controllers(tmp_path: Path) -> None:
    real = np.arange(40 * 26, dtype=np.int32).reshape(40, 26)
    idle = player_controllers(Source("idle"), 5, 0, 0, None)
    assert (idle == AT_REST).all() and idle.shape == (5, 13)
    for player in (0, 1):
        found = player_controllers(Source("replay"), 40, player, 0, real)
        assert (found == real[:, 13 * player : 13 * player + 13]).all()
    with pytest.raises(WmqError, match=r"^p2 replay: needs a start in a real game \(GAME"):
        player_controllers(Source("replay"), 5, 1, 0, None)
    with pytest.raises(WmqError, match="^p1 replay: the game has 40 frames.*ask for 40, or"):
        player_controllers(Source("replay"), 41, 0, 0, real)


def test_sources_are_parsed() -> None:
    assert parse_source("script:a:b.txt", "--p1") == Source("script", "a:b.txt")
    assert str(parse_source("script:x", "--p1")) == "script:x"
    for text in ("", "joe", "script", "script:", "idle:x", "Random"):
        with pytest.raises(WmqError, match="--p2 .*unknown controller.*replay, idle"):
            parse_source(text, "--p2")


def script(folder: Path, text: str) -> Path:
    path = folder / "script.txt"
    path.write_text(text)
    return path


def test_script_holds_controls_in_ranges(tmp_path: Path) -> None:
    text = "# a comment\n0-1 main=1,-0.5\n\n1 A  # press\n2 c=0,.5 trigger=0.35 L X\n9-12 A\n"
    rows = read_script(script(tmp_path, text), 11)
    assert rows.dtype == np.int32 and rows.shape == (11, 13)
    assert rows[0].tolist() == [Q16, Q16 // 4, Q16 // 2, Q16 // 2] + [0] * 9
    assert rows[1, A] == Q16 and rows[1, 0] == Q16
    assert rows[2, 2:5].tolist() == [Q16 // 2, Q16 * 3 // 4, Q16]  # L presses the trigger fully
    assert rows[2, X] == rows[2, L] == Q16
    assert (rows[3:9] == AT_REST).all() and (rows[9:, A] == Q16).all()


def test_later_sticks_count_and_buttons_add_up(tmp_path: Path) -> None:
    rows = read_script(script(tmp_path, "0-3 main=1,0 A\n2-9 main=-1,0 X trigger=0.35"), 6)
    assert rows[:, 0].tolist() == [Q16, Q16, 0, 0, 0, 0]
    assert rows[:, A].tolist() == [Q16] * 4 + [0] * 2
    assert rows[:, 4].tolist() == [0, 0] + [22938] * 4  # round(0.35 * 65536)


def test_script_repeats(tmp_path: Path) -> None:
    rows = read_script(script(tmp_path, "0 A\n2 X\nrepeat 3"), 8)
    assert (rows[:, A] > 0).tolist() == [True, False, False] * 2 + [True, False]
    assert (rows[:, X] > 0).tolist() == [False, False, True] * 2 + [False, False]
    assert (read_script(script(tmp_path, "2 X\nrepeat 3"), 2) == AT_REST).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 A\nx A", ":2: 'x' is not a frame"),
        ("-1 A", ":1: '-1' is not a frame"),
        ("5-3 A", ":1: the range 5-3 ends before"),
        ("1", ":1: nothing is held"),
        ("1 Q", ":1: unknown control 'Q'"),
        ("1 A=1", ":1: unknown control 'A=1'"),
        ("1 main", ":1: unknown control 'main'"),
        ("1 main=1", ":1: '1' is not 2 decimal numbers"),
        ("1 main=1,nan", ":1: '1,nan' is not 2 decimal"),
        ("1 main=1,1e9", ":1: '1,1e9' is not 2 decimal"),
        ("1 main=1,1.01", ":1: '1,1.01' is outside of -1..1"),
        ("1 trigger=-0.1", ":1: '-0.1' is outside of 0..1"),
        ("repeat", ":1: `repeat` takes a number"),
        ("repeat 0", ":1: `repeat` takes a number"),
        ("repeat 5\nrepeat 6", ":2: a second `repeat`"),
        ("9 A\nrepeat 5", ": frame 9 lies after `repeat 5`"),
    ],
)
def test_script_errors_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = script(tmp_path, text)
    with pytest.raises(WmqError) as caught:
        read_script(path, 20)
    assert f"{path}{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_script_that_is_no_text_file(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    with pytest.raises(WmqError, match="no such script"):
        read_script(path, 5)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WmqError, match="not a text file"):
        read_script(path, 5)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(WmqError, match="larger than 1 MB"):
        read_script(path, 5)
