"""A trial: a certified program and what it is given.  What comes out is the oracle's to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wmq_kernels.conformance.builder import Builder, Rows
from wmq_kernels.program import Draws, Program


@dataclass(frozen=True)
class Trial:
    """given and inputs: the rows of a run, as `Roles` says; draws if it has the ports."""

    program: Program
    given: Rows
    inputs: Rows
    draws: Draws | None = None

    @property
    def frames(self) -> int:
        return len(self.inputs) - self.program.roles.rows(0)


def trial(builder: Builder, program: Program, given: Sequence[Sequence[int]]) -> Trial:
    """One frame for each row, which holds the first parts of the builder's frame.

    The parts that the builder added to show a value keep the lowest number they may have.
    """
    usual = [lo for count, (lo, _) in builder.fed for _ in range(count)]
    rows = [[*row, *usual[len(row) :]] for row in given]
    return Trial(program, rows, pads(len(rows)))


def pads(frames: int) -> Rows:
    """Controllers that differ from row to row."""
    return [[t % 5, -t] for t in range(frames + 1)]


def in_rows(numbers: Sequence[int], columns: int) -> Rows:
    """The numbers row by row; the last row is filled up from the beginning."""
    return columns_of([numbers[column::columns] or numbers for column in range(columns)])


def columns_of(lanes: Sequence[Sequence[int]]) -> Rows:
    """Rows with one number of each lane; a short lane begins again."""
    rows = max(map(len, lanes))
    return [[lane[row % len(lane)] for lane in lanes] for row in range(rows)]
