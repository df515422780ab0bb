"""The main group: quick to import, and each failure one line with its exit code."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

import wmq.cli
from calib.errors import CalibrationError
from wmq.cli import COMMANDS, main
from wmq.errors import WmqError
from wmq_kernels.errors import ProgramError

ROOT = Path(__file__).resolve().parents[3]
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


def test_the_overviews_cut_no_sentence() -> None:
    """At 80 columns, as a terminal has them: whole sentences, of all groups."""
    for line in ((), ("bench",), ("conformance",)):
        text = CliRunner().invoke(main, [*line, "-h"], terminal_width=80).output
        listed = text.partition("Commands:")[2].partition("\n\n")[0]
        assert "..." not in listed and max(map(len, text.splitlines())) <= 80
        rows = re.split(r"\n  (?=\w)", listed)[1:]
        assert rows and all(row.rstrip().endswith(".") for row in rows), listed


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
    "arguments",
    [
        ["prepare", "nowhere", "-o", "out"],
        ["train", "--data", "nowhere", "-o", "out"],
        ["export", "nowhere", "-o", "out.onnx"],
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


def test_table_of_commands_is_the_folder() -> None:
    folder = Path(wmq.cli.__file__).parent
    found = {path.stem for path in folder.glob("*.py")} - {"__init__", "progress"}
    assert set(COMMANDS) <= found
