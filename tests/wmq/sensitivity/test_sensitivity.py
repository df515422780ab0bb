"""`wmq sensitivity`: what it measures is what `wmq evaluate` measures, and a run goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import to_bytes
from tests.support.small_step import random_play, small_step
from wmq.calibration.play import calibration_game
from wmq.cli import main
from wmq.dataset.store import Dataset, Game, GameInfo, write_game, write_index
from wmq.errors import WmqError
from wmq.evaluation import bootstrap, evaluate
from wmq.evaluation.results import Sensitivity, read_result
from wmq.evaluation.rollout_error import LEAST_FRAMES
from wmq.game.schema import FULL, Schema
from wmq.memo.store import Store
from wmq.sensitivity import passes
from wmq.sensitivity.measure import LOSS, GameSums, figures
from wmq.sensitivity.passes import ELAPSED, Elapsed, RunClock
from wmq.sensitivity.run import NOTICEABLE, SensitivitySettings, sensitivity
from wmq_kernels.program import encode

SCHEMA = Schema()
FRAMES, STARTS = 190, 3
SETTINGS = SensitivitySettings(games=2, frames=FRAMES, starts=STARTS, threads=2)
TOO_FEW = LEAST_FRAMES - 1  # frames of a game that has no start
FIGURES = ("val_loss", "pos_mae", "change_acc", "rc(20)")


def wmq(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write_dataset(root: Path, splits: list[str]) -> Path:
    (root / "games").mkdir(parents=True)
    infos = []
    for number, split in enumerate(splits):
        frames, pads = random_play(FULL, FRAMES + 10, seed=number)
        frames[:, FULL.stage_index] = 31
        characters = tuple(int(frames[0, FULL.index("character", p)]) for p in (0, 1))
        sha256 = hashlib.sha256(bytes([number])).hexdigest()
        infos.append(GameInfo(sha256, split, len(frames), 31, characters, "3.14.0", (), (0.1, 0.1)))
        write_game(root, Game(infos[-1], frames, pads))
    write_index(root, sorted(infos, key=lambda i: i.sha256), [])
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", ["val", "val", "train"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """small.wmq, with small.onnx beside it."""
    folder = tmp_path_factory.mktemp("model")
    step = small_step(folder)
    content = to_bytes(step.model)
    (folder / "small.onnx").write_bytes(content)
    dataset = Dataset.open(data)
    games = [dataset.load(info, SCHEMA) for info in dataset.games]
    played = [calibration_game(SCHEMA, game.frames, game.controllers) for game in games]
    about = {"onnx_sha256": hashlib.sha256(content).hexdigest()}
    program = lower(
        step, collect(step, played).ranges(), about, RecurrentState(headroom_bits=2), ["heads.*"]
    )
    path = folder / "small.wmq"
    path.write_bytes(encode(program))
    return path


@pytest.fixture(scope="module")
def found(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A whole run by the command line."""
    out = tmp_path_factory.mktemp("run") / "found.json"
    result = wmq("sensitivity", model, "--data", data, "--games", 2, "--frames", FRAMES,
                 "--starts", STARTS, "--threads", 2, "-o", out,
                 "--chart", out.with_suffix(".svg"))  # fmt: skip
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture(scope="module")
def result(found: tuple[Path, Result]) -> Sensitivity:
    return read_result(found[0], Sensitivity)


def test_the_program_s_figures_are_those_of_wmq_evaluate(
    result: Sensitivity, model: Path, data: Path
):
    settings = evaluate.EvaluationSettings(games=2, frames=FRAMES, horizon=20, starts=STARTS)
    models = [model.with_suffix(".onnx"), model]
    report = evaluate.evaluate(Dataset.open(data), models, settings)
    whole = next(entry for entry in result.entries if entry.kind == "program")
    before, after = (one.figures | one.rolled for one in report.models)
    assert result.frames == report.frames
    for name in FIGURES:
        figure = whole.figures[name]
        assert figure.value == pytest.approx(after[name], rel=1e-9)
        difference = after[name] - before[name]
        percent = 100 * difference / before[name] if name != "change_acc" else difference
        assert figure.difference.value == pytest.approx(percent, rel=1e-6, abs=1e-9)
        assert figure.percent == (name != "change_acc")


def test_every_class_is_there_and_the_worst_comes_first(result: Sensitivity):
    classes = [entry.name for entry in result.entries if entry.kind == "class"]
    assert set(classes) == {
        "inputs of frame/ctrl_proj", "inputs of in_proj", "inputs of out_proj",
        "inputs of heads", "weights of frame/ctrl_proj", "weights of in_proj",
        "weights of out_proj", "weights of heads", "conv1d weights", "embeddings", "z", "xbc",
        "conv1d", "silu_z", "x", "B", "C", "dt", "drive", "state", "y", "gated", "residual",
        "head values",
    }  # fmt: skip
    costs = [entry.figures["val_loss"].difference.value for entry in result.entries]
    assert costs == sorted(costs, reverse=True)
    kinds = [entry.kind for entry in result.entries]
    assert kinds.count("together") == kinds.count("program") == 1


def test_layers_are_measured_where_the_class_costs_something(result: Sensitivity):
    layers = {entry.name for entry in result.entries if entry.kind == "layer"}
    for entry in result.entries:
        moved = [f.difference.value for n, f in entry.figures.items() if n != "change_acc"]
        if entry.kind == "class":
            asked = max(map(abs, moved)) >= NOTICEABLE
            assert any(name.startswith(f"{entry.name}: ") for name in layers) == asked, entry.name
    assert {f"weights of in_proj: layer {i}" for i in (0, 1)} <= layers
    assert {f"weights of heads: {kind}" for kind in ("continuous", "classes")} <= layers
    assert "state: layer 0" not in layers


def test_the_simulation_explains_the_program(result: Sensitivity):
    """Both lose about the same, and more than the widest tensors do alone."""
    by_name = {entry.name: entry for entry in result.entries}
    whole, simulated = (next(e for e in result.entries if e.kind == k)
                        for k in ("program", "together"))  # fmt: skip
    assert abs(whole.same_action - simulated.same_action) < 1
    lost, explained = (e.figures["val_loss"].difference.value for e in (whole, simulated))
    assert abs(lost - explained) < 0.2 * max(abs(lost), 0.05)
    for wide in ("state", "residual", "drive"):
        assert by_name[wide].same_action > 99.9


def test_the_table_ranks_and_names_the_file(found: tuple[Path, Result], result: Sensitivity):
    out, printed = found
    text = printed.output
    assert "classes, by val_loss" in text and "classes, by rc(20)" in text and str(out) in text
    first = next(entry.name for entry in result.entries if entry.kind == "class")
    after = text.split("classes, by val_loss")[1].splitlines()[1]
    assert after.startswith(first)
    assert all(len(line) <= 80 for line in text.splitlines() if str(out) not in line)
    assert out.with_suffix(".svg").read_bytes().startswith(b"<?xml")


def test_progress_comes_with_every_piece_and_ends_at_its_total(
    model: Path, data: Path, tmp_path: Path
):
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(what: str, done: int, total: int) -> None:
        seen.setdefault(what, []).append((done, total))

    sensitivity(model, None, Dataset.open(data), tmp_path / "a.json", SETTINGS, progress)
    for what, reports in seen.items():
        done, totals = zip(*reports, strict=True)
        assert list(done) == sorted(done) and set(totals) == {done[-1]}, what
        if what.startswith("measuring"):  # at least each game and each frame of the rollouts
            assert max(np.diff(done)) < FRAMES + 1
    assert {"measuring the float model", "measuring classes", "measuring layers"} <= set(seen)


def test_a_second_run_measures_nothing_and_finds_the_same(
    found: tuple[Path, Result], result: Sensitivity, model: Path, data: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    out, _ = found

    def never(*arguments: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(passes, "measure", never)
    monkeypatch.setattr(passes, "count_clipped", never)
    again = sensitivity(model, None, Dataset.open(data), out, SETTINGS)
    assert again.entries == result.entries


def test_an_interrupted_run_goes_on(
    found: tuple[Path, Result], result: Sensitivity, model: Path, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """The fifth entry is interrupted; what was there before is not measured again."""
    out, measured, calls = tmp_path / "found.json", passes.measure, []
    folder = copied(found[0], out)
    for path in sorted(folder.glob("sums-*"), key=lambda path: path.stat().st_mtime_ns)[-7:]:
        path.unlink()  # as if these had not come yet

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(passes, "measure", interrupted)
    one = SensitivitySettings(games=2, frames=FRAMES, starts=STARTS, threads=1)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, None, Dataset.open(data), out, one)
    assert not out.exists()
    assert sensitivity(model, None, Dataset.open(data), out, one).entries == result.entries
    assert len(calls) <= 5 + 1 + 3  # one may have begun when the fifth failed


def copied(source: Path, out: Path) -> Path:
    """What was kept beside one result, beside another."""
    folder = out.with_name(f"{out.name}.measured")
    shutil.copytree(source.with_name(f"{source.name}.measured"), folder)
    return folder


def test_what_is_damaged_beside_the_result_is_measured_again(
    found: tuple[Path, Result], result: Sensitivity, model: Path, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    folder = copied(found[0], tmp_path / "a.json")
    sums, clipped, seconds = (sorted(folder.glob(f"{kind}-*"))
                              for kind in ("sums", "clipped", "seconds"))  # fmt: skip
    whole = json.loads(sums[0].read_text())
    shorter = {part: {name: values[1:] for name, values in whole[part].items()} for part in whole}
    lacking = {"sums": {"rc(20)": [1.0, 2.0]}, "counts": {}}
    damages = (b"", b"[" * 10_000, json.dumps(shorter).encode(), json.dumps(lacking).encode())
    for path, content in zip(sums[:4], damages, strict=True):
        path.write_bytes(content)
    clipped[0].write_bytes(b"{}")
    seconds[0].write_bytes(b'{"seconds": [1]}')
    calls, measured = [], passes.measure
    monkeypatch.setattr(passes, "measure", lambda *a: calls.append(1) or measured(*a))
    again = sensitivity(model, None, Dataset.open(data), tmp_path / "a.json", SETTINGS)
    assert again.entries == result.entries and len(calls) == 4 and again.seconds < 1000


def test_a_file_that_an_earlier_version_kept_is_replaced(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.json.measured").write_bytes(b'{"measured": {}}')
    monkeypatch.setattr(passes, "actions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, None, Dataset.open(data), tmp_path / "a.json", SETTINGS)
    assert list((tmp_path / "a.json.measured").glob("clipped-*.json"))


def test_seconds_are_those_of_all_runs_of_one_program(tmp_path: Path):
    store = Store(tmp_path)
    store.write("seconds", "other", ELAPSED, Elapsed(5000.0))
    store.write("seconds", "run", ELAPSED, Elapsed(1000.0))
    clock = RunClock(store, "run")
    assert 1000 <= clock.seconds < 1100
    clock.save()
    assert 1000 < RunClock(store, "run").seconds < 1100
    assert RunClock(store, "third").seconds < 100


def test_what_was_typed_is_kept_with_names_for_paths(result: Sensitivity):
    assert result.command == (
        f"wmq sensitivity small.wmq --data dataset --games 2 --frames {FRAMES} "
        f"--starts {STARTS} --threads 2 -o found.json --chart found.svg"
    )
    assert result.games == 2


def test_one_game_has_no_intervals(
    model: Path, data: Path, tmp_path: Path, found: tuple[Path, Result]
):
    out = tmp_path / "one.json"
    printed = wmq("sensitivity", model, "--data", data, "--games", 1, "--frames", FRAMES,
                  "--starts", STARTS, "--threads", 2, "-o", out)  # fmt: skip
    assert "note: 1 game: no intervals" in printed.output
    assert "note: 2 games: too few for intervals to hold" in found[1].output
    for entry in read_result(out, Sensitivity).entries:
        for figure in entry.figures.values():
            assert figure.difference.value is not None and figure.detectable is None
            assert figure.difference.lo is figure.difference.hi is None
    assert "[" not in printed.output.split("saturations")[0]


def test_a_difference_is_paired_and_its_interval_is_that_of_resampled_games():
    """Twice the loss in every game: +100 % in each draw; another change has the usual spread."""
    rng = np.random.default_rng(0)
    names = (*LOSS, "pos_mae", "change_acc", "rc(20)", "same_action")
    sums = {name: rng.uniform(1, 9, 6).tolist() for name in names}
    counts = {name: rng.integers(5, 50, 6).astype(float).tolist() for name in names}
    record = GameSums(sums, counts)
    twice = GameSums({n: (2 * np.array(v)).tolist() for n, v in sums.items()}, counts)
    exact = figures(twice, record)["pos_mae"].difference
    assert (exact.value, exact.lo, exact.hi) == pytest.approx((100, 100, 100))
    moved = GameSums(sums | {"change_acc": rng.uniform(1, 9, 6).tolist()}, counts)
    found = figures(moved, record)["change_acc"].difference
    weights = bootstrap.draw_weights(6)
    after, before = (np.array(m.sums["change_acc"]) for m in (moved, record))
    total = weights @ np.array(counts["change_acc"])
    drawn = 100 * (weights @ (after - before)) / total
    assert (found.lo, found.hi) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_json_is_the_file(found: tuple[Path, Result], model: Path, data: Path, tmp_path: Path):
    out = tmp_path / "again.json"
    copied(found[0], out)
    printed = wmq("sensitivity", model, "--data", data, "--games", 2, "--frames", FRAMES,
                  "--starts", STARTS, "-o", out, "--json")  # fmt: skip
    assert json.loads(printed.stdout) == json.loads(out.read_text())


def test_ctrl_c_says_how_to_go_on(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(passes, "actions", interrupted)
    result = wmq("sensitivity", model, "--data", data, "-o", tmp_path / "a.json")
    assert result.exit_code == 130
    assert result.stderr == "wmq: interrupted; to resume, run the same command again\n"


def refused(*arguments: object) -> str:
    result = wmq("sensitivity", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_program_and_another_float_step_are_refused(model: Path, data: Path, tmp_path: Path):
    other = tmp_path / "other.onnx"
    other.write_bytes(to_bytes(small_step(tmp_path, seed=1).model))
    line = refused(model, "--data", data, "--float", other, "-o", tmp_path / "a.json")
    assert "other.onnx" in line and "give the float step that it was calibrated from" in line
    alone = tmp_path / "alone.wmq"
    alone.write_bytes(model.read_bytes())
    assert "--float" in refused(alone, "--data", data, "-o", tmp_path / "a.json")


def test_bad_input_is_one_line(model: Path, data: Path, tmp_path: Path):
    out = tmp_path / "a.json"
    empty = write_dataset(tmp_path / "empty", ["train"])
    assert "no validation game" in refused(model, "--data", empty, "-o", out)
    line = refused(model, "--data", data, "--frames", TOO_FEW, "-o", out)
    assert f"--frames {TOO_FEW}: too few" in line and f"give {LEAST_FRAMES} or more" in line
    assert "-o" in refused(model, "--data", data, "-o", tmp_path / "nowhere" / "a.json")
    assert "is a folder" in refused(model, "--data", data, "-o", tmp_path)
    assert "end the name with .json" in refused(model, "--data", data, "-o", tmp_path / "a.wmq")
    (tmp_path / "a.svg").mkdir()
    assert "--chart" in refused(model, "--data", data, "-o", out, "--chart", tmp_path / "a.svg")
    assert "--chart" in refused(model, "--data", data, "-o", out, "--chart", tmp_path / "a.txt")
    assert "no dataset" in refused(model, "--data", tmp_path, "-o", out)
    assert ".onnx" in refused(model.with_suffix(".onnx"), "--data", data, "-o", out)
    assert not out.exists()


def test_a_dataset_without_the_model_s_fields_is_refused(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A model that sees projectiles, and games stored without them."""
    from wmq.dataset.store import DatasetError

    def refuse(self: Dataset, info: GameInfo, schema: Schema) -> Game:
        raise DatasetError(f"{self.path}: lacks a field; run `wmq prepare` again")

    monkeypatch.setattr(Dataset, "load", refuse)
    assert "lacks a field" in refused(model, "--data", data, "-o", tmp_path / "a.json")


def test_a_program_of_another_layout_is_refused(model: Path, data: Path, tmp_path: Path):
    """A proven program that names the right float step, but holds no such values."""
    from dataclasses import replace

    from wmq.inference.model_files import open_program

    program = open_program(model).program
    names = {"layers.0.mamba.z": "layers.0.mamba.zed"}
    values = {names.get(n, n): replace(v, name=names.get(n, n)) for n, v in program.values.items()}

    def renamed(at):
        return replace(at, value=names.get(at.value, at.value))

    steps = tuple(replace(s, operands={k: renamed(o) for k, o in s.operands.items()})
                  for s in program.steps)  # fmt: skip
    path = tmp_path / "odd.wmq"
    path.write_bytes(encode(replace(program, values=values, steps=steps)))
    line = refused(path, "--data", data, "--float", model.with_suffix(".onnx"),
                   "-o", tmp_path / "a.json")  # fmt: skip
    assert "odd.wmq" in line and "wmq calibrate" in line
    with pytest.raises(WmqError):
        sensitivity(path, model.with_suffix(".onnx"), Dataset.open(data), tmp_path / "a.json")
