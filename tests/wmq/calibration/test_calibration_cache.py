"""What a pass over play found is kept: for the next recipe, and for the next run after Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import calib.statistics.collect
import wmq.calibration.statistics
from calib.step.runner import StepRunner
from tests.support.calibrating import FRAMES, info, run, write_dataset
from wmq.calibration.play import LEAST_GAMES
from wmq.dataset.store import Game, write_game
from wmq.game.schema import FULL
from wmq.memo.forms import Form
from wmq.memo.store import Cache

pytest_plugins = ("tests.support.calibrating",)
pytestmark = pytest.mark.usefixtures("cache")


def test_a_second_recipe_needs_no_second_pass(tmp_path, model, dataset, cache, monkeypatch):
    def no_pass(*arguments: object, **more: object) -> None:
        raise AssertionError("the step was run again")

    data = ("--data", dataset, "--frames", 400)
    alone, after = tmp_path / "alone.wmq", tmp_path / "after.wmq"
    assert run(model, "-o", alone, *data, "--recipe", "static-mse").exit_code == 0
    for file in cache.iterdir():
        file.unlink()
    assert run(model, "-o", after, *data, "--recipe", "static-minmax").exit_code == 0
    monkeypatch.setattr(wmq.calibration.statistics, "collect", no_pass)
    result = run(model, "-o", after, *data, "--recipe", "static-mse")
    assert (result.exit_code, result.stderr) == (0, "")
    assert after.read_bytes() == alone.read_bytes()
    with pytest.raises(AssertionError):  # other play
        run(model, "-o", after, "--data", dataset, "--frames", 401, catch=False)


def test_other_frames_under_the_same_hashes_are_seen(tmp_path, model):
    """A dataset prepared anew by a program that reads replays in another way."""
    infos = [info(i) for i in range(LEAST_GAMES)]
    first = write_dataset(tmp_path / "first", infos)
    second = write_dataset(tmp_path / "second", infos)
    frames = np.zeros((FRAMES, FULL.frame_size), np.int32)
    write_game(second, Game(infos[3], frames, np.zeros((FRAMES, 26), np.int32)))
    for root in (first, second):
        assert run(model, "-o", root / "a.wmq", "--data", root, "--frames", 400).exit_code == 0
    assert (first / "a.wmq").read_bytes() != (second / "a.wmq").read_bytes()


def test_whatever_the_cache_folder_holds_costs_a_line_and_no_more(
    tmp_path, model, dataset, cache, monkeypatch
):
    outs = tmp_path / "a.wmq", tmp_path / "b.wmq", tmp_path / "c.wmq"
    data = ("--data", dataset, "--frames", 400)
    assert run(model, "-o", outs[0], *data).exit_code == 0
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-8])
    result = run(model, "-o", outs[1], *data)
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1 and f"{kept}: not a file of statistics" in result.stderr
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    result = run(model, "-o", outs[2], *data, "--show-statistics")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1 and "going on without a cache" in result.stderr
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()


def test_ctrl_c_keeps_what_was_observed_and_the_next_run_goes_on(
    tmp_path, model, dataset, cache, monkeypatch
):
    data = ("--data", dataset, "--frames", 500)
    assert run(model, "-o", tmp_path / "whole.wmq", *data).exit_code == 0
    for file in cache.iterdir():
        file.unlink()
    monkeypatch.setattr(calib.statistics.collect, "SAVE_SECONDS", 0.0)
    write = Cache.write

    def interrupted(self: Cache, kind: str, key: object, form: Form, value: object) -> None:
        write(self, kind, key, form, value)
        if kind == "unfinished" and value.statistics.frames >= 200:
            raise KeyboardInterrupt

    monkeypatch.setattr(Cache, "write", interrupted)
    assert run(model, "-o", tmp_path / "a.wmq", *data).exit_code == 130
    assert [file.name.split("-")[0] for file in cache.iterdir()] == ["unfinished"]
    monkeypatch.setattr(Cache, "write", write)
    monkeypatch.setattr(calib.statistics.collect, "SAVE_SECONDS", 1000.0)
    played = []
    play = StepRunner.play

    def counted(self: StepRunner, *arguments: object) -> Iterator[dict[str, np.ndarray]]:
        for found in play(self, *arguments):
            played.append(self.frames)
            yield found

    monkeypatch.setattr(StepRunner, "play", counted)
    assert run(model, "-o", tmp_path / "a.wmq", *data).exit_code == 0
    assert played[0] > 200
    assert (tmp_path / "a.wmq").read_bytes() == (tmp_path / "whole.wmq").read_bytes()
    assert [file.name.split("-")[0] for file in cache.iterdir()] == ["statistics"]
