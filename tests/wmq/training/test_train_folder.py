"""A run's folder: one process, one set of settings, and nothing lost by full disks or crashes."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from tests.support.tiny import TINY, one_thread, tiny_preset, walking_dataset  # noqa: F401
from wmq.dataset.store import Dataset
from wmq.errors import WmqError
from wmq.evaluation import evaluate
from wmq.files.folder_lock import folder_lock
from wmq.models.presets import PRESETS
from wmq.models.world import WorldModel
from wmq.training.config import RunConfig
from wmq.training.loop import train
from wmq.training.run_folder import drop_later_lines, load_model
from wmq.training.validation import Validation, worse

CONFIG = RunConfig(preset="tiny", epochs=0.5, streams=3, chunk=16, warmup=5, lr=5e-3)
STEPS = 10  # of CONFIG on the dataset below
RUN_FILES = {"run.json", "metrics.jsonl", "latest.json"}

pytestmark = pytest.mark.usefixtures("tiny_preset", "one_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return walking_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        train(dataset, run, CONFIG)
    return run


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def refusal(dataset: Dataset, run: Path, config: RunConfig = CONFIG, **options) -> str:
    """The one line of the refusal, after which the folder is as it was."""
    before = {path: path.read_bytes() for path in run.iterdir()} if run.is_dir() else {}
    with pytest.raises(WmqError) as caught:
        train(dataset, run, config, **options)
    if run.is_dir():
        assert {path: path.read_bytes() for path in run.iterdir()} == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_settings_are_refused_and_named(dataset: Dataset, copy: Path) -> None:
    text = refusal(dataset, copy, RunConfig(preset="mamba2-medium", epochs=0.5, seed=7))
    for difference in (
        "--preset mamba2-medium here, tiny there", "--lr 0.0015 here, 0.005 there",
        "--seed 7 here, 0 there", "streams 32 here, 3 there",
    ):  # fmt: skip
        assert difference in text
    assert "epochs" not in text and "clip" not in text and "--base" not in text
    assert "raised, but not lowered" in refusal(dataset, copy, other(epochs=0.4))


def other(**changes) -> RunConfig:
    return RunConfig(**({name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__}
                        | changes))  # fmt: skip


def test_base_may_be_left_out_to_resume_but_be_no_other(
    dataset: Dataset, finished: Path, tmp_path: Path
) -> None:
    base, run = load_model(finished)[0], tmp_path / "run"
    train(dataset, run, other(base="a" * 64), base=base)
    assert "--base bbbbbbbbbbbb here, aaaaaaaaaaaa there" in refusal(
        dataset, run, other(base="b" * 64), base=base
    )
    train(dataset, run, CONFIG)
    assert load_model(run)[1].base == "a" * 64


def test_run_without_a_checkpoint_takes_other_settings(dataset: Dataset, tmp_path: Path) -> None:
    """As after a loss that is not finite, whose advice is another --lr; its log goes too."""
    run = tmp_path / "run"
    with pytest.raises(WmqError, match="not finite"):
        train(dataset, run, other(warmup=0, lr=1e30))
    (run / "metrics.jsonl").write_text('{"step": 10, "loss": 1e9}\n')
    train(dataset, run, CONFIG)
    assert load_model(run)[1:] == (CONFIG, STEPS)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [10] and rows[0]["loss"] < 1e9


def test_damaged_settings_are_refused_in_one_line(dataset: Dataset, copy: Path) -> None:
    for text in ("", "{", '{"preset": "tiny", "more": 1}', "[]"):
        (copy / "run.json").write_text(text)
        assert f"{copy / 'run.json'}: damaged, or of another program" in refusal(dataset, copy)


def test_left_overs_of_killed_runs_are_removed_and_nothing_else(
    dataset: Dataset, copy: Path
) -> None:
    for name in (".step-7.safetensors.tmp", ".step-7.safetensors.123.tmp", ".latest.json.9.tmp",
                 ".notes.tmp", "notes.txt"):  # fmt: skip
        (copy / name).write_bytes(b"x")
    train(dataset, copy, CONFIG)
    names = {path.name for path in copy.iterdir()}
    assert names == RUN_FILES | {f"step-{STEPS}.safetensors", ".notes.tmp", "notes.txt"}


def test_folder_in_which_a_run_was_killed_at_its_very_start_is_used(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.123.tmp").write_bytes(b"{")
    train(dataset, tmp_path / "run", CONFIG)
    assert load_model(tmp_path / "run")[2] == STEPS


def test_folder_that_cannot_be_written_is_refused_before_the_work(
    dataset: Dataset, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the answer of the system is made up here."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == copy and mode == os.W_OK))
    assert f"{copy}: cannot be written" in refusal(dataset, copy)


def test_lock_is_held_while_training_and_free_afterwards(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def busy(step: int, steps: int, row: dict) -> None:
        with pytest.raises(WmqError, match="busy"), folder_lock(run, "busy", pytest.fail):
            pass

    train(dataset, run, CONFIG, progress=busy)
    with folder_lock(run, "busy", pytest.fail):
        assert "another `wmq train`" in refusal(dataset, run)


def test_full_disk_ends_in_one_line_and_costs_no_checkpoint(dataset: Dataset, copy: Path) -> None:
    """A limit on the size of files stands for the disk: a real write that really fails."""
    size = (copy / f"step-{STEPS}.safetensors").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(WmqError, match=r"step-20\.safetensors: cannot be written") as caught:
            train(dataset, copy, other(epochs=1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert load_model(copy)[2] == STEPS and not list(copy.glob(".*"))
    train(dataset, copy, other(epochs=1.0))
    assert load_model(copy)[2] == 20


def test_older_checkpoint_goes_when_the_newer_is_on_the_disk(
    dataset: Dataset, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    flush, replace, unlink = os.fsync, os.replace, Path.unlink

    def fsync(handle: int) -> None:
        events.append("flush " + Path(os.readlink(f"/proc/self/fd/{handle}")).name.split(".1")[0])
        flush(handle)

    def rename(source: Path, target: Path) -> None:
        events.append(f"rename {Path(target).name}")
        replace(source, target)

    def remove(path: Path, missing_ok: bool = False) -> None:
        events.append(f"remove {path.name}")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(Path, "unlink", remove)
    train(dataset, copy, other(epochs=1.0), save_every=1000)
    kinds = [event for event in events if "json" not in event or "rename latest" in event]
    tensors = next(k for k in kinds if k.startswith("flush .step-20"))
    assert kinds == [tensors, "rename step-20.safetensors", "rename latest.json", "flush copy",
                     f"remove step-{STEPS}.safetensors"]  # fmt: skip


def test_lines_of_another_version_stay_and_cut_or_later_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept = b'{"begun": "2025"}\n{"step": "x"}\n[1]\n{"step": 5, "val": {}}\n'
    path.write_bytes(kept + b'{"step": 6, "loss": 1}\n{"step": 5, "lo')
    assert drop_later_lines(tmp_path, 5) and path.read_bytes() == kept
    assert not drop_later_lines(tmp_path, 4)
    path.write_bytes(b'\xff\xfe{"step": 1}\n{"step": 1}')
    assert not drop_later_lines(tmp_path, 1) and path.read_bytes() == b'{"step": 1}\n'


def test_dataset_without_validation_is_said_at_the_start(dataset: Dataset, tmp_path: Path) -> None:
    training = Dataset(dataset.path, tuple(dataset.select("train")))
    said: list[str] = []

    def step(step: int, steps: int, row: dict) -> None:
        assert len(said) == 1 and "no game in val" in said[0] and "wmq dataset split" in said[0]

    found = train(training, tmp_path / "run", CONFIG, 3, step, warn=said.append)
    assert (found.steps, found.figures, found.frozen) == (STEPS, {}, {}) and len(said) == 1


def test_dataset_without_training_names_the_way_out(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    val = Dataset(dataset.path, tuple(dataset.select("val")))
    assert "all 1 are in val" in refusal(val, run) and "wmq dataset split" in refusal(val, run)
    game = dataset.select("train")[0]
    idle = Dataset(dataset.path, (game.__class__(**(vars(game) | {"idle": (0.9, 0.0)})),))
    assert "none of its 1 training games" in refusal(idle, run)
    assert not run.exists()


def test_other_games_than_before_are_said(dataset: Dataset, copy: Path) -> None:
    fewer = Dataset(dataset.path, tuple(dataset.games[1:]))
    said: list[str] = []
    train(fewer, copy, other(epochs=1.0), warn=said.append)
    assert len(said) == 1 and "training games are others" in said[0]
    train(fewer, copy, other(epochs=1.0), warn=pytest.fail)


def test_validation_takes_a_tenth_of_the_time_at_most(dataset: Dataset, tmp_path: Path) -> None:
    """In frames: 99 validated ones a time, beside 48 trained ones a step."""
    steps: list[int] = []
    train(dataset, tmp_path / "run", CONFIG, 1, validated=lambda step, n, found: steps.append(step))
    assert steps == [7, 10]


def test_frozen_has_the_figures_of_wmq_evaluate(dataset: Dataset) -> None:
    found = Validation(dataset, WorldModel(TINY), dataset.select("train")).frozen
    report = evaluate.evaluate(dataset, ["frozen"], evaluate.EvaluationSettings())
    for name in ("pos_mae", "vel_mae", "percent_mae", "action_acc", "change_acc"):
        assert found[name] == pytest.approx(report.models[0].figures[name])


def test_only_a_model_that_beats_frozen_is_not_worse() -> None:
    frozen = {"val_loss": 2.0, "pos_mae": 0.7, "change_acc": 0.0}
    assert worse({"val_loss": 1.9, "pos_mae": 0.6}, frozen) == []
    assert worse({"val_loss": 1.9, "pos_mae": 0.7}, frozen) == ["pos_mae"]
    assert worse({"val_loss": float("nan"), "pos_mae": 9.0}, frozen) == ["val_loss", "pos_mae"]
    assert worse({}, {}) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", None, "not a training run"),
        ("run.json", "{}", "not a training run"),
        ("run.json", '{"preset": "tiny", "more": 1}', "not a training run"),
        ("run.json", '{"preset": "huge"}', "not a training run"),
        ("latest.json", None, "no checkpoint yet"),
    ],
)
def test_folder_that_is_no_run_is_refused(
    copy: Path, name: str, text: str | None, message: str
) -> None:
    (copy / name).unlink()
    if text is not None:
        (copy / name).write_text(text)
    with pytest.raises(WmqError, match=message) as caught:
        load_model(copy)
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_json_of_today_stays_readable(copy: Path) -> None:
    """The form in which runs were written from the first one on."""
    (copy / "run.json").write_text(
        '{"preset": "tiny", "epochs": 3.5, "streams": 32, "chunk": 64, "lr": 0.0015, '
        '"weight_decay": 0.05, "warmup": 100, "clip": 1.0, "seed": 0, "bf16": false}'
    )
    assert load_model(copy)[1] == RunConfig(preset="tiny", epochs=3.5)
