"""`wmq evaluate`: what it measures equals the same measured one game, one frame at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import build_step, read_step, to_bytes
from tests.support.rollout_models import without_head_scales
from wmq.calibration.play import calibration_game
from wmq.cli import main
from wmq.dataset.store import Dataset, Game, GameInfo, write_game, write_index
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import draw_weights
from wmq.evaluation.evaluate import EvaluationSettings, Measured, compare, evaluate
from wmq.evaluation.metrics import Tally
from wmq.evaluation.reports import ModelReport
from wmq.evaluation.rollout_error import true_frames
from wmq.game.frame_update import next_frames
from wmq.game.schema import FULL, Q16, Schema
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.onnx_session import OnnxStep
from wmq.inference.predictor import CHUNK, StartRow, cuts
from wmq.models.presets import ModelConfig
from wmq.models.world import WorldModel
from wmq.training.batches import model_inputs
from wmq_kernels.program import encode

SCHEMA = Schema()
CONFIG = {"d_model": 32, "n_layer": 2, "d_state": 8, "d_conv": 4, "expand": 2, "headdim": 16,
          "projectiles": False}  # fmt: skip


def played_game(number: int, frames: int, split: str) -> Game:
    """Wandering players, with every field moving now and then, in the fields of FULL."""
    rng = np.random.default_rng(number)
    lo, hi = FULL.lo.astype(np.int64), FULL.hi.astype(np.int64)
    start = rng.integers(lo, hi, endpoint=True)
    steps = rng.integers(-2, 3, (frames, FULL.frame_size)) * (rng.random((frames, 1)) < 0.2)
    for player in (0, 1):
        for field in FULL.fields:
            if field.kind == "fixed":
                steps[:, FULL.index(field.name, player)] *= Q16 // 4
    rows = np.clip(start + steps.cumsum(0), lo, hi).astype(np.int32)
    rows[:, FULL.stage_index] = 31
    pads = rng.integers(0, Q16, (frames, FULL.controllers_size), np.int32, endpoint=True)
    for player in (0, 1):
        pads[:, player * 13 + 5 : player * 13 + 13] = Q16 * (rng.random((frames, 8)) < 0.2)
    missing = ("hitlag",) if number == 2 else ()
    characters = tuple(int(rows[0, FULL.index("character", p)]) for p in (0, 1))
    info = GameInfo(f"{number:064x}", split, frames, 31, characters, "3.12.0", missing, (0.1, 0.1))
    return Game(info, rows, pads)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("dataset")
    (root / "games").mkdir()
    lengths = [(1, 300, "val"), (2, CHUNK + 1, "val"), (3, 2 * CHUNK, "val"), (4, 400, "train")]
    games = [played_game(*row) for row in lengths]
    for game in games:
        write_game(root, game)
    write_index(root, [game.info for game in games], [])
    return Dataset.open(root)


@pytest.fixture(scope="module")
def torch_model() -> WorldModel:
    torch.manual_seed(5)
    model = WorldModel(ModelConfig(**CONFIG))
    for head, value in (("continuous", 2.0), ("velocity", 0.5), ("dynamics", 3.0)):
        getattr(model, f"{head}_scale").fill_(value)
    return model.eval()


@pytest.fixture(scope="module")
def onnx_file(torch_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    path.write_bytes(to_bytes(onnx_model(torch_model)))
    return path


def onnx_model(model: WorldModel):
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    metadata = {
        "wmq.schema": json.dumps(SCHEMA.to_json()),
        "wmq.config": json.dumps(CONFIG),
        "wmq.run": "0" * 64,
        "wmq.training": "{}",
    }
    return build_step(CONFIG, SCHEMA.step, weights, metadata)


@pytest.fixture(scope="module")
def wmq_file(onnx_file: Path, dataset: Dataset) -> Path:
    step = read_step(onnx_file)
    played = [dataset.load(info, SCHEMA) for info in dataset.games]
    games = [calibration_game(SCHEMA, game.frames, game.controllers) for game in played]
    program = lower(
        step,
        collect(step, games).ranges(),
        {"onnx_sha256": "0" * 64},
        RecurrentState(headroom_bits=2),
    )
    path = onnx_file.with_suffix(".wmq")
    path.write_bytes(encode(program))
    return path


def val_games(dataset: Dataset) -> list[Game]:
    return [dataset.load(info, SCHEMA) for info in dataset.select("val")]


@torch.no_grad()
def torch_heads(model: WorldModel, game: Game) -> dict[str, np.ndarray]:
    """All heads of a game from the training form of the model."""
    numbers, classes, pads = (
        x.unsqueeze(0) for x in model_inputs(SCHEMA, game.frames, game.controllers)
    )
    heads, _ = model(numbers[:, :-1], pads[:, :-1], classes[:, :-1], pads[:, 1:],
                     model.zero_state(1))  # fmt: skip
    return {name: value[0].numpy() for name, value in heads.items()}


def test_float_figures_are_those_of_the_training_form(
    dataset: Dataset, torch_model: WorldModel, onnx_file: Path
):
    report = evaluate(dataset, [onnx_file])
    scales = {h: getattr(torch_model, f"{h}_scale").numpy()
              for h in ("continuous", "velocity", "dynamics")}  # fmt: skip
    whole = Tally(SCHEMA, scales)
    for number, game in enumerate(val_games(dataset)):
        heads = torch_heads(torch_model, game)
        alone = Tally(SCHEMA, scales)
        for tally in (whole, alone):
            tally.add(game.frames[:-1], game.frames[1:], heads, game.info.missing)
        assert report.models[0].games[number] == pytest.approx(alone.result(), rel=1e-4)
    assert report.models[0].figures == pytest.approx(whole.result(), rel=1e-4)
    assert report.frames == 299 + CHUNK + 2 * CHUNK - 1


def test_float_rollouts_go_on_from_the_state_of_the_true_game(dataset: Dataset, onnx_file: Path):
    games = val_games(dataset)
    starts = [StartRow(2, 5), StartRow(0, 130), StartRow(2, CHUNK), StartRow(1, 0)]
    predictor = OnnxPredictor(onnx_file, threads=1)
    states = predictor.walk(games, starts, lambda number, first, heads: None)
    rolled = predictor.roll(games, starts, states, 7, lambda frames: None)
    step = OnnxStep(onnx_file)
    for start, found in zip(starts, rolled, strict=True):
        game, state = games[start.game], step.zero_state()
        frame = game.frames[:1]
        for row in range(start.row + 7):
            if row <= start.row:
                frame = game.frames[row : row + 1]
            pads = game.controllers[row : row + 1], game.controllers[row + 1 : row + 2]
            heads, state = step.step(frame, *pads, state)
            frame = next_frames(SCHEMA, frame, heads)
            if row >= start.row:
                np.testing.assert_array_equal(found[row - start.row], frame[0])


def test_integer_rollouts_go_on_from_the_state_of_the_true_game(dataset: Dataset, wmq_file: Path):
    games = val_games(dataset)
    starts = [StartRow(2, 5), StartRow(0, 130), StartRow(2, CHUNK), StartRow(1, 0)]
    predictor = IntegerPredictor(wmq_file, threads=2)
    states = predictor.walk(games, starts, lambda number, first, heads: None)
    rolled = predictor.roll(games, starts, states, 7, lambda frames: None)
    for start, found in zip(starts, rolled, strict=True):
        game = games[start.game]
        given, pads = game.frames[: start.row + 1], game.controllers[: start.row + 8]
        run = predictor.engine.run(predictor.engine.zero_state(), given, pads, start.row + 7)
        np.testing.assert_array_equal(found, run.frames[start.row :])


Walked = dict[int, list[tuple[int, dict[str, np.ndarray]]]]


def walked(predictor: IntegerPredictor, games: list[Game], starts: list[StartRow]) -> tuple:
    """What `take` got for each game, and the rollouts of 11 frames from all starts."""
    taken: Walked = {number: [] for number in range(len(games))}
    states = predictor.walk(games, starts, lambda number, first, heads:
                            taken[number].append((first, heads)))  # fmt: skip
    return taken, predictor.roll(games, starts, states, 11, lambda frames: None)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.sampled_from([1, 2, 30, CHUNK, CHUNK + 1, CHUNK + 40]), min_size=1,
                     max_size=10),
    threads=st.integers(1, 3),
    data=st.data(),
)  # fmt: skip
def test_games_side_by_side_are_the_games_alone(
    wmq_file: Path, lengths: list[int], threads: int, data: st.DataObject
):
    games = [a_game(number, length) for number, length in enumerate(lengths)]
    possible = [StartRow(number, row) for number, length in enumerate(lengths)
                for row in range(length - 11)]  # fmt: skip
    starts = data.draw(st.lists(st.sampled_from(possible), max_size=9)) if possible else []
    kernels = data.draw(st.sampled_from(["auto", "portable"]))
    taken, rolled = walked(predictor(wmq_file, threads, kernels), games, starts)
    for number, game in enumerate(games):
        own = [(place, s.row) for place, s in enumerate(starts) if s.game == number]
        alone, then = walked(
            predictor(wmq_file, 1, "auto"), [game], [StartRow(0, r) for _, r in own]
        )
        np.testing.assert_equal(taken[number], alone[0])
        np.testing.assert_array_equal(rolled[[place for place, _ in own]], then)


@cache
def predictor(path: Path, threads: int, kernels: str) -> IntegerPredictor:
    return IntegerPredictor(path, threads, kernels)


@cache
def a_game(number: int, frames: int) -> Game:
    """In the fields of SCHEMA."""
    game = played_game(100 + number, frames, "val")
    chosen = [FULL.index(f.name, player) for player in (0, 1) for f in SCHEMA.fields]
    return replace(game, frames=game.frames[:, [*chosen, FULL.stage_index]])


def test_kernels_that_the_processor_lacks_are_named(
    dataset: Dataset, wmq_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(config, "CPU_NAME", "haswell")
    result = run("--data", dataset.path, wmq_file, "--kernels", "vnni")
    assert result.exit_code == 2 and result.output.startswith("wmq: kernels vnni: ")
    assert result.output.count("\n") == 1
    result = run("--data", dataset.path, wmq_file, "--kernels", "portable", "--games", 1)
    assert result.exit_code == 0 and " frames of 1 game (val), " in result.stdout


def test_integer_heads_are_near_the_float_ones_and_lead_to_the_engines_frames(
    dataset: Dataset, torch_model: WorldModel, wmq_file: Path
):
    games = val_games(dataset)
    predictor = IntegerPredictor(wmq_file, threads=1)
    kept: dict[int, list] = {0: [], 1: [], 2: []}
    predictor.walk(games, [], lambda number, first, heads: kept[number].append(heads))
    for number, game in enumerate(games):
        heads = {name: np.concatenate([part[name] for part in kept[number]])
                 for name in kept[number][0]}  # fmt: skip
        for name, exact in torch_heads(torch_model, game).items():
            spread = np.abs(exact - exact.mean(0)).mean()
            assert np.abs(heads[name] - exact).mean() < 0.25 * spread + 1e-3, name
        run = predictor.engine.run(
            predictor.engine.zero_state(), game.frames[:-1], game.controllers,
            len(game.frames) - 1,
        )  # fmt: skip
        np.testing.assert_array_equal(next_frames(SCHEMA, game.frames[:-1], heads), run.frames)


def test_figures_depend_neither_on_threads_nor_on_the_other_models(
    dataset: Dataset, onnx_file: Path, wmq_file: Path
):
    both = [onnx_file, wmq_file]
    one = evaluate(dataset, both, EvaluationSettings(horizon=6, starts=20, threads=1))
    two = evaluate(dataset, both, EvaluationSettings(horizon=6, starts=20, threads=2))
    assert one.models[1] == two.models[1]
    assert one.models[0].figures == pytest.approx(two.models[0].figures, rel=1e-5)
    alone = evaluate(dataset, [wmq_file, "frozen"], EvaluationSettings(horizon=6, starts=20))
    assert alone.models[0] == one.models[1]


def test_the_integer_model_is_compared_with_the_float_one(
    dataset: Dataset, onnx_file: Path, wmq_file: Path
):
    report = evaluate(dataset, ["frozen", onnx_file, "constant-velocity", wmq_file],
                      EvaluationSettings(horizon=20, starts=30))  # fmt: skip
    assert [model.name for model in report.models] == [
        "frozen", "small.onnx", "constant-velocity", "small.wmq",
    ]  # fmt: skip
    (pair,) = report.comparisons
    assert pair.names == ("small.onnx", "small.wmq")
    exact, integer = report.models[1], report.models[3]
    for name in ("val_loss", "change_acc"):
        assert pair.difference[name] == integer.figures[name] - exact.figures[name]
    assert pair.percent["val_loss"] == pytest.approx(
        100 * (integer.figures["val_loss"] / exact.figures["val_loss"] - 1)
    )
    assert "change_acc" not in pair.percent
    assert set(exact.rolled) == {"rc(5)", "rc(20)"}
    assert pair.difference["rc(20)"] == integer.rolled["rc(20)"] - exact.rolled["rc(20)"]
    assert len(pair.first) == len(report.starts) == 30
    assert all(0 <= frame <= 20 for frame in pair.first)
    assert pair.divergence["never"] == pytest.approx(100 * pair.first.count(0) / 30)


def test_the_same_rollouts_never_diverge(dataset: Dataset, onnx_file: Path):
    report = evaluate(dataset, [onnx_file, onnx_file], EvaluationSettings(horizon=5, starts=10))
    assert report.comparisons[0].divergence == {"median": None, "never": 100}
    assert set(report.comparisons[0].difference.values()) == {0.0}


def test_a_comparison_by_hand():
    one = ModelReport("a", {"val_loss": 2.0, "change_acc": 50.0, "pos_mae": 0.0}, [])
    other = ModelReport("b", {"val_loss": 2.1, "change_acc": 49.0, "pos_mae": 0.5}, [])
    found = compare(SCHEMA, Measured(one), Measured(other), draw_weights(2))
    assert found.difference == pytest.approx({"val_loss": 0.1, "change_acc": -1, "pos_mae": 0.5})
    assert found.percent == {"val_loss": pytest.approx(5)}


def test_frozen_rolls_out_as_the_distance_from_the_start(dataset: Dataset):
    report = evaluate(dataset, ["frozen"], EvaluationSettings(horizon=20, starts=15))
    games = {game.info.sha256: game for game in val_games(dataset)}
    at = [SCHEMA.index(axis, player) for player in (0, 1) for axis in "xy"]
    for frame in (1, 20):
        away = [
            np.abs(games[s].frames[row + frame, at] - games[s].frames[row, at]).mean() / Q16
            for s, row in report.starts
        ]
        assert report.models[0].by_horizon[frame - 1] == pytest.approx(np.mean(away))
    assert report.models[0].rolled["rc(20)"] == pytest.approx(np.mean(report.models[0].by_horizon))


def test_games_and_frames_limit_what_is_read(dataset: Dataset):
    report = evaluate(dataset, ["frozen"], EvaluationSettings(games=2, frames=100))
    assert report.sha256 == [f"{1:064x}", f"{2:064x}"]
    assert report.frames == 200
    assert len(true_frames(val_games(dataset), [StartRow(0, 3)], 2)) == 1


def test_a_game_is_cut_at_chunks_starts_and_its_end(dataset: Dataset):
    game = val_games(dataset)[1]
    assert cuts(game) == [0, CHUNK]
    assert cuts(game, [7, CHUNK - 1]) == [0, 7, CHUNK - 1, CHUNK]


def test_progress_counts_every_frame(dataset: Dataset, onnx_file: Path):
    seen: dict[str, tuple[int, int]] = {}
    evaluate(dataset, [onnx_file], EvaluationSettings(horizon=4, starts=10),
             lambda what, done, total: seen.update({what: (done, total)}))  # fmt: skip
    frames = 299 + CHUNK + 2 * CHUNK - 1
    assert seen == {
        "small.onnx": (frames, frames),
        "small.onnx, rolled out": (40, 40),
    }


@pytest.mark.parametrize(
    ("models", "settings", "message"),
    [
        (
            ["model.pt"],
            EvaluationSettings(),
            r"a checkpoint, not a model .*; frozen and constant-velocity need no file",
        ),
        (["none.onnx"], EvaluationSettings(), "no such file"),
        (["frozen"], EvaluationSettings(horizon=500), "too short for a horizon of 500 frames"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    dataset: Dataset, models: list[str], settings: EvaluationSettings, message: str
):
    with pytest.raises(WmqError, match=message):
        evaluate(dataset, models, settings)


def test_a_program_without_scales_is_refused_before_any_model_is_measured(
    dataset: Dataset, onnx_file: Path, wmq_file: Path, tmp_path: Path
):
    lacking, seen = without_head_scales(wmq_file, tmp_path / "lacking.wmq"), []
    with pytest.raises(WmqError, match="lacking.wmq: head .* has no scale"):
        evaluate(dataset, [onnx_file, lacking],
                 progress=lambda what, done, total, note="": seen.append(what))  # fmt: skip
    assert not seen


def test_an_empty_split_is_named(dataset: Dataset):
    only_val = replace(dataset, games=tuple(dataset.select("val")))
    with pytest.raises(WmqError, match="no game in the split train"):
        evaluate(only_val, ["frozen"], EvaluationSettings(split="train"))


def test_models_with_other_spreads_are_refused(
    dataset: Dataset, torch_model: WorldModel, onnx_file: Path, tmp_path: Path
):
    model = WorldModel(torch_model.config)
    path = tmp_path / "other.onnx"
    path.write_bytes(to_bytes(onnx_model(model)))
    with pytest.raises(WmqError, match="other.onnx: its val_loss is in other units"):
        evaluate(dataset, [onnx_file, path])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_the_command_prints_a_table(dataset: Dataset, onnx_file: Path, wmq_file: Path):
    result = run("--data", dataset.path, onnx_file, wmq_file, "frozen", "--horizon", 20)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{299 + CHUNK + 2 * CHUNK - 1:,} frames of 3 games (val)")
    assert lines[0].endswith("; fewer than 10 games say little about others")
    assert lines[1].split(maxsplit=3)[3] == "small.wmq - small.onnx"
    assert any(line.startswith("val_loss ") and line.endswith(" %") for line in lines)
    assert any(line.startswith("change_acc ") and line.endswith(" points") for line in lines)
    assert any(line.startswith("rc(20) ") for line in lines)
    assert "first other action, small.wmq against small.onnx: median" in lines[-1]


def test_the_command_prints_json_without_nan(dataset: Dataset):
    result = run("--data", dataset.path, "constant-velocity", "--json", "--frames", 50)
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert found["models"][0]["name"] == "constant-velocity"
    assert len(found["models"][0]["games"]) == 3
    assert found["frames"] == 150


def test_the_command_says_what_is_wrong_in_one_line(dataset: Dataset, tmp_path: Path):
    broken = tmp_path / "broken.wmq"
    broken.write_bytes(b"not a program" * 100)
    for arguments in (
        ("--data", tmp_path / "none", "frozen"),
        ("--data", dataset.path, broken),
        ("--data", dataset.path, tmp_path / "none.wmq"),
        ("--data", dataset.path, "frozen", "--horizon", 500),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith("wmq: ")
