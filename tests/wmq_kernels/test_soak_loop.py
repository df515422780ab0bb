"""The long fuzz, for a moment: its counts add up, and it finds a kernel that is wrong."""

from __future__ import annotations

import pytest

from tests.wmq_kernels import soak
from wmq_kernels.engine import loop
from wmq_kernels.isa import TABLE


def test_it_counts_each_instruction_in_each_frame() -> None:
    seeds = range(100, 130)
    tally = soak.compare(seeds)
    cases = [case for case in map(soak.case_of, seeds) if case]
    assert not tally.difference
    assert tally.programs == len(cases) and tally.refused == len(seeds) - len(cases)
    assert tally.executions.total() == sum(case.executions for case in cases)
    assert set(tally.executions) <= set(TABLE)


def test_the_programs_are_of_all_kinds() -> None:
    """Together they execute every instruction, and some that are drawn without care are proven."""
    tally = soak.compare(range(300))
    assert set(tally.executions) == set(TABLE)
    assert 0 < tally.refused < 60


def test_a_second_of_it_on_two_workers() -> None:
    total = soak.soak(7, 1.0)
    assert total.programs >= 4 * soak.CHUNK * 0.8 and not total.difference
    assert "no difference" in soak.report(total, 7, 1.0)


def test_a_wrong_engine_is_found_and_its_seed_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = loop.run_frames

    def wrong(*arguments: object) -> None:
        right(*arguments)
        arguments[17][0, -1] += 1  # type: ignore[index]

    monkeypatch.setattr(loop, "run_frames", wrong)
    tally = soak.compare(range(5, 9))
    assert tally.seed is not None and tally.difference.startswith("portable: saturations[")
    assert f"--only {tally.seed}" in soak.report(tally, 5, 1.0)
