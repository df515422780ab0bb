"""The pool of worker processes: a hostile file costs itself alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wmq.errors import WmqError
from wmq.sandbox import MEMORY_LIMIT, Outcome, Task, WorkerPool


# What a hostile file may do to the reader, chosen by the file's name; run in a worker.
def misbehave(task: Task) -> Outcome:
    name = task.file.name
    if name == "loop":
        while True:
            pass
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "swallow":
        try:
            return Outcome(sha256=f"{len(bytearray(2 * MEMORY_LIMIT))} bytes")
        except MemoryError:
            return Outcome(reason="no memory")
    if name == "fatal":
        return Outcome(fatal="disk full")
    return Outcome(sha256=f"{os.getpid()}")


def in_pool(perform: Callable[[Task], Outcome], *names: str, jobs: int) -> dict[str, Outcome]:
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
