"""`wmq train` as people run it: two at once, Ctrl-C, SIGTERM, a folder of something else."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import wmq.cli.train
from tests.support.tiny import TINY, walking_dataset
from wmq.cli import main
from wmq.models.presets import PRESETS
from wmq.training.interrupt import stop_requested

ROOT = Path(__file__).resolve().parents[3]
PRESET = "mamba2-small"
CODE = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from tests.support.tiny import TINY
from wmq.models.presets import PRESETS
PRESETS[{PRESET!r}] = TINY
from wmq.cli import main; main(prog_name="wmq")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walking_dataset(tmp_path_factory.mktemp("data")).path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tiny model under a name that the command knows, and torch's threads as before."""
    monkeypatch.setitem(PRESETS, PRESET, TINY)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def training(data: Path, run: Path, *options: object) -> list[str]:
    arguments = ["train", "--preset", PRESET, "--data", data, "-o", run, "--threads", 1, *options]
    return [str(argument) for argument in arguments]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@contextmanager
def process(arguments: list[str], shown: Path) -> Iterator[subprocess.Popen]:
    """A training of its own, whose stderr goes to a file."""
    with open(shown, "w") as file:
        found = subprocess.Popen([sys.executable, "-c", CODE, *arguments], cwd=ROOT, stderr=file)
    try:
        yield found
    finally:
        found.kill()
        found.wait()


def wait_for(path: Path, newer_than: int = 0) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.stat().st_mtime_ns <= newer_than:
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_one_run_is_trained_by_one_process_and_exported_meanwhile(
    data: Path, tmp_path: Path
) -> None:
    """Long before step 250, Ctrl-C keeps what was learned; so does SIGTERM."""
    run, shown, model = tmp_path / "run", tmp_path / "stderr", tmp_path / "model.onnx"
    command = training(data, run, "--epochs", 1000)
    with process(command, shown) as first:
        wait_for(run / "metrics.jsonl")
        second = invoke(*command)
        assert second.exit_code == 2 and second.stderr.count("\n") == 1
        assert "another `wmq train` is training in it" in second.stderr
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
    step = json.loads((run / "latest.json").read_text())["step"]
    assert 10 <= step < 250
    assert shown.read_text().endswith(
        f"wmq: {run}: stopped and saved at step {step} of 475; run the same command again to "
        "resume\n"
    )
    before = (run / "latest.json").stat().st_mtime_ns
    with process([*command, "--save-every", "5"], shown) as again:
        wait_for(run / "latest.json", newer_than=before)
        result = invoke("export", run, "-o", model)
        assert result.exit_code == 0, result.stderr
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 128 + signal.SIGTERM
    assert json.loads((run / "latest.json").read_text())["step"] > step
    assert "stopped and saved at step" in shown.read_text().splitlines()[-1]
    steps = [row["step"] for row in rows(run) if "loss" in row]
    assert steps == list(range(10, 10 * len(steps) + 1, 10))  # each once
    assert {path.name for path in run.iterdir()} == {
        "run.json", "metrics.jsonl", "latest.json", *(p.name for p in run.glob("step-*"))
    }  # fmt: skip
    assert len(list(run.glob("step-*.safetensors"))) == 1


def test_second_signal_ends_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_requested() as stop:
        assert stop() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() == signal.SIGTERM
        assert "once more to stop at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SIGINT is in a background job of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requested() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop() == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_figures_stand_beside_those_of_frozen(data: Path, tmp_path: Path) -> None:
    """After one step the model is worse than predicting no change, and the command says so."""
    run = tmp_path / "run"
    first = invoke(*training(data, run, "--epochs", 2.5), "--json")
    again = invoke(*training(data, run, "--epochs", 2.5))
    assert first.exit_code == 0 and again.exit_code == 0, first.stderr
    facts = json.loads(first.stdout)
    assert facts["steps"] == 1 and facts["val_loss"] > facts["frozen"]["val_loss"]
    assert "step 1 of 1: val_loss" in first.stderr
    shown = f"val_loss     {facts['val_loss']:.4f}  frozen {facts['frozen']['val_loss']:.4f}"
    assert shown in again.stdout
    for result in (first, again):
        assert "val_loss" in result.stderr and "not better than frozen" in result.stderr


def test_progress_tells_step_loss_and_speed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bar or, without a terminal, a line now and then is made from."""
    seen: list[tuple] = []
    monkeypatch.setattr(
        wmq.cli.train, "progress_bar", lambda: nullcontext(lambda *a: seen.append(a))
    )
    assert invoke(*training(data, tmp_path / "run", "--epochs", 5)).exit_code == 0
    assert [row[:3] for row in seen] == [("steps", 1, 2), ("steps", 2, 2)]
    assert all(re.fullmatch(r"loss \d+\.\d{3}, [\d,]+ frames/s", row[3]) for row in seen)


def test_settings_that_differ_are_named(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert invoke(*training(data, run, "--epochs", 2, "--lr", "0.0005")).exit_code == 0
    other = invoke(*training(data, run, "--epochs", 2, "--lr", "0.001", "--seed", 3))
    assert other.exit_code == 2 and other.stderr.count("\n") == 1
    assert "--lr 0.001 here, 0.0005 there" in other.stderr
    assert "--seed 3 here, 0 there" in other.stderr
    lower = invoke(*training(data, run, "--epochs", 1, "--lr", "0.0005"))
    assert lower.exit_code == 2 and "--epochs 1.0 here, 2.0 there" in lower.stderr
    more = invoke(*training(data, run, "--epochs", 5, "--lr", "0.0005"), "--json")
    assert more.exit_code == 0 and json.loads(more.stdout)["steps"] == 2


class Bomb:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.safetensors", "folder"])
def test_checkpoint_of_another_program_is_refused_unread(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / name
    if name == "folder":
        source.mkdir()
        source /= "pytorch_model.bin"
    source.write_bytes(pickle.dumps(Bomb()))
    for arguments in (
        ["export", tmp_path / name, "-o", tmp_path / "x.onnx"],
        training(data, tmp_path / "run", "--base", tmp_path / name),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1
        assert "not a training run, which is a folder that `wmq train` made" in result.stderr
        assert "cannot be imported yet" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize("name", ["keep.wmq", "keep.safetensors", "keep"])
def test_export_replaces_nothing_but_onnx(data: Path, tmp_path: Path, name: str) -> None:
    keep = tmp_path / name
    keep.write_bytes(b"precious")
    result = invoke("export", tmp_path / "run", "-o", keep)
    assert result.exit_code == 2 and "end the name with .onnx" in result.stderr
    assert keep.read_bytes() == b"precious"


def test_train_takes_no_folder_of_something_else(data: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_bytes(b"precious")
    folder.mkdir()
    (folder / "thesis.tex").write_bytes(b"precious")
    for out, reason in ((file, "is a file"), (folder, "holds other files"), (data, "holds other")):
        result = invoke(*training(data, out))
        assert result.exit_code == 2 and result.stderr.count("\n") == 1
        assert f"{out}: {reason}" in result.stderr
    assert file.read_bytes() == b"precious"
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]
