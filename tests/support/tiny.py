"""A tiny model and games that can be learned, for tests that train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wmq.dataset.store import Dataset, Game, GameInfo, write_game, write_index
from wmq.game.schema import FULL, Q16
from wmq.models.presets import PRESETS, ModelConfig

TINY = ModelConfig(d_model=32, n_layer=2, d_state=8, headdim=16)


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """More of them cost more than a tiny model gains."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def walking_game(name: str, split: str = "train", frames: int = 100) -> Game:
    """A game in which both players walk from side to side at random speeds.

    x, facing and action follow from the stick; whatever else is in a frame stands still.
    """
    rng = np.random.default_rng(int(name, 16))
    values = np.zeros((frames, FULL.frame_size), dtype=np.int64)
    pads = np.full((frames, FULL.controllers_size), Q16 // 2, dtype=np.int64)
    pads[:, 4:13] = pads[:, 17:] = 0
    for player in (0, 1):
        stick = np.repeat(rng.integers(0, 2, frames // 10 + 1), 10)[:frames]
        pads[:, 13 * player] = stick * Q16
        moved = (2 * stick - 1) * rng.integers(Q16 // 2, 2 * Q16)
        moved[0] = 0
        rows = {
            "x": np.cumsum(moved),
            "speed_ground_x": moved,
            "shield": 60 * Q16,
            "stocks": 4,
            "facing": stick,
            "on_ground": 1,
            "action": 14 + 2 * stick,
            "ground": 1,
            "character": rng.integers(0, 26),
        }
        for field, value in rows.items():
            values[:, FULL.index(field, player)] = value
    values[:, FULL.stage_index] = 31
    values = np.clip(values, FULL.lo, FULL.hi).astype(np.int32)
    characters = tuple(int(values[0, FULL.index("character", p)]) for p in (0, 1))
    info = GameInfo(name * 32, split, frames, 31, characters, "3.14.0", ("hitlag",), (0.0, 0.0))
    return Game(info, values, pads.astype(np.int32))


def walking_dataset(root: Path) -> Dataset:
    """Seven games to train on, whose lengths no chunk divides, and one to validate."""
    games = [walking_game(f"{i:02x}", frames=71 + 17 * i) for i in range(1, 8)]
    games.append(walking_game("a0", "val"))
    (root / "games").mkdir(parents=True)
    for game in games:
        write_game(root, game)
    write_index(root, [game.info for game in games], [])
    return Dataset.open(root)
