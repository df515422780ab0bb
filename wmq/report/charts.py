"""Draw charts with matplotlib as SVG inside the page: curves with shaded intervals, bars, points.

What matplotlib draws in the colour of a variable of `report.css` becomes that variable, and text
gets the page's font, so that a chart follows light and dark.  Only shapes and text go into the
page: no style, id or date, which would clash there or differ from run to run.  A chart is some
460 units wide: on a phone its text still can be read.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wmq.evaluation.bootstrap import Interval
from wmq.report.html import Html, tag

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 36  # margins of a line chart
COLOURS = 8
LARGEST = 1e15
BARS = (460, 200)  # width of a chart of bars, and of its labels
POINTS = (350, 142)
LETTER = 7.0  # width that a letter of a label may take
TINY = 1e-12  # what lies below has no place on an axis of powers
ROW, AXIS = 22, 40  # heights of one bar or point, and of the axis below
VARIABLES = (*(f"--c{k}" for k in range(COLOURS)), "--ink", "--rule")
INK, RULE = "#01fe08", "#01fe09"
STYLE: dict[Any, Any] = {
    "axes.autolimit_mode": "round_numbers",
    "axes.axisbelow": True,
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "font.size": 12,
    "grid.color": RULE,
    "svg.fonttype": "none",
    "svg.hashsalt": "wmq",
    "text.parse_math": False,
}
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Line:
    """A curve; lo and hi are the borders of its shade, None where they are unknown."""

    name: str
    colour: int
    dashed: bool
    x: Sequence[float]
    mean: Sequence[float]
    lo: Sequence[float | None] = ()
    hi: Sequence[float | None] = ()


@dataclass(frozen=True)
class Mark:
    """One bar or point with its whisker."""

    name: str
    colour: int
    found: Interval


def line_chart(
    title: str, across: str, up: str, lines: Sequence[Line], reference: float | None = None,
    powers: bool = False,
) -> Html:  # fmt: skip
    """Draw a figure of curves, with their names below.

    reference  a height that is marked by a rule; powers: of ten, upwards, instead of equal steps,
               where what is not above zero lies on the floor
    """

    def draw(axes: Axes) -> None:
        floor = -math.inf
        if powers:
            floor = _floor([v for line in lines for v in line.mean])
            axes.set_yscale("log")
            axes.update_datalim([(0, floor), (0, 10 * floor)])
        else:
            axes.update_datalim([(0, 0)])
        for line in lines:
            colour = _colour(line.colour)
            if line.lo and line.hi:
                ends = [np.maximum(np.array(end, float), floor) for end in (line.lo, line.hi)]
                axes.fill_between(line.x, *ends, color=colour, alpha=0.16, linewidth=0)
        for line in lines:
            axes.plot(line.x, np.maximum(line.mean, floor), color=_colour(line.colour), linewidth=2,
                      linestyle=(0, (3, 2)) if line.dashed else "-")  # fmt: skip
        if reference is not None:
            axes.axhline(reference, color=INK, linewidth=1)
        axes.xaxis.set_major_formatter(_number)
        axes.yaxis.set_major_formatter(_number)
        axes.grid(axis="y")
        axes.set_xlabel(across)

    chart = _svg(f"{title}, {up}", (WIDTH, HEIGHT), (LEFT, RIGHT, TOP, BOTTOM), draw)
    return tag("figure", tag("figcaption", tag("b", title), f" {up}"), chart, legend(lines))


def legend(lines: Sequence[Line]) -> Html:
    """List names beside a piece of their curve; they wrap as the page needs."""
    items = [
        tag("li", tag("span", class_=f"key c{line.colour % COLOURS}{' dashed' * line.dashed}"),
            line.name)
        for line in lines
    ]  # fmt: skip
    return tag("ul", *items, class_="legend")


def bar_chart(title: str, unit: str, marks: Sequence[Mark]) -> Html:
    """Draw horizontal bars from zero with whiskers, one below the other."""
    return _marks(title, unit, marks, bars=True)


def point_chart(title: str, unit: str, marks: Sequence[Mark]) -> Html:
    """Draw points with whiskers on one axis, one below the other."""
    return _marks(title, unit, marks, bars=False)


def _marks(title: str, unit: str, marks: Sequence[Mark], bars: bool) -> Html:
    width, label = BARS if bars else POINTS

    def draw(axes: Axes) -> None:
        for row, mark in enumerate(marks):
            found, colour = mark.found, _colour(mark.colour)
            if not drawable(found.value):
                axes.text(0.02, row, "unknown", transform=axes.get_yaxis_transform(), va="center")
                continue
            if bars:
                axes.barh(row, found.value, 0.55, color=colour, alpha=0.55)
            if drawable(found.lo) and drawable(found.hi):
                axes.hlines(row, found.lo, found.hi, color=INK if bars else colour, linewidth=1.5)
            if not bars:
                axes.plot([found.value], [row], "s", color=colour, markersize=6)
        axes.set_yticks(range(len(marks)),
                        [shortened(mark.name, int(label / LETTER)) for mark in marks])  # fmt: skip
        axes.set_ylim(len(marks) - 0.5, -0.5)
        if bars:
            axes.axvline(0, color=INK, linewidth=1)
        axes.xaxis.set_major_locator(MaxNLocator(5 if bars else 3))
        axes.xaxis.set_major_formatter(_number)
        axes.grid(axis="x")
        axes.set_xlabel(_printable(unit))

    margins = (label + 8, RIGHT + 8, 4, AXIS - 4)
    chart = _svg(f"{title}, {unit}", (width, ROW * len(marks) + AXIS), margins, draw)
    return tag("figure", tag("figcaption", tag("b", title)), chart)


def shortened(name: str, room: int) -> str:
    """Leave out a name's middle where there is no room: names differ at their end."""
    name = _printable(name)
    if len(name) <= room:
        return name
    return f"{name[: room // 2]}…{name[len(name) - (room - room // 2 - 1) :]}"


def _printable(text: str) -> str:
    """Names come from outside, and XML forbids some characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def drawable(value: float | None) -> TypeGuard[float]:
    """Tell whether a number can have a place in a chart."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST


def _number(value: float, place: float = 0) -> str:
    """Of a tick."""
    return f"{value:.6g}".replace("-", "\u2212")


def _colour(number: int) -> str:
    """What stands for a variable of the page in a drawing."""
    return f"#01fe{number % COLOURS:02x}"


def _floor(means: Sequence[float]) -> float:
    """Return the power of ten below the lowest positive mean."""
    lowest = min((v for v in means if v > TINY), default=1.0)
    return 10.0 ** math.floor(math.log10(lowest) + 1e-9)


def _svg(
    title: str, size: tuple[int, int], margins: tuple[int, int, int, int],
    draw: Callable[[Axes], None],
) -> Html:  # fmt: skip
    """A drawing on axes inside of margins (left, right, top, bottom), in units of the SVG."""
    (width, height), (left, right, top, bottom) = size, margins
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that matplotlib's own font lacks: it draws none
        figure = Figure(figsize=(width / 72, height / 72))
        axes = figure.add_axes((left / width, bottom / height, (width - left - right) / width,
                                (height - top - bottom) / height), frame_on=False)  # fmt: skip
        axes.tick_params(which="both", bottom=False, left=False)
        draw(axes)
        drawn = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    return tag("svg", tag("title", title), *_shapes(ElementTree.fromstring(drawn.getvalue())),
               viewbox=f"0 0 {width} {height}", role="img", class_="chart")  # fmt: skip


def _shapes(root: ElementTree.Element) -> list[Html]:
    """Return the paths and texts of a drawing, each by itself: none refers to another."""
    paths = {path.get("id"): path.get("d", "") for path in root.iter(f"{SVG}path")}
    inside = {path for defined in root.iter(f"{SVG}defs") for path in defined}
    found = []
    for element in root.iter():
        style = element.get("style", "")
        if element in inside or style == "fill: none":
            continue
        if element.tag == f"{SVG}path":
            found.append(_path(element.get("d", ""), style))
        elif element.tag == f"{SVG}use":
            x, y = (_rounded(element.get(at, "0")) for at in "xy")
            d = paths[element.get(LINK, "").removeprefix("#")]
            found.append(_path(d, style, transform=f"translate({x} {y})"))
        elif element.tag == f"{SVG}text":
            anchor = re.search("text-anchor: (middle|end)", style)
            x, y = (_rounded(element.get(at, "0")) for at in "xy")
            found.append(tag("text", element.text or "", x=x, y=y,
                             class_=anchor[1] if anchor else None))  # fmt: skip
    return found


def _path(d: str, style: str, **attributes: str) -> Html:
    named = re.sub("#01fe([0-9a-f]{2})", lambda m: f"var({VARIABLES[int(m[1], 16)]})", style)
    return tag("path", d=" ".join(_rounded(d).split()), style=named, **attributes)


def _rounded(text: str) -> str:
    """Numbers to a tenth: a chart needs no more."""
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), text)
