"""A dataset of small games, and models to put beside the small one; PYTEST_DONT_REWRITE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calib.step.graph import build_step, read_step, to_bytes
from tests.wmq.evaluation.test_evaluate import played_game
from wmq.dataset.store import Dataset, write_game, write_index
from wmq.game.schema import Schema

SCHEMA = Schema()
GAMES, LENGTH = 12, 230


def small_dataset(root: Path, games: int = GAMES, length: int = LENGTH) -> Dataset:
    """`games` to validate with, and one to train with."""
    (root / "games").mkdir(parents=True)
    made = [played_game(10 + k, length, "val") for k in range(games)]
    made.append(played_game(40, 100, "train"))
    for game in made:
        write_game(root, game)
    write_index(root, [game.info for game in made], [])
    return Dataset.open(root)


def broken_model(source: Path, path: Path) -> Path:
    """The same float model, but who moves drifts to the right, and nobody stands."""
    step = read_step(source)
    weights = {name: array.copy() for name, array in step.weights.items()}
    names = [f.name for f in SCHEMA.head("continuous")]
    for player in (0, 1):
        weights["continuous_offset"][player * len(names) + names.index("x")] += 3
    bits = [f.name for f in SCHEMA.head("binary")]
    for player in (0, 1):
        weights["heads.binary.bias"][player * len(bits) + bits.index("on_ground")] -= 50
    return _write(step, weights, path)


def like_no_other(source: Path, path: Path) -> Path:
    """The same weights of another training run."""
    step = read_step(source)
    metadata = {"wmq.run": "1" * 64, "wmq.training": "{}"}
    return _write(replace(step, metadata=metadata), step.weights, path)


def _write(step, weights: dict[str, np.ndarray], path: Path) -> Path:
    texts = {key: step.metadata[key] for key in ("wmq.run", "wmq.training")}
    model = build_step(step.config, step.schema, weights, texts)
    path.write_bytes(to_bytes(model))
    return path
