"""Average precision: how well the frames on which something happens are told from the others.

    AP = sum over thresholds t, from the highest, of (R(t) - R(before t)) * P(t)

where of the frames with a probability of t or more, P(t) is the share on which it happens, and R(t)
their share of all on which it happens (Zhu 2004).  Frames of one probability enter together, so
that their order is of no account; a model that knows nothing has the base rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wmq.evaluation.bootstrap import Interval, interval

BLOCK = 64  # draws at a time


def precision_interval(
    chances: Sequence[np.ndarray], happened: Sequence[np.ndarray], weights: np.ndarray
) -> Interval:
    """Average precision over all games, and its interval.

    chances, happened  (n,) float64 and bool of each game
    weights            how often each game is in each draw, (draws, games)
    """
    came = [np.sort(chance[here]) for chance, here in zip(chances, happened, strict=True)]
    thresholds = np.unique(np.concatenate(came))[::-1]
    if not len(thresholds):
        return Interval(None, None, None)
    right, taken = (
        np.stack([len(rows) - np.searchsorted(rows, thresholds) for rows in side])
        for side in (came, [np.sort(chance) for chance in chances])
    )  # (games, thresholds) each, with a probability of the threshold or more
    whole = _precision(right.sum(0, keepdims=True), taken.sum(0, keepdims=True))
    right, taken = right.astype(np.float64), taken.astype(np.float64)
    blocks = np.split(weights, range(BLOCK, len(weights), BLOCK))
    drawn = np.concatenate([_precision(block @ right, block @ taken) for block in blocks])
    return interval(float(whole[0]), drawn)


def _precision(right: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(rows, thresholds) each to (rows,): NaN where it never happens."""
    shares = np.divide(right, taken, out=np.zeros(right.shape), where=taken > 0)
    total = (np.diff(right, axis=1, prepend=0) * shares).sum(1)
    count = right[:, -1].astype(np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
