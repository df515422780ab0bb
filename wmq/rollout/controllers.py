"""Controllers of one player for the frames of a rollout.

A specification (`idle`, `random`, `replay`, `script:FILE`) comes in; int32 Q15.16 rows of
13 values leave, a row a frame, on the grid that real controllers have: sticks in steps of
1/160 with 32768 at rest, triggers and buttons from 0 to 65536.  Integers only, so that the
same seed or script gives the same rows on every machine.

A script is a text file.  Each line says what is held in a range of frames, counted from the
first frame of the rollout; `#` begins a comment:

    0-9     main=1,0            # main stick to the right; -1..1 each
    10      main=1,0.5 X        # a button: A B X Y Z L R D_UP
    20-24   c=0,1 trigger=0.35  # c-stick up, a light press of the trigger
    repeat 60                   # frame 60 is frame 0 again

Where lines overlap, buttons add up and the later line's stick or trigger counts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from wmq.errors import WmqError
from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16

KINDS = ("agent", "agent:FILE", "replay", "idle", "random", "script:FILE")
SIZE = len(CONTROLLER_FIELDS)
CENTRE = Q16 // 2
AT_REST = np.array([CENTRE] * 4 + [0] * (SIZE - 4), dtype=np.int32)
BUTTONS = CONTROLLER_FIELDS[ANALOG_CONTROLS:]
PRESSED_TRIGGER = Q16  # what L or R gives in real games
Z_TRIGGER = 22938  # Z counts as a light press of 0.35
LARGEST_SCRIPT = 1 << 20  # bytes


@dataclass(frozen=True)
class Source:
    """Where a player's controllers come from: a kind of KINDS, and its file, "" for none."""

    kind: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" if self.path else self.kind


def parse_source(text: str, option: str) -> Source:
    """Read `--p1 TEXT`.  Raises WmqError."""
    kind, colon, path = text.partition(":")
    if kind in ("agent", "script") and path:
        return Source(kind, path)
    if kind in ("agent", "replay", "idle", "random") and not colon:
        return Source(kind)
    raise WmqError(f"{option} {text}: unknown controller; choose one of {', '.join(KINDS)}")


def player_controllers(
    source: Source, frames: int, player: int, seed: int, replayed: np.ndarray | None
) -> np.ndarray:
    """(frames, 13) int32 of one player (0 or 1), at rest for an agent.  Raises WmqError.

    replayed  the real controllers of the frames after the start, both players (n, 26), or
              None if the start is no replay
    """
    if source.kind in ("agent", "idle"):
        return np.tile(AT_REST, (frames, 1))
    if source.kind == "random":
        return random_controllers(frames, player, seed)
    if source.kind == "script":
        return read_script(source.path, frames)
    if replayed is None:
        raise WmqError(
            f"p{player + 1} replay: needs a start in a real game (GAME.slp@FRAME); "
            "choose idle, random or script:FILE for a match"
        )
    if not len(replayed):
        raise WmqError(
            f"p{player + 1} replay: the start is the game's last frame, and nothing follows it; "
            "start in an earlier one, or choose idle, random or script:FILE"
        )
    if len(replayed) < frames:
        raise WmqError(
            f"p{player + 1} replay: the game has {len(replayed)} "
            f"frame{'s' * (len(replayed) != 1)} after the start, fewer than {frames}; "
            f"ask for {len(replayed)}, or choose idle, random or script:FILE"
        )
    return replayed[:frames, player * SIZE : (player + 1) * SIZE].copy()


# Random play.  A controller holds one stick position for 1 to 15 frames, then takes the next,
# which comes from one 64-bit word: bits 0-7 the stick, 8-15 the frames, 16-23 the button or
# c-stick, 24-31 for how long, 32-39 the c-stick's direction.  The shares (of 256) give about
# the presses a frame of real games: A 0.007, B 0.005, X 0.003, Y 0.010, L and R 0.005 each.
STICK_SHARES = (
    (94, (0, 0)),
    (36, (80, 0)),
    (36, (-80, 0)),
    (18, (0, -80)),
    (12, (0, 80)),
    (12, (56, -56)),
    (12, (-56, -56)),
    (8, (56, 56)),
    (8, (-56, 56)),
    (10, (40, 0)),
    (10, (-40, 0)),
)  # eightieths of full deflection
BUTTON_SHARES = (
    (14, "A"),
    (10, "B"),
    (7, "X"),
    (21, "Y"),
    (2, "Z"),
    (9, "L"),
    (10, "R"),
    (8, "c"),
    (175, ""),
)
C_DIRECTIONS = ((80, 0), (-80, 0), (0, 80), (0, -80))
LONGEST_HOLD, LONGEST_PRESS = 15, 8
WORD = (1 << 64) - 1


def stick_q16(eightieths: int) -> int:
    """Q15.16 in 0..1 of a stick at n/80 of full deflection, rounded half up."""
    return CENTRE + (2 * eightieths * Q16 + 160) // 320


def random_words(seed: int, player: int, count: int) -> np.ndarray:
    """Words 0..count-1 of a player, uint64 (count,): SplitMix64's mix of a counter.

    word(n) = mix(mix(seed + GOLDEN * (player + 1)) + GOLDEN * (n + 1)), modulo 2^64
    """
    golden = 0x9E3779B97F4A7C15
    key = _mix(np.array([(seed + golden * (player + 1)) & WORD], dtype=np.uint64))
    return _mix(key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(golden))


def _mix(z: np.ndarray) -> np.ndarray:
    """Apply the finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def random_controllers(frames: int, player: int, seed: int) -> np.ndarray:
    """Random play, (frames, 13) int32; fewer frames are a prefix of more."""
    words = random_words(seed, player, frames)
    bits = [((words >> np.uint64(8 * i)) & np.uint64(255)).astype(np.int64) for i in range(5)]
    holds = 1 + bits[1] % LONGEST_HOLD
    first = np.concatenate([[0], np.cumsum(holds)])
    used = int(np.searchsorted(first, frames))  # holds that begin before the end
    sticks = np.repeat([at for _, at in STICK_SHARES], [n for n, _ in STICK_SHARES], axis=0)
    buttons = np.repeat([name for _, name in BUTTON_SHARES], [n for n, _ in BUTTON_SHARES])
    rows = np.tile(AT_REST, (frames, 1))
    for hold in range(used):
        start, end = int(first[hold]), min(int(first[hold + 1]), frames)
        rows[start:end, 0:2] = [stick_q16(int(n)) for n in sticks[bits[0][hold]]]
        button = str(buttons[bits[2][hold]])
        end = min(end, start + 1 + int(bits[3][hold]) % LONGEST_PRESS)
        if button == "c":
            direction = C_DIRECTIONS[int(bits[4][hold]) % len(C_DIRECTIONS)]
            rows[start:end, 2:4] = [stick_q16(n) for n in direction]
        elif button:
            press(rows[start:end], button)
    return rows


def press(rows: np.ndarray, button: str) -> None:
    """Hold a button in `rows`, with what it does to the trigger."""
    rows[:, CONTROLLER_FIELDS.index(button)] = Q16
    light = {"L": PRESSED_TRIGGER, "R": PRESSED_TRIGGER, "Z": Z_TRIGGER}.get(button, 0)
    rows[:, 4] = np.maximum(rows[:, 4], light)


class _ScriptError(Exception):
    pass


def read_script(path: str | os.PathLike[str], frames: int) -> np.ndarray:
    """The rows of a script, (frames, 13) int32.  Raises WmqError that names file and line."""
    path = Path(path)
    if not path.is_file():
        raise WmqError(f"{path}: no such script; see `wmq rollout -h` for its form")
    try:
        if path.stat().st_size > LARGEST_SCRIPT:
            raise WmqError(f"{path}: larger than {LARGEST_SCRIPT >> 20} MB, not a script")
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise WmqError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WmqError(f"{path}: not a text file in UTF-8; see `wmq rollout -h`") from None
    rows = np.tile(AT_REST, (frames, 1))
    period, last = 0, 0
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "repeat":
                if period:
                    raise _ScriptError("a second `repeat`; keep one")
                period = _repeat(words)
            else:
                start, end = _range(words[0])
                last = max(last, end)
                _hold(rows[start : end + 1], words[1:])
        except _ScriptError as error:
            raise WmqError(f"{path}:{number}: {error}") from None
    if period and last >= period:
        raise WmqError(f"{path}: frame {last} lies after `repeat {period}`; repeat later")
    return rows[np.arange(frames) % period] if period else rows


def _repeat(words: list[str]) -> int:
    if len(words) != 2 or not re.fullmatch(r"0*[1-9][0-9]{0,8}", words[1]):
        raise _ScriptError("`repeat` takes a number of frames, as in `repeat 60`")
    return int(words[1])


def _range(word: str) -> tuple[int, int]:
    """First and last frame of `10` or `0-9`."""
    match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", word)
    if not match:
        raise _ScriptError(f"{word!r} is not a frame or a range of frames such as 0-9")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise _ScriptError(f"the range {word} ends before it begins")
    return first, last


def _hold(rows: np.ndarray, controls: list[str]) -> None:
    if not controls:
        raise _ScriptError("nothing is held; remove the line or name a button or main=X,Y")
    for control in controls:
        name, equals, text = control.partition("=")
        if not equals and name in BUTTONS:
            press(rows, name)
        elif equals and name in ("main", "c"):
            at = 0 if name == "main" else 2
            rows[:, at : at + 2] = [to_q16((v + 1) / 2) for v in _numbers(text, 2, -1)]
        elif equals and name == "trigger":
            rows[:, 4] = to_q16(_numbers(text, 1, 0)[0])
        else:
            known = f"main=X,Y c=X,Y trigger=T {' '.join(BUTTONS)}"
            raise _ScriptError(f"unknown control {control!r}; choose from {known}")


def _numbers(text: str, count: int, lo: int) -> list[Fraction]:
    """`count` decimal numbers in lo..1, exact."""
    parts = text.split(",")
    if len(parts) != count or not all(
        re.fullmatch(r"[+-]?([0-9]{1,9}(\.[0-9]{0,18})?|\.[0-9]{1,18})", p) for p in parts
    ):
        raise _ScriptError(f"{text!r} is not {count} decimal number{'s' * (count > 1)}")
    values = [Fraction(part) for part in parts]
    if not all(lo <= value <= 1 for value in values):
        raise _ScriptError(f"{text!r} is outside of {lo}..1")
    return values


def to_q16(value: Fraction) -> int:
    """0..1 to Q15.16, rounded half up."""
    return (2 * value.numerator * Q16 + value.denominator) // (2 * value.denominator)
