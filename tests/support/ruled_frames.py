"""Frames of version 2 made by hand, and random ones that obey its rules."""

from __future__ import annotations

import numpy as np

from wmq.game.schema import Q16, SAMPLED, Schema

RULED = Schema(version=SAMPLED)
AGENT = Schema(version=SAMPLED, agent=True)
STANDING, FLYING = 14, 88  # actions: alive, and alive after a hit upwards
BATTLEFIELD = 31
WEIGHTLESS = 30  # a character that nobody plays, with no gravity


def frame(*players: dict[str, float], stage: int = BATTLEFIELD) -> np.ndarray:
    """One frame, (1, frame_size) int32, of fields in natural units; the others' are usual."""
    made = np.zeros((1, RULED.frame_size), np.int32)
    made[0, RULED.stage_index] = stage
    for player in (0, 1):
        usual = {"shield": 60, "stocks": 4, "action": STANDING, "character": WEIGHTLESS}
        for name, value in (usual | (players[player] if player < len(players) else {})).items():
            at = RULED.index(name, player)
            made[0, at] = round(value * quantum(name))
    return made


def quantum(name: str) -> int:
    """Integer units in a natural unit of a field."""
    return RULED.fields[RULED.index(name)].quantum


def still(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Heads that say that nothing but the rules happens: (T, width) float32."""
    heads = {name: np.zeros((len(frames), width)) for name, width in RULED.heads.items()}
    for player, prefix in enumerate(("p1", "p2")):
        for field in RULED.head("classes"):
            rows = np.arange(len(frames))
            heads[f"{prefix}.{field.name}"][rows, frames[:, RULED.index(field.name, player)]] = 1
    return heads


def set_head(heads: dict[str, np.ndarray], name: str, player: int, value: float) -> None:
    """Set the head of a number or a bit of one player."""
    field = RULED.fields[RULED.index(name)]
    members = RULED.head(field.head)
    heads[field.head][:, player * len(members) + members.index(field)] = value


def draws(frames: np.ndarray, **chosen: int) -> np.ndarray:
    """Draws that change nothing, (T, 4) int64, but those named, such as p1_action=4."""
    names = [draw.name for draw in RULED.draws]
    made = np.zeros((len(frames), len(names)), np.int64)
    for column, draw in enumerate(RULED.draws):
        if draw.field == "action":
            made[:, column] = frames[:, RULED.index("action", draw.player)]
    for name, value in chosen.items():
        made[:, names.index(name.replace("_", ".", 1))] = value
    return made


def pads(count: int, sticks: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Controllers at rest but for main_x of both players, -1 to 1: (count, 26) int32."""
    made = np.zeros((count, RULED.controllers_size), np.int32)
    for player, stick in enumerate(sticks):
        made[:, player * RULED.controllers_size // 2] = round((stick + 1) / 2 * Q16)
    return made


def read(frames: np.ndarray, name: str, player: int = 0) -> float:
    """Read a field of the only frame, in natural units."""
    return float(frames[0, RULED.index(name, player)] / quantum(name))


def random_frames(rng: np.random.Generator, count: int) -> np.ndarray:
    """Frames (count, frame_size) anywhere within the fields' intervals, on stages of the game."""
    lo, hi = RULED.lo.astype(np.int64), RULED.hi.astype(np.int64)
    frames = rng.integers(lo, hi + 1, (count, RULED.frame_size)).astype(np.int32)
    frames[:, RULED.stage_index] = rng.choice([2, 3, 8, 28, 31, 32], count)
    for player in (0, 1):
        action = RULED.index("action", player)
        some = rng.choice([0, 1, 2, 4, 6, 7, 12, 13, 14, 87, 88, 91, 92], count)
        frames[:, action] = np.where(rng.random(count) < 0.6, some, frames[:, action])
        age = RULED.index("state_age", player)
        ages = rng.choice([0, 42, 43, 50, 58, 59, 60, 77, 130, 131, 174, 175, 176], count)
        frames[:, age] = np.where(rng.random(count) < 0.5, ages, frames[:, age])
        for name, reach in (("x", 300), ("y", 260), ("speed_attack_y", 5), ("speed_air_x", 5),
                            ("speed_y", 5), ("speed_attack_x", 5)):  # fmt: skip
            at = RULED.index(name, player)
            near = rng.integers(-reach * Q16, reach * Q16 + 1, count)
            frames[:, at] = np.where(rng.random(count) < 0.8, near, frames[:, at])
        hitlag = RULED.index("hitlag", player)
        frames[:, hitlag] = np.where(rng.random(count) < 0.6, 0, frames[:, hitlag])
    return frames
