"""docs/python.md: every example runs, in the order of the page, and prints what it shows.

What a statement prints stands in a comment at its end, or at the end of the `print` in it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import wmq
from tests.support.drift_games import small_dataset
from tests.support.made_games import made_game

pytest_plugins = ("tests.support.rollout_models",)
ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def comments(code: str) -> dict[int, str]:
    """Line -> the text of its comment."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {t.start[0]: t.string[1:].strip() for t in tokens if t.type == tokenize.COMMENT}


def statements(code: str) -> Iterator[tuple[ast.stmt, str | None]]:
    """Each statement, and what it shows to be printed; None if it has no `print`."""
    shown = comments(code)
    for statement in ast.parse(code).body:
        lines = [
            node.end_lineno
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        ]
        assert len(lines) <= 1, "one print a statement"
        yield statement, shown.get(lines[0] or 0, "") if lines else None


@pytest.fixture
def folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a reader who has a replay, a dataset and a float step."""
    (tmp_path / "game.slp").write_bytes(made_game(3, frames=1300).to_bytes())
    small_dataset(tmp_path / "dataset", games=3)
    shutil.copy(models / "small.onnx", tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_runs_and_prints_what_it_shows(folder: Path) -> None:
    names: dict[str, object] = {}
    printed, wrong = 0, []
    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        for statement, shown in statements(block):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(ast.Module([statement], []), str(PAGE), "exec"), names)
            if shown is not None:
                printed += 1
                if out.getvalue().strip() != shown:
                    wrong.append((out.getvalue().strip(), shown))
    assert not wrong and printed > 15
    assert (folder / "model.wmq").is_file()


def test_the_page_has_every_public_name() -> None:
    text = PAGE.read_text("utf-8")
    table = text.split("| name | what it is |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"\[`wmq\.(\w+)`\]", table)) == sorted(wmq.__all__)
    members = {
        name
        for owner in (wmq.Model, wmq.World, wmq.Trajectory)
        for name in vars(owner)
        if not name.startswith("_")
    }
    missing = {name for name in members if not re.search(rf"`[\w.]*\b{name}\b[^`]*`", text)}
    assert not missing


def test_the_parts_that_the_page_links_to_are_there() -> None:
    text = PAGE.read_text("utf-8")
    titles = re.findall(r"(?m)^## (.*)$", text)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors
