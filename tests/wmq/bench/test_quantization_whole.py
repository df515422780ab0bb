"""`wmq bench quantization`: the table, drift, sensitivity and the page in one go."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from calib.step.graph import read_step
from tests.support.embedded import embed
from tests.support.replay_files import unpack
from tests.support.rollout_models import wmq
from tests.support.suites import EXTENT, quietly, rows_of
from tests.support.tiny import walking_dataset
from wmq.bench.quantization import runner, suite
from wmq.bench.quantization.runner import SuiteSettings
from wmq.errors import WmqError
from wmq.evaluation.results import Drift, Sensitivity, read_result
from wmq.files.digest import file_sha256
from wmq.inference.model_files import embedded_model
from wmq.report.compare import Comparison
from wmq.sensitivity.run import SensitivitySettings
from wmq.toolkits.methods import Method

pytest_plugins = (
    "tests.support.match_models",
    "tests.support.replay_files",
    "tests.support.rollout_models",
    "tests.support.suites",
)


def test_everything_quick_of_the_embedded_model(val_games: list[Path], tmp_path: Path) -> None:
    everything_quick(val_games[:2], tmp_path)


@pytest.mark.soak
def test_everything_quick_of_the_embedded_model_on_real_games(tmp_path: Path) -> None:
    everything_quick(unpack(tmp_path, "val", 2), tmp_path)


def everything_quick(games: list[Path], tmp_path: Path) -> None:
    prepared = wmq("prepare", *games, "-o", tmp_path / "dataset", "--split", "val")
    assert prepared.exit_code == 0, prepared.output
    command = ("bench", "quantization", "--data", tmp_path / "dataset", "-o", tmp_path / "work",
               "--quick", "--json")  # fmt: skip
    result = wmq(*command)
    assert result.exit_code == 0, result.output
    suite = json.loads(result.stdout)
    assert suite["quick"] and len(suite["games"]) == 2
    rows = {row["name"]: row for row in suite["rows"]}
    graph = read_step(embedded_model(".onnx")).model.graph
    linears = sum(node.op_type == "Gemm" for node in graph.node)
    for name, frames, most in (
        ("wmq embedded program", 1200, 0.5),
        ("wmq static-best", 1200, 1),
        ("wmq static-minmax", 420, 10),
    ):
        row = rows[name]
        assert row["reason"] == "" and row["layers"] == row["static_layers"] == linears
        assert row["float_operations"] == 0 and row["frames"] == frames
        assert row["figures"]["same_action"]["value"] > 99
        assert abs(row["figures"]["val_loss"]["difference"]["value"]) < most  # %
    moved = read_result(tmp_path / "work" / "drift.json", Drift)
    assert {verdict.horizon for verdict in moved.verdicts} >= {1, 60}
    ranked = read_result(tmp_path / "work" / "sensitivity.json", Sensitivity)
    assert len(ranked.entries) > 20
    page = (tmp_path / "work" / "report.html").read_text("utf-8")
    assert moved.sentence[:40] in page and "http://" not in page.replace("http://www.w3.org", "")
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work" / "rows").iterdir()}
    again = wmq(*command)  # goes on where nothing is left to do
    assert again.exit_code == 0
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "work" / "rows").iterdir()} == kept
    assert json.loads(again.stdout)["rows"] == suite["rows"]


def test_everything_of_another_model(
    run: Any, models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = suite.Sizes(2, 0, 4, 20, 2, 20, SensitivitySettings(games=1, frames=240, starts=2))
    monkeypatch.setattr(suite, "QUICK", sizes)
    monkeypatch.setattr(runner, "QUICK", EXTENT)
    monkeypatch.setattr(runner, "QUICK_ROWS", ("wmq static-best",))
    settings = SuiteSettings(models / "small.onnx", data, tmp_path / "work", (), True, 1)
    found = suite.reproduce(settings, quietly)
    program = tmp_path / "work" / "models" / "wmq-static-best.wmq"
    made = hashlib.sha256(program.read_bytes()).hexdigest()
    assert found.drift.sha256 == found.sensitivity.sha256 == made
    assert rows_of(found.suite)["wmq static-best"].reason == ""
    program.write_bytes((models / "small.wmq").read_bytes())  # of another time, with another key
    program.with_suffix(".json").write_text("{}")
    assert suite.reproduce(settings, quietly).drift.sha256 == made


def test_agents_play_in_the_page_of_a_world_that_draws(
    match_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the middle of a game, whose controllers would fit no course but its own."""
    embed(monkeypatch, match_models, tmp_path)
    shown: list[Comparison] = []
    monkeypatch.setattr("wmq.report.load.read_results", lambda folder: {})
    monkeypatch.setattr("wmq.report.page.make_page", lambda results, found: shown.append(found))
    settings = SuiteSettings(None, walking_dataset(tmp_path / "data").path, tmp_path)
    suite._page(settings, tmp_path / "world.wmq", tmp_path / "world.onnx", 5, quietly)
    (found,) = shown
    assert found.controllers == ("agent", "agent")
    agent = file_sha256(match_models / "agent.wmq")
    assert all(rollout.agents == (agent, agent) for rollout in found.rollouts.values())


def test_without_the_default_s_row_there_is_no_drift(
    run: Any, models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Method:
        raise WmqError("no scale fits")

    monkeypatch.setattr(runner.wmq_methods, "make", fail)
    settings = SuiteSettings(models / "small.onnx", data, tmp_path / "work", (), False, 1)
    with pytest.raises(WmqError, match="wmq static-best: no scale fits; without it there is no"):
        suite.reproduce(settings, quietly)
