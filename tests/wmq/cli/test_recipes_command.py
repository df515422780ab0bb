"""`wmq recipes`, and the figures that stand beside the recipes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from calib.recipe import DEFAULT, names, read_recipe
from tests.support.rollout_models import wmq
from wmq.bench.quantization import recipe_figures
from wmq.bench.quantization.recipe_figures import (
    SHOWN,
    figures_of,
    from_suite,
    main,
    read_figures,
)
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import Figure, Row, Suite, write_result
from wmq.files.digest import file_sha256
from wmq.inference.model_files import embedded_model


def a_suite(quick: bool = False, onnx: bytes | None = None, rows: int = 9) -> Suite:
    content = onnx if onnx is not None else embedded_model(".onnx").read_bytes()
    figures = {name: Figure(99.5 if name == "same_action" else 1.0, Interval(0.25, 0.1, 0.4), True)
               for name in SHOWN}  # fmt: skip
    known = [Row(f"wmq {name}", "wmq", "", figures=figures, frames=432)
             for name in ("static-minmax", f"{DEFAULT}, first 35%")]  # fmt: skip
    listed = [Row("float32 onnxruntime", "onnxruntime", "", frames=1234), *known[:rows]]
    return Suite("model.onnx", hashlib.sha256(content).hexdigest(), ["a", "b"], 300, quick, listed,
                 1.0)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The figures' file, elsewhere and not yet there."""
    path = tmp_path / "figures.json"
    monkeypatch.setattr(recipe_figures, "FILE", path)
    monkeypatch.setattr(recipe_figures.read_figures, "__defaults__", (path,))
    return path


def test_recipes_are_listed_with_the_figures_of_a_suite(file: Path, tmp_path: Path) -> None:
    assert all(found["figures"] is None for found in listed().values())
    write_result(tmp_path / "suite.json", a_suite())
    written = CliRunner().invoke(main, [str(tmp_path / "suite.json")])
    assert written.exit_code == 0, written.output
    found = listed()
    assert list(found) == names()
    assert [name for name, recipe in found.items() if recipe["default"]] == [DEFAULT]
    assert found["static-minmax"]["figures"]["val_loss"]["difference"]["value"] == 0.25
    assert found["static-percentile"]["figures"] is None
    lines = wmq("recipes").stdout.splitlines()
    row = next(line for line in lines if line.startswith("static-minmax"))
    assert row.split() == ["static-minmax", "+0.25", "+0.25", "+0.25", "99.50", "+0.25"]
    row = next(line for line in lines if line.startswith("static-percentile"))
    assert row.split() == ["static-percentile", "not", "measured"]
    assert f"{DEFAULT} (default)" in "\n".join(lines)
    assert lines[-1] == "the embedded model, 432 frames, the beginnings of 2 games"
    before = file.read_text().replace(file_sha256(embedded_model(".onnx")), "ab" * 32)
    file.write_text(before)
    said = "of a model that was embedded before, abababababababab.., 432 frames, the beginnings of"
    assert wmq("recipes").stdout.splitlines()[-1].startswith(said)
    assert all(len(line) <= 100 for line in lines)


def listed() -> dict[str, dict]:
    result = wmq("recipes", "--json")
    assert result.exit_code == 0, result.output
    return {recipe["name"]: recipe for recipe in json.loads(result.stdout)["recipes"]}


def test_every_recipe_begins_with_a_sentence_that_says_what_it_does(file: Path) -> None:
    for name, recipe in listed().items():
        assert recipe["what"].endswith((".", ")")) and len(recipe["what"]) > 20, name


def test_a_recipe_that_changed_has_no_figures() -> None:
    found, recipe = from_suite(a_suite(), "suite.json"), read_recipe("static-minmax")
    assert set(figures_of(recipe, found)) == set(SHOWN)
    state = msgspec.structs.replace(recipe.state, headroom_bits=3)
    assert figures_of(msgspec.structs.replace(recipe, state=state), found) == {}
    assert figures_of(read_recipe("static-percentile"), found) == {}


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (a_suite(quick=True), "suite.json: quick: from too few frames"),
        (a_suite(onnx=b"another"), "suite.json: onnx_sha256: not the embedded model's"),
        (a_suite(rows=0), "suite.json: rows: none is of a recipe"),
    ],
)
def test_other_suites_are_refused(suite: Suite, message: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(WmqError, match=message):
        from_suite(suite, "suite.json")
    write_result(tmp_path / "suite.json", suite)
    result = CliRunner().invoke(main, [str(tmp_path / "suite.json")])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert not file.exists()


def test_a_damaged_file_of_figures_is_named(file: Path) -> None:
    file.write_text('{"recipes": 3}')
    with pytest.raises(WmqError, match="not the figures of recipes"):
        read_figures(file)
    assert wmq("recipes").exit_code == 2
