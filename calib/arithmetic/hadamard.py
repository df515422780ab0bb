"""The orthonormal Sylvester-Hadamard matrix over blocks of neighbouring channels."""

from __future__ import annotations

from functools import cache

import numpy as np

from wmq_kernels.isa import HADAMARD_BLOCKS


def block_of(width: int) -> int:
    """Find the largest power of two that divides so many channels; 1: there is none."""
    return min(width & -width, HADAMARD_BLOCKS[1])


@cache
def signs(block: int) -> np.ndarray:
    """Make the symmetric (block, block) float64 matrix of 1 and -1, whose square is block * I."""
    matrix = np.ones((1, 1))
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def rotated(rows: np.ndarray) -> np.ndarray:
    """Rotate each block of the n channels of rows (m, n); twice is no change."""
    return summed(rows) / np.sqrt(block_of(rows.shape[1]))


def summed(rows: np.ndarray) -> np.ndarray:
    """Sum each block with the matrix's signs, (m, n); exact where rows are whole numbers."""
    block = block_of(rows.shape[1])
    blocks = rows.reshape(len(rows), -1, block)
    return (blocks @ signs(block)).reshape(rows.shape)


def mixed(values: np.ndarray, block: int) -> np.ndarray:
    """Rotate the last axis in blocks of this length, 1 for none; twice is no change."""
    if block == 1:
        return values
    parts = values.reshape(*values.shape[:-1], -1, block)
    return (parts @ (signs(block) / np.sqrt(block))).reshape(values.shape)
