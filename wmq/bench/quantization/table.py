"""A `Suite` as text of 100 columns, or as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from wmq.bench.markdown import table
from wmq.evaluation.bootstrap import caveat
from wmq.evaluation.results import Figure, Row, Suite

NAME = 23
COLUMNS = (
    # heading in two lines, width; 100 in all with the names
    (("", "layers"), 6),
    (("float", "ops"), 5),
    (("", "MB"), 4),
    (("val_loss", "% (95 %)"), 21),
    (("pos_mae", "%"), 7),
    (("change", "points"), 6),
    (("same", "action"), 6),
    (("rc(20)", "%"), 7),
    (("frames", "a s"), 6),
)
ROLLED = "rc(20)"
FEWEST_WAYS = 3  # of which ranks are compared
WIDTHS = [width for _, width in COLUMNS]
WHAT = (
    "Differences to the first row on the same frames, the mean over all games; * where the "
    "paired 95 % interval over games leaves out 0, - where nothing is known.  layers: of the "
    "Linears, how many multiply int8 weights.  float ops: of a step's graph.  same action: "
    "percent of the frames of both players.  rc(20): position error over 20 frames rolled out.  "
    "frames a s: one world rolled out alone, for orientation (wmq bench speed measures speed)."
)


def text(suite: Suite) -> Iterator[str]:
    yield _heading(suite)
    yield ""
    for line in (0, 1):
        cells = [titles[line].rjust(width) for titles, width in COLUMNS]
        yield " ".join(["".ljust(NAME), *cells]).rstrip()
    for row in suite.rows:
        yield from _lines(row)
    for remark in (*_caveat(suite), WHAT, *_prediction(suite)):
        yield ""
        yield from textwrap.wrap(remark, 100)
    for note, names in _notes(suite).items():
        yield ""
        yield from textwrap.wrap(f"{'; '.join(names)}:", 100)
        yield from textwrap.wrap(note, 100, initial_indent="  ", subsequent_indent="  ")


def markdown(suite: Suite) -> Iterator[str]:
    yield _heading(suite)
    yield ""
    titles = ["way", *(" ".join(filter(None, titles)) for titles, _ in COLUMNS)]
    measured = [row for row in suite.rows if not row.reason]
    numbers = {note: number for number, note in enumerate(_notes(suite), 1)}
    yield from table(titles, [[_with_numbers(row, numbers), *_cells(row)] for row in measured])
    for remark in (*_caveat(suite), WHAT, *_prediction(suite)):
        yield ""
        yield remark
    if numbers:
        yield ""
        yield from (f"{number}. {note}" for note, number in numbers.items())
    for row in suite.rows:
        if row.reason:
            yield ""
            yield f"{row.name}: {row.reason}"


def _with_numbers(row: Row, numbers: dict[str, int]) -> str:
    """Name a row, with the numbers of its notes."""
    marks = ", ".join(str(numbers[note]) for note in row.notes)
    return f"{row.name} <sup>{marks}</sup>" if marks else row.name


def _caveat(suite: Suite) -> Iterator[str]:
    if few := caveat(len(suite.games)):
        yield f"{few}."


def _prediction(suite: Suite) -> Iterator[str]:
    """Say whether one step predicts a rollout, by methods on the frames that most have."""
    rows = [row for row in suite.rows[1:] if row.figures]
    frames = [row.frames for row in rows]
    most = max(frames, key=frames.count, default=0)
    costs: dict[tuple[float, ...], None] = {}  # a program that two rows have counts once
    for row in rows:
        figures = map(row.figures.get, ("val_loss", "pos_mae", ROLLED))
        known = tuple(f.difference.value for f in figures
                      if f and f.difference and f.difference.value is not None)  # fmt: skip
        if row.frames == most and len(known) == 3:
            costs[known] = None
    if len(costs) >= FEWEST_WAYS:
        loss, position, rolled = zip(*costs, strict=True)
        yield (f"Over the {len(costs)} ways on {most:,} frames, the rank correlation of {ROLLED} "
               f"with val_loss is {rank_correlation(loss, rolled):.2f}, with pos_mae "
               f"{rank_correlation(position, rolled):.2f}.")  # fmt: skip


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Compute Spearman's rho: the correlation of ranks; equal values share the mean of theirs."""
    ranks = [(np.less.outer(v, v).sum(axis=0) + np.less_equal.outer(v, v).sum(axis=0)) / 2
             for v in map(np.asarray, (one, other))]  # fmt: skip
    return float(np.corrcoef(*ranks)[0, 1])


def _notes(suite: Suite) -> dict[str, list[str]]:
    """Yield each note, and the rows that have it."""
    found: dict[str, list[str]] = {}
    for row in suite.rows:
        for note in row.notes:
            found.setdefault(note, []).append(row.name)
    return found


def _heading(suite: Suite) -> str:
    quick = ", quick" if suite.quick else ""
    return (f"{suite.model}, {suite.rows[0].frames:,} frames of {len(suite.games)} games, "
            f"{suite.starts} starts{quick}")  # fmt: skip


def _lines(row: Row) -> Iterator[str]:
    """Yield the lines of a row; a long name takes lines of its own above the figures."""
    *above, last = textwrap.wrap(row.name, NAME, subsequent_indent="  ",
                                 break_on_hyphens=False)  # fmt: skip
    yield from above
    if row.reason:
        yield from textwrap.wrap(f"{last.ljust(NAME)} {row.reason}", 100,
                                 subsequent_indent=" " * (NAME + 1))  # fmt: skip
        return
    cells = [cell.rjust(width) for cell, width in zip(_cells(row), WIDTHS, strict=True)]
    yield " ".join([last.ljust(NAME), *cells])


def _cells(row: Row) -> list[str]:
    figures = row.figures
    size = None if row.bytes is None else row.bytes / 1e6
    return [
        _number(row.layers, ",d"),
        _number(row.float_operations, ",d"),
        _number(size, ".1f"),
        _with_interval(figures.get("val_loss")),
        _difference(figures.get("pos_mae")),
        _difference(figures.get("change_acc")),
        _number(figures["same_action"].value if "same_action" in figures else None, ".2f"),
        _difference(figures.get(ROLLED)),
        _number(row.frames_per_second, ",.0f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _difference(figure: Figure | None) -> str:
    if figure is None or figure.difference is None or figure.difference.value is None:
        return "-"
    mark = "*" if figure.difference.excludes_zero else " "
    return f"{figure.difference.value:+.2f}{mark}"


def _with_interval(figure: Figure | None) -> str:
    if figure is None or figure.difference is None or figure.difference.value is None:
        return "-"
    found = figure.difference
    if found.lo is None or found.hi is None:
        return f"{found.value:+.2f}"
    return f"{found.value:+.2f} ({found.lo:+.2f} {found.hi:+.2f})"
