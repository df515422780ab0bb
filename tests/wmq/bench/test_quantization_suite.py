"""`wmq bench quantization`: rows go on where they stopped, and fail alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.rollout_models import wmq
from tests.support.suites import EXTENT, FLOAT, STEPS, MadeUpBackends, quality, quietly, rows_of
from tests.support.tiny import walking_game
from wmq.bench.quantization import measuring, wmq_methods
from wmq.bench.quantization.measuring import frames_per_second
from wmq.bench.quantization.play import games_of, part_of, read_play, starts_of
from wmq.bench.quantization.runner import choose
from wmq.bench.quantization.table import markdown, text
from wmq.dataset.store import Dataset, write_game, write_index
from wmq.errors import WmqError
from wmq.evaluation.evaluate import EvaluationSettings as EvaluateSettings
from wmq.evaluation.evaluate import evaluate
from wmq.evaluation.results import Suite, read_result
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.predictor import StartRow, Take
from wmq.replays.slippi import Game
from wmq.toolkits.methods import Lacking, Method, MethodContext

pytest_plugins = (
    "tests.support.replay_files",
    "tests.support.rollout_models",
    "tests.support.suites",
)


def test_figures_are_those_of_evaluate(run: Any, models: Path, data: Path, tmp_path: Path) -> None:
    rows = rows_of(run("torch int8"))
    found = evaluate(Dataset.open(data), [models / "small.onnx", models / "small.wmq"],
                     EvaluateSettings(horizon=60, starts=9))  # fmt: skip
    (pair,) = found.comparisons
    for model, name in zip(found.models, (FLOAT, "torch int8"), strict=True):
        row = rows[name]
        for figure, value in (model.figures | model.rolled).items():
            assert row.figures[figure].value == pytest.approx(value, rel=1e-5), figure
        assert row.frames == 4 * STEPS
    for name, figure in rows["torch int8"].figures.items():
        if name == "same_action":
            continue
        expected = pair.percent[name] if figure.percent else pair.difference[name]
        assert figure.difference is not None
        assert figure.difference.value == pytest.approx(expected, abs=1e-3)
    assert rows["torch int8"].first_divergence == pair.divergence
    assert all(figure.difference is None for figure in rows[FLOAT].figures.values())


def test_part_of_the_frames_is_compared_with_float_on_the_same(
    run: Any, models: Path, data: Path
) -> None:
    row = rows_of(run("torch part"))["torch part"]
    both = [models / "small.onnx", models / "small.wmq"]
    cut = evaluate(Dataset.open(data), both, EvaluateSettings(frames=150))
    assert row.frames == 4 * 150
    for name, value in cut.models[1].figures.items():
        figure = row.figures[name]
        assert figure.value == pytest.approx(value, rel=1e-6)
        expected = cut.comparisons[0].percent if figure.percent else cut.comparisons[0].difference
        assert figure.difference is not None
        assert figure.difference.value == pytest.approx(expected[name], abs=1e-4)
    assert any("the first 50% of every game" in note for note in row.notes)


def test_starts_of_a_part_are_those_of_the_whole(run: Any, models: Path, data: Path) -> None:
    """A part with all starts in it rolls out as the whole does, from the same states."""
    play = read_play(data, models / "small.onnx", EXTENT)
    last = max(start.row for start in play.starts) + 1
    way = Method(OnnxPredictor(models / "small.onnx", 1), 64, 1.0, 0, 0, 0, 0)
    whole, part = part_of(play, 1.0), part_of(play, last / STEPS)
    assert whole.starts == part.starts == tuple(range(len(play.starts)))
    assert max(part.steps) < STEPS
    states = [way.predictor.walk(games_of(play, chosen), starts_of(play, chosen), lambda *_: None)
              for chosen in (whole, part)]  # fmt: skip
    for a, b in zip(*states, strict=True):
        np.testing.assert_equal(a, b)
    assert part_of(play, 0.1).starts == ()


def test_rows_fail_alone_and_say_why(run: Any, tmp_path: Path) -> None:
    suite = run("torch")
    rows = rows_of(suite)
    assert rows["torchao missing"].reason == "torchao is not installed: pip install torchao"
    assert rows["torch broken"].reason == "ValueError: scales of 3 rows"
    assert rows["torch inf"].reason == "head p2.action: not finite"
    assert [name for name, row in rows.items() if not row.reason] == [
        FLOAT, "torch int8", "torch part"]  # fmt: skip
    (trace,) = (tmp_path / "work" / "rows").glob("torch-broken-*.txt")
    assert "Traceback" in trace.read_text()
    assert not list((tmp_path / "work" / "rows").glob("torchao-missing*"))
    assert read_result(tmp_path / "work" / "suite.json", Suite) == suite
    lines = list(text(suite))
    assert all(len(line) <= 100 for line in lines)
    assert any(line.startswith("torchao missing") and "pip install torchao" in line
               for line in lines)  # fmt: skip
    assert lines.count("  made up") == 1 and "torch int8; torch part:" in lines
    page = list(markdown(suite))
    assert "torch broken: ValueError: scales of 3 rows" in page
    assert "1. made up" in page and sum("| torch int8 <sup>1</sup>" in line for line in page) == 1


def test_the_same_twice_gives_the_same_figures(run: Any) -> None:
    one, two = run("wmq static-minmax", "int8", folder="a"), run(
        "wmq static-minmax", "int8", folder="b")  # fmt: skip
    assert quality(one) == quality(two)
    assert rows_of(one)["wmq static-minmax"].figures["val_loss"].difference is not None


def test_our_rows_are_integer_programs_of_all_linears(run: Any) -> None:
    rows = rows_of(run("wmq state 8 bits", "wmq static-minmax"))
    for name in ("wmq state 8 bits", "wmq static-minmax"):
        row = rows[name]
        assert (row.layers, row.static_layers, row.float_operations) == (22, 22, 0)
        assert row.notes[0] == "calibrated on 256 frames of 3 training games"
        assert row.notes[1].startswith("the first 35% of every game")
    eight, full = (rows[name].figures["val_loss"] for name in
                   ("wmq state 8 bits", "wmq static-minmax"))  # fmt: skip
    assert eight != full


def test_without_training_games_the_embedded_set_calibrates(
    run: Any, models: Path, data: Path, tmp_path: Path
) -> None:
    dataset = Dataset.open(data)
    only_val = tmp_path / "val"
    only_val.mkdir()
    (only_val / "games").symlink_to(data / "games")
    write_index(only_val, dataset.select("val"), [])
    context = MethodContext(models / "small.onnx", only_val, tmp_path, 1, 256)
    way = wmq_methods.make("wmq static-minmax", context, quietly)
    assert way.notes == ("calibrated on 256 frames of the embedded set self-play",)


def test_rows_are_chosen_by_name() -> None:
    names = {FLOAT: "", "torch int8": "", wmq_methods.EMBEDDED: "", "wmq static-slow": ""}
    assert list(choose(names, (), False)) == list(names)
    assert list(choose(names, (), True)) == [FLOAT, wmq_methods.EMBEDDED]
    assert list(choose(names, ("int8",), False)) == [FLOAT, "torch int8"]
    with pytest.raises(WmqError, match="--only int4: in no row's name; the rows are float32 onn"):
        choose(names, ("int8", "int4"), False)


def test_speed_is_frames_over_seconds_of_a_world_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """4 ms a frame, and 1 s at first."""

        clock = 0.0
        calls: list[int] = []

        def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[Any]:
            return ["state"]

        def roll(self, games: Any, starts: Any, states: Any, count: int, tick: Any) -> None:
            assert states == ["state"] and starts[0].row + count < len(games[0].frames)
            self.clock += (0.0 if self.calls else 1.0) + 0.004 * count
            self.calls.append(count)

    slow = Slow()
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: slow.clock)
    game = walking_game("01", frames=400)
    assert frames_per_second(slow, game) == pytest.approx(250)  # type: ignore[arg-type]
    assert slow.calls[-1] == pytest.approx(measuring.PACED / 0.004, abs=1)


def test_what_cannot_be_measured_is_said_in_one_line(
    run: Any, backends: MadeUpBackends, models: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    short = tmp_path / "short"
    (short / "games").mkdir(parents=True)
    game = walking_game("0a", "val", 100)
    write_game(short, game)
    write_index(short, [game.info], [])
    model = models / "small.onnx"
    cases: list[tuple[tuple, str]] = [
        ((model, "--data", tmp_path / "none", "-o", tmp_path / "a"), "no dataset here"),
        ((model, "--data", short, "-o", tmp_path / "a"), "prepare longer replays"),
        ((model, "--data", data, "-o", tmp_path / "file"), "choose another folder with -o"),
        ((models / "small.wmq", "--data", data, "-o", tmp_path / "a"), "not a float model"),
        ((model, "--data", data, "-o", tmp_path / "a", "--only", "int4"), "--only int4"),
        ((model, "--data", data, "-o", tmp_path / "a", "--json", "--markdown"), "only one"),
    ]
    for arguments, message in cases:
        result = wmq("bench", "quantization", *arguments)
        assert result.exit_code == 2, result.output
        assert result.stderr.count("\n") == 1 and message in result.stderr
    backends.failing[FLOAT] = Lacking("onnxruntime is not installed")
    result = wmq("bench", "quantization", model, "--data", data, "-o", tmp_path / "a")
    assert result.exit_code == 2 and "without it there is no record" in result.stderr
