"""Show what `wmq sensitivity` found: which tensors cost how much."""

from __future__ import annotations

from wmq.evaluation.bootstrap import Interval, caveat
from wmq.evaluation.results import Sensitive, Sensitivity
from wmq.report.charts import Mark, bar_chart
from wmq.report.figures import Cell, figure_cell, number, table, unit_of
from wmq.report.html import Html, details, tag

CHARTED = ("val_loss", "rc(20)")
LAYER = "layer"  # the kind of an entry that is of one layer; others are of all
PARTS = ("class", LAYER)
MOST = 28  # bars in a chart
UNKNOWN = Interval(None, None, None)


def sensitivity_section(found: Sensitivity) -> list[Html]:
    """Show bars of two figures, classes before layers, and all figures in a table."""
    charts = []
    for title, single in (("of all layers", False), ("of one layer", True)):
        entries = [entry for entry in found.entries if (entry.kind == LAYER) is single]
        entries.sort(key=lambda entry: entry.kind in PARTS)  # the whole before its parts
        entries = entries[:MOST]
        for name in CHARTED:
            if any(name in entry.figures for entry in entries):
                charts.append(_chart(f"{name}: {title}", name, entries))
    intro = (
        f"What is lost when only the tensors named are rounded as in the program, over "
        f"{found.frames:,} frames: rounded minus float32, with 95 % intervals. "
        f"A chart has the {MOST} costliest."
    )
    if few := caveat(found.games):
        intro += f" {few}."
    return [tag("p", intro), tag("div", *charts, class_="charts"), _table(found), _clipped(found)]


def _chart(title: str, name: str, entries: list[Sensitive]) -> Html:
    figures = [entry.figures.get(name) for entry in entries]
    unit = next((unit_of(name, figure)[0] for figure in figures if figure), "")
    marks = [
        Mark(entry.name, 1, figure.difference if figure and figure.difference else UNKNOWN)
        for entry, figure in zip(entries, figures, strict=True)
    ]
    return bar_chart(title, unit or "difference", marks)


def _table(found: Sensitivity) -> Html:
    names = list(dict.fromkeys(name for entry in found.entries for name in entry.figures))
    titles = ["tensors", "kind", "how many", *names, "same action", "clipped"]
    rows = [
        [
            Cell(entry.name, entry.name),
            Cell(entry.kind, entry.kind),
            Cell(f"{len(entry.tensors)}", len(entry.tensors)),
            *(figure_cell(name, entry.figures.get(name)) for name in names),
            Cell(f"{number(entry.same_action, 2)} %", entry.same_action),
            Cell(f"{number(entry.saturated, 4)} %", entry.saturated),
        ]
        for entry in found.entries
    ]
    return details("All figures", table("Sensitivity", titles, rows, sortable=True))


def _clipped(found: Sensitivity) -> Html:
    rows = [[Cell(name, name), Cell(f"{count:,}", count)]
            for name, count in found.saturations.items()]  # fmt: skip
    caption = "Values that the program clamped on validation data"
    return details(caption, table(caption, ["tensor", "values"], rows, sortable=True))
