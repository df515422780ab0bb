"""torch's ways of running a model that draws: by true draws, and by the words of all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from calib.step.graph import to_bytes
from tests.support.made_games import made_game
from tests.support.ruled_frames import RULED
from tests.support.small_chain import small_chain
from wmq.dataset.select import beginning
from wmq.inference.draws import Sampling
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.predictor import Predictor, StartRow
from wmq.replays.slippi import Game, read_replay
from wmq.toolkits import backends, torch_methods
from wmq.toolkits.methods import MethodContext

BACKEND = next(name for name in backends.BACKENDS
               if name in torch.backends.quantized.supported_engines)  # fmt: skip
DYNAMIC = f"torch dynamic 26 of 26 ({BACKEND})"
NAMES = ("float32 torch", "bfloat16 torch", DYNAMIC)
FRAMES, SEED = 20, 5


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> MethodContext:
    root = tmp_path_factory.mktemp("draws")
    step = small_chain("world", root)
    (root / "world.onnx").write_bytes(to_bytes(step.model))
    return MethodContext(root / "world.onnx", root, root, threads=1, frames=64)


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Game:
    path = tmp_path_factory.mktemp("game") / "made.slp"
    path.write_bytes(made_game(20, 1300).to_bytes())
    return beginning(read_replay(path, RULED), 40)


@pytest.fixture(scope="module", params=NAMES)
def way(request: pytest.FixtureRequest, context: MethodContext) -> tuple[str, Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_methods, "PROBE", 5)
        return request.param, backends.make(request.param, context).predictor


def walked(predictor: Predictor, game: Game) -> tuple[dict[str, np.ndarray], list]:
    rows: list[dict[str, np.ndarray]] = []
    states = predictor.walk([game], [StartRow(0, 30)], lambda at, first, heads: rows.append(heads))
    return {name: np.concatenate([row[name] for row in rows]) for name in RULED.heads}, states


def test_true_draws_are_what_later_heads_are_given(
    context: MethodContext, way: tuple[str, Predictor], game: Game
) -> None:
    name, predictor = way
    ours, exact = walked(predictor, game)[0], walked(OnnxPredictor(context.onnx), game)[0]
    near = 1e-5 if name == "float32 torch" else 0.3
    for head, values in exact.items():
        assert len(ours[head]) == len(game.frames) - 1
        error = np.linalg.norm(ours[head] - values) / np.linalg.norm(values)
        assert error < near, head


def test_worlds_draw_by_the_words_of_their_seed(
    context: MethodContext, way: tuple[str, Predictor], game: Game
) -> None:
    name, predictor = way
    made = []
    for model in (predictor, OnnxPredictor(context.onnx)):
        states = walked(model, game)[1]
        worlds = model.worlds(1, states=states, sampling=Sampling.of_worlds([SEED]))
        pads = np.repeat(game.controllers[None, 30:31], FRAMES + 1, axis=1)
        made.append(worlds.advance(game.frames[None, 30:31], pads, FRAMES)[0])
    actions = [RULED.index("action", player) for player in (0, 1)]
    if name == "float32 torch":
        assert np.abs(made[0] - made[1]).max() <= 8  # of 2^16 units
    else:  # random weights: other words would draw another of 544 actions
        np.testing.assert_array_equal(made[0][0, actions], made[1][0, actions])
    assert len(np.unique(made[1][:, actions])) > 5
    other = predictor.worlds(1, states=walked(predictor, game)[1],
                             sampling=Sampling.of_worlds([SEED + 1]))  # fmt: skip
    assert (other.advance(game.frames[None, 30:31], pads, FRAMES)[0] != made[0]).any()


def test_operations_and_layers_of_the_chain_are_counted(context: MethodContext) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_methods, "PROBE", 5)
        method = backends.make(DYNAMIC, context)
    weights = [name for name, array in small_chain("world", Path(context.folder)).weights.items()
               if name.endswith("weight") and array.ndim == 2
               and not name.startswith("embeddings.") and "conv" not in name]  # fmt: skip
    assert method.layers == len(weights)
    assert method.float_operations is not None and method.float_operations > 100
