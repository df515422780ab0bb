"""The suite resumed: what is kept, what is measured again, and what is never kept."""

from __future__ import annotations

import errno
import json
import resource
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from calib.recipe import DEFAULT
from tests.support.rollout_models import wmq
from tests.support.suites import EXTENT, FLOAT, STEPS, MadeUpBackends, quality, quietly, rows_of
from wmq.bench.quantization import wmq_methods
from wmq.bench.quantization.play import Play, read_play
from wmq.bench.quantization.record import Record, is_kept, make_record
from wmq.bench.quantization.runner import SuiteSettings, measure
from wmq.dataset.store import Dataset, write_game
from wmq.errors import WmqError
from wmq.evaluation.results import Suite, read_result
from wmq.files.atomic import cannot_write
from wmq.game.schema import FULL
from wmq.game.targets import Heads
from wmq.inference.float_predictor import OnnxPredictor
from wmq.memo import provenance
from wmq.toolkits.methods import Method, MethodContext

pytest_plugins = (
    "tests.support.replay_files",
    "tests.support.rollout_models",
    "tests.support.suites",
)


def test_an_interrupted_suite_goes_on_where_it_stopped(
    run: Any, backends: MadeUpBackends, models: Path, data: Path, tmp_path: Path
) -> None:
    backends.failing["torch part"] = KeyboardInterrupt()
    result = wmq("bench", "quantization", models / "small.onnx", "--data", data, "-o",
                 tmp_path / "work", "--only", "torch", "--threads", 1)  # fmt: skip
    assert result.exit_code == 130, result.output
    assert result.stderr == "wmq: interrupted; to resume, run the same command again\n"
    early = read_result(tmp_path / "work" / "suite.json", Suite)
    assert [row.name for row in early.rows] == [FLOAT, "torch int8"]
    del backends.failing["torch part"]
    whole = run("torch")
    assert backends.made == {FLOAT: 1, "torch int8": 1, "torch part": 2, "torchao missing": 1,
                          "torch broken": 1, "torch inf": 1}  # fmt: skip
    assert quality(whole) == quality(run("torch", folder="in one go"))
    assert whole.rows[:2] == early.rows


def test_a_record_that_was_interrupted_is_no_record(
    models: Path, data: Path, tmp_path: Path
) -> None:
    play = read_play(data, models / "small.onnx", EXTENT)
    way = Method(OnnxPredictor(models / "small.onnx", 1), 2, 1.0, 0, 0, 0, 0)
    counted = Counter()

    def stops(frames: int) -> None:
        counted["frames"] += frames
        if counted["frames"] > 2 * STEPS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_record(tmp_path / "record", "a key", play, lambda: way, stops)
    assert not is_kept(tmp_path / "record", "a key")
    make_record(tmp_path / "record", "a key", play, lambda: way, lambda frames: None)
    assert is_kept(tmp_path / "record", "a key")
    assert not is_kept(tmp_path / "record", "another")
    assert_is_what_float_says(Record(tmp_path / "record", play), play, way)
    for name in ("heads-0.f32", "rolled.npy"):
        path = tmp_path / "record" / name
        content = path.read_bytes()
        for length in (1000, 0):
            path.write_bytes(content[:length])
            assert not is_kept(tmp_path / "record", "a key")
        path.write_bytes(content)
        assert is_kept(tmp_path / "record", "a key")


def test_a_record_on_a_full_disk_names_its_folder(models: Path, data: Path, tmp_path: Path) -> None:
    """The kernel refuses a write beyond a file's largest size as it does on a full disk."""
    play = read_play(data, models / "small.onnx", EXTENT)
    way = Method(OnnxPredictor(models / "small.onnx", 1), 2, 1.0, 0, 0, 0, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(WmqError, match="record: cannot be written") as caught:
            make_record(tmp_path / "record", "a key", play, lambda: way, lambda frames: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "choose another place" in str(caught.value)
    assert not is_kept(tmp_path / "record", "a key")


def test_a_part_of_the_rows_leaves_the_others_in_the_file(
    run: Any, backends: MadeUpBackends, tmp_path: Path
) -> None:
    first = run("torch int8", "torchao missing")
    second = run("torch part")
    assert set(rows_of(second)) == {FLOAT, "torch part"}
    path = tmp_path / "work" / "suite.json"
    measured = {name: row for name, row in rows_of(first).items() if not row.reason}
    assert rows_of(read_result(path, Suite)) == measured | rows_of(second)
    for kept in (tmp_path / "work" / "rows").glob("torch-int8-*"):
        kept.unlink()
    backends.failing["torch int8"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run("torch int8")
    assert set(rows_of(read_result(path, Suite))) >= {FLOAT, "torch part"}


def test_a_failure_is_in_no_later_table(run: Any, backends: MadeUpBackends, tmp_path: Path) -> None:
    """Whatever it was: what failed is measured as soon as it can be, and not shown until then."""
    run("torch")
    assert not [path for path in (tmp_path / "work" / "rows").glob("*.json")
                if any(name in path.name for name in ("missing", "broken", "inf"))]  # fmt: skip
    backends.failing.clear()
    path = tmp_path / "work" / "suite.json"
    run("torch int8")
    assert not any(row.reason for row in read_result(path, Suite).rows)
    assert rows_of(run("torchao missing"))["torchao missing"].reason == ""


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.ENOSPC, "No space left on device"),
     cannot_write(Path("models"), OSError(errno.ENOSPC, "No space left on device"))],
)  # fmt: skip
def test_what_the_machine_lacks_is_no_property_of_a_way(
    run: Any, backends: MadeUpBackends, tmp_path: Path, error: Exception
) -> None:
    """The suite ends there, with the rows before it, and resumes with this one."""
    backends.failing["torch part"] = error
    with pytest.raises(type(error)):
        run("torch part", "torch int8")
    early = read_result(tmp_path / "work" / "suite.json", Suite)
    assert [row.name for row in early.rows] == [FLOAT, "torch int8"]
    del backends.failing["torch part"]
    assert not any(row.reason for row in run("torch part", "torch int8").rows)
    assert backends.made["torch int8"] == 1


def test_seconds_are_those_of_all_runs(run: Any, tmp_path: Path) -> None:
    run("torch int8")
    kept = [*(tmp_path / "work" / "rows").glob("*.json"), tmp_path / "work" / "record/record.json"]
    for path in kept:
        content = json.loads(path.read_text())
        assert 0 <= content["seconds"] < 100
        path.write_text(json.dumps(content | {"seconds": 1000.0}))
    assert 3000 <= run("torch int8").seconds < 3100
    assert len(kept) == 3


def assert_is_what_float_says(record: Record, play: Play, way: Method) -> None:
    def take(number: int, first: int, heads: Heads) -> None:
        kept = record.heads(number, first, first + len(heads["binary"]))
        np.testing.assert_equal(kept, heads)

    way.predictor.walk(play.games, play.starts, take)


def test_what_a_row_depends_on_is_measured_anew(
    run: Any, backends: MadeUpBackends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(run("wmq static-percentile", "torch int8"))
    real = wmq_methods.read_recipe

    def finer(name: str) -> Any:
        recipe = real(name)
        return msgspec.structs.replace(recipe, activations=msgspec.structs.replace(
            recipe.activations, percent=90.0))  # fmt: skip

    monkeypatch.setattr(wmq_methods, "read_recipe", finer)
    after = rows_of(run("wmq static-percentile", "torch int8"))
    assert after["torch int8"] == before["torch int8"] and backends.made["torch int8"] == 1
    name = "wmq static-percentile"
    assert after[name].figures["val_loss"] != before[name].figures["val_loss"]
    run("torch int8", threads=2)
    assert backends.made["torch int8"] == 2
    assert rows_of(run("torch int8"))["torch int8"] == before["torch int8"]
    assert backends.made["torch int8"] == 2


def test_other_frames_under_the_same_hashes_are_measured(
    backends: MadeUpBackends, models: Path, data: Path, tmp_path: Path
) -> None:
    """A dataset prepared again by a program that reads replays in another way."""
    again = tmp_path / "data"
    shutil.copytree(data, again)
    settings = SuiteSettings(models / "small.onnx", again, tmp_path / "work", ("torch int8",))
    before = measure(settings, quietly)
    dataset = Dataset.open(again)
    info = dataset.select("val")[0]
    game = dataset.load(info, FULL)
    game.frames[:, FULL.index("percent")] += 1 << 16
    write_game(again, game)
    after = measure(settings, quietly)
    assert backends.made == {FLOAT: 2, "torch int8": 2}
    assert after.games == before.games and quality(after) != quality(before)


def test_another_engine_measures_our_rows_anew(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = MethodContext(models / "small.onnx", data, tmp_path, 1, 256)
    names = (wmq_methods.EMBEDDED, "wmq static-minmax")
    before = [wmq_methods.inputs(name, context) for name in names]
    copy = tmp_path / "source"
    for folder in ("calib", "wmq", "wmq_kernels"):
        shutil.copytree(provenance.ROOT / folder, copy / folder, ignore=shutil.ignore_patterns(
            "*.wmq", "*.onnx", "*.safetensors", "__pycache__"))  # fmt: skip
    monkeypatch.setattr(provenance, "ROOT", copy)
    for change, same in (("", True), ("# another", False)):
        kernels = copy / "wmq_kernels" / "engine" / "kernels.py"
        kernels.write_text(kernels.read_text("utf-8") + change, "utf-8")
        provenance.sources.cache_clear()
        after = [wmq_methods.inputs(name, context) for name in names]
        assert [a == b for a, b in zip(after, before, strict=True)] == [same, same]
    provenance.sources.cache_clear()


def test_progress_ends_at_its_total_whatever_part_a_row_covers(
    backends: MadeUpBackends, models: Path, data: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int, str]] = []
    settings = SuiteSettings(models / "small.onnx", data, tmp_path, ("torch part", "torch int8"))
    measure(settings, lambda what, done, total, note="": seen.append((done, total, note)))
    each = 4 * STEPS + 9 * 60
    assert {total for _, total, _ in seen} == {3 * each}
    assert seen[-1] == (3 * each, 3 * each, "torch part")
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)
    assert [note for done, _, note in seen if done == each][0] == f"{FLOAT}, the record"


def test_the_same_program_is_measured_once_also_by_a_suite_that_goes_on(run: Any) -> None:
    both = (f"wmq {DEFAULT}", "wmq state 32 bits")
    run(both[0], folder="two goes")
    suites = run(*both, folder="two goes"), run(*both, folder="one go")
    for suite in suites:
        rows = rows_of(suite)
        assert rows[both[1]].notes[-1] == f"the same program as {both[0]}"
        assert rows[both[1]].figures == rows[both[0]].figures
    assert quality(suites[0]) == quality(suites[1])


def test_a_damaged_row_is_measured_anew(run: Any, backends: MadeUpBackends, tmp_path: Path) -> None:
    before = run("torch int8")
    (path,) = (tmp_path / "work" / "rows").glob("torch-int8-*.json")
    path.write_bytes(path.read_bytes()[:-40])
    assert quality(run("torch int8")) == quality(before)
    assert backends.made["torch int8"] == 2
