"""The two worlds of `wmq report`: what is rolled, the viewer's format, and the command."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from calib.lowering.lower import lower
from calib.recipe import RecurrentState
from calib.statistics.collect import collect
from calib.step.graph import to_bytes
from tests.support.made_up import write_results
from tests.support.rollout_models import SCHEMA, wmq
from tests.support.small_step import random_play, small_step
from tests.support.tiny import walking_game
from wmq.calibration.play import calibration_game
from wmq.dataset.store import Dataset, write_game, write_index
from wmq.errors import WmqError
from wmq.game.names import STAGES
from wmq.game.schema import BLAST_ZONES, LEGAL_STAGES, Q16, REBIRTH_PLACES
from wmq.game.stages import DRAWINGS
from wmq.inference.float_predictor import OnnxPredictor
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import embedded_model
from wmq.report.compare import dataset_start, open_pair
from wmq.report.viewer import columns
from wmq.rollout.starts import match_start
from wmq_kernels.program import encode

pytest_plugins = ("tests.support.rollout_models",)
# As the issue writes the format down.
KEYS = """x, y, percent, shield_strength, speed_air_x, speed_y, speed_ground_x, speed_attack_x,
          speed_attack_y, state_age, hitlag, stocks, facing, on_ground, action_state, jumps_left,
          character""".replace(",", " ").split()
WHOLE = {"x": "x", "y": "y", "percent": "percent", "shield_strength": "shield", "hitlag": "hitlag",
         "stocks": "stocks", "facing": "facing", "action_state": "action", "jumps_left": "jumps",
         "state_age": "state_age", "on_ground": "on_ground", "speed_y": "speed_y"}  # fmt: skip


def report(models: Path, *arguments: object):
    pair = ("--float", models / "small.onnx", "--int8", models / "small.wmq")
    return wmq("report", *pair, *arguments)


@pytest.fixture(scope="module")
def both(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("viewer") / "both.json"
    made = report(models, "--viewer", path, "--frames", 50, "--seed", 3, "--stage", "dream-land",
                  "--json")  # fmt: skip
    assert made.exit_code == 0, made.output
    facts = json.loads(made.output)
    assert facts["viewer_bytes"] == path.stat().st_size and "report" not in facts
    return {"facts": facts, "document": json.loads(path.read_text(), parse_constant=pytest.fail)}


def test_the_viewer_gets_the_format_of_the_issue(both: dict) -> None:
    document = both["document"]
    assert set(document) == {"comparison", "tracks"} and document["comparison"] is True
    assert list(document["tracks"]) == ["float", "int8"]
    for track in document["tracks"].values():
        assert len(track) == 51  # the start, then 50 new frames
        for frame in track:
            assert set(frame) == {"players", "stage"} and frame["stage"] == 28
            assert len(frame["players"]) == 2
            for player in frame["players"]:
                assert sorted(player) == sorted(KEYS)
                assert all(type(v) in (int, float) and math.isfinite(v) for v in player.values())
                assert player["facing"] in (0, 1) and player["on_ground"] in (0, 1)


@pytest.mark.parametrize("track", ["float", "int8"])
def test_a_track_is_what_wmq_rollout_rolls(
    both: dict, models: Path, tmp_path: Path, track: str
) -> None:
    suffix = {"float": "onnx", "int8": "wmq"}[track]
    made = wmq("rollout", models / f"small.{suffix}", "--frames", 50, "--seed", 3, "--stage",
               "dream-land", "-o", tmp_path / "a.csv", "--json")  # fmt: skip
    assert (
        json.loads(made.output)["rollout_sha256"]
        == (both["facts"]["models"][track]["rollout_sha256"])
    )
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    frames = both["document"]["tracks"][track]
    for row, frame in zip(rows, frames[1:], strict=True):
        for number, player in enumerate(frame["players"], 1):
            for key, field in WHOLE.items():
                assert player[key] == float(row[f"p{number}.{field}"])


def test_both_begin_alike_and_part_where_the_command_says(both: dict) -> None:
    one, other = both["document"]["tracks"].values()
    assert one[0] == other[0]
    start = match_start(SCHEMA, "dream-land", ("fox", "falco")).given[0]
    assert one[0]["players"][1]["x"] == start[SCHEMA.index("x", 1)] / Q16
    first = next(
        (k for k, pair in enumerate(zip(one, other, strict=True))
         if any(a["action_state"] != b["action_state"]
                for a, b in zip(pair[0]["players"], pair[1]["players"], strict=True))), None,
    )  # fmt: skip
    assert first is not None and both["facts"]["first_divergence"] == first


def test_columns_add_up_to_the_frames() -> None:
    frames, _ = random_play(SCHEMA, 30, seed=2)
    made = columns(SCHEMA, {"float": frames})
    track = made["tracks"]["float"]
    for player in (0, 1):
        summed = np.cumsum(track["players"][player]["shield_strength"])
        assert (summed == frames[:, SCHEMA.index("shield", player)]).all()
    assert (np.cumsum(track["stage"]) == frames[:, SCHEMA.stage_index]).all()
    assert made["quanta"]["x"] == Q16 and made["quanta"]["stocks"] == 1


def test_players_of_real_games_start_and_return_inside_the_drawn_stage() -> None:
    assert set(DRAWINGS) == set(LEGAL_STAGES)
    for name, number in STAGES.items():
        left, right, bottom, top = BLAST_ZONES[number]
        ground = [x for x, _ in DRAWINGS[number].ground]
        given = match_start(SCHEMA, name, ("fox", "falco")).given[0]
        places = [
            *REBIRTH_PLACES[number],
            *((given[SCHEMA.index("x", p)], given[SCHEMA.index("y", p)]) for p in (0, 1)),
        ]
        for x, y in places:
            assert ground[0] < x / Q16 < ground[-1] and 0 < y / Q16 < top
        for one, other, height in DRAWINGS[number].platforms:
            assert left < one < other < right and bottom < 0 < height < top


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("dataset")
    (root / "games").mkdir()
    games = [walking_game("01"), walking_game("a0", "val", 600), walking_game("b0", "val", 300)]
    for game in games:
        write_game(root, game)
    write_index(root, [game.info for game in games], [])
    return Dataset.open(root)


def test_a_start_of_a_dataset_is_the_game_there(dataset: Dataset) -> None:
    game = dataset.load(next(g for g in dataset.games if g.sha256.startswith("b0")), SCHEMA)
    start = dataset_start(SCHEMA, str(dataset.path), "B0b0@100")
    at = 100 + 123  # a match begins with frame -123
    assert (start.given[-1] == game.frames[at]).all() and len(start.given) == at + 1
    assert start.following is not None and start.first == 101
    assert (start.following[0] == game.controllers[at + 1]).all()
    middle = dataset_start(SCHEMA, str(dataset.path), None)
    assert "a0a0" in middle.label and len(middle.given) == 240 and middle.first == 300 - 123 + 1


def test_a_start_of_a_dataset_is_rolled_with_its_controllers(
    models: Path, dataset: Dataset, tmp_path: Path
) -> None:
    made = report(models, "--data", dataset.path, "--start", "b0b0@100", "--viewer",
                  tmp_path / "v.json", "--json")  # fmt: skip
    facts = json.loads(made.output)
    assert facts["p1"] == facts["p2"] == "replay" and facts["frames"] == 300 - 224


@pytest.mark.parametrize("text", ["a0", "a0a0@", "c0c0@5", "a0a0@x", "a0a0@477", "a0a0@-124", "@5"])
def test_a_start_that_is_not_there_is_one_line(dataset: Dataset, text: str) -> None:
    with pytest.raises(WmqError, match="^--start [^\n]*$"):
        dataset_start(SCHEMA, str(dataset.path), text)


def test_a_dataset_without_validation_games_is_refused(tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    game = walking_game("01")
    write_game(tmp_path, game)
    write_index(tmp_path, [game.info], [])
    with pytest.raises(WmqError, match="no validation game"):
        dataset_start(SCHEMA, str(tmp_path), None)


def test_models_that_do_not_belong_together_are_refused(models: Path, tmp_path: Path) -> None:
    step = small_step(tmp_path)
    statistics = collect(step, [calibration_game(SCHEMA, *random_play(SCHEMA, 61))]).ranges()
    other = tmp_path / "other.wmq"
    provenance = {"set": "random", "onnx_sha256": "0" * 64}
    other.write_bytes(encode(lower(step, statistics, provenance, RecurrentState(headroom_bits=2))))
    with pytest.raises(WmqError, match=r"\(but from 0000000000000000\.\., not "):
        open_pair(str(models / "small.onnx"), str(other))
    step = small_step(tmp_path, projectiles=True)
    (tmp_path / "projectiles.onnx").write_bytes(to_bytes(step.model))
    with pytest.raises(WmqError, match="which has other fields"):
        open_pair(str(tmp_path / "projectiles.onnx"), str(models / "small.wmq"))


def test_the_embedded_pair_belongs_together() -> None:
    floats, int8 = open_pair(None, None)
    assert isinstance(floats, OnnxPredictor) and isinstance(int8, IntegerPredictor)
    assert floats.path == embedded_model(".onnx") and int8.path == embedded_model(".wmq")


def digests(models: Path) -> tuple[str, str]:
    pair = open_pair(str(models / "small.onnx"), str(models / "small.wmq"))
    return pair[0].sha256, pair[1].sha256


def test_the_command_writes_page_and_viewer_file(models: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", *digests(models))
    page, viewer = tmp_path / "page.html", tmp_path / "both.json"
    made = report(models, results, "-o", page, "--viewer", viewer, "--frames", 20, "--json")
    facts = json.loads(made.output)
    assert facts["report"] == str(page) and facts["report_bytes"] == page.stat().st_size
    assert facts["viewer"] == str(viewer) and facts["frames"] == 20
    assert page.read_text("utf-8").startswith("<!doctype html>")
    text = report(models, results, "-o", page, "--frames", 20)
    assert "first other action" in text.output and str(page) in text.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.json", "page.html", "results"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to write"),
        (["-o", "{tmp}/a.html"], "a page needs results"),
        (["{tmp}/nowhere"], "no such folder"),
        ([""], "holds none of suite.json"),
        (["{tmp}/results", "-o", "{tmp}/a.txt"], "end the name with .html"),
        (["{tmp}/results", "-o", "{tmp}/nowhere/a.html"], "its folder does not exist"),
        (["--viewer", "{tmp}/a.html"], "end the name with .json"),
        (["{tmp}/others", "-o", "{tmp}/a.html"], "others/suite.json: is of the model"),
        (["--viewer", "{tmp}/a.json", "--data", "{tmp}"], "no dataset here"),
        (["--viewer", "{tmp}/a.json", "--data", "x", "--stage", "battlefield"], "only for a match"),
        (["--viewer", "{tmp}/a.json", "--p1", "nobody"], "unknown controller"),
        (["--viewer", "{tmp}/a.json", "--p1", "replay"], "replay"),
        (["--viewer", "{tmp}/a.json", "--float", "x.wmq"], "not a float model"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    models: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_results(tmp_path / "results", *digests(models))
    write_results(tmp_path / "others", "0" * 64, "0" * 64)
    before = sorted(tmp_path.iterdir())
    result = report(models, *(a.format(tmp=tmp_path) for a in arguments))
    assert result.exit_code == 2 and message in result.output
    assert result.output.startswith("wmq: ") and result.output.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
