"""Show the table of `wmq bench quantization`: every method beside float32."""

from __future__ import annotations

from wmq.evaluation.bootstrap import caveat
from wmq.evaluation.results import Row, Suite
from wmq.report.figures import NONE, Cell, figure_cell, number, table
from wmq.report.html import Html, details, join, tag

CATEGORY = "change_acc: "
LEGEND = (
    "Below each figure: the paired difference to float32 with its 95 % interval over games, bold "
    "where the interval leaves out zero, and the smallest difference that this sample would have "
    "shown in four of five cases. A heading sorts the table."
)


def suite_section(suite: Suite) -> list[Html]:
    """Show all rows in one sortable table; categories and heads unfold."""
    figures = figure_names(suite)
    plain = [name for name in figures if not name.startswith(CATEGORY)]
    titles = ["way", "library", "int8 layers", "static", "float operations", "MB", *plain,
              "first other action", "frames/s", "frames"]  # fmt: skip
    rows = [_row(row, plain) for row in suite.rows if not row.reason]
    few = caveat(len(suite.games))
    legend = f"{LEGEND} {few}." if few else LEGEND
    parts = [tag("p", legend), table("Quality, size and speed", titles, rows, sortable=True)]
    missing = [row for row in suite.rows if row.reason]
    if missing:
        listed = [[row.name, row.library, row.reason] for row in missing]
        parts.append(table("Ways without figures, and why", ["way", "library", "reason"], listed))
    parts.append(_what(suite))
    categories = [name for name in figures if name.startswith(CATEGORY)]
    if categories:
        parts.append(_categories(suite, categories))
    parts += _heads(suite)
    return parts


def figure_names(suite: Suite) -> list[str]:
    """List all figures that some row has, in the order in which they come."""
    return list(dict.fromkeys(name for row in suite.rows for name in row.figures))


def _row(row: Row, names: list[str]) -> list[Cell]:
    size = None if row.bytes is None else row.bytes / 1e6
    return [
        Cell(row.name, row.name),
        Cell(row.library, row.library),
        _count(row.layers),
        _count(row.static_layers),
        _count(row.float_operations),
        Cell(number(size, 2), size),
        *(figure_cell(name, row.figures.get(name)) for name in names),
        _divergence(row.first_divergence),
        Cell(number(row.frames_per_second, 0), row.frames_per_second),
        _count(row.frames),
    ]


def _count(value: int | None) -> Cell:
    return Cell(NONE if value is None else f"{value:,}", value)


def _divergence(found: dict[str, float | None]) -> Cell:
    return Cell(divergence_text(found), found.get("median"))


def divergence_text(found: dict[str, float | None]) -> str:
    """Give the median frame of the first different action, and how many starts have none."""
    if not found:
        return NONE
    median, never = found.get("median"), found.get("never")
    when = "beyond the horizon" if median is None else f"frame {number(median, 0)}"
    return when if never is None else f"{when}; never in {number(never, 1)} %"


def _what(suite: Suite) -> Html:
    rows = [[row.name, row.what, "; ".join(row.notes) or NONE] for row in suite.rows]
    return details("What each way is", table("Ways", ["way", "what it is", "notes"], rows))


def _categories(suite: Suite, names: list[str]) -> Html:
    titles = ["way", *(name.removeprefix(CATEGORY) for name in names)]
    rows = [
        [Cell(row.name, row.name), *(figure_cell(name, row.figures.get(name)) for name in names)]
        for row in suite.rows
        if any(name in row.figures for name in names)
    ]
    caption = "change_acc by category of the new action"
    return details(caption, table(caption, titles, rows, sortable=True))


def _heads(suite: Suite) -> list[Html]:
    tables = []
    for row in suite.rows:
        if row.heads:
            lines = [
                [
                    Cell(name, name),
                    Cell(NONE if found.same_argmax is None else f"{number(found.same_argmax, 3)} %",
                         found.same_argmax),
                    *(Cell(number(kl, 6), kl) for kl in (found.kl_mean, found.kl_99, found.kl_max)),
                ]
                for name, found in row.heads.items()
            ]  # fmt: skip
            titles = ["head", "same argmax", "KL mean", "KL 99 %", "KL maximum"]
            caption = f"{row.name}: heads beside float32's, KL divergence in nats"
            tables.append(table(caption, titles, lines, sortable=True))
    return [details("Each head beside float32's", join(tables))] if tables else []
