"""Derive the targets of the heads from two frames, and the spread that standardizes them.

Targets come from two neighbouring integer frames and are in natural units: deltas for
fields that are added, absolute values for those that are rounded, 0 or 1 for bits and
class numbers.  Heads are player 1's fields, then player 2's, in schema order.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from calib.step.schema import NUMBER_HEADS
from calib.step.schema import PLAYERS as PLAYERS
from wmq.game.schema import Schema

Heads = dict[str, np.ndarray]  # by name, (rows, width) float32, natural units


def head_index(schema: Schema, head: str) -> np.ndarray:
    """Return the places in the integer frame of the fields of a number or binary head."""
    return np.array([schema.index(f.name, p) for p in (0, 1) for f in schema.head(head)])


def number_targets(schema: Schema, head: str, now: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Compute a number head's targets, (T, width) float32 natural units; frames (T, frame_size)."""
    index = head_index(schema, head)
    fields = [f for _ in (0, 1) for f in schema.head(head)]
    unit = np.array([1 / f.quantum for f in fields], dtype=np.float32)
    target = after[:, index].astype(np.float32) * unit
    if fields and fields[0].update == "add":
        target = (after[:, index] - now[:, index]).astype(np.float32) * unit
    return target


def present_columns(schema: Schema, head: str, missing: Iterable[str]) -> np.ndarray:
    """Mark the columns of a number or binary head that the replay has, bool (width,)."""
    lacking = set(missing)
    return np.array([f.name not in lacking for _ in (0, 1) for f in schema.head(head)])


def spreads(schema: Schema, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict:
    """Measure offset and scale of each number head's targets: mean, twice the mean deviation.

    `pairs` are (now, after) frames of games.  Returns {head: (offset, scale)}, float32
    arrays; both players share a field's figures.
    """
    pairs = list(pairs)
    found = {}
    for head in NUMBER_HEADS:
        targets = np.concatenate([number_targets(schema, head, *pair) for pair in pairs])
        half = targets.shape[1] // 2
        both = np.concatenate([targets[:, :half], targets[:, half:]]).astype(np.float64)
        offset = both.mean(0)
        scale = np.maximum(2 * np.abs(both - offset).mean(0), 1e-3)
        found[head] = tuple(np.tile(v, 2).astype(np.float32) for v in (offset, scale))
    return found
