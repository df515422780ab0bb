"""One thing of a proven program changed: refused, or it runs without an overflow."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

import pytest

from tests.wmq_kernels.tamper import ACCEPTED, KINDS, Verdict, judge, read, tampered
from wmq.inference.model_files import open_program
from wmq_kernels.conformance.graphs import graph
from wmq_kernels.conformance.network import network
from wmq_kernels.conformance.recipes import draw
from wmq_kernels.isa import ROWS
from wmq_kernels.program import Program

NAMES = [row.name for row in ROWS]
SHORT, LONG = 500, 10_000
PER_PROGRAM = 20


@cache
def program_of(number: int) -> Program:
    """Single instructions, graphs, and now and then a whole network."""
    if number % 25 == 0:
        return network(number)
    return graph(number)[0] if number % 3 == 0 else draw(NAMES[number % len(NAMES)], number)[0]


def verdicts(count: int, seed: int) -> list[Verdict]:
    rng = Random(seed)
    found = []
    for number in range(count):
        change = tampered(program_of(seed + number // PER_PROGRAM), rng)
        verdict = judge(change, rng)
        assert not (verdict.reason == ACCEPTED and verdict.broke), (
            f"accepted, but overflows: {change.what}"
        )
        found.append(verdict)
    return found


def check(found: list[Verdict]) -> None:
    """Not vacuous: files of every kind, refused for many reasons, and accepted ones."""
    reasons = Counter(v.reason for v in found)
    unsafe = sum(v.broke for v in found)
    print(f"{len(found):,} tamperings: {dict(reasons.most_common())}; of those refused for their "
          f"range {unsafe} overflow with extreme inputs")  # fmt: skip
    assert {v.what.split()[0] for v in found} == set(KINDS)
    assert {"range", "certificate", "constant", "value", "slice", "order"} <= set(reasons)
    assert reasons[ACCEPTED] > len(found) // 50
    assert unsafe > len(found) // 100


def test_a_tampered_program_is_refused_or_cannot_overflow() -> None:
    check(verdicts(SHORT, seed=1))


@pytest.mark.soak
def test_ten_thousand_tampered_programs_are_refused_or_cannot_overflow() -> None:
    check(verdicts(LONG, seed=1000))


def test_the_embedded_model_tampered_is_refused_or_accepted_by_its_certificate() -> None:
    """Its weights, tables and steps.  The oracle takes 0.3 s a frame, so none is run here."""
    program, rng = open_program().program, Random(3)
    reasons = Counter(read(tampered(program, rng).program) for _ in range(40))
    assert {"range", "certificate", ACCEPTED} <= set(reasons)
