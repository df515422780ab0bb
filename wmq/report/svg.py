"""Charts as SVG: lines with shaded intervals, bars and points with whiskers.

Colours and fonts are classes of `report.css`, so that a chart follows light and dark.  A chart
is drawn some 460 units wide: on a phone its text still can be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from wmq.intervals import Interval
from wmq.report.figures import number
from wmq.report.html import Html, tag

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 36  # margins of a line chart
COLOURS = 8
LARGEST = 1e15
SMALLEST_SPAN = 1e-9  # of an axis, beside its numbers
SMALLEST = 1e-300  # below, a number is none on an axis
BARS = (460, 200)  # width of a chart of bars, and of its labels
POINTS = (350, 142)
LETTER = 7.0  # width that a letter of a label may take
TINY = 1e-12  # what lies below has no place on an axis of powers
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
ROW = 22  # height of one bar or point


Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A curve; lo and hi are the borders of its shade, or None."""

    name: str
    colour: int
    dashed: bool
    x: Sequence[float]
    mean: Sequence[float]
    lo: Sequence[float] | None = None
    hi: Sequence[float] | None = None


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
    """A figure of curves, with their names below.

    reference  a height that is marked by a rule; powers: of ten, upwards, instead of equal steps,
               where what is not above zero lies on the floor
    """
    values = [v for line in lines for v in (*line.mean, *(line.lo or ()), *(line.hi or ()))]
    values += [] if reference is None else [reference]
    widest = max((x for line in lines for x in line.x), default=1.0)
    means = [v for line in lines for v in line.mean]
    means += [] if reference is None else [reference]
    ticks = decades(means, values) if powers else steps(min([0.0, *values]), max([*values, 0.0]))
    heights = [math.log10(tick) for tick in ticks] if powers else ticks
    bottom, top = heights[0], heights[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        height = math.log10(max(y, ticks[0])) if powers else y
        right = LEFT + (WIDTH - LEFT - RIGHT) * x / max(widest, 1e-9)
        share = (height - bottom) / (top - bottom)
        return right, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    names = [power_text(t) if powers else tick_text(t, ticks) for t in ticks]
    drawn = [*_rules(ticks, names, place), *_across(steps(0.0, widest), widest, place)]
    drawn.append(tag("text", across, x=(LEFT + WIDTH) / 2, y=float(HEIGHT - 4), class_="middle"))
    if reference is not None:
        (x1, y), (x2, _) = place(0, reference), place(widest, reference)
        drawn.append(tag("line", x1=x1, x2=x2, y1=y, y2=y, class_="reference"))
    drawn += [_shade(line, place) for line in lines if line.lo and line.hi]
    drawn += [_curve(line, place) for line in lines]
    chart = tag("svg", tag("title", f"{title}, {up}"), *drawn, viewbox=f"0 0 {WIDTH} {HEIGHT}",
                role="img", class_="chart")  # fmt: skip
    return tag("figure", tag("figcaption", tag("b", title), f" {up}"), chart, legend(lines))


def legend(lines: Sequence[Line]) -> Html:
    """Names beside a piece of their curve, which wrap as the page needs."""
    items = [
        tag("li", tag("svg", tag("line", x1=0, x2=26, y1=5, y2=5, class_=_class("curve", line)),
                      viewbox="0 0 26 10", width=26, height=10, aria_hidden="true"), line.name)
        for line in lines
    ]  # fmt: skip
    return tag("ul", *items, class_="legend")


def bar_chart(title: str, unit: str, marks: Sequence[Mark]) -> Html:
    """Horizontal bars from zero with whiskers, one below the other."""
    return _marks(title, unit, marks, bars=True)


def point_chart(title: str, unit: str, marks: Sequence[Mark]) -> Html:
    """Points with whiskers on one axis, one below the other."""
    return _marks(title, unit, marks, bars=False)


def _marks(title: str, unit: str, marks: Sequence[Mark], bars: bool) -> Html:
    width, label = BARS if bars else POINTS
    ends = [v for m in marks for v in (m.found.value, m.found.lo, m.found.hi) if drawable(v)]
    ends += [0.0] if bars or not ends else []
    ticks = steps(min(ends), max(ends), about=5 if bars else 3)
    left, right = label + 8, width - RIGHT - 8
    height = ROW * len(marks) + 40

    def at(value: float) -> float:
        return left + (right - left) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    drawn = []
    for tick in ticks:
        x = at(tick)
        drawn.append(tag("line", x1=x, x2=x, y1=4, y2=height - 34, class_="rule"))
        text = tick_text(tick, ticks)
        drawn.append(tag("text", text, x=x, y=float(height - 20), class_="middle small"))
    middle = (left + right) / 2
    drawn.append(tag("text", unit, x=middle, y=float(height - 4), class_="middle small"))
    for k, mark in enumerate(marks):
        drawn += _mark(mark, at, label, ROW * k + ROW / 2 + 4, bars)
    chart = tag("svg", tag("title", f"{title}, {unit}"), *drawn, viewbox=f"0 0 {width} {height}",
                role="img", class_="chart")  # fmt: skip
    return tag("figure", tag("figcaption", tag("b", title)), chart)


def _mark(
    mark: Mark, at: Callable[[float], float], label: float, y: float, bars: bool
) -> list[Html]:
    found, colour = mark.found, f"c{mark.colour % COLOURS}"
    drawn = [
        tag(
            "text",
            shortened(mark.name, int(label / LETTER)),
            tag("title", mark.name),
            x=label,
            y=y + 4,
            class_="end",
        )
    ]
    if not drawable(found.value):
        return [*drawn, tag("text", "unknown", x=label + 10, y=y + 4, class_="small")]
    x = at(found.value)
    if bars:
        zero = at(0.0)
        drawn.append(tag("rect", x=min(x, zero), y=y - 6, width=max(abs(x - zero), 0.5), height=12,
                         class_=f"bar {colour}"))  # fmt: skip
    if drawable(found.lo) and drawable(found.hi):
        lo, hi = at(found.lo), at(found.hi)
        drawn.append(tag("path", d=f"M{lo:.1f} {y - 4:.1f}v8m0-4H{hi:.1f}m0-4v8",
                         class_=f"whisker {colour}"))  # fmt: skip
    if not bars:
        drawn.append(tag("circle", cx=x, cy=y, r=4, class_=f"point {colour}"))
    return drawn


def _rules(ticks: Sequence[float], names: Sequence[str], place: Place) -> list[Html]:
    drawn = []
    for tick, name in zip(ticks, names, strict=True):
        x, y = place(0, tick)
        drawn.append(tag("line", x1=x, x2=float(WIDTH - RIGHT), y1=y, y2=y, class_="rule"))
        drawn.append(tag("text", name, x=x - 6, y=y + 4, class_="end"))
    return drawn


def _across(ticks: Sequence[float], widest: float, place: Place) -> list[Html]:
    return [
        tag("text", tick_text(tick, ticks), x=place(tick, 0)[0], y=float(HEIGHT - BOTTOM + 16),
            class_="middle")
        for tick in ticks if tick <= widest
    ]  # fmt: skip


def _shade(line: Line, place: Place) -> Html:
    there = [place(x, y) for x, y in zip(line.x, line.hi or (), strict=True)]
    back = [place(x, y) for x, y in zip(line.x, line.lo or (), strict=True)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*there, *reversed(back)])
    return tag("polygon", points=corners, class_=_class("shade", line))


def _curve(line: Line, place: Place) -> Html:
    points = [place(x, y) for x, y in zip(line.x, line.mean, strict=True)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", tag("title", line.name), points=corners, class_=_class("curve", line))


def _class(kind: str, line: Line) -> str:
    return f"{kind} c{line.colour % COLOURS}" + (" dashed" if line.dashed else "")


def shortened(name: str, room: int) -> str:
    """With its middle left out, where there is no room: names differ at their end."""
    if len(name) <= room:
        return name
    return f"{name[: room // 2]}…{name[len(name) - (room - room // 2 - 1) :]}"


def drawable(value: float | None) -> TypeGuard[float]:
    """Whether a number can have a place in a chart."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST


def steps(lo: float, hi: float, about: int = 5) -> list[float]:
    """Round numbers at even distances from at most `lo` to at least `hi`, two or more."""
    lo, hi = (0.0 if abs(end) < SMALLEST else end for end in (lo, hi))
    span, size = hi - lo, max(abs(lo), abs(hi))
    if span <= SMALLEST_SPAN * size:
        span = size or 1.0
    size = 10.0 ** math.floor(math.log10(span / about))
    size *= next(f for f in (1, 2, 5, 10) if f * size >= span / about)
    first, last = math.floor(lo / size + 1e-9), math.ceil(hi / size - 1e-9)
    last = max(last, first + 1)
    return [k * size for k in range(first, last + 1)]


def decades(means: Sequence[float], values: Sequence[float]) -> list[float]:
    """Powers of ten from below the lowest positive mean to above the highest value, a few."""
    lowest = min((v for v in means if v > TINY), default=1.0)
    first = math.floor(math.log10(lowest) + 1e-9)
    last = max(math.ceil(math.log10(max([lowest, *values])) - 1e-9), first + 1)
    apart = -(-(last - first) // 6)
    return [10.0**k for k in range(first, last + apart, apart)]


def power_text(tick: float) -> str:
    power = round(math.log10(tick))
    return "1" if power == 0 else "10" + str(power).translate(SUPERSCRIPTS)


def tick_text(tick: float, ticks: Sequence[float]) -> str:
    """With as many digits as the distance of the ticks needs."""
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return number(tick, digits) if digits <= 6 else f"{tick:.1e}"
