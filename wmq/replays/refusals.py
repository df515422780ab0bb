"""Explain why a replay is refused: each fault as a sentence, and as a kind to count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from wmq.game.schema import FIRST_FRAME, LEGAL_STAGES, Field

MIN_FRAMES = 1200  # 20 seconds
ICE_CLIMBERS = 14  # external id, as in Game Start
# Values beyond these ends mean a file that is wrong, or one that the schema has no room for:
# the game is refused.  Everything else is clamped to the schema's interval and counted.
HARD_FIELDS = ("x", "y", "action", "character")


class UnusableError(Exception):
    """A game that cannot be used, with every reason found."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons


def bad_start(start: dict) -> list[str]:
    """List what Game Start alone says against the game."""
    players = start["players"]
    reasons = []
    if len(players) != 2:
        reasons.append(f"{len(players)} players, not 2")
    if start["is_teams"]:
        reasons.append("team mode")
    for player in players:
        if player["type"] != "Human":
            reasons.append(f"{player['port']} is not a human player ({player['type']})")
        if player["character"] == ICE_CLIMBERS:
            reasons.append(f"{player['port']} plays Ice Climbers, not supported yet")
    if start["stage"] not in LEGAL_STAGES:
        reasons.append(f"stage {start['stage']} is not a tournament stage")
    return reasons


def bad_ids(ids: np.ndarray) -> list[str]:
    """List what the frame ids, each once and in order, say against the game."""
    reasons = []
    if len(ids) < MIN_FRAMES:
        reasons.append(f"{len(ids)} frames, fewer than {MIN_FRAMES}")
    if len(ids) and ids[0] != FIRST_FRAME:
        reasons.append(f"first frame id is {ids[0]}, not {FIRST_FRAME}")
    gaps = np.flatnonzero(np.diff(ids) != 1)
    if len(gaps):
        reasons.append(f"frame ids jump from {ids[gaps[0]]} to {ids[gaps[0] + 1]}")
    return reasons


def bad_values(values: np.ndarray, field: Field, port: str, ids: np.ndarray) -> list[str]:
    """Return a reason if a value is no number, or, for HARD_FIELDS, out of its interval."""
    if values.dtype.kind == "f":
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            at = broken[0]
            return [f"{port} {field.name} is {values[at]} in frame {ids[at]}"]
    if field.name in HARD_FIELDS:
        outside = np.flatnonzero((values < field.lo) | (values > field.hi))
        if len(outside):
            at = outside[0]
            fact = f"{port} {field.name} is {values[at]:g} in frame {ids[at]}"
            return [f"{fact}, outside {field.lo}..{field.hi}"]
    return []


def kind_of(reason: str) -> str:
    """Reduce a file's first reason to its kind: no port, frame, values or reader's own words."""
    kind = re.sub(r"^(peppi-py [a-z ]+|unexpected content)\b.*", r"\1", reason.split("; ")[0])
    kind = re.sub(r" in frame -?\d+|^P[1-4] ", "", kind)
    kind = re.sub(r"\[[^]]*\]", "[...]", kind)
    limit = r"(?<!not )(?<!than )(?<!over )"  # its number is the same for all files
    return re.sub(limit + r"(?<![\w.-])-?\d+(\.\d+)?(?![\w.])", "N", kind)


def count_kinds(reasons: Iterable[str]) -> dict[str, int]:
    """Count files by kind of reason, the most common first."""
    found = Counter(map(kind_of, reasons))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
