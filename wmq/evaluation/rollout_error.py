"""Rollouts against the real game: where they start, and how far they go astray.

A start is a frame of a game with at least 60 real frames after it; a rollout from there
sees the true controllers and its own frames.  Starts depend on the games alone, so that
all models and all horizons are measured from the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wmq.game.schema import FIRST_FRAME, Schema
from wmq.inference.predictor import StartRow
from wmq.replays.slippi import Game

HORIZONS = (5, 20, 60)  # frames at which rc is reported
LONGEST = max(HORIZONS)
LEAST_FRAMES = LONGEST - FIRST_FRAME  # of a game that has a start, the last one not counted


def choose_starts(games: Sequence[Game], count: int, horizon: int) -> list[StartRow]:
    """`count` starts at even distances in the joined games, or fewer if they are too short.

    Row 0 is frame -123; starts lie at frame 0 or later.
    """
    left = max(horizon, LONGEST)
    open_rows = np.array([max(0, len(g.frames) + FIRST_FRAME - left) for g in games])
    ends = np.cumsum(open_rows)
    total = int(ends[-1]) if len(games) else 0
    count = min(count, total)
    places = [(2 * k + 1) * total // (2 * count) for k in range(count)]
    numbers = np.searchsorted(ends, places, side="right")
    return [
        StartRow(int(n), int(place - (ends[n] - open_rows[n]) - FIRST_FRAME))
        for n, place in zip(numbers, places, strict=True)
    ]


def most_frames(games: Sequence[Game]) -> int:
    """The longest horizon of which `choose_starts` finds a start; below LONGEST it finds none."""
    return max((len(game.frames) for game in games), default=0) + FIRST_FRAME - 1


def true_frames(games: Sequence[Game], starts: Sequence[StartRow], horizon: int) -> np.ndarray:
    """Return the real frames after each start, (starts, horizon, frame_size) int32."""
    return np.stack([games[s.game].frames[s.row + 1 : s.row + 1 + horizon] for s in starts])


def position_errors(schema: Schema, rolled: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean |error| over x, y and both players, game units, (starts, horizon) float64."""
    at = [schema.index(axis, player) for player in (0, 1) for axis in ("x", "y")]
    quantum = schema.fields[schema.index("x")].quantum
    errors = rolled[..., at].astype(np.int64) - true[..., at]
    return np.abs(errors).mean(axis=-1) / quantum


def rc(errors: np.ndarray, horizon: int) -> float:
    """Mean error over the horizons 1..horizon and all starts."""
    return float(errors[:, :horizon].mean())


def rc_table(errors: np.ndarray) -> dict[str, float]:
    """rc at each of HORIZONS that was reached, and at the last."""
    reached = errors.shape[1]
    return {f"rc({h})": rc(errors, h) for h in sorted({*HORIZONS, reached}) if h <= reached}


def first_divergence(schema: Schema, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """First frame, from 1, in which an action differs, int64 (starts,); 0 for never."""
    at = [schema.index("action", player) for player in (0, 1)]
    differs = (one[..., at] != other[..., at]).any(axis=-1)
    return np.where(differs.any(axis=1), differs.argmax(axis=1) + 1, 0)


def divergence_figures(first: np.ndarray) -> dict[str, float | None]:
    """median  frame of the first difference; None if half or more never differ
    never   share of starts without any difference, in percent
    """
    ordered = np.sort(np.where(first == 0, np.inf, first))
    median = float(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1].mean())
    return {
        "median": median if np.isfinite(median) else None,
        "never": float(100 * (first == 0).mean()),
    }
