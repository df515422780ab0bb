"""Figures of many draws of games, a part of them at a time: histograms are wide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LARGEST = 1 << 22  # numbers of a part


def in_parts(of: Callable[..., np.ndarray], *products: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return of(weights @ sums, ..) of as many products as `of` takes, (draws,).

    products  weights (draws, games) and sums (games, k)
    """
    draws, width = len(products[0][0]), products[0][1].shape[1]
    rows = max(1, LARGEST // width)
    parts = [of(*(weights[first : first + rows] @ sums for weights, sums in products))
             for first in range(0, max(draws, 1), rows)]  # fmt: skip
    return np.concatenate(parts)
