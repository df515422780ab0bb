"""The page of `wmq report`: whole, safe from what it shows, and true to the results."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.html_page import Page
from tests.support.made_up import HOSTILE, a_drift, a_sensitivity, a_suite, write_results
from tests.support.rollout_models import RANDOM, a_start
from wmq.drift.paired import mean_curve, ratio_curve
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.differences import GameSample
from wmq.evaluation.results import read_result, shown_name, write_result
from wmq.files.output_path import output_path
from wmq.progress import silent
from wmq.report.compare import Comparison, compare, open_pair
from wmq.report.figures import interval_text, number
from wmq.report.html import data_script
from wmq.report.load import COMMANDS, Results, check_models, read_results
from wmq.report.page import make_page
from wmq.rollout.rollout import both_controllers

pytest_plugins = ("tests.support.rollout_models",)
SHA256 = {"float": "f" * 64, "int8": "a" * 64}


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
