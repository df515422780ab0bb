"""What long commands say on stderr where that is no terminal, and what -v adds."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.rollout_models import wmq
from wmq.cli.progress import progress_line

ROOT = Path(__file__).resolve().parents[3]
SOON = "from wmq.cli import main, progress; progress.FIRST_LINE = 0.2; progress.NEXT_LINES = 0.1;"
START = "main(prog_name='wmq')"

pytest_plugins = ("tests.support.rollout_models",)


def begun(*arguments: object, code: str = SOON) -> subprocess.Popen:
    command = [sys.executable, "-c", code + START, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


@pytest.mark.parametrize(
    ("done", "total", "note", "seconds", "first", "line"),
    [
        (0, 10, "", 5, 0, "wmq: a: 0 of 10 (0 %)"),
        (5, 10, "", 20, 0, "wmq: a: 5 of 10 (50 %), 20 s left"),
        (3600, 36000, "loss 1", 600, 0, "wmq: a: 3,600 of 36,000 (10 %), 1 h 30 min left, loss 1"),
        (60, 100, "", 300, 50, "wmq: a: 60 of 100 (60 %), 20 min left"),  # 50 were there before
        (10, 10, "", 5, 0, "wmq: a: 10 of 10 (100 %)"),
        (0, 0, "", 5, 0, "wmq: a: 0 of 0 (0 %)"),
    ],
)
def test_a_line_says_how_far_and_how_long(
    done: int, total: int, note: str, seconds: int, first: int, line: str
) -> None:
    assert progress_line("a", done, total, note, 100 + seconds, 100, first) == line


def test_a_line_now_and_then_and_no_sign_of_a_terminal(models: Path) -> None:
    process = begun("rollout", models / "small.wmq", "--frames", 1_000_000, "--p1", "idle",
                    "--p2", "idle")  # fmt: skip
    lines = []
    while len([line for line in lines if "rolling out" in line]) < 3:
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and rest.endswith("wmq: interrupted\n")
    said = [line for line in lines if "rolling out" in line]
    shape = r"wmq: rolling out: [\d,]+ of 1,000,000 \(\d+ %\)(, (\d+ h )?\d+ (min|s) left)?\n"
    assert all(re.fullmatch(shape, line) for line in said)
    assert not re.search("[\r\x1b]", "".join(lines) + rest)


def test_a_short_command_says_nothing(models: Path) -> None:
    quick = wmq("rollout", models / "small.wmq", "--frames", 2, "--threads", 1)
    assert quick.exit_code == 0 and "rolling out" not in quick.stderr


def test_work_that_does_not_report_does_not_silence_the_lines() -> None:
    code = SOON + "import time\nwith progress.progress_bar() as show:\n show('a', 1, 2)\n"
    code += " time.sleep(0.7)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.stderr.count("wmq: a: 1 of 2 (50 %)") >= 2 and done.stdout == ""


def test_verbose_says_more_and_very_verbose_where_an_error_came_from(models: Path) -> None:
    line = ("rollout", models / "small.wmq", "--frames", 2)
    plain, more = wmq(*line), wmq(*line, "-v")
    assert "kernels" not in plain.stderr and "small.wmq" in more.stderr
    assert re.search(r"wmq: rolling out: 2 in \d+\.\d s\n", more.stderr)
    assert wmq(*line).stderr == plain.stderr  # the next command is quiet again
    bad = ("rollout", models / "none.wmq")
    assert wmq(*bad).stderr.count("\n") == wmq(*bad, "-v").stderr.count("\n") == 1
    assert "ModelError" in wmq(*bad, "-vv").stderr
    for name in ("drift", "conformance run", "bench speed"):
        assert "--verbose" in wmq(*name.split(), "-h").output


@pytest.mark.parametrize(
    "line",
    [
        "rollout {models}/small.wmq --frames 1000000 --p1 idle --p2 idle",
        "rollout {models}/small.onnx --frames 1000000 --p1 idle --p2 idle -o {out}/a.npz",
        "report --viewer {out}/v.json --int8 {models}/small.wmq --frames 36000",
        "conformance build -o {out}/pack",
        "bench speed --only wmq --batch 1 --seconds 20",
    ],
)
def test_ctrl_c_is_one_line_and_130(line: str, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    process = begun(*line.format(models=models, out=out).split())
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, (process.returncode, error)
    assert error.splitlines()[-1] == "wmq: interrupted" and "Traceback" not in error
    assert list(out.iterdir()) == []
