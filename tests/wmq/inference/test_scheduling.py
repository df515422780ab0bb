"""Worlds in groups: dealt to threads so that all have work, and each as if it were alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.replay_files import ROOT
from tests.support.rollout_models import a_start, played, wmq
from tests.wmq_kernels.programs import needs_vnni
from wmq.cli.options import KERNELS
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.inference.model_files import open_program
from wmq.inference.scheduling import TEAMS, Team, results_in_threads, shares
from wmq.rollout.rollout import Rolled
from wmq_kernels.engine import Engine, cpu

pytest_plugins = ("tests.support.replay_files", "tests.support.rollout_models")

FRAMES, GIVEN = 130, 5  # more than a block of `roll`
PATHS = ["portable", pytest.param("vnni", marks=needs_vnni)]


@given(st.integers(0, 300), st.integers(1, 9), st.integers(1, 6))
def test_every_world_is_in_one_group_and_every_thread_has_work(
    count: int, threads: int, side_by_side: int
) -> None:
    found = shares(count, threads, side_by_side)
    assert sorted(world for group in found for world in group) == list(range(count))
    assert all(1 <= len(group) <= side_by_side for group in found)
    assert len(found) >= min(count, threads)
    assert all(group == sorted(group) for group in found)
    for first in range(0, len(found), threads):
        sizes = [len(group) for group in found[first : first + threads]]
        assert max(sizes) - min(sizes) <= 1


@cache
def by_kernels(path: Path, kernels: str) -> IntegerPredictor:
    return IntegerPredictor(open_program(path), kernels=kernels)


@cache
def alone(path: Path, seed: int) -> Rolled:
    """A world by itself, whose saturations were counted by the engine without any group."""
    worlds = by_kernels(path, "portable")
    (world,) = played(worlds, FRAMES, [seed], GIVEN).worlds
    engine, start = Engine(worlds.engine.program, "portable"), a_start(GIVEN)
    state, pads = engine.zero_state(), np.concatenate([start.controllers, world.controllers])
    run = engine.run(state, start.given, pads, len(pads) - 1)
    assert (run.frames[GIVEN - 1 :] == world.frames).all()
    assert world.saturations == state.saturations.sum()
    return world


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("kernels", PATHS)
def test_a_world_in_a_group_is_the_world_alone(
    models: Path, kernels: str, count: int, threads: int
) -> None:
    path = models / "small.wmq"
    found = played(by_kernels(path, kernels), FRAMES, range(count), GIVEN, threads)
    assert found.kernels == kernels and found.steps == count * (GIVEN - 1 + FRAMES)
    for seed, world in enumerate(found.worlds):
        expected = alone(path, seed)
        assert (world.seed, world.sha256) == (seed, expected.sha256)
        assert world.saturations == expected.saturations
        np.testing.assert_array_equal(world.frames, expected.frames)
        np.testing.assert_array_equal(world.controllers, expected.controllers)


def test_the_worlds_compared_clamp_differently(models: Path) -> None:
    path = models / "small.wmq"
    assert len({alone(path, seed).saturations for seed in range(9)}) > 2


def test_results_come_as_they_are_ready() -> None:
    last = threading.Event()

    def work(number: int) -> int:
        assert number or last.wait(20)  # the first is ready when the last one is out
        return number * number

    found = []
    for number, square in results_in_threads(work, range(4), 2, threading.Event()):
        found.append((number, square))
        if len(found) == 3:
            last.set()
    assert found[-1] == (0, 0) and sorted(found) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_an_error_stops_the_threads_that_began_before_it() -> None:
    """The first would run for a minute, and the third never begins."""
    stop, begun = threading.Event(), []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError(number)
        assert stop.wait(60)

    with pytest.raises(ValueError, match="1"):
        list(results_in_threads(work, range(3), 2, stop))
    assert stop.is_set() and sorted(begun) == [0, 1]


def test_whoever_stops_listening_ends_the_threads() -> None:
    stop = threading.Event()
    with closing(results_in_threads(lambda number: not number or stop.wait(60),
                                    range(2), 2, stop)) as results:  # fmt: skip
        assert next(results) == (0, True)
    assert stop.is_set()


class Cores:
    """A clock that parts of frames make go on, at `pace` seconds a frame by threads."""

    def __init__(self, pace: dict[int, float]):
        self.pace, self.now = pace, 0.0
        self.frames = dict.fromkeys(pace, 0)

    def play(self, team: Team, frames: int) -> None:
        reached = 0
        for first, last, threads in team.parts(frames):
            assert first == reached < last <= frames
            reached = last
            self.now += (last - first) * self.pace[threads]
            self.frames[threads] += last - first
        assert reached == frames


@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=30),
    st.lists(st.floats(1e-5, 1e-2), min_size=4, max_size=4),
    st.integers(1, 20),
)
def test_every_frame_is_in_one_part(calls: list[int], paces: list[float], threads: int) -> None:
    cores = Cores(dict(zip(TEAMS, paces, strict=True)))
    team = Team(threads, lambda: cores.now)
    for frames in calls:
        cores.play(team, frames)
    assert all(size <= threads for size, frames in cores.frames.items() if frames)


@pytest.mark.parametrize("best", [1, 2])
def test_most_frames_are_shared_as_is_fastest_and_a_change_is_seen(best: int) -> None:
    cores = Cores({1: 1e-4, 2: 6e-5 if best == 2 else 2e-3})
    team = Team(2, lambda: cores.now)
    for _ in range(100):
        cores.play(team, 120)
    assert cores.frames[best] > 0.96 * 12_000
    other = 3 - best
    cores.pace[2] = 2e-3 if best == 2 else 6e-5  # another process takes a core, or leaves
    cores.frames = {1: 0, 2: 0}
    for _ in range(300):
        cores.play(team, 120)
    assert cores.frames[other] > 0.5 * 36_000


def test_a_core_that_is_taken_costs_no_more_than_some_trials() -> None:
    cores = Cores({1: 1e-4, 2: 2e-3})
    team = Team(2, lambda: cores.now)
    for _ in range(1_000):
        cores.play(team, 120)
    assert cores.now < 1.1 * 120_000 * 1e-4


@pytest.mark.parametrize("kernels", PATHS)
def test_threads_that_share_a_world_do_not_show(models: Path, kernels: str) -> None:
    """Of 130 frames the first 120 are one thread's, the others two threads'."""
    path = models / "small.wmq"
    found = played(by_kernels(path, kernels), FRAMES, [3], GIVEN, threads=2)
    np.testing.assert_array_equal(found.worlds[0].frames, alone(path, 3).frames)
    assert found.worlds[0].saturations == alone(path, 3).saturations


def test_the_command_offers_the_kernels_that_there_are() -> None:
    assert KERNELS == cpu.CHOICES


def test_kernels_that_the_processor_lacks_are_one_line(models: Path, tmp_path: Path) -> None:
    path, stored = models / "small.wmq", tmp_path / "minute.npz"
    assert wmq("rollout", path, "--frames", 3, "-o", stored).exit_code == 0
    code = "from wmq.cli import main; main()"
    for arguments in (["rollout", path, "--frames", "3"], ["verify", path, stored]):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments), "--kernels", "vnni"],
            env={**os.environ, "NUMBA_CPU_NAME": "haswell"}, cwd=ROOT, capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("wmq: kernels vnni: ") and done.stderr.count("\n") == 1
        assert "choose portable" in done.stderr


def test_a_rollout_of_one_kind_of_kernels_is_verified_by_the_other(
    models: Path, tmp_path: Path
) -> None:
    path, stored = models / "small.wmq", tmp_path / "minute.npz"
    made = wmq("rollout", path, "--frames", 50, "--worlds", 3, "-o", stored)
    assert f", int8 {cpu.chosen('auto')}, " in made.output
    verified = wmq("verify", path, stored, "--kernels", "portable", "--json")
    assert verified.exit_code == 0 and '"kernels": "portable"' in verified.output
