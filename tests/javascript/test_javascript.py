"""A second engine, in JavaScript and from docs/SPEC.md, gets the same bits: if the page were
wrong or short of a sentence, these tests would say so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from wmq_kernels.conformance.building import build

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODEL, SPEC = ROOT / "wmq/embedded/mamba2-medium.wmq", ROOT / "docs/SPEC.md"
EVERY = 10  # of the pack's cases
NODE = shutil.which("node")

pytestmark = pytest.mark.needs("node", "" if NODE else "it is not installed")


def node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(NODE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def roll(frames: int) -> None:
    done = node(HERE / "rollout.mjs", MODEL, SPEC, frames)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-1000:]
    assert [line.split()[0] for line in lines] == [
        str(count) for count in (1, 60, 600, 3600) if count <= frames
    ]
    assert all("as in the page" in line for line in lines), done.stdout


def test_the_first_frames_of_the_standard_rollout_are_those_of_the_page() -> None:
    roll(60)


@pytest.mark.soak
def test_a_minute_of_the_standard_rollout_is_that_of_the_page() -> None:
    roll(3600)


def test_it_passes_a_sample_of_the_conformance_pack(tmp_path: Path) -> None:
    build(tmp_path / "pack", 0, 1, lambda what, done, total: None, EVERY)
    done = node(HERE / "pack.mjs", tmp_path / "pack")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-1000:]
    assert "cases the same" in done.stdout


def test_another_rounding_fails_it(tmp_path: Path) -> None:
    """The pack tells a floor from a half up."""
    build(tmp_path / "pack", 0, 1, lambda what, done, total: None, 100)
    source, rounding = (HERE / "machine.mjs").read_text("utf-8"), "(v + (1n << (s - 1n))) >> s"
    assert rounding in source
    (tmp_path / "machine.mjs").write_text(source.replace(rounding, "v >> s"), "utf-8")
    shutil.copy(HERE / "pack.mjs", tmp_path / "pack.mjs")
    done = node(tmp_path / "pack.mjs", tmp_path / "pack")
    assert done.returncode == 1 and "expected" in done.stdout
