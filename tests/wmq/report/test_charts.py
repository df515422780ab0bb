"""Charts of the report: whatever the numbers, marks and curves are inside their axes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.html_page import Page
from wmq.evaluation.bootstrap import Interval
from wmq.report.charts import (
    BOTTOM,
    HEIGHT,
    LARGEST,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    Mark,
    bar_chart,
    line_chart,
    point_chart,
)


def drawn_numbers(chart: str) -> tuple[list[str], np.ndarray]:
    """Texts, and the corners (n, 2) of all shapes of a chart, in units of its box."""
    page = Page(chart.encode("utf-8", "replace"))
    assert not re.search(r"nan|inf|#[0-9a-f]{3}", chart)
    corners = [np.empty((0, 2))]
    for path in page.all("path"):
        at = re.findall(r"-?[\d.]+", (path.get("transform") or "0 0").removeprefix("translate"))
        numbers = re.findall(r"-?[\d.]+", path["d"] or "")
        corners.append(np.reshape(np.array(numbers, float), (-1, 2)) + np.array(at, float))
    return page.texts, np.concatenate(corners)


def assert_inside(chart: str) -> None:
    (box,) = [svg["viewbox"] for svg in Page(chart.encode()).all("svg")]
    width, height = map(float, (box or "").split()[2:])
    _, corners = drawn_numbers(chart)
    assert len(corners) and (corners >= -4).all()  # half a mark
    assert (corners <= [width + 4, height + 4]).all()


NUMBERS = st.floats(-LARGEST, LARGEST)


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.booleans())
@settings(max_examples=15, deadline=None)
@example([-2.17e-305, 0.0], False)
@example([0.0, 5e-324], True)
@example([-5e-324, 5e-324], False)
@example([1e15, 1e15 - 0.125], False)
@example([1e-12, 1e15], True)
def test_a_curve_of_any_numbers_is_inside_its_chart(values: list[float], powers: bool) -> None:
    lower, upper = ([v - abs(v) / 8 for v in values], [min(v + abs(v) / 8, 1e15) for v in values])
    line = Line("a", 0, False, range(len(values)), values, lower, upper)
    assert_inside(line_chart("t", "x", "y", [line], powers=powers))


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.booleans())
@settings(max_examples=15, deadline=None)
@example([-2.17e-305, 0.0], False)
@example([5e-324], True)
@example([1e15, 1e15 - 0.125], False)
def test_marks_of_any_numbers_are_inside_their_chart(values: list[float], bars: bool) -> None:
    marks = [Mark(f"m{k}", k, Interval(v, min(values), max(values))) for k, v in enumerate(values)]
    assert_inside((bar_chart if bars else point_chart)("t", "unit", marks))


def test_an_axis_of_powers_has_a_decade_at_even_distances() -> None:
    curve = Line("a", 0, False, [0, 1, 2, 3], [0.01, 1.0, 100.0, 0.0])
    texts, corners = drawn_numbers(line_chart("t", "x", "y", [curve], powers=True))
    first, middle, last, floor = corners[-4:, 1]
    assert first == floor and middle == pytest.approx((first + last) / 2, abs=0.1)
    assert {"0.01", "100"} <= set(texts)


def test_a_curve_goes_from_corner_to_corner_of_its_axes() -> None:
    chart = line_chart("t", "x", "y", [Line("a", 3, True, [0, 600], [0.0, 100.0])])
    corners = drawn_numbers(chart)[1][-2:]
    assert corners.tolist() == [[LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, TOP]]
    drawn = Page(chart.encode()).all("path")[-1]["style"] or ""
    assert "stroke: var(--c3)" in drawn and "stroke-dasharray" in drawn


def test_where_no_interval_is_known_none_is_drawn() -> None:
    known, unknown = ([0.5, 1.0], [2.0, 3.0]), ([None, None], [None, None])
    shades = [
        line_chart("t", "x", "y", [Line("a", 0, False, [1, 2], [1.0, 2.0], *ends)]).count("opacity")
        for ends in (known, unknown, ((), ()))
    ]
    assert shades == [1, 0, 0]
    alone = point_chart("t", "u", [Mark("a", 0, Interval(1.0, None, None))])
    whisker = point_chart("t", "u", [Mark("a", 0, Interval(1.0, 0.5, 1.5))])
    assert (alone.count("width: 1.5"), whisker.count("width: 1.5")) == (0, 1)


def test_any_name_is_drawn_as_text() -> None:
    for name in ("$x^2$", "a\x00b", "\ud800", "é 字", "<b>&"):
        texts = drawn_numbers(bar_chart("title", name, [Mark(name, 0, Interval(1.0, 0.0, 2.0))]))[0]
        shown = "".join(c if c.isprintable() else "\ufffd" for c in name)
        assert texts.count(shown) == 2
