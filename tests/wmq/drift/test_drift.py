"""`wmq drift`: equal models never part, broken ones are found, and stopped runs go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from calib.step.graph import read_step
from tests.support.drift_games import GAMES, LENGTH, broken_model, like_no_other, small_dataset
from tests.support.rollout_models import without_head_scales
from wmq.cli import main
from wmq.dataset.store import Dataset
from wmq.drift import DriftSettings, drift
from wmq.drift.float_pairs import NudgedStep, int8_nudge, tiny_nudge
from wmq.drift.free_rollouts import randomly_played
from wmq.drift.statistics import FROZEN_AFTER
from wmq.errors import WmqError
from wmq.evaluation.results import Drift, read_result
from wmq.evaluation.rollout_error import LEAST_FRAMES, choose_starts, most_frames
from wmq.game.schema import FIRST_FRAME, Q16, Schema
from wmq.inference.baselines import Trivial, TrivialPredictor, shares_unchanged
from wmq.inference.float_predictor import OnnxPredictor, StepPredictor
from wmq.inference.onnx_session import OnnxStep
from wmq.inference.predictor import StartRow
from wmq.inference.torch_step import TorchStep, one_thread_each
from wmq.replays.slippi import Game
from wmq.rollout.controllers import random_controllers

pytest_plugins = ["tests.support.rollout_models"]
SCHEMA = Schema()
MOST = LENGTH + FIRST_FRAME - 1  # frames after frame 0 in a game
SIZE = {"starts": 30, "horizon": 25, "worlds": 14, "frames": 40}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("drift") / "dataset")


@pytest.fixture(scope="module")
def games(dataset: Dataset) -> list[Game]:
    return [dataset.load(info, SCHEMA) for info in dataset.select("val")]


@pytest.fixture(scope="module")
def settings(
    models: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> DriftSettings:
    """The small pair, the float model once more, and one with broken heads."""
    folder = tmp_path_factory.mktemp("others")
    same, broken = folder / "same.onnx", folder / "broken.onnx"
    shutil.copy(models / "small.onnx", same)
    broken_model(models / "small.onnx", broken)
    return DriftSettings(dataset.path, models / "small.wmq", models / "small.onnx", (same, broken),
                    **SIZE)  # fmt: skip


@pytest.fixture(scope="module")
def found(settings: DriftSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Drift, Path]:
    folder = tmp_path_factory.mktemp("stages")
    return drift(changed(settings, folder=folder)), folder


def changed(settings: DriftSettings, **changes: object) -> DriftSettings:
    return DriftSettings(**{**settings.__dict__, **changes})


def without_seconds(result: Drift) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(result, seconds=0.0))


def test_a_model_never_parts_from_itself(found: tuple[Drift, Path]):
    result = found[0]
    (pair,) = [p for p in result.pairs if p.name == "same.onnx against float"]
    assert pair.kind == "quantized"
    assert pair.same.horizons[-1] == SIZE["horizon"]
    assert set(pair.same.mean) == set(pair.same.lo) == {100}
    assert set(pair.distance.mean) == set(pair.distance.hi) == {0}
    assert pair.first_divergence == {"median": None, "never": 100}
    assert set(result.truth_difference["same.onnx"].mean) == {0}
    assert result.truth["same.onnx"] == result.truth["float"]
    for statistic in result.statistics:
        assert statistic.tracks["same.onnx"] == statistic.tracks["float"]
        assert statistic.p["same.onnx"] == 1
    verdicts = [v for v in result.verdicts if v.model == "same.onnx"]
    assert [v.horizon for v in verdicts] == [1, 20, SIZE["horizon"], SIZE["frames"]]
    assert not any(v.distinguishable for v in verdicts)
    assert all("same.onnx is not distinguishable from float" in v.sentence for v in verdicts)


def test_a_broken_head_is_found_at_every_horizon(found: tuple[Drift, Path]):
    verdicts = [v for v in found[0].verdicts if v.model == "broken.onnx"]
    assert [v.horizon for v in verdicts] == [1, 20, SIZE["horizon"], SIZE["frames"]]
    assert all(v.distinguishable for v in verdicts)
    airborne = [s for s in found[0].statistics if s.name == "airborne"]
    assert {s.controllers for s in airborne} == {"real", "random"}
    assert all(s.tracks["broken.onnx"].value == 100 for s in airborne)
    assert all(s.differences["broken.onnx"].excludes_zero for s in airborne)


def test_what_is_reported_is_complete(found: tuple[Drift, Path], dataset: Dataset):
    result = found[0]
    assert (result.starts, result.horizon, result.worlds, result.frames) == (30, 25, 14, 40)
    assert [p.name for p in result.pairs if p.kind == "yardstick"] == [
        "float64 against float32", "torch against onnxruntime", "float nudged by 1e-6",
        "float nudged by half an int8 step",
    ]  # fmt: skip
    assert set(result.relative) == {f"{n} against float" for n in
                                    ("int8", "same.onnx", "broken.onnx")}  # fmt: skip
    assert set(result.truth) == {"float", "int8", "same.onnx", "broken.onnx"}
    for statistic in result.statistics:
        assert ("real" in statistic.tracks) == (statistic.controllers == "real")
        assert set(statistic.holm) == {"int8", "same.onnx", "broken.onnx"}
        assert all(statistic.holm[m] >= statistic.p[m] for m in statistic.p)
    assert result.games == [info.sha256 for info in dataset.select("val")]
    assert result.sentence.startswith("Is int8 distinguishable from float? at one frame ")
    assert msgspec.json.decode(msgspec.json.encode(result), type=Drift) == result


def test_a_finished_run_is_read_back(
    settings: DriftSettings, found: tuple[Drift, Path], monkeypatch: pytest.MonkeyPatch
):
    result, folder = found

    def walk(*args: object) -> None:
        pytest.fail("a stage that was kept is made again")

    monkeypatch.setattr(StepPredictor, "walk", walk)
    monkeypatch.setattr(StepPredictor, "roll", walk)
    assert without_seconds(drift(changed(settings, folder=folder))) == \
        without_seconds(result)  # fmt: skip


def test_an_interrupted_run_goes_on_to_the_same_figures(
    settings: DriftSettings, found: tuple[Drift, Path], tmp_path: Path
):
    def stop(what: str, done: int, total: int) -> None:
        if what == "int8: paired rollouts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drift(changed(settings, folder=tmp_path), stop)
    kept = sorted(file.name for file in tmp_path.iterdir())
    assert any(name.startswith("float-worlds") for name in kept)
    assert not any(name.startswith("int8-paired") for name in kept)
    (tmp_path / kept[0]).write_bytes(b"half a file")
    np.savez(tmp_path / kept[1], frames=np.zeros((3, 2), np.int32))
    titles = set()
    again = drift(changed(settings, folder=tmp_path, threads=2),
                  lambda what, done, total: titles.add(what))  # fmt: skip
    assert without_seconds(again) == without_seconds(found[0])
    assert "float: worlds, random controllers" not in titles
    assert "int8: paired rollouts" in titles


def test_seconds_are_those_of_all_runs(settings: DriftSettings, tmp_path: Path):
    """What a run reads back counts as long as it took when it was measured."""
    small = changed(settings, folder=tmp_path, others=(), worlds=2, frames=5, starts=4, horizon=5)
    drift(small)
    stages = list(tmp_path.iterdir())
    for stage in stages:
        with np.load(stage) as kept:
            np.savez(stage, **{**kept, "seconds": np.float64(1000.0)})
    again = drift(small)
    assert 1000 * len(stages) < again.seconds < 1000 * len(stages) + 500
    assert 0 < len(stages) == len(list(tmp_path.iterdir()))


def test_other_settings_are_other_stages(settings: DriftSettings, found: tuple[Drift, Path]):
    before = len(list(found[1].iterdir()))
    other = changed(settings, folder=found[1], others=(), frames=10)
    result = drift(other)
    assert result.frames == 10
    assert len(list(found[1].iterdir())) > before


def test_a_model_in_which_nothing_happens_is_frozen(models: Path, tmp_path: Path):
    """A predictor that is no file, as the suite's ways are: every frame is like the start."""
    data = small_dataset(tmp_path / "long", games=3, length=500)
    games = [data.load(info, SCHEMA) for info in data.select("val")]
    still = TrivialPredictor(Trivial(SCHEMA, shares_unchanged(SCHEMA, games), False))
    settings = DriftSettings(data.path, models / "small.wmq", models / "small.onnx", starts=6,
                        horizon=20, worlds=5, frames=FROZEN_AFTER)  # fmt: skip
    found = drift(settings, ready={"frozen": (still, "0" * 64)})
    own = {(s.name, s.controllers): s.tracks["frozen"].value for s in found.statistics}
    for controllers in ("real", "random"):
        assert own["frozen", controllers] == 100
        assert own["damage", controllers] == own["stocks lost", controllers] == 0
    starts = choose_starts(games, 6, 20)
    at = [SCHEMA.index(axis, player) for player in (0, 1) for axis in "xy"]
    away = [np.abs(games[s.game].frames[s.row + 20, at] - games[s.game].frames[s.row, at]).mean()
            for s in starts]  # fmt: skip
    assert found.truth["frozen"].mean[-1] == pytest.approx(np.mean(away) / Q16)


def test_an_unnudged_rollout_is_the_float_one(models: Path, games: list[Game]):
    starts = choose_starts(games, 20, 12)
    model = OnnxPredictor(models / "small.onnx", 1)
    states = model.walk(games, starts, lambda number, first, heads: None)
    plain = model.roll(games, starts, states, 12, lambda frames: None)
    for nudge, equal in ((0.0, True), (0.5, False)):
        nudged = [{**state, "nudge": np.array([nudge], np.float32)} for state in states]
        predictor = StepPredictor(NudgedStep(OnnxStep(models / "small.onnx")), {}, 2)
        rolled = predictor.roll(games, starts, nudged, 12, lambda frames: None)
        assert np.array_equal(rolled, plain) == equal


def test_a_nudge_is_what_a_player_elsewhere_would_give(models: Path, games: list[Game]):
    """x moved by whole integer units in the frame gives the same heads as the nudged input."""
    step = OnnxStep(models / "small.onnx")
    frames, pads = games[0].frames[40:43], games[0].controllers[40:44]
    moved = frames.copy()
    moved[:, SCHEMA.index("x", 0)] += Q16 // 2
    state = step.zero_state(3)
    wanted, after = step.step(moved, pads[:3], pads[1:], state)
    nudged = {**state, "nudge": np.full(3, 0.5, np.float32)}
    heads, then = NudgedStep(step).step(frames, pads[:3], pads[1:], nudged)
    assert set(then) == set(after)  # so that the frames that follow are not nudged
    for name in wanted:
        np.testing.assert_array_equal(heads[name], wanted[name])


def test_nudges_are_of_the_scaled_input_and_of_the_furthest_x(games: list[Game]):
    assert tiny_nudge(SCHEMA) * 0.05 == pytest.approx(1e-6)
    at = [SCHEMA.index("x", 0), SCHEMA.index("x", 1)]
    furthest = max(np.abs(game.frames[:, at] / Q16).max() for game in games)
    assert int8_nudge(SCHEMA, games) == pytest.approx(furthest / 254)


def test_torch_computes_the_float_step(models: Path, games: list[Game]):
    path = models / "small.onnx"
    step, starts = OnnxStep(path), [StartRow(0, 30), StartRow(1, 50)]
    exact = OnnxPredictor(path, 1)
    states = exact.walk(games, starts, lambda number, first, heads: None)
    now = np.stack([games[s.game].frames[s.row] for s in starts])
    pads = [np.stack([games[s.game].controllers[s.row + k] for s in starts]) for k in (0, 1)]
    state = {name: np.concatenate([s[name] for s in states]) for name in states[0]}
    wanted, _ = step.step(now, *pads, state)
    single, double = (TorchStep(read_step(path), kind) for kind in (False, True))
    found = {kind.dtype.itemsize: kind.step(now, *pads, state) for kind in (single, double)}
    for size, (heads, after) in found.items():
        assert set(after) == set(state)
        for name, values in heads.items():
            assert values.dtype.itemsize == size
            reach = np.abs(wanted[name]).max()
            np.testing.assert_allclose(values, wanted[name], atol=2e-5 * reach, err_msg=name)
    assert any(not np.array_equal(found[4][0][name], found[8][0][name]) for name in wanted)


def test_torch_rollouts_depend_on_no_number_of_threads(models: Path, games: list[Game]):
    starts = choose_starts(games, 25, 8)
    step = TorchStep(read_step(models / "small.onnx"), True)
    rolled = []
    for threads in (1, 3):
        predictor = StepPredictor(step, {}, threads)
        with one_thread_each():
            states = [step.zero_state() for _ in starts]
            rolled.append(predictor.roll(games, starts, states, 8, lambda frames: None))
    np.testing.assert_array_equal(*rolled)


def test_random_worlds_begin_with_the_real_controllers(games: list[Game]):
    starts = [StartRow(2, 130), StartRow(0, 124)]
    played = randomly_played(games, starts, 50)
    for world, (start, game) in enumerate(zip(starts, played, strict=True)):
        np.testing.assert_array_equal(game.frames, games[start.game].frames[[start.row]])
        np.testing.assert_array_equal(game.controllers[0], games[start.game].controllers[start.row])
        for player in (0, 1):
            own = game.controllers[1:, 13 * player : 13 * player + 13]
            np.testing.assert_array_equal(own, random_controllers(50, player, world))


def test_the_longest_horizon_has_a_start_and_one_more_has_none(games: list[Game]):
    assert most_frames(games) == MOST
    assert choose_starts(games, 9, MOST) and not choose_starts(games, 9, MOST + 1)
    assert most_frames(games[:0]) < 0
    cut = [Game(g.info, g.frames[: LEAST_FRAMES + 1], g.controllers) for g in games]
    assert choose_starts(cut, 9, 1)
    assert not choose_starts([Game(g.info, g.frames[:LEAST_FRAMES], g.controllers) for g in cut],
                             9, 1)  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["drift", *map(str, arguments)])


def test_the_command_prints_tables_and_writes_json(models: Path, dataset: Dataset, tmp_path: Path):
    out = tmp_path / "drift.json"
    result = run(models / "small.wmq", "--float", models / "small.onnx", "--data", dataset.path,
                 "--quick", "--horizon", 20, "--frames", 30, "--threads", 1, "-o", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Can int8 be told from float?" and lines[1].split()[2] == "?"
    assert "small.wmq: 24 starts of 4 games with the true controllers, 20 frames" in lines
    assert any(line.startswith("  int8 against float ") for line in lines)
    assert any(line.startswith("  airborne, % of frames") for line in lines)
    assert any(line.startswith("note: the starts are of 4 games") for line in lines)
    found = read_result(out, Drift)
    assert found.sentence.startswith("4 games: too few for intervals to hold, and no verdict")
    assert not any(verdict.distinguishable for verdict in found.verdicts)
    assert found.command == ("wmq drift small.wmq --data dataset --float small.onnx --horizon 20 "
                             "--frames 30 --quick --threads 1 -o drift.json")  # fmt: skip
    assert (found.starts, found.horizon, found.worlds, found.frames) == (24, 20, 4, 30)
    assert [pair.name for pair in found.pairs if pair.kind == "quantized"] == ["int8 against float"]
    for statistic in found.statistics:  # dynamic int8 has worlds, unless others are named
        assert {"float", "int8", "onnxruntime dynamic"} <= set(statistic.tracks)
    assert (tmp_path / "drift.json.stages").is_dir()


def test_the_command_prints_json(models: Path, dataset: Dataset):
    result = run(models / "small.wmq", "--float", models / "small.onnx", "--data", dataset.path,
                 "--starts", 6, "--horizon", 5, "--worlds", 2, "--frames", 5, "--json",
                 "--threads", 1)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert found["horizon"] == 5
    assert len(found["games"]) == GAMES


def test_the_command_says_what_is_wrong_in_one_line(models: Path, dataset: Dataset, tmp_path: Path):
    pair = [models / "small.wmq", "--float", models / "small.onnx"]
    stranger = like_no_other(models / "small.onnx", tmp_path / "stranger.onnx")
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no model")
    (tmp_path / "file").write_text("")
    short = small_dataset(tmp_path / "short", games=1, length=LEAST_FRAMES).path
    cases = [
        ([models / "small.onnx", "--data", dataset.path], "not an integer program"),
        ([tmp_path / "none.wmq", "--data", dataset.path], "no such file"),
        ([*pair, "--data", tmp_path], "no dataset here"),
        ([*pair, "--data", dataset.path, "--horizon", LENGTH], 
         "--horizon 230: no validation game of"),
        ([*pair, "--data", dataset.path, "--horizon", MOST + 1], f"give {MOST} or fewer"),
        ([*pair, "--data", dataset.path, "--horizon", 5], f"give {MOST} or fewer"),
        ([*pair, "--data", short, "--horizon", 5, "--frames", 5], f"has {LEAST_FRAMES} frames"),
        ([*pair[:2], stranger, "--data", dataset.path], "which is of another training run"),
        ([*pair, "--data", dataset.path, "--quick", "--other", junk], "junk.onnx"),
        ([*pair, "--data", dataset.path, "--other", tmp_path / "x.txt"], "not a model"),
        ([*pair, "--data", dataset.path, "-o", tmp_path / "drift.txt"], "end the name with .json"),
        ([*pair, "--data", dataset.path, "-o", tmp_path / "no" / "d.json"], "does not exist"),
        ([*pair, "--data", dataset.path, "--quick", "--frames", 9, "-w", tmp_path / "file"],
         "choose another folder with -w"),
    ]  # fmt: skip
    for arguments, expected in cases:
        result = run(*arguments, "--threads", 1)
        assert result.exit_code == 2, (arguments, result.output)
        assert expected in result.output and result.output.startswith("wmq: "), result.output
        assert result.output.count("\n") == 1


def test_a_program_without_scales_is_refused_before_anything_is_measured(
    models: Path, dataset: Dataset, tmp_path: Path
):
    lacking = without_head_scales(models / "small.wmq", tmp_path / "lacking.wmq")
    settings = DriftSettings(dataset.path, models / "small.wmq", models / "small.onnx",
                             (lacking,), **SIZE)  # fmt: skip
    seen: list[str] = []
    with pytest.raises(WmqError, match="lacking.wmq: head .* has no scale"):
        drift(settings, lambda what, done, total, note="": seen.append(what))
    assert not seen


def test_a_dataset_without_validation_games_is_refused(models: Path, tmp_path: Path):
    root = small_dataset(tmp_path / "d", games=0).path
    result = run(models / "small.wmq", "--float", models / "small.onnx", "--data", root)
    assert result.exit_code == 2 and "no game in the split val" in result.output
