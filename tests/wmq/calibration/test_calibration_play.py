"""What is played: cuts of real games, the model's own play, embedded sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import calib.sets
from calib.errors import CalibrationError
from calib.sets import read_file, write_set
from tests.support.calibrating import SCHEMA, info, refused, run, write_dataset
from tests.support.small_step import random_play
from wmq.calibration.play import LEAST_GAMES, LONGEST_CUT, choose_cuts, from_dataset
from wmq.calibration.self_play import GIVEN, Pair
from wmq.dataset.store import Dataset
from wmq_kernels.loading import load

pytest_plugins = ("tests.support.calibrating",)
pytestmark = pytest.mark.usefixtures("cache")


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


def test_a_set_with_no_frames_is_one_line(tmp_path, model, monkeypatch):
    monkeypatch.setattr(calib.sets, "FOLDER", tmp_path)
    arrays = {"frames": np.zeros((1, 0, SCHEMA.frame_size), np.int32),
              "controllers": np.zeros((1, 0, 26), np.int32)}  # fmt: skip
    (tmp_path / "empty.safetensors").write_bytes(save(arrays))
    message = refused(tmp_path, model, "-o", tmp_path / "a.wmq", "--set", "empty")
    assert "empty.safetensors: frames: no game of two frames" in message


def test_the_data_free_recipe_needs_no_dataset(tmp_path, model):
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq"
    assert run(model, "-o", outs[0], "--recipe", "static-datafree").exit_code == 0
    kept = load(outs[0])[0].meta["calibration"]
    assert kept["data"]["set"] == "self-play"
    assert kept["recipe"]["data"] == {"play": "set", "set": "self-play"}
    assert run(model, "-o", outs[1], "--set", "self-play").exit_code == 0
    other = load(outs[1])[0].meta["calibration"]
    assert "data" not in other["recipe"]  # the form of before where nothing new is used
    assert other["data"] == kept["data"]
    scales = [{n: v.scale for n, v in load(out)[0].values.items()} for out in outs]
    assert scales[0] == scales[1]


@pytest.fixture(scope="module")
def long_games(tmp_path_factory) -> Path:
    """Games that go on after the frames that the model is given."""
    infos = [info(i, GIVEN + 60) for i in range(5)]
    return write_dataset(tmp_path_factory.mktemp("data") / "long", infos)


def test_the_models_own_play_gives_other_ranges_and_is_named(tmp_path, model, long_games):
    ranges = {}
    for play in ("real", "self", "mixed"):
        out = tmp_path / f"{play}.wmq"
        facts = json.loads(
            run(model, "-o", out, "--data", long_games, "--play", play, "--json").stdout
        )
        kept = load(out)[0].meta["calibration"]
        games = sorted(game.sha256 for game in Dataset.open(long_games).games)
        named = {} if play == "real" else {"play": play, "given": GIVEN}
        assert kept["data"] == {"games": games} | named
        assert facts["frames"] == 5 * (GIVEN + 59) * (2 if play == "mixed" else 1)
        ranges[play] = np.array([row["limit"] for row in facts["tensors"]])
    assert (ranges["self"] != ranges["real"]).any()
    # all of both was played, and a maximum of both is the larger one
    np.testing.assert_allclose(ranges["mixed"], np.maximum(ranges["real"], ranges["self"]), 1e-4)


def test_a_recipe_says_how_the_dataset_is_played_unless_the_command_does(
    tmp_path, model, long_games
):
    recipe = tmp_path / "own.toml"
    recipe.write_text('name = "own"\n[activations]\nobserver = "minmax"\n'
                      '[state]\nheadroom_bits = 2\n[data]\nplay = "self"\n')  # fmt: skip
    for options, play in (((), "self"), (("--play", "real"), None)):
        out = tmp_path / "a.wmq"
        result = run(model, "-o", out, "--data", long_games, "--recipe", recipe, *options)
        assert result.exit_code == 0, result.output
        assert load(out)[0].meta["calibration"]["data"].get("play") == play
    assert "give data (a dataset" in refused(tmp_path, model, "-o", out, "--recipe", recipe)


def test_half_of_mixed_play_are_shorter_cuts_of_the_same_games(long_games):
    def own_play(games: Iterable[Pair], total: int) -> Iterator[Pair]:
        return ((frames[::-1], pads) for frames, pads in games)

    source = from_dataset(long_games, SCHEMA, 200, "mixed", own_play)
    games = list(source.games())
    assert sum(len(game.numbers) for game in games) == source.frames
    assert 200 <= source.frames <= 200 + len(games)
    for real, own in zip(games[::2], games[1::2], strict=True):
        np.testing.assert_array_equal(real.controllers, own.controllers)
        np.testing.assert_array_equal(real.numbers[1:], own.numbers[:0:-1])
