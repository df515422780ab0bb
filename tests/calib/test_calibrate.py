"""`wmq calibrate`: the same play gives the same file, and bad input one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_step import random_play, small_step

import calib.sets
from calib.errors import CalibrationError
from calib.sets import read_file, write_set
from wmq.calibrate import LEAST_FRAMES, LEAST_GAMES, LONGEST_CUT, choose_cuts
from wmq.cli import main
from wmq.dataset import FULL, Dataset, Game, GameInfo, write_game, write_index
from wmq.schema import Schema
from wmq_kernels.loading import load

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


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def refused(folder: Path, *arguments: object) -> str:
    """The one line of a run that must end with 2 and write nothing."""
    before = sorted(folder.iterdir())
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("wmq: ") and result.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    return result.stderr


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(tmp_path, model, dataset):
    elsewhere = tmp_path / "elsewhere.onnx"
    elsewhere.write_bytes(model.read_bytes())
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    for source, out in zip((model, elsewhere), outs, strict=True):
        result = run(source, "-o", out, "--data", dataset, "--frames", 400)
        assert result.exit_code == 0, result.output
        assert hashlib.sha256(out.read_bytes()).hexdigest() in result.stdout
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_the_program_keeps_where_its_ranges_come_from(tmp_path, model, dataset):
    out = tmp_path / "a.wmq"
    result = run(model, "-o", out, "--data", dataset, "--frames", 400, "--json")
    facts = json.loads(result.stdout)
    program, sha256 = load(out)
    assert facts["model_sha256"] == sha256
    assert facts["bytes"] == out.stat().st_size
    kept = program.meta["calibration"]
    assert kept["recipe"]["name"] == "static-digits" and kept["observer"] == "minmax"
    assert kept["frames"] == facts["frames"] == 400
    assert kept["onnx_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    games = kept["data"]["games"]
    assert games == sorted(games) and len(games) == kept["games"] == LEAST_GAMES
    assert set(games) < {game.sha256 for game in Dataset.open(dataset).games}
    assert str(tmp_path) not in json.dumps(program.meta)


def test_each_tensor_has_a_line_with_range_scale_and_ratio(tmp_path, model, dataset):
    result = run(model, "-o", tmp_path / "a.wmq", "--data", dataset, "--frames", 400, "--json")
    tensors = {row["name"]: row for row in json.loads(result.stdout)["tensors"]}
    row = tensors["layers.1.norm.unit"]
    assert row["scale"] == pytest.approx(row["limit"] / 127)
    assert 15 < row["decibels"] < 50
    for name in ("layers.0.norm.unit", "layers.0.mamba.norm.unit", "norm_f.unit"):  # two digits
        row = tensors[name]
        assert row["scale"] == pytest.approx(row["limit"] / 127 / 128)
        assert 57 < row["decibels"] < 92
    assert tensors["layers.0.mamba.y"]["groups"] == 8
    assert tensors["layers.0.mamba.y"]["decibels"] > 50
    text = run(model, "-o", tmp_path / "a.wmq", "--data", dataset, "--frames", 400).stdout
    assert all(name in text for name in tensors)


def test_a_recipe_changes_the_program(tmp_path, model, dataset):
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    for out, recipe in zip(outs, ("static-minmax", "static-percentile"), strict=True):
        result = run(model, "-o", out, "--data", dataset, "--frames", 400, "--recipe", recipe)
        assert result.exit_code == 0, result.output
    assert outs[0].read_bytes() != outs[1].read_bytes()


def test_an_embedded_set_needs_no_dataset(tmp_path, model, monkeypatch):
    monkeypatch.setattr(calib.sets, "FOLDER", tmp_path)
    play = [random_play(SCHEMA, 81, seed) for seed in range(4)]
    frames, controllers = (np.stack(arrays) for arrays in zip(*play, strict=True))
    sha256 = write_set(tmp_path / "tiny.safetensors", frames, controllers)
    result = run(model, "-o", tmp_path / "a.wmq", "--set", "tiny", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 4 * 80
    kept = load(tmp_path / "a.wmq")[0].meta["calibration"]["data"]
    assert kept == {"set": "tiny", "sha256": sha256}
    assert "tiny" in refused(tmp_path, model, "-o", tmp_path / "b.wmq", "--set", "other")


def test_a_set_with_values_outside_the_schema_is_refused(tmp_path, model, monkeypatch):
    monkeypatch.setattr(calib.sets, "FOLDER", tmp_path)
    frames, controllers = (array[None] for array in random_play(SCHEMA, 300, 1))
    write_set(tmp_path / "narrow.safetensors", frames[:, :, 1:], controllers)
    frames[0, 5, 15] = 400  # an action that does not exist
    write_set(tmp_path / "wild.safetensors", frames, controllers)
    out = tmp_path / "a.wmq"
    assert "other fields" in refused(tmp_path, model, "-o", out, "--set", "narrow")
    assert "outside the schema" in refused(tmp_path, model, "-o", out, "--set", "wild")


def test_a_set_is_written_the_same_each_time_and_read_back(tmp_path):
    frames, controllers = (array[None] for array in random_play(SCHEMA, 9, 1))
    first = write_set(tmp_path / "a.safetensors", frames, controllers)
    assert write_set(tmp_path / "b.safetensors", frames, controllers) == first
    found = read_file(tmp_path / "a.safetensors")
    assert found.sha256 == first and found.name == "a"
    np.testing.assert_array_equal(found.frames, frames)
    np.testing.assert_array_equal(found.controllers, controllers)


def test_a_damaged_or_hostile_set_is_one_line(tmp_path):
    frames, controllers = (array[None] for array in random_play(SCHEMA, 9, 1))
    path = tmp_path / "a.safetensors"
    write_set(path, frames, controllers)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-4], b"\xff" * 64, whole.replace(b"I32", b"F32")):
        path.write_bytes(content)
        with pytest.raises(CalibrationError, match="a.safetensors") as caught:
            read_file(path)
        assert "\n" not in str(caught.value)
    for bad in (
        (frames[0], controllers),
        (frames, controllers[:, :5]),
        (frames[:, :1], controllers[:, :1]),
        (frames.astype(np.int64), controllers),
    ):
        with pytest.raises(CalibrationError):
            write_set(tmp_path / "b.safetensors", *bad)
    assert not (tmp_path / "b.safetensors").exists()


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, model, dataset):
    out = tmp_path / "a.wmq"
    half = tmp_path / "half.onnx"
    half.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    idle = write_dataset(tmp_path / "idle", [info(1, idle=(0.9, 0.1)), info(2, split="val")])
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n[activations]\nobserver = "best"\n[state]\nheadroom_bits=2')
    data = ("--data", dataset)
    for arguments, reason in (
        ((tmp_path / "none.onnx", "-o", out, *data), "none.onnx"),
        ((dataset / "index.json", "-o", out, *data), "index.json"),
        ((half, "-o", out, *data), "half.onnx"),
        ((model, "-o", tmp_path / "a.onnx", *data), ".wmq"),
        ((model, "-o", tmp_path / "no" / "a.wmq", *data), "folder"),
        ((model, "-o", out), "--data DATASET"),
        ((model, "-o", out, *data, "--set", "tiny"), "either"),
        ((model, "-o", out, "--data", tmp_path / "nowhere"), "nowhere"),
        ((model, "-o", out, "--data", idle), "no training game"),
        ((model, "-o", out, *data, "--frames", LEAST_FRAMES - 1), "--frames"),
        ((model, "-o", out, *data, "--frames", -5), "--frames"),
        ((model, "-o", out, *data, "--recipe", recipe), "mine.toml: activations.observer: "),
        ((model, "-o", out, *data, "--recipe", "worst"), "static-digits"),
    ):
        assert reason in refused(tmp_path, *arguments)


def test_a_damaged_shard_leaves_the_old_program_as_it_was(tmp_path, model):
    root = write_dataset(tmp_path / "d", [info(i) for i in range(16)])
    shard = sorted((root / "games").iterdir())[3]
    shard.write_bytes(shard.read_bytes()[:1000])
    out = tmp_path / "a.wmq"
    out.write_bytes(b"before")
    assert shard.name in refused(tmp_path, model, "-o", out, "--data", root)
    assert out.read_bytes() == b"before"


@pytest.mark.parametrize("frames", [300, 5_000, 64_000, 200_000, 900_000, 10_000_000])
def test_cuts_lie_inside_their_games_and_hold_the_frames_asked_for(frames):
    rng = np.random.default_rng(3)
    games = [info(i, int(rng.integers(1200, 15_000))) for i in range(120)]
    there = sum(game.frames - 1 for game in games)
    cuts = choose_cuts(games, frames)
    assert len({cut.info.sha256 for cut in cuts}) == len(cuts) >= LEAST_GAMES
    assert all(0 <= c.first and 1 <= c.count < c.info.frames - c.first for c in cuts)
    total = sum(cut.count for cut in cuts)
    assert min(frames, there) <= total <= min(frames + len(cuts), there)
    assert {cut.first > 0 for cut in cuts} == {True, False} or total == there
    if frames < LEAST_GAMES * LONGEST_CUT:
        assert len(cuts) == LEAST_GAMES


def test_few_games_are_all_taken():
    games = [info(1, 1200), info(2, 3000)]
    cuts = choose_cuts(games, 96_000)
    assert [(cut.first, cut.count) for cut in cuts] == [(0, 1199), (0, 2999)]
