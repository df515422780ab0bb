"""The pool of worker processes: a hostile file costs itself alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wmq.errors import WmqError
from wmq.replays import worker_pool
from wmq.replays.worker_pool import MEMORY_LIMIT, Task, TaskOutcome, WorkerPool

ROOT = Path(__file__).resolve().parents[3]


# What a hostile file may do to the reader, chosen by the file's name; run in a worker.
def misbehave(task: Task) -> TaskOutcome:
    name = task.file.name
    if name == "loop":
        while True:
            pass
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "swallow":
        try:
            return TaskOutcome(sha256=f"{len(bytearray(2 * MEMORY_LIMIT))} bytes")
        except MemoryError:
            return TaskOutcome(reason="no memory")
    if name == "sleep":
        time.sleep(1.2)
    if name == "wait":
        signal.pause()
    if name == "fatal":
        return TaskOutcome(fatal="disk full")
    return TaskOutcome(sha256=f"{os.getpid()}")


def in_pool(
    perform: Callable[[Task], TaskOutcome], *names: str, jobs: int
) -> dict[str, TaskOutcome]:
    with WorkerPool(perform, jobs, seconds=0.5) as pool:
        done = pool.run([Task(Path(name)) for name in names])
        return {task.file.name: outcome for task, outcome in done}


@pytest.mark.parametrize("jobs", [1, 2])
def test_hang_and_crash_cost_one_file_each(jobs: int) -> None:
    good = [f"good{i}" for i in range(5)]
    outcomes = in_pool(misbehave, "good0", "loop", "good1", "crash", *good[2:], jobs=jobs)
    assert all(outcomes[name].sha256 and not outcomes[name].reason for name in good)
    assert outcomes["loop"].reason == "took longer than 0.5 s" and outcomes["loop"].timed_out
    assert "SIGSEGV" in outcomes["crash"].reason
    assert outcomes["loop"].final and not outcomes["crash"].final


def test_only_processor_time_counts() -> None:
    assert not in_pool(misbehave, "sleep", jobs=1)["sleep"].reason


def test_worker_that_never_answers_is_ended_and_its_file_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "LEAST_SILENCE", 3.0)
    monkeypatch.setattr(worker_pool, "SILENT_LIMITS", 1.0)
    monkeypatch.setattr(worker_pool, "TICK", 0.1)
    outcomes = in_pool(misbehave, "wait", "good", "sleep", jobs=1)
    assert outcomes["wait"].reason.startswith("no answer for 3 s")
    assert not outcomes["wait"].final and not outcomes["wait"].timed_out
    assert not outcomes["good"].reason and not outcomes["sleep"].reason


STOPPED = """
import os, sys, time
from pathlib import Path
from wmq.replays import worker_pool
worker_pool.LEAST_SILENCE, worker_pool.SILENT_LIMITS, worker_pool.TICK = 1.5, 1.0, 0.1

def perform(task):
    print("at work", flush=True)
    time.sleep(1)
    return worker_pool.TaskOutcome(sha256="done")

if __name__ == "__main__":
    with worker_pool.WorkerPool(perform, 1, 0.5) as pool:
        for _, outcome in pool.run([worker_pool.Task(Path("a"))]):
            print(outcome.sha256, outcome.reason)
"""


def test_time_in_which_all_are_stopped_does_not_count(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(STOPPED)
    with subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "at work\n"
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2.2)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.communicate()[0] == "done \n"


def test_worker_that_stays_alive_is_used_again() -> None:
    outcomes = in_pool(misbehave, *"abcdef", jobs=1)
    assert len({outcome.sha256 for outcome in outcomes.values()}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_is_limited() -> None:
    with WorkerPool(misbehave, 1, seconds=20) as pool:
        outcomes = dict(pool.run([Task(Path("swallow")), Task(Path("good"))]))
    assert outcomes[Task(Path("swallow"))].reason == "no memory"
    assert not outcomes[Task(Path("good"))].reason


def test_fatal_outcome_ends_the_run() -> None:
    with pytest.raises(WmqError, match="disk full"):
        in_pool(misbehave, "good", "fatal", jobs=1)
