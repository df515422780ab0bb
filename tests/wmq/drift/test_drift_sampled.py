"""`wmq drift` of a world that draws: two agents play it, and real play is the measure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support.made_games import made_game
from tests.support.ruled_frames import RULED
from wmq.cli import main
from wmq.dataset.select import beginning
from wmq.dataset.store import Dataset, write_game, write_index
from wmq.drift.free_rollouts import sampled_worlds
from wmq.drift.significance import EXCHANGES
from wmq.drift.statistics import DISTRIBUTIONS
from wmq.evaluation.bootstrap import DRAWS, draw_weights
from wmq.evaluation.results import Drift, RealPlay, read_result
from wmq.game.schema import FIRST_FRAME, FULL
from wmq.inference.agents import IntegerAgent
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.predictor import StartRow
from wmq.replays.slippi import read_replay
from wmq.rollout.rollout import roll
from wmq.rollout.starts import Start

pytest_plugins = ["tests.support.match_models", "tests.support.rollout_models"]
GAMES, LENGTH = 10, 400
MODELS = ["float", "int8", "onnxruntime dynamic"]


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """A tenth of the draws of games, and of the exchanges: they cost more than small models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wmq.drift.significance.EXCHANGES", EXCHANGES // 10)
        patch.setattr("wmq.evaluation.differences.draw_weights",
                      lambda games: draw_weights(games, DRAWS // 10))  # fmt: skip
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Made games: GAMES to validate with, and one to train with."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    (root / "games").mkdir(parents=True)
    path = root.parent / "made.slp"
    infos = []
    for seed in range(GAMES + 1):
        path.write_bytes(made_game(50 + seed, 1200).to_bytes())
        game = beginning(read_replay(path, FULL), LENGTH - 1)
        split = "val" if seed < GAMES else "train"
        info = replace(game.info, split=split, frames=LENGTH)
        write_game(root, replace(game, info=info))
        infos.append(info)
    write_index(root, infos, [])
    return Dataset.open(root)


def run(models: Path, dataset: Dataset, *arguments: object) -> Result:
    named = [models / "world.wmq", "--data", dataset.path, *arguments]
    return CliRunner().invoke(main, ["drift", *map(str, named)])


SIZE = ["--starts", 10, "--horizon", 5, "--worlds", 10, "--frames", 40, "--threads", 1]


@pytest.fixture(scope="module")
def found(
    match_models: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Drift, Path, str]:
    """The whole command with an agent."""
    out = tmp_path_factory.mktemp("drift") / "drift.json"
    agents = ("--agents", match_models / "agent.wmq")
    result = run(match_models, dataset, *agents, *SIZE, "-o", out)
    assert result.exit_code == 0, result.output
    return read_result(out, Drift), out, result.stdout


def test_every_statistic_has_real_play_beside_all_models(found: tuple[Drift, Path, str]):
    result = found[0]
    assert {s.controllers for s in result.statistics} == {"agents", "real"}
    for statistic in result.statistics:
        assert set(statistic.tracks) == {"real", *MODELS}
    names = [s.name for s in result.statistics if s.controllers == "agents"]
    assert len(names) == len(set(names))
    assert {"hits", "median hit", "phantom hits", "at a ledge", "apart"} <= set(names)
    assert set(DISTRIBUTIONS) <= set(names)
    play = result.real_play
    assert isinstance(play, RealPlay) and play.agent == "agent.wmq"
    assert [d.name for d in play.distances if d.controllers == "agents"] == [
        name for name in names if not name.startswith("impossible: ")
    ]
    for controllers in ("agents", "real"):
        assert set(play.mean[controllers]) == set(MODELS)
        for model in MODELS:
            own = [d.models[model].value for d in play.distances if d.controllers == controllers]
            known = [ratio for ratio in own if ratio is not None]
            assert play.mean[controllers][model].value == pytest.approx(np.mean(known))
    assert [v.model for v in result.verdicts if v.horizon == 40] == MODELS[1:]


def test_the_table_of_distances_fits_the_page(found: tuple[Drift, Path, str]):
    lines = found[2].splitlines()
    assert not [line for line in lines if len(line) > 80]
    begin = next(k for k, line in enumerate(lines) if line.startswith("Worlds of two agents"))
    assert lines[begin + 2].split() == ["real", "float", "int8", "dynamic", "distance"]
    assert any(line.startswith("  action pairs, bits ") for line in lines[begin:])


def test_a_finished_run_is_read_back(
    found: tuple[Drift, Path, str], match_models: Path, dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr("wmq.drift.measured_model.sampled_worlds",
                        lambda *_: pytest.fail("a stage that was kept is made again"))  # fmt: skip
    agents = ("--agents", match_models / "agent.wmq")
    again = run(match_models, dataset, *agents, *SIZE, "--json", "-w", f"{found[1]}.stages")
    assert again.exit_code == 0, again.output
    kept = json.loads(found[1].read_text())
    for key in ("statistics", "real_play", "verdicts"):
        assert json.loads(again.stdout)[key] == kept[key]


def test_another_agent_plays_other_worlds(
    found: tuple[Drift, Path, str], match_models: Path, dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr("wmq.drift.free_rollouts.WARM_UP", 5)  # onnxruntime takes its time
    agents = ("--agents", match_models / "agent.onnx")
    before = set((Path(f"{found[1]}.stages")).iterdir())
    again = run(match_models, dataset, *agents, *SIZE, "-w", f"{found[1]}.stages")
    assert again.exit_code == 0, again.output
    made = {
        path.name.split("-agents")[0] for path in set(Path(f"{found[1]}.stages").iterdir()) - before
    }
    assert len(made) == len(MODELS) and all("two" in name for name in made)


def test_a_world_is_the_match_that_wmq_rollout_plays(match_models: Path, dataset: Dataset):
    """From a game's first frame: later, a rollout has drawn for the given frames too."""
    game = dataset.load(dataset.select("val")[0], RULED)
    world = IntegerPredictor(match_models / "world.wmq", 1)
    agent = IntegerAgent(match_models / "agent.wmq")
    starts, count = [StartRow(0, 0)] * 3, 30
    states = world.walk([game], starts[:1], lambda *_: None) * 3
    made = sampled_worlds(world, [game], starts, states, count, agent, lambda _: None)
    start = Start("here", game.frames[:1], game.controllers[:1], FIRST_FRAME + 1)
    seeds, rest = [0, 1, 2], np.zeros((count, 26), np.int32)
    rolled = roll(world, start, [rest] * 3, seeds, agents=(agent, agent))
    for own, match in zip(made, rolled.worlds, strict=True):
        np.testing.assert_array_equal(own, match.frames)
    assert not np.array_equal(made[0], made[1])


@pytest.mark.parametrize("threads", [1, 3])
def test_worlds_depend_on_their_number_alone(match_models: Path, dataset: Dataset, threads: int):
    games = [dataset.load(info, RULED) for info in dataset.select("val")[:3]]
    starts = [StartRow(k % 3, 130 + 7 * k) for k in range(7)]
    agent = IntegerAgent(match_models / "agent.wmq")

    def played(count: int, threads: int) -> np.ndarray:
        world = IntegerPredictor(match_models / "world.wmq", threads)
        states = world.walk(games, starts, lambda *_: None)
        return sampled_worlds(world, games, starts[:count], states, 20, agent, lambda _: None)

    np.testing.assert_array_equal(played(7, threads)[:2], played(2, 1))


def test_what_cannot_play_is_one_line(
    match_models: Path, models: Path, dataset: Dataset, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr("wmq.inference.model_files.EMBEDDED", tmp_path)
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    for named, expected in (
        ([world], "ships no agent to play the worlds"),
        ([world, "--agents", world], "is a world, not an agent"),
        ([world, "--agents", match_models / "none.wmq"], "no such file"),
        ([world, "--agents", tmp_path / "agent.txt"], "not a model"),
        ([models / "small.wmq", "--agents", agent], "the world does not draw"),
    ):
        arguments = [*named, "--data", dataset.path, "--quick", "--threads", 1]
        result = CliRunner().invoke(main, ["drift", *map(str, arguments)])
        assert result.exit_code == 2 and expected in result.output, result.output
        assert result.output.startswith("wmq: ") and result.output.count("\n") == 1
