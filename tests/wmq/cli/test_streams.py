"""Commands whose standard streams are closed or full, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import walking_dataset

ROOT = Path(__file__).resolve().parents[3]
WMQ = f"{sys.executable} -c 'from wmq.cli import main; main(prog_name=\"wmq\")'"
CLOSED = [">&-", "2>&-", "<&- >&- 2>&-"]

pytest_plugins = ("tests.support.rollout_models",)


def shell(line: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walking_dataset(tmp_path_factory.mktemp("streams") / "dataset").path


@pytest.mark.parametrize("closed", CLOSED)
def test_work_is_done_with_closed_streams(closed: str, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    result = shell(f"{WMQ} rollout {models}/small.wmq --frames 3 -o {out} {closed}")
    assert (result.returncode, out.exists()) == (0, True), result.stderr
    assert shell(f"{WMQ} verify {models}/small.wmq {out}").returncode == 0  # nothing got into it


@pytest.mark.parametrize(
    "line",
    [
        "evaluate --data {data} {models}/small.onnx frozen",
        "report --viewer {out}/v.json --frames 3",
        "--version",
        "train -h",
    ],
)
def test_commands_with_a_bar_work_without_any_stream(
    line: str, models: Path, data: Path, tmp_path: Path
) -> None:
    line = line.format(data=data, models=models, out=tmp_path)
    result = shell(f"exec <&- >&- 2>&-; {WMQ} {line}")
    assert result.returncode == 0, (line, result.stdout, result.stderr)


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_codes_are_those_of_open_streams(closed: str, tmp_path: Path) -> None:
    bad = shell(f"{WMQ} rollout {tmp_path}/none.wmq {closed}")
    assert bad.returncode == 2 and ("none.wmq: no such file" in bad.stderr) == (closed == ">&-")
    assert shell(f"{WMQ} nothing {closed}").returncode == 2


def test_a_file_never_becomes_standard_error(tmp_path: Path) -> None:
    """What is written to the number 2 by a library must not land in a file of ours."""
    code = (
        "import os, sys; from wmq.cli.streams import open_closed; open_closed();"
        f"file = open({str(tmp_path / 'file')!r}, 'wb'); os.write(2, b'noise'); file.close();"
        "assert file.closed and None not in (sys.stdin, sys.stdout, sys.stderr);"
        "assert sys.stdin.read() == ''; print('x'); print('y', file=sys.stderr)"
    )
    result = shell(f'{sys.executable} -c "{code}" <&- >&- 2>&-')
    assert result.returncode == 0 and (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_streams(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    line = "wmq: standard output: No space left on device; free some space and run it again\n"
    rollout = f"{WMQ} rollout {models}/small.wmq --frames 3 -o {out}"
    full = shell(f"{rollout} > /dev/full")
    assert full.returncode == 2 and full.stderr.endswith(line) and out.exists()
    assert shell(f"{WMQ} rollout --frames 1 2> /dev/full").returncode == 0
    full = shell(f"{WMQ} recipes --json > /dev/full")
    assert (full.returncode, full.stderr) == (2, line)
    assert shell(f"{WMQ} rollout none.wmq > /dev/full 2>&1").returncode == 2
