"""Compute exactly or not at all: the arithmetic that the oracle's instructions share."""

from __future__ import annotations

from operator import ne

from wmq_kernels.errors import ProgramError

Ints = list[int]
Result = tuple[dict[str, Ints], int]  # what is written, and saturations
INT32, INT64 = 1 << 31, 1 << 63


def int64(value: int, what: str) -> int:
    """Return the value if an engine can hold it in 64 bits."""
    if not -INT64 <= value < INT64:
        raise ProgramError(f"{what} = {value} does not fit int64")
    return value


def round_shift(value: int, shift: int) -> int:
    """floor(value / 2^shift + 1/2): to nearest, a half goes up.  The one rounding there is."""
    if not 0 <= shift <= 62:
        raise ProgramError(f"a shift by {shift} is not in [0, 62]")
    return int64(value + (1 << shift >> 1), "round_shift's sum") >> shift


def clamp(value: int, lo: int, hi: int) -> int:
    return min(max(value, lo), hi)


def saturate(values: Ints, lo: int, hi: int) -> tuple[Ints, int]:
    """Clamp values, and count how many of them that changed."""
    if lo > hi:
        raise ProgramError(f"clamp to [{lo}, {hi}], an empty interval")
    clamped = [clamp(v, lo, hi) for v in values]
    return clamped, sum(map(ne, clamped, values))


def entry(table: Ints, index: int, what: str) -> int:
    if not 0 <= index < len(table):
        raise ProgramError(f"{what}[{index}] is outside of its {len(table)} entries")
    return table[index]
