"""The page of `wmq report`: whole, safe from what it shows, and true to the results."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.made_up import HOSTILE, a_drift, a_sensitivity, a_suite, write_results
from tests.support.rollout_models import RANDOM, a_start
from wmq.drift.paired import mean_curve, ratio_curve
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.differences import GameSample
from wmq.evaluation.results import read_result, shown_name, write_result
from wmq.files.output_path import output_path
from wmq.progress import silent
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
from wmq.report.compare import Comparison, compare, open_pair
from wmq.report.figures import interval_text, number
from wmq.report.html import data_script
from wmq.report.load import COMMANDS, Results, check_models, read_results
from wmq.report.page import make_page
from wmq.rollout.rollout import both_controllers

pytest_plugins = ("tests.support.rollout_models",)
VOID = {"meta", "br", "input"}
SHA256 = {"float": "f" * 64, "int8": "a" * 64}


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where an end tag has no beginning."""

    def __init__(self, content: bytes):
        super().__init__()
        self.opened: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content.decode())
        self.close()
        assert not self.opened

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def played(models: Path) -> Comparison:
    pair = open_pair(str(models / "small.onnx"), str(models / "small.wmq"))
    start = a_start()
    pads = both_controllers(RANDOM, start, 40, 5)
    return compare(pair, start, pads, 5, ("random", "random"), 1, silent)


@pytest.fixture(scope="module")
def content(played: Comparison) -> bytes:
    whole = Results(a_suite("f" * 64), a_drift("a" * 64), a_sensitivity("f" * 64))
    return make_page(whole, played)


def test_an_older_page_may_be_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(content)
    assert output_path(tmp_path / "a.html", "-o", (".html",)) == tmp_path / "a.html"


def test_hostile_text_stays_text(content: bytes) -> None:
    page = Page(content)
    assert len(page.all("script")) == 3 and not page.all("img")
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith("#")
    shown = "".join(page.texts)
    assert shown.count(HOSTILE) >= 8  # reason, notes, what, sentences, tensors
    assert not {"link", "iframe", "object", "form", "base"} & {name for name, _ in page.elements}


def test_the_page_forbids_itself_the_network(content: bytes) -> None:
    policies = [attributes["content"] for attributes in Page(content).all("meta")
                if attributes.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    (policy,) = policies
    rules = dict((rule.split()[0], rule.split()[1:]) for rule in (policy or "").split(";"))
    assert rules["default-src"] == ["'none'"] and rules["form-action"] == ["'none'"]
    assert {source for sources in rules.values() for source in sources} == {
        "'none'", "'unsafe-inline'",
    }  # fmt: skip


def test_ids_are_unique_and_links_and_labels_have_their_targets(content: bytes) -> None:
    page = Page(content)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert (link["href"] or "").removeprefix("#") in ids
    for section in page.all("section"):
        assert section["aria-labelledby"] in ids
    for name in ("svg", "input"):
        for attributes in page.all(name):
            assert (
                attributes.get("aria-label")
                or attributes.get("role")
                or "aria-hidden" in attributes
            )


def test_every_figure_of_a_row_is_in_the_table(content: bytes) -> None:
    shown = "".join(Page(content).texts)
    for row in a_suite("f" * 64).rows:
        for name, figure in row.figures.items():
            assert name.removeprefix("change_acc: ") in shown
            assert figure.value is not None
            percent = "_acc" in name or name == "same_action"
            assert (f"{figure.value:.2f} %" if percent else f"{figure.value:.4f}") in shown
    assert "+1.59 % [+1.49, +3.28]" in shown  # val_loss of torch quantize_dynamic
    assert "±0.08 % would show" in shown


@pytest.mark.parametrize("missing", COMMANDS)
def test_a_missing_result_names_its_command(
    played: Comparison, tmp_path: Path, missing: str
) -> None:
    folder = write_results(tmp_path / "results", "f" * 64, "a" * 64)
    (folder / missing).unlink()
    shown = "".join(Page(make_page(read_results(folder), played)).texts)
    assert f"{missing} is missing; {COMMANDS[missing]} makes it." in shown
    assert not any(f"{name} is missing" in shown for name in COMMANDS if name != missing)


def test_the_same_results_give_the_same_bytes(played: Comparison, content: bytes) -> None:
    again = Results(a_suite("f" * 64), a_drift("a" * 64), a_sensitivity("f" * 64))
    assert make_page(again, played) == content


@given(st.text(st.sampled_from('<>/&scriptSCRIPT!-"\\\u2028\u2029 \x00'), max_size=40))
@settings(max_examples=50)
def test_data_comes_back_from_a_script_that_no_text_can_end(text: str) -> None:
    script = data_script("d", {"a": text})
    inside = script.removeprefix('<script type="application/json" id="d">').removesuffix(
        "</script>"
    )
    assert not {"<", ">", "\u2028", "\u2029"} & set(inside)
    assert json.loads(inside) == {"a": text}


def test_wrong_folders_and_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, message in (("none", "no such folder"), ("file", "not a folder"),
                          ("empty", "holds none of suite.json")):  # fmt: skip
        with pytest.raises(WmqError, match=message):
            read_results(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), b"{", "not a drift of wmq"),
        ((), b"[" * 100_000, "not a drift of wmq"),
        (("pairs", 0, "same", "mean"), "x", r"\$\.pairs\[0\]\.same\.mean"),
        (("pairs", 1, "same", "lo"), [0.5], r"pairs\[1\]\.same: .* one length"),
        (("pairs", 1, "distance", "mean"), [1e300] * 12, r"pairs\[1\]\.distance: numbers beyond"),
        (("relative", "int8", "float32 and float64", "horizons"), [-1] * 12,
         r"relative\.int8\.float32 and float64: horizons outside"),
    ],
)  # fmt: skip
def test_damaged_results_name_file_and_key(
    tmp_path: Path, path: tuple, value: object, message: str
) -> None:
    folder = write_results(tmp_path / "results", "f" * 64, "a" * 64)
    file = folder / "drift.json"
    if isinstance(value, bytes):
        file.write_bytes(value)
    else:
        content = json.loads(file.read_text("utf-8"))
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(WmqError, match=message) as caught:
        read_results(folder)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


def test_results_of_another_model_are_refused(tmp_path: Path) -> None:
    right = Results(a_suite("f" * 64), a_drift("f" * 64), a_sensitivity("a" * 64))
    check_models("results", right, SHA256)
    for name, other in {
        "suite.json": Results(suite=a_suite("a" * 64)),  # the suite's record is float
        "drift.json": Results(drift=a_drift("0" * 64)),
        "sensitivity.json": Results(sensitivity=a_sensitivity("0" * 64)),
    }.items():
        with pytest.raises(WmqError, match=f"results/{name}: is of the model"):
            check_models("results", other, SHA256)


def test_a_result_whose_figures_are_all_unknown_is_drawn(
    played: Comparison, tmp_path: Path
) -> None:
    """Every optional number null, every list and table empty."""
    unknown = Interval(None, None, None)
    drift = a_drift("a" * 64)
    nothing = {"int8": unknown}
    statistics = [
        msgspec.structs.replace(found, tracks=nothing, differences=nothing)
        for found in drift.statistics
    ]
    huge = msgspec.structs.replace(statistics[0], tracks={"int8": Interval(1e300, -1e300, 1e300)})
    nowhere = {"statistics": [*statistics, huge], "verdicts": [], "pairs": [], "relative": {},
               "truth": {}, "truth_difference": {}}  # fmt: skip
    drift = msgspec.structs.replace(drift, **nowhere)
    suite = msgspec.structs.replace(a_suite("f" * 64), rows=[], games=[])
    sensitivity = msgspec.structs.replace(a_sensitivity("f" * 64), entries=[], saturations={})
    for name, result in (("suite", suite), ("drift", drift), ("sensitivity", sensitivity)):
        write_result(tmp_path / f"{name}.json", result)
    page = Page(make_page(read_results(tmp_path), played))
    drawn = [v for _, attributes in page.elements for v in attributes.values() if v]
    assert not any("nan" in value.lower().split() or "inf" in value.split() for value in drawn)


@pytest.mark.parametrize(
    ("make", "path", "key"),
    [
        (a_suite, ("rows", 0, "bytes"), "rows"),
        (a_suite, ("rows", 0, "layers"), "rows"),
        (a_suite, ("starts",), "starts"),
        (a_drift, ("horizon",), "horizon"),
        (a_sensitivity, ("saturations", "layers.0.mamba.x"), "saturations"),
    ],
)
def test_a_count_that_no_float_holds_names_its_key(
    tmp_path: Path, make: Callable, path: tuple, key: str
) -> None:
    result = make("f" * 64)
    file = tmp_path / "result.json"
    content = json.loads(msgspec.json.encode(result))
    place = content
    for step in path[:-1]:
        place = place[step]
    for count in (10**400, -1):
        place[path[-1]] = count
        file.write_text(json.dumps(content), "utf-8")
        with pytest.raises(WmqError, match=rf"result.json: .*{key}"):
            read_result(file, type(result))


def test_a_file_name_of_any_bytes_is_drawn(played: Comparison) -> None:
    odd = dataclasses.replace(played, controllers=("script:\udcff", "random"))
    assert "player 1 script:?, player 2 random" in make_page(Results(), odd).decode()
    assert shown_name(Path("folder") / "a\udcff.wmq") == r"a\xff.wmq"


def test_a_yardstick_that_never_moved_leaves_no_ratio_and_a_page(
    played: Comparison, tmp_path: Path
) -> None:
    still = ratio_curve(GameSample([0, 1]), np.ones((2, 3)), np.zeros((2, 3)))
    assert still.horizons == []
    drift = a_drift("a" * 64)
    for ratios in ({"still": still}, {"still": still, **drift.relative["int8"]}):
        found = msgspec.structs.replace(drift, relative={"int8": ratios})
        write_result(tmp_path / "drift.json", found)
        assert "still" in "".join(Page(make_page(read_results(tmp_path), played)).texts)


def test_numbers_are_written_as_people_read_them() -> None:
    assert number(None) == number(math.nan) == "–"
    assert number(-0.5, 2) == "−0.50"
    assert number(-0.0, 2, sign=True) == "+0.00"
    assert number(12_345.6, 0) == "12,346"
    assert number(1.4e-7, 4) == "1.40e−07"
    assert interval_text(Interval(0.14, -0.02, 0.3), "%", 2) == "+0.14 % [−0.02, +0.30]"
    assert interval_text(Interval(0.14, None, None), "%", 2) == "+0.14 %"


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


def test_the_page_names_the_options_that_were_used(played: Comparison, tmp_path: Path) -> None:
    command = "wmq drift small.wmq --data dataset --starts 7 -o drift.json"
    drift = msgspec.structs.replace(a_drift("a" * 64), command=command)
    assert command in "".join(Page(make_page(Results(drift=drift), played)).texts)
    assert COMMANDS["drift.json"] in "".join(
        Page(make_page(Results(drift=a_drift("a" * 64)), played)).texts
    )


def test_a_drift_of_one_game_is_drawn_without_intervals(played: Comparison, tmp_path: Path) -> None:
    drift = a_drift("a" * 64)
    alone = mean_curve(GameSample([0, 0]), np.ones((2, 3)))
    assert alone.mean == [1, 1, 1] and alone.lo == alone.hi == [None] * 3
    pairs = [msgspec.structs.replace(found, same=alone, distance=alone) for found in drift.pairs]
    unknown = {"distinguishable": None, "difference": Interval(1.0, None, None)}
    verdicts = [msgspec.structs.replace(found, **unknown) for found in drift.verdicts]
    found = msgspec.structs.replace(drift, pairs=pairs, verdicts=verdicts, truth={"float": alone})
    write_result(tmp_path / "drift.json", found)
    texts = Page(make_page(read_results(tmp_path), played)).texts
    assert texts.count("too few games") == len(verdicts)
