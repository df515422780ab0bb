"""What a command says while the engine compiles: what is true, where it can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wmq.cli import models

ROOT = Path(__file__).parents[3]
SLOW = """
import time
from wmq.cli import models
models.SLOW_COMPILE = 0.01
with models.announced_if_slow("wmq: preparing the engine"):
    time.sleep(0.5)
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SLOW_COMPILE", 0.05)


def test_what_is_quick_is_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    with models.announced_if_slow("slow"):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_is_slow_is_announced_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with models.announced_if_slow("slow"):
        time.sleep(0.2)
    assert capsys.readouterr() == ("", "slow\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_terminal_shows_the_seconds_if_it_can(terminal: str) -> None:
    ours, its = os.openpty()
    env = {**os.environ, "TERM": terminal, "COLUMNS": "0", "PYTHONPATH": os.fspath(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SLOW], stderr=its, env=env) as process:
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 1 << 16):
                shown += piece
        except OSError:  # how a pseudo-terminal ends
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"preparing the engine" in shown
    assert (b"0:00:00" in shown) == (terminal != "dumb")


def test_only_an_engine_that_is_kept_is_promised_to_later_runs(tmp_path: Path) -> None:
    """The command's own words, with all that is slow left out."""
    script = (
        "from contextlib import nullcontext\n"
        "from wmq.cli import models\n"
        "models.announced_if_slow = lambda text: print(text) or nullcontext()\n"
        "class Model:\n    kernels = 'portable'\n    compile = staticmethod(lambda: None)\n"
        "models.compile_first(Model)\n"
    )
    (tmp_path / "file").write_text("")
    for place, kept in (("cache", True), ("file", False)):
        env = {**os.environ, "PYTHONPATH": os.fspath(ROOT)}
        env["NUMBA_CACHE_DIR"] = os.fspath(tmp_path / place)
        done = subprocess.run([sys.executable, "-c", script], env=env, text=True,
                              capture_output=True, timeout=120)  # fmt: skip
        assert "preparing the engine" in done.stdout, done.stderr
        assert ("later ones reuse it" in done.stdout) == kept
        assert ("each run compiles" in done.stdout) == (not kept)
        assert bool(done.stderr) == (not kept)
