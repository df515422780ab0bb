"""A disk that takes no more while a command writes: one line with the path and a way out."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
START = "from wmq.cli import main; main(prog_name='wmq')"
TAKEN = 4096  # bytes of a file, after which the system takes no more

pytest_plugins = ("tests.support.rollout_models",)


def begun(*arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", START, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, **options)  # fmt: skip


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (TAKEN, TAKEN))


@pytest.mark.parametrize(
    "line",
    [
        "rollout {models}/small.wmq --frames 200 -o {out}/a.npz",
        "rollout {models}/small.wmq --frames 200 -o {out}/a.csv",
        "rollout {models}/small.wmq --frames 200 -o {out}/a.parquet",
        "report --int8 {models}/small.wmq --frames 200 --viewer {out}/a.json",
        "conformance build -o {out}/pack",
    ],
)
def test_what_cannot_be_written_is_named(line: str, models: Path, tmp_path: Path) -> None:
    words = line.format(models=models, out=tmp_path).split()
    process = begun(*words, preexec_fn=limit)
    error = process.communicate(timeout=120)[1].splitlines()[-1]
    assert process.returncode == 2 and error.startswith(f"wmq: {words[-1]}: cannot be written (")
    assert "; " in error and list(tmp_path.iterdir()) == []
