"""The hardware limit of `wmq bench speed`, against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wmq.bench.speed.hardware_limit import Limit, between, group_size, limit
from wmq.inference.model_facts import FrameCost, frame_cost
from wmq_kernels.program import Program, Slice, Step, Value

WORK = FrameCost(weights=4_000_000, states=1_000_000, products=5_000_000)


@pytest.mark.parametrize(
    ("batch", "threads", "products", "expected"),
    [
        # (4 MB + 1 MB) / 100 GB/s = 50 us; 5e6 products / 2e11 = 25 us
        (1, 1, 2e11, (1, 1, 1e6 / 50, "reading", 5e6, 5_000_000, 5_000_000)),
        (1, 2, 2e11, (1, 2, 1e6 / 50, "reading", 5e6, 5_000_000, 5_000_000)),
        # (4 MB / 4 + 1 MB) / 100 GB/s = 20 us, less than 25 us
        (64, 1, 2e11, (64, 1, 1e6 / 25, "products", 2e6, 5_000_000, 8_000_000)),
        (64, 2, None, (64, 2, 1e6 / 20, "reading", 2e6, 5_000_000, 12_000_000)),
    ],
)
def test_limit_is_what_a_pencil_says(
    batch: int, threads: int, products: float | None, expected: tuple
) -> None:
    found = limit(WORK, batch, threads, lambda size: 1e11, products)
    wanted = Limit(*expected)
    assert found.frames_per_second == pytest.approx(wanted.frames_per_second)
    assert replace(found, frames_per_second=0) == replace(wanted, frames_per_second=0)


def test_limit_reads_at_the_rate_of_its_working_set() -> None:
    slower = limit(WORK, 64, 1, lambda size: 1e11 if size < 8e6 else 5e10, None)
    assert slower.frames_per_second == pytest.approx(1e6 / 40)


def test_rates_between_sizes_lie_on_lines_over_the_logarithm() -> None:
    rate = between({1 << 20: 100.0, 1 << 22: 50.0})
    assert [rate(1 << 10), rate(1 << 20), rate(1 << 21), rate(1 << 30)] == [100, 100, 75, 50]


@pytest.mark.parametrize(
    ("batch", "threads", "size"), [(1, 1, 1), (1, 2, 1), (3, 2, 2), (8, 2, 4), (512, 1, 4)]
)
def test_groups_leave_no_thread_idle(batch: int, threads: int, size: int) -> None:
    assert group_size(batch, threads) == size


def test_work_counts_a_shared_weight_once_and_its_products_twice() -> None:
    values = [
        Value("w", "i8", (40,), "const", -127, 127),
        Value("s", "i32", (3, 5), "state", -9, 9),
        Value("c", "i16", (7,), "state", -9, 9),
        Value("t", "i32", (9,), "temp", -9, 9),
    ]
    weight = {"weight": Slice("w", 0, 24)}
    other = {"weight": Slice("w", 24, 16)}
    steps = (Step("dot", weight, {}), Step("dot_add", weight, {}), Step("dot", other, {}),
             Step("add", {"a": Slice("t", 0, 9)}, {}))  # fmt: skip
    program = Program({v.name: v for v in values}, steps, {}, {})
    expected = FrameCost(weights=40, states=4 * 15 + 2 * 7, products=24 + 24 + 16)
    assert frame_cost(program) == expected
