"""Format figures for a reader: value, paired difference, interval, and tables of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import Figure
from wmq.report.html import Html, join, tag

NONE = "–"
MINUS = "−"
IN_PERCENT = ("_acc", "same_action")  # figures that are a share of frames


@dataclass(frozen=True)
class Cell:
    """A cell of a table, and the number by which its column is sorted; None: at the end."""

    content: str
    order: float | str | None = None


def is_share(figure: str) -> bool:
    return any(part in figure for part in IN_PERCENT)


def number(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """Format fixed digits with a true minus; a very small or large number in powers of ten."""
    if value is None or not math.isfinite(value):
        return NONE
    if round(value, digits) == 0 and abs(value) < 1e-12:
        value = 0.0  # what rounding left of a zero, or minus zero
    tiny = value != 0 and (abs(value) < 0.5 * 10**-digits or abs(value) >= 1e7)
    text = f"{value:{'+' if sign else ''}{'.2e' if tiny else f',.{digits}f'}}"
    return text.replace("-", MINUS)


def figure_text(name: str, value: float | None) -> str:
    if value is None:
        return NONE
    return f"{number(value, 2)} %" if is_share(name) else number(value)


def unit_of(name: str, figure: Figure) -> tuple[str, int]:
    """Return a difference's unit, and the digits that it is given with."""
    if figure.percent:
        return "%", 2
    return ("points", 2) if is_share(name) else ("", 4)


def digits_for(found: Interval) -> int:
    """Choose digits that show three figures of the largest of the interval's numbers."""
    largest = max((abs(v) for v in (found.value, found.lo, found.hi) if v), default=1.0)
    return min(6, max(0, 2 - math.floor(math.log10(largest))))


def interval_text(found: Interval, unit: str = "", digits: int = 4, sign: bool = True) -> str:
    text = number(found.value, digits, sign) + (f" {unit}" if unit else "")
    if found.lo is None or found.hi is None:
        return text
    return f"{text} [{number(found.lo, digits, sign)}, {number(found.hi, digits, sign)}]"


def difference_html(found: Interval, unit: str, digits: int, sure: bool) -> Html:
    """Format a difference, bold if it is sure, so that the eye finds it."""
    name = "difference sure" if sure else "difference"
    return tag("span", interval_text(found, unit, digits), class_=name)


def figure_cell(name: str, figure: Figure | None) -> Cell:
    """Show a value, its difference from float32, and the smallest detectable difference."""
    if figure is None:
        return Cell(NONE)
    lines: list[str] = [figure_text(name, figure.value)]
    unit, digits = unit_of(name, figure)
    if figure.difference is not None:
        lines.append(
            difference_html(figure.difference, unit, digits, figure.difference.excludes_zero)
        )
    if figure.detectable is not None:
        seen = f"±{number(figure.detectable, digits)} {unit} would show".replace("  ", " ")
        lines.append(tag("small", seen))
    return Cell(join([lines[0], *(part for line in lines[1:] for part in (tag("br"), line))]),
                figure.value)  # fmt: skip


def table(
    caption: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    sortable: bool = False,
) -> Html:
    """Build a table in a box that scrolls sideways; a row's first cell is its heading.

    The columns of a sortable one have buttons, which `report.js` gives their work.
    """
    heads = [
        tag("th", tag("button", title, type="button") if sortable else title, scope="col")
        for title in titles
    ]
    body = [_row([c if isinstance(c, Cell) else Cell(c) for c in row]) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *heads)),
            tag("tbody", *body),
            class_="sortable" if sortable else None,
        ),
        class_="scrolls",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def _row(cells: Sequence[Cell]) -> Html:
    first, *others = cells
    return tag("tr", tag("th", first.content, scope="row", data_order=_order(first)),
               *(tag("td", c.content, data_order=_order(c)) for c in others))  # fmt: skip


def _order(cell: Cell) -> str | None:
    if isinstance(cell.order, float | int):
        return repr(cell.order) if math.isfinite(cell.order) else None
    return cell.order
