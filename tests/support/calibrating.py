"""A small model, small datasets, and `wmq calibrate` run on them with a cache of its own.

Named in `pytest_plugins` by the tests that use its fixtures; PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support.small_step import small_step
from wmq.cli import main
from wmq.dataset.store import Game, GameInfo, write_game, write_index
from wmq.game.schema import FULL, Schema

SCHEMA = Schema()
FRAMES = 40  # of one game


def info(number: int, frames: int = FRAMES, **facts) -> GameInfo:
    plain = {
        "sha256": hashlib.sha256(bytes([number % 256, number >> 8])).hexdigest(),
        "split": "train",
        "frames": frames,
        "stage": 31,
        "characters": (2, 22),
        "version": "3.14.0",
        "missing": (),
        "idle": (0.1, 0.2),
    }
    return GameInfo(**(plain | facts))


def write_dataset(root: Path, infos: list[GameInfo]) -> Path:
    (root / "games").mkdir(parents=True)
    for number, facts in enumerate(infos):
        rng = np.random.default_rng(number)
        lo, hi = FULL.lo.astype(np.int64) // 8, FULL.hi.astype(np.int64) // 8
        frames = rng.integers(lo, hi + 1, (facts.frames, FULL.frame_size)).astype(np.int32)
        frames[:, FULL.stage_index] = facts.stage
        pads = rng.integers(0, 65537, (facts.frames, 26)).astype(np.int32)
        for player in (0, 13):
            pads[:, player + 5 : player + 13] = rng.integers(0, 2, (facts.frames, 8)) * 65536
        write_game(root, Game(facts, frames, pads))
    write_index(root, infos, [])
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    small_step(folder)
    return folder / "small.onnx"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    infos = [info(i) for i in range(20)]
    return write_dataset(tmp_path_factory.mktemp("data") / "d", infos)


@pytest.fixture
def cache(tmp_path_factory, monkeypatch) -> Path:
    """Each test's own folder of statistics, empty at first."""
    base = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    return base / "wmq" / "statistics"


def run(*arguments: object, catch: bool = True) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)], catch_exceptions=catch)


def refused(folder: Path, *arguments: object) -> str:
    """The one line of a run that must end with 2 and write nothing."""
    before = sorted(folder.iterdir())
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("wmq: ") and result.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    return result.stderr
