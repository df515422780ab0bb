"""The embedded model's states over a rollout, against float64 scans of the same integers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks.recurrence as measure
from wmq.inference.model_files import IntegerModel, open_program
from wmq_kernels.program import Program, Step
from wmq_kernels.rangecheck import certified

BOUND = 1e-6  # relative root-mean-square error of a layer's state
FRAMES = 900


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return open_program()


def assert_the_states_follow(model: IntegerModel, frames: int) -> None:
    found = measure.layer_errors(model.program, *measure.match(model, frames))
    assert len(found) == len(measure.scans(model.program))
    for layer in found:
        assert layer.state <= BOUND, layer
        assert layer.carried is not None and layer.carried < layer.state / 2, layer
        assert layer.state_worst < 20 * BOUND, layer  # of a head that uses little of its range
        assert layer.saturations == 0, layer
        assert 0.001 < layer.reached < 0.5, layer  # of the room, nothing near its end


def test_the_states_follow_float64_within_a_millionth(model: IntegerModel) -> None:
    assert_the_states_follow(model, FRAMES)


@pytest.mark.soak
def test_the_states_follow_float64_within_a_millionth_for_a_minute(model: IntegerModel) -> None:
    assert_the_states_follow(model, 3600)


def without_carry(program: Program) -> Program:
    def plain(step: Step) -> Step:
        if step.op != "scan_carry":
            return step
        kept = {name: at for name, at in step.operands.items() if name != "carry"}
        return Step("scan", kept, step.parameters)

    return certified(replace(program, steps=tuple(map(plain, program.steps))))


def test_without_the_carry_the_same_states_are_several_times_as_far_off(
    model: IntegerModel,
) -> None:
    run = measure.match(model, FRAMES)
    ours = measure.layer_errors(model.program, *run)
    plain = measure.layer_errors(without_carry(model.program), *run)
    assert all(b.state > 2 * a.state for a, b in zip(ours, plain, strict=True))
    assert max(layer.state for layer in plain) > BOUND
    assert all(layer.carried is None for layer in plain)


@pytest.mark.parametrize("kind", measure.KINDS, ids=str)
def test_what_a_full_state_leaves_behind(kind: measure.Kind) -> None:
    left = measure.rest(kind.limit, measure.MEMORY, kind.limit, kind.carry)
    assert left == (0 if kind.carry else min(kind.limit, measure.MEMORY // 2))


BENCHMARK = Path(measure.__file__)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.soak
def test_the_benchmark_tells_of_all_six_kinds() -> None:
    done = run("--frames", "8", "--repeats", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    kinds = [(row["kind"]["bits"], row["kind"]["carry"]) for row in found["kinds"]]
    assert kinds == [(bits, carry) for bits in (32, 16, 8) for carry in (True, False)]
    errors = [row["layers"][0]["state"] for row in found["kinds"]]
    assert errors[0] < errors[2] < errors[4]
    assert found["scan_carry_seconds"] > 0 and found["kinds"][0]["speed"] == 1
    assert found["kinds"][0]["state_bytes"] > found["kinds"][1]["state_bytes"]


@pytest.mark.parametrize("bad", [["--quality"], ["--frames", "0"], ["--data", "nowhere"]], ids=str)
def test_the_benchmark_refuses_bad_input_in_one_line(bad: list[str]) -> None:
    done = run(*bad, *(["--frames", "4"] if "--frames" not in bad else []))
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.splitlines()[-1].startswith("recurrence: ")
    assert "Traceback" not in done.stderr
