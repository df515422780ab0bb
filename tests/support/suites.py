"""Suites of a small model with stand-ins for the ways of other libraries.

Named in `pytest_plugins` by the tests that use its fixtures; PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.support.tiny import walking_game
from wmq.bench.quantization import measuring, runner
from wmq.bench.quantization.play import Extent
from wmq.bench.quantization.runner import SuiteSettings, measure
from wmq.dataset.store import write_game, write_index
from wmq.evaluation.results import Row, Suite
from wmq.game.targets import Heads
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.predictor import StartRow, Take
from wmq.replays.slippi import Game
from wmq.toolkits.methods import Lacking, Method, MethodContext

FLOAT = "float32 onnxruntime"
EXTENT = Extent(games=0, frames=0, starts=9, calibration=256)
STEPS = 299  # of a validation game


def quietly(what: str, done: int, total: int, note: str = "") -> None:
    pass


@dataclass
class MadeUpBackends:
    """Stands in for the methods of other libraries, and counts how often each is made.

    failing  row name -> what making it raises
    shares   row name -> share of the frames
    """

    program: Path
    made: Counter = field(default_factory=Counter)
    failing: dict[str, BaseException] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    NAMES: dict[str, str] = field(default_factory=lambda: {
        FLOAT: "the record", "torch int8": "a stand-in", "torch part": "of half the frames",
        "torchao missing": "not here", "torch broken": "ends in an error",
        "torch inf": "heads beyond all numbers",
    })  # fmt: skip

    def inputs(self, name: str) -> str:
        return name

    def make(self, name: str, context: MethodContext) -> Method:
        self.made[name] += 1
        if name in self.failing:
            raise self.failing[name]
        if name == FLOAT:
            return Method(OnnxPredictor(context.onnx, context.threads), 2, 1.0, 0, 0, 50, 1000)
        predictor: Any = IntegerPredictor(self.program, context.threads)
        if name == "torch inf":
            predictor = Infinite(predictor)
        return Method(predictor, 2, self.shares.get(name, 1.0), 22, 0, None, 500, ("made up",))


class Infinite:
    """A predictor one of whose heads leaves all bounds in the second game."""

    def __init__(self, inner: IntegerPredictor):
        self.inner, self.schema, self.spreads = inner, inner.schema, inner.spreads

    def walk(self, games: Sequence[Game], starts: Sequence[StartRow], take: Take) -> list[Any]:
        def spoiled(number: int, first: int, heads: Heads) -> None:
            take(number, first, heads | {"p2.action": np.full_like(heads["p2.action"], np.inf)})

        return self.inner.walk(games, starts, spoiled)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "games").mkdir()
    games = [walking_game(f"{k:02x}", "val", STEPS + 1) for k in range(1, 5)]
    games += [walking_game(f"{k:02x}", "train", 200) for k in range(5, 8)]
    for game in games:
        write_game(root, game)
    write_index(root, [game.info for game in games], [])
    return root


@pytest.fixture
def backends(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpBackends]:
    found = MadeUpBackends(models / "small.wmq")
    found.failing = {"torchao missing": Lacking("torchao is not installed:\n pip install torchao"),
                     "torch broken": ValueError("scales of 3 rows")}  # fmt: skip
    found.shares = {"torch part": 0.5}
    monkeypatch.setattr(runner, "backends", found)
    monkeypatch.setattr(runner, "FULL", EXTENT)
    monkeypatch.setattr(measuring, "PACED", 0.001)
    yield found


@pytest.fixture
def run(models: Path, data: Path, backends: MadeUpBackends, tmp_path: Path) -> Any:
    def measured(*only: str, folder: str = "work", threads: int = 1) -> Suite:
        return measure(SuiteSettings(models / "small.onnx", data, tmp_path / folder, only, False,
                                threads), quietly)  # fmt: skip

    return measured


def rows_of(suite: Suite) -> dict[str, Row]:
    return {row.name: row for row in suite.rows}


def quality(suite: Suite) -> Any:
    """Everything but times."""
    rows = [msgspec.structs.replace(row, frames_per_second=None) for row in suite.rows]
    return msgspec.to_builtins(msgspec.structs.replace(suite, rows=rows, seconds=0.0))
