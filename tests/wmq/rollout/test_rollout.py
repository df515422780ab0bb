"""Rollouts of a small random model: the same whatever the blocks and threads, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numba.core import config

from tests.support.replay_files import ROOT
from tests.support.rollout_models import RANDOM, a_start, played, wmq
from wmq.game.names import CHARACTERS, STAGES
from wmq.game.schema import Schema
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import ModelError, open_program, schema_of
from wmq.rollout import hash_chain, rollout
from wmq.rollout.controllers import random_controllers
from wmq.rollout.rollout import both_controllers, roll
from wmq.rollout.summary import RULES, summarize
from wmq_kernels.engine import Engine

SCHEMA = Schema()

pytest_plugins = ("tests.support.replay_files", "tests.support.rollout_models")


@pytest.mark.parametrize("given", [1, 30])
def test_rollout_is_the_engine_run_over_given_and_new_frames(
    worlds: IntegerPredictor, given: int
) -> None:
    found = played(worlds, 40, [5], given)
    start = a_start(given)
    pads = np.concatenate([start.controllers, found.worlds[0].controllers])
    engine = Engine(open_program(worlds.path).program)
    run = engine.run(engine.zero_state(), start.given, pads, given - 1 + 40)
    assert (found.worlds[0].frames == run.frames[given - 1 :]).all()
    assert found.steps == given - 1 + 40
    halves = [random_controllers(40, player, 5) for player in (0, 1)]
    assert (found.worlds[0].controllers == np.concatenate(halves, axis=1)).all()
    assert found.sha256 == hash_chain.rollout_sha256(
        worlds.sha256, start.given, start.controllers, pads[given:], found.worlds[0].frames
    )


@pytest.mark.parametrize("given", [1, 7, 30])
def test_blocks_do_not_show(
    worlds: IntegerPredictor, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    whole = played(worlds, 40, [1], given)
    for block in (1, 7, 40):
        monkeypatch.setattr(rollout, "BLOCK", block)
        assert played(worlds, 40, [1], given).sha256 == whole.sha256


def test_threads_and_company_do_not_show(worlds: IntegerPredictor) -> None:
    alone = {seed: played(worlds, 60, [seed]).sha256 for seed in range(4)}
    assert len(set(alone.values())) == 4
    for threads in (1, 2, 4):
        together = played(worlds, 60, range(4), threads=threads)
        assert [world.sha256 for world in together.worlds] == list(alone.values())
        assert together.sha256 == hash_chain.worlds_sha256(list(alone.values()))


def test_an_error_in_one_world_ends_all(worlds: IntegerPredictor) -> None:
    bad = np.full((500, 26), -1, dtype=np.int32)
    good = np.zeros((500, 26), dtype=np.int32)
    with pytest.raises(Exception, match="controllers"):
        roll(worlds, a_start(), [good, bad], [0, 1], threads=2)


def test_progress_ends_at_all_steps(worlds: IntegerPredictor) -> None:
    seen = []
    start = a_start()
    pads = [both_controllers(RANDOM, start, 300, seed) for seed in (0, 1)]
    roll(worlds, start, pads, [0, 1], 2, lambda what, done, total: seen.append((done, total)))
    assert seen[-1] == (600, 600)


def test_command_prints_one_json_object(models: Path) -> None:
    command = ("rollout", models / "small.wmq", "--frames", 90, "--json")
    first, second = (wmq(*command, "--threads", threads) for threads in (1, 2))
    facts = json.loads(first.output)
    assert first.exit_code == 0 and facts["frames"] == 90 and facts["frames_per_second"] > 0
    assert facts["rollout_sha256"] == json.loads(second.output)["rollout_sha256"]
    assert facts["model_sha256"] == open_program(models / "small.wmq").sha256
    assert isinstance(facts["saturations"], int) and facts["arithmetic"] == "int8"
    assert len(facts["worlds"]) == 1 and set(facts["worlds"][0]["p1"]["impossible"]) == set(RULES)
    other = json.loads(wmq(*command, "--seed", 1).output)
    assert other["rollout_sha256"] != facts["rollout_sha256"]


def test_command_rolls_a_float_model_out(models: Path) -> None:
    facts = json.loads(wmq("rollout", models / "small.onnx", "--frames", 20, "--json").output)
    assert facts["arithmetic"] == "float32" and facts["saturations"] is None
    assert facts["kernels"] is None


def test_command_starts_in_a_game(models: Path, val_games: list[Path], tmp_path: Path) -> None:
    start = ("rollout", models / "small.wmq", "--start", f"{val_games[0]}@600", "--json")
    facts = json.loads(wmq(*start, "--frames", 30).output)
    assert facts["given_frames"] == 240 and facts["first_frame"] == 601
    assert facts["p1"] == facts["p2"] == "replay"
    moment = facts["worlds"][0]["p1"]["moments"][0]
    short = json.loads(wmq(*start, "--frames", 30, "--warmup", 1, "--p2", "idle").output)
    assert short["given_frames"] == 1
    assert short["worlds"][0]["p1"]["moments"][0] == moment
    late = wmq(*start, "--frames", 1_000_000)
    assert late.exit_code == 2 and "ask for " in late.output


def test_summary_is_for_people(models: Path) -> None:
    one = wmq("rollout", models / "small.wmq", "--frames", 700).output
    assert "match on Battlefield, fox against falco" in one
    assert [w for w in one.split() if w.startswith(("0.0", "10.0", "11.7"))] != []
    assert one.count("stocks lost") == 2 and "rollout_sha256  " in one
    several = wmq("rollout", models / "small.wmq", "--frames", 30, "--worlds", 3).output
    assert "90 in 3 worlds, int8" in several


def test_stages_and_characters_are_listed_and_ignore_case(models: Path) -> None:
    text = wmq("rollout", "-h").output
    for name in (*CHARACTERS, *STAGES):
        assert name in text
    line = ("rollout", models / "small.wmq", "--frames", 1, "--json")
    small = wmq(*line, "--stage", "dream-land", "--p1-character", "marth").output
    large = wmq(*line, "--stage", "Dream-Land", "--p1-character", "MARTH").output
    same = json.loads(small)["rollout_sha256"], json.loads(small)["start"]
    assert same == (json.loads(large)["rollout_sha256"], json.loads(large)["start"])
    for option in ("--stage", "--p1-character", "--p2-character"):
        bad = wmq(*line, option, "joe")
        assert bad.exit_code == 2 and "'joe' is not one of" in bad.stderr


@pytest.mark.parametrize(("lost", "text"), [(0, "0 stocks"), (1, "1 stock"), (2, "2 stocks")])
def test_numbers_and_their_nouns_agree(
    lost: int, text: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def summarized(*given: object) -> tuple:
        return tuple(replace(player, stocks_lost=lost) for player in summarize(*given))

    monkeypatch.setattr("wmq.rollout.summary.summarize", summarized)
    assert f"player 1: {text} lost, " in wmq("rollout", models / "small.wmq", "--frames", 1).output


BAD = [
    (["nope.wmq"], "nope.wmq: no such file"),
    (["."], ".: a folder; `wmq export` makes a model of a training run"),
    (["small.onnx", "--int8"], "not an integer program (.wmq)"),
    (["small.wmq", "--float"], "not a float model (.onnx)"),
    (["small.onnx", "--kernels", "portable"], "--kernels portable: only for integer programs"),
    (["broken.wmq"], "broken.wmq: "),
    (["broken.onnx"], "broken.onnx: "),
    (["small.wmq", "--start", "x"], "neither match nor of the form"),
    (["small.wmq", "--start", "x.slp@3"], "x.slp: no such file"),
    (["small.wmq", "--start", "x.slp@3", "--stage", "battlefield"], "only for --start match"),
    (["small.wmq", "--p1", "joe"], "--p1 joe: unknown controller"),
    (["small.wmq", "--p2", "replay"], "p2 replay: needs a start"),
    (["small.wmq", "--p1", "script:none"], "none: no such script"),
    (["small.wmq", "-o", "x.txt"], "x.txt: unknown form"),
    (["small.wmq", "-o", "none/x.npz"], "its folder does not exist"),
    (["small.wmq", "--worlds", "100000"], "more than 20,000,000 frames"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line(
    models: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(models)
    whole = Path("small.wmq").read_bytes()
    Path("broken.wmq").write_bytes(whole[: len(whole) // 2])
    Path("broken.onnx").write_bytes(b"\0" * 100)
    before = sorted(models.iterdir())
    result = wmq("rollout", *arguments)
    assert result.exit_code == 2 and message in result.output
    assert result.output.startswith("wmq: ") and result.output.count("\n") == 1
    assert sorted(models.iterdir()) == before


def test_another_schema_is_one_clear_error() -> None:
    ours = SCHEMA.to_json()
    assert schema_of(ours, "m") == SCHEMA
    for other in (Schema(projectiles=True), Schema(version=2), Schema(True, 2)):
        assert schema_of(other.to_json(), "m") == other
    fields = [dict(field) for field in ours["fields"]]
    fields[2] = fields[2] | {"hi": 501}
    for found, message in (
        (None, "names no schema"),
        (ours | {"version": 3}, "schema version 3, this program has 1 and 2"),
        (ours | {"version": True}, "schema version True, this program has 1 and 2"),
        (ours | {"version": 2}, r"differs from this program's in fields \(percent\)"),
        (ours | {"rules": {}}, "in rules"),
        (ours | {"fields": fields}, r"differs from this program's in fields \(y\)"),
        (ours | {"fields": fields[:2]}, r"fields \(2 rows, not 23\)"),
        (ours | {"projectiles": True}, "in fields"),
        (ours | {"stage": {"classes": 40, "dim": 4}}, "in stage"),
    ):
        with pytest.raises(ModelError, match=f"^m: .*{message}.*make (it|the model) again"):
            schema_of(found, "m")


def test_info_shows_both_forms(models: Path) -> None:
    program = json.loads(wmq("info", models / "small.wmq", "--json").output)
    assert program["sha256"] == open_program(models / "small.wmq").sha256
    assert program["config"]["d_model"] == 64 and program["calibration"] == {"set": "random"}
    assert program["instructions"] == sum(program["by kind"].values())
    step = json.loads(wmq("info", models / "small.onnx", "--json").output)
    assert step["kind"] == "float step" and step["parameters"] > 0
    assert "kernels" not in step
    bad = wmq("info", "nope.wmq")
    assert bad.exit_code == 2 and bad.output.startswith("wmq: nope.wmq: no such file; ")


def test_info_says_which_kernels_this_machine_gets(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(wmq("info", models / "small.wmq", "--json").output)
    assert (found["kernels"] == "vnni") == ("not vnni" not in found)
    monkeypatch.setattr(config, "CPU_NAME", "haswell")
    found = json.loads(wmq("info", models / "small.wmq", "--json").output)
    assert (found["kernels"], found["processor"]) == ("portable", "haswell")
    assert found["not vnni"]


def test_integer_rollouts_need_the_base_packages_only(models: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from wmq.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pyarrow', 'peppi_py', 'multiprocessing'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (
        ["rollout", models / "small.wmq", "--frames", "5", "-o", tmp_path / "a.npz"],
        ["verify", models / "small.wmq", tmp_path / "a.npz"],
        ["info", models / "small.wmq"],
    ):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
