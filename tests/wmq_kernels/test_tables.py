"""Every entry of every table equals mpmath's value, rounded half up."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from mpmath import mp, mpf

from wmq_kernels import tables

mp.dps = 60


def _sigmoid(i: int) -> mpf:
    return 2**22 / (1 + mp.exp(-mpf(i) / 128))


def _softplus(i: int) -> mpf:
    return 2**26 * mp.log1p(mp.exp(-16 + mpf(i) / 64))


def _coarse(i: int) -> mpf:
    return 2**46 * mp.exp(-mpf(i) / 256)


def _weight(i: int) -> mpf:
    return 2**21 * mp.exp(-mpf(i) / 256)


def all_weights() -> list[int]:
    """As far as they are not 0."""
    return tables.weights_table(3905)


def _fine(j: int) -> mpf:
    return 2**38 * -mp.expm1(-mpf(j) / 2**16)


TABLES = [
    (tables.sigmoid_table, 2049, _sigmoid),
    (tables.softplus_table, 2050, _softplus),
    (tables.decay_coarse, 5697, _coarse),
    (tables.decay_fine, 256, _fine),
    (all_weights, 3905, _weight),
]


@pytest.mark.parametrize("make, count, exact", TABLES, ids=lambda v: getattr(v, "__name__", v))
def test_each_entry_is_the_rounded_function(
    make: Callable[[], list[int]], count: int, exact: Callable[[int], mpf]
) -> None:
    expected = [int(mp.floor(exact(i) + mpf(1) / 2)) for i in range(count)]
    assert make() == expected


def test_tables_hold_ints_only() -> None:
    for make, _, _ in TABLES:
        assert {type(entry) for entry in make()} == {int}


def test_tables_are_made_quickly() -> None:
    start = time.process_time()
    for make, _, _ in TABLES:
        make()
    assert time.process_time() - start < 0.3
