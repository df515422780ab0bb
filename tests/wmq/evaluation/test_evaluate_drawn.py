"""`wmq evaluate` of models that draw: worlds and agents, as float steps and integer programs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from calib.step.graph import read_step
from tests.support.made_games import made_game
from tests.support.ruled_frames import RULED
from tests.support.small_chain import SCHEMAS, Session
from wmq.cli import main
from wmq.dataset.store import Dataset, Game, write_game, write_index
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.evaluate import EvaluationSettings, evaluate
from wmq.evaluation.events import NAMES, PRESS, foresee
from wmq.evaluation.metrics import Tally
from wmq.evaluation.reports import DrawnComparison, DrawnReport
from wmq.game.schema import FULL
from wmq.game.targets import drawn_classes, true_draws
from wmq.inference.onnx_session import OnnxStep
from wmq.replays.slippi import read_replay

pytest_plugins = ("tests.support.match_models",)
ROWS = {"val": [(100, 220), (400, 470), (700, 790)], "train": [(900, 1200)]}
FRAMES = sum(last - first - 1 for first, last in ROWS["val"])
one_thread = partial(evaluate, settings=EvaluationSettings(threads=1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four pieces of a made game, as games."""
    root = tmp_path_factory.mktemp("dataset")
    (root / "games").mkdir()
    (root / "made.slp").write_bytes(made_game(20, 1300).to_bytes())
    whole, infos = read_replay(root / "made.slp", FULL), []
    for split, pieces in ROWS.items():
        for first, last in pieces:
            info = replace(whole.info, sha256=f"{first:064x}", split=split, frames=last - first)
            write_game(root, Game(info, whole.frames[first:last], whole.controllers[first:last]))
            infos.append(info)
    write_index(root, infos, [])
    return Dataset.open(root)


def pair(folder: Path, kind: str) -> list[Path]:
    return [folder / f"{kind}.onnx", folder / f"{kind}.wmq"]


def heads_of(path: Path, kind: str, frames: np.ndarray, pads: np.ndarray) -> dict[str, np.ndarray]:
    """Heads of a game's rows, the true draws forced and the state carried."""
    schema = SCHEMAS[kind]
    session, rows = Session(read_step(path), schema), []
    drawn = true_draws(schema, frames, pads)
    for row in range(len(frames) - 1):
        now, following = pads[row : row + 1], pads[row + 1 : row + 2]
        rows.append(session.run(frames[row : row + 1], now, following, forced=drawn[row]))
    return {name: np.concatenate([row[name] for row in rows]) for name in schema.heads}


def test_a_world_is_measured_given_the_true_draws(dataset: Dataset, match_models: Path) -> None:
    path = match_models / "world.onnx"
    (found,) = one_thread(dataset, [path]).models
    assert isinstance(found, DrawnReport) and list(found.events) == list(NAMES)
    whole = Tally(RULED, OnnxStep(path).spreads)
    parts, hits = [], 0
    for info in dataset.select("val"):
        game = dataset.load(info, RULED)
        now, after = game.frames[:-1], game.frames[1:]
        heads = heads_of(path, "world", game.frames, game.controllers)
        parts.append(foresee(RULED, now, after, heads, game.controllers[1:]))
        whole.add(now, after, heads, pads=game.controllers[1:])
        hits += int((drawn_classes(RULED, now, after).classes[:, :2] > 0).sum())
    assert found.figures["nll"] == pytest.approx(whole.result()["nll"], rel=1e-4)
    nll = found.intervals["nll"]
    assert nll.value == pytest.approx(found.figures["nll"])
    each = [game["nll"] for game in found.games]
    assert min(each) <= nll.lo < nll.hi <= max(each)
    for name in NAMES:
        predicted = sum(part[name].chance.sum() for part in parts)
        assert found.events[name].predicted == pytest.approx(predicted, rel=1e-3), name
        assert found.events[name].observed == sum(part[name].happened.sum() for part in parts)
    assert found.events["hit"].observed == hits > 0


def test_an_agent_is_measured_on_both_sides(dataset: Dataset, match_models: Path) -> None:
    path = match_models / "agent.onnx"
    report = one_thread(dataset, [path])
    (found,), schema = report.models, SCHEMAS["agent"]
    assert isinstance(found, DrawnReport) and list(found.events) == [PRESS]
    half, whole, predicted, began = len(schema.fields), ControlTally(), 0.0, 0
    for info in dataset.select("val"):
        game = dataset.load(info, schema)
        order = [*range(half, 2 * half), *range(half), 2 * half]
        for frames, pads in ((game.frames, game.controllers[:, :13]),
                             (game.frames[:, order], game.controllers[:, 13:])):  # fmt: skip
            heads = heads_of(path, "agent", frames, pads)
            whole.add(pads[:-1], pads[1:], heads)
            presses = foresee(schema, pads[:-1], pads[1:], heads)[PRESS]
            predicted += presses.chance.sum()
            began += int(presses.happened.sum())
    assert found.figures == pytest.approx(whole.figures(), rel=1e-4)
    assert list(found.figures)[0] == "nll" and "val_loss" not in found.figures
    assert {name: i.value for name, i in found.intervals.items()} == pytest.approx(found.figures)
    assert found.events[PRESS].predicted == pytest.approx(predicted, rel=1e-4)
    assert found.events[PRESS].observed == began > 0
    assert report.frames == FRAMES


@pytest.mark.parametrize("kind", ["world", "agent"])
def test_float_and_int8_are_compared_by_the_same_words(
    dataset: Dataset, match_models: Path, kind: str
) -> None:
    one, other = (one_thread(dataset, pair(match_models, kind)) if threads == 1 else
                  evaluate(dataset, pair(match_models, kind), EvaluationSettings(threads=threads))
                  for threads in (1, 2))  # fmt: skip
    (found,) = one.comparisons
    assert isinstance(found, DrawnComparison)
    assert found.nll.value == pytest.approx(found.percent["nll"])
    assert found.nll.lo < found.nll.value < found.nll.hi
    assert 0 < found.other_draws.value < found.other_frames.value < 40
    assert one.models[1] == other.models[1]
    (same,) = one_thread(dataset, [pair(match_models, kind)[1]] * 2).comparisons
    assert isinstance(same, DrawnComparison)
    assert same.nll.value == same.other_draws.value == same.other_frames.value == 0


def test_a_baseline_stands_beside_a_world(dataset: Dataset, match_models: Path) -> None:
    report = one_thread(dataset, ["frozen", match_models / "world.onnx"])
    (frozen, world) = report.models
    assert isinstance(frozen, DrawnReport) and isinstance(world, DrawnReport)
    assert frozen.events["hit"].observed == world.events["hit"].observed
    assert not report.comparisons


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.mark.parametrize("kind", ["world", "agent"])
def test_the_command_prints_the_chain_in_80_columns(
    dataset: Dataset, match_models: Path, kind: str
) -> None:
    names = pair(match_models, kind)
    result = run("--data", dataset.path, *names)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    drawn = lines[lines.index("") :]
    assert max(map(len, drawn)) <= 80
    for path in names:
        at = drawn.index(path.name)
        assert drawn[at + 1].startswith("nll  ")
    assert drawn.count(next(line for line in drawn if line.startswith("event "))) == 2
    shown = [line[:12].rstrip() for line in drawn]
    assert all(shown.count(name) == 2 for name in (NAMES if kind == "world" else (PRESS,)))
    assert f"{kind}.wmq against {kind}.onnx" in drawn
    lone = run("--data", dataset.path, names[1], "--games", 1).stdout.splitlines()
    assert "1 game: no intervals" in " ".join(lone) and not any("(" in line for line in lone[3:])


def test_the_command_prints_json_with_all_figures(dataset: Dataset, match_models: Path) -> None:
    result = run("--data", dataset.path, *pair(match_models, "world"), "--json")
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    event = found["models"][1]["events"]["landing"]
    assert set(event) == {"observed", "predicted", "ratio", "precision", "gain", "base_rate"}
    assert set(event["ratio"]) == set(found["models"][0]["intervals"]["nll"]) == \
        set(found["comparisons"][0]["other_draws"]) == {"value", "lo", "hi"}  # fmt: skip


def test_a_model_of_version_1_has_no_chain(dataset: Dataset) -> None:
    result = run("--data", dataset.path, "frozen", "--json")
    (found,) = json.loads(result.stdout)["models"]
    assert set(found) == {"name", "figures", "games", "rolled", "by_horizon"}


def test_worlds_and_agents_are_not_mixed(dataset: Dataset, match_models: Path) -> None:
    agent = match_models / "agent.wmq"
    for arguments, said in (
        ((match_models / "world.wmq", agent), f"{agent}: is an agent, and "),
        ((agent, "frozen"), "and frozen is none; evaluate worlds and agents in two runs"),
        ((agent, "--horizon", 5), "rolls nothing out by itself; leave the horizon out"),
    ):
        result = run("--data", dataset.path, *arguments)
        assert result.exit_code == 2 and said in result.stderr
        assert len(result.stderr.splitlines()) == 1
