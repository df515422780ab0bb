"""The main group: quick to import, and each failure one line with its exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import click
import pytest
import torch
from click.testing import CliRunner, Result
from tiny import TINY, walking_dataset

import wmq.cli
from calib.errors import CalibrationError
from wmq.cli import COMMANDS, main
from wmq.errors import WmqError
from wmq.models.presets import PRESETS
from wmq_kernels.errors import ProgramError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "onnx", "onnxruntime", "pyarrow", "numba", "peppi_py", "rich.progress")
START = "from wmq.cli import main; main(prog_name='wmq')"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def python(code: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    """The result of a command `fail` that raises."""

    @click.command(name="fail")
    def fail() -> None:
        raise error

    module = ModuleType("wmq.cli.fail")
    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wmq.cli.fail", module)
    monkeypatch.setitem(COMMANDS, "fail", "wmq.cli.fail")
    return invoke("fail")


def test_import_and_every_help_load_no_heavy_module() -> None:
    code = f"""
import sys
from click.testing import CliRunner
from wmq.cli import COMMANDS, main
for arguments in (["-h"], ["--help"], ["--version"], *([name, "-h"] for name in COMMANDS)):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (arguments, result.output)
print([name for name in {HEAVY} if name in sys.modules])
"""
    result = python(code)
    assert result.stdout.strip() == "[]", result.stderr


def test_every_command_has_a_sentence_and_an_example() -> None:
    overview = invoke("--help").output
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None and command.name == name and f"\n  {name} " in overview
        text = invoke(name, "--help").output
        assert "Example" in text and f"wmq {name} " in text, name


def test_version_is_shown() -> None:
    result = invoke("--version")
    assert result.exit_code == 0 and result.output.startswith("wmq ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (WmqError("x.slp: bad; mend it"), 2, "wmq: x.slp: bad; mend it"),
        (CalibrationError("m.onnx: bad"), 2, "wmq: m.onnx: bad"),
        (ProgramError("m.wmq: bad"), 2, "wmq: m.wmq: bad"),
        (WmqError("two\nlines\t\x1b[31mred"), 2, "wmq: two lines ?[31mred"),
        (KeyboardInterrupt(), 130, "wmq: interrupted"),
        (MemoryError(), 2, "wmq: out of memory; close other programs, or work on less at once"),
        (
            OSError(errno.ENOSPC, "No space left on device", "f"),
            2,
            "wmq: f: No space left on device; free some space and run it again",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 2, "wmq: f: Permission denied"),
        (
            ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime"),
            2,
            "wmq fail needs onnxruntime: pip install 'wmq[quantize]'",
        ),
    ],
)
def test_error_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    result = raising(monkeypatch, error)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.removeprefix("wmq: ") == line.removeprefix("wmq: ") + "\n"
    assert result.stderr.startswith("wmq: ")


def test_broken_pipe_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    result = raising(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert (result.exit_code, result.output) == (141, "")


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ZeroDivisionError(), ImportError("no", name="wmq.nothing")):
        assert raising(monkeypatch, error).exception is error


@pytest.mark.parametrize(
    ("command", "arguments", "module", "extra"),
    [
        ("train", ["--data", "d", "-o", "r"], "torch", "train"),
        ("export", ["r", "-o", "m.onnx"], "torch", "train,quantize"),
        ("export", ["r", "-o", "m.onnx"], "onnx", "train,quantize"),
        ("calibrate", ["m.onnx", "-o", "m.wmq", "--data", "d"], "onnx", "quantize"),
        ("sensitivity", ["--data", "d", "--chart", "c.svg"], "matplotlib", "report"),
        ("drift", ["--data", "d"], "onnx", "train,quantize"),
        ("bench", ["quantization", "--data", "d", "-o", "q"], "onnx", "train,quantize,report"),
        ("report", ["results"], "matplotlib", "quantize,report"),
    ],
)
def test_missing_extra_is_named(
    command: str, arguments: list[str], module: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    code = f"import sys; sys.modules[{module!r}] = None; sys.path[0] = {str(ROOT)!r}; {START}"
    options = {"capture_output": True, "text": True, "cwd": tmp_path}
    result = subprocess.run([sys.executable, "-c", code, command, *arguments], **options)
    line = f"wmq: wmq {command} needs {module}: pip install 'wmq[{extra}]'\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", line)


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "nowhere", "-o", "out"],
        ["train", "--data", "nowhere", "-o", "out"],
        ["export", "nowhere", "-o", "out"],
        ["calibrate", "nowhere.onnx", "-o", "out.wmq", "--data", "nowhere"],
        ["rollout", "nowhere.wmq", "--int8", "--frames", "1"],
        ["rollout", "nowhere.onnx", "--float", "--frames", "1"],
        ["evaluate", "--data", "nowhere", "nowhere.wmq"],
        ["verify", "nowhere.npz"],
        ["info", "nowhere.wmq"],
    ],
)
def test_wrong_path_is_one_line_that_names_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("wmq: ") and result.stderr.count("\n") == 1
    assert "nowhere" in result.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["train"], ["train", "--data", "d", "-o", "r", "--epochs", "nan"],
     ["train", "--data", "d", "-o", "r", "--lr", "-1"], ["export", "r"]],
)  # fmt: skip
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2 and "Usage: " in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code = "import wmq.cli, click\nfrom types import ModuleType; import sys\n"
    code += "module = ModuleType('wmq.cli.say'); sys.modules['wmq.cli.say'] = module\n"
    code += "module.say = click.command('say')(lambda: click.echo('x' * 9))\n"
    code += "wmq.cli.COMMANDS['say'] = 'wmq.cli.say'; wmq.cli.main(['say'])"
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=full,
                                stderr=subprocess.PIPE)  # fmt: skip
    assert result.returncode == 2
    line = "wmq: No space left on device; free some space and run it again\n"
    assert result.stderr == line


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walking_dataset(tmp_path_factory.mktemp("cli") / "dataset").path


def test_train_and_export_of_a_dataset(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "mamba2-small", TINY)
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    common = ["train", "--preset", "mamba2-small", "--data", data, "-o", run, "--epochs", "2.5"]
    common += ["--threads", 1]
    before = torch.get_num_threads()
    try:
        first = invoke(*common, "--json")
        again = invoke(*common)
    finally:
        torch.set_num_threads(before)
    assert first.exit_code == 0, first.stderr
    facts = json.loads(first.stdout)
    assert facts["steps"] == 1 and facts["preset"] == "mamba2-small" and facts["val_loss"] > 0
    assert "step 1 of 1: loss" in first.stderr
    assert again.exit_code == 0 and f"val_loss     {facts['val_loss']:.4f}" in again.stdout
    other = invoke(*common, "--seed", 3)
    assert other.exit_code == 2 and "a run with other settings" in other.stderr
    result = invoke("export", run, "-o", model)
    assert result.exit_code == 0 and model.stat().st_size > 100_000


def test_ctrl_c_in_training_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    """A real SIGINT, then the same command; test_train compares the weights."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from tiny import TINY
from wmq.models.presets import PRESETS
PRESETS["mamba2-small"] = TINY
{START}
"""
    tail = ["train", "--preset", "mamba2-small", "--data", str(data), "-o"]
    options = ["--epochs", "30", "--save-every", "2", "--threads", "1"]
    run = tmp_path / "run"
    command = [sys.executable, "-c", code, *tail, str(run), *options]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "latest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert message.endswith("wmq: interrupted; run the same command again to go on from the last "
                            "checkpoint\n")  # fmt: skip
    assert python(code, *command[3:]).returncode == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "val" in row] == list(range(2, 15, 2))


def test_table_of_commands_is_the_folder() -> None:
    folder = Path(wmq.cli.__file__).parent
    found = {path.stem for path in folder.glob("*.py")} - {"__init__", "progress"}
    assert set(COMMANDS) <= found
