"""The orthonormal Sylvester-Hadamard matrix over blocks of neighbouring channels."""

from __future__ import annotations

from functools import cache

import numpy as np

from wmq_kernels.isa import HADAMARD_BLOCKS


def block_of(width: int) -> int:
    """The largest block that divides so many channels, a power of two; 1: there is none."""
    return min(width & -width, HADAMARD_BLOCKS[1])


@cache
def signs(block: int) -> np.ndarray:
    """(block, block) float64 of 1 and -1, symmetric; its square is `block` times the identity."""
    matrix = np.ones((1, 1))
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def rotated(rows: np.ndarray) -> np.ndarray:
    """rows (m, n) with each block of the n channels turned; twice is no change."""
    return summed(rows) / np.sqrt(block_of(rows.shape[1]))


def summed(rows: np.ndarray) -> np.ndarray:
    """The sums and differences of each block, (m, n); exact where rows are whole numbers."""
    block = block_of(rows.shape[1])
    blocks = rows.reshape(len(rows), -1, block)
    return (blocks @ signs(block)).reshape(rows.shape)


def mixed(values: np.ndarray, block: int) -> np.ndarray:
    """The last axis in blocks, each times the orthogonal Sylvester-Hadamard matrix; its inverse."""
    if block == 1:
        return values
    parts = values.reshape(*values.shape[:-1], -1, block)
    return (parts @ (signs(block) / np.sqrt(block))).reshape(values.shape)
