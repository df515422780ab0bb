"""A pool of processes for hostile files, which the kernel ends at a limit of time or memory.

A `Task` names a file; its `TaskOutcome` comes back whatever the file did to the worker: a panic,
an endless loop or a blow-up costs one file, and the worker is replaced.  An outcome is final,
so that no later run tries again, only if it would be the same on any other day.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Self, cast

from wmq.errors import WmqError

MEMORY_LIMIT = 2 << 30  # bytes of address space that one file may take in a worker
SILENT_LIMITS = 10.0  # time limits for which a worker may be silent
LEAST_SILENCE = 60.0  # seconds for which it always may
LAST_WAIT = 10.0  # seconds for a killed worker, which a disk that hangs keeps from ending
TICK = 1.0  # seconds between two looks at silent workers
_MAIN = Lock()


@dataclass(frozen=True)
class Task:
    """Work on one file: its SHA-256 if `sha256` is empty, else its shard in `root`."""

    file: Path
    sha256: str = ""
    root: Path = Path()


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended.

    reason     why the file is left out, or ""
    final      the reason lies in the content: no need to try again
    timed_out  the reason is the time limit
    fatal      why the whole run must end, or ""

    A lack of memory is never final: the address space that is left depends on the machine, its
    settings and what else is loaded.  Neither is the death of a worker: the kernel, a person or
    a failing memory chip can bring it about, and the signal does not tell which.
    """

    sha256: str = ""
    reason: str = ""
    final: bool = False
    timed_out: bool = False
    fatal: str = ""


Perform = Callable[[Task], TaskOutcome]


def _work(tasks: Connection, perform: Perform, seconds: float) -> None:
    """Life of a worker: one task after the other until the parent goes away."""
    import peppi_py  # noqa: F401  (imports count neither as time nor as memory of a file)
    import pyarrow.ipc  # noqa: F401

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _limit_memory()
    tasks.send("ready")
    with suppress(EOFError, ConnectionError):
        while True:
            task = tasks.recv()
            # Processor time, which no stop, slow disk or busy machine uses up; the default
            # action ends the process.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            outcome = perform(task)
            signal.setitimer(signal.ITIMER_PROF, 0)
            tasks.send(outcome)


def _limit_memory() -> None:
    """Cap the address space at what is in use now plus MEMORY_LIMIT, where the system can."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass


class AwakeClock:
    """Seconds for which this process could have run.

    A stop (Ctrl-Z, a machine that sleeps) stops the parent as well as its workers: of the time
    between two looks, no more than two ticks count.
    """

    def __init__(self) -> None:
        self.now, self._looked = 0.0, time.monotonic()

    def look(self) -> float:
        before, self._looked = self._looked, time.monotonic()
        self.now += min(self._looked - before, 2 * TICK)
        return self.now


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep a process that starts here from importing the caller's script.

    multiprocessing would run it again in the worker, and a script without
    `if __name__ == "__main__"` would then start this pool again there.
    """
    with _MAIN:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


class WorkerPool:
    """Worker processes that do `perform`, with a pipe each; one that dies is replaced.

    seconds  processor time for one task; a worker that uses little and does not answer, as on
             a disk that hangs, is ended after SILENT_LIMITS times as long
    Raises WmqError where the system cannot limit a process.
    """

    def __init__(self, perform: Perform, jobs: int, seconds: float) -> None:
        if find_spec("resource") is None:
            raise WmqError("reading replays needs a POSIX system: Linux, macOS, or WSL on Windows")
        self.perform, self.jobs, self.seconds = perform, jobs, seconds
        self.patience = max(LEAST_SILENCE, SILENT_LIMITS * seconds)
        self.context = get_context("spawn")
        self.workers: dict = {}  # pipe -> process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.workers.values():
            process.kill()
        for pipe, process in self.workers.items():
            process.join(LAST_WAIT)
            pipe.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, TaskOutcome]]:
        """Do the tasks, in any order.  Raises WmqError if the run cannot go on."""
        waiting = deque(tasks)
        busy: dict = {}  # pipe -> task, or None while the worker starts
        since: dict = {}  # pipe -> when its task was sent
        clock = AwakeClock()
        idle = list(self.workers)
        while waiting or busy:
            while waiting and idle:
                pipe = idle.pop()
                try:
                    pipe.send(waiting[0])
                    busy[pipe], since[pipe] = waiting.popleft(), clock.look()
                except OSError:  # it died while it had nothing to do
                    self._bury(pipe)
            while len(self.workers) < min(self.jobs, len(waiting) + len(busy)):
                busy[self._start()] = None
            answers = cast("list[Connection]", wait(list(busy), TICK))
            for pipe in self._silent(busy, since, clock.look()) - set(answers):
                self.workers[pipe].kill()
                self._bury(pipe)
                reason = f"no answer for {self.patience:g} s; see that its disk is there, run again"
                yield busy.pop(pipe), TaskOutcome(reason=reason)
            for pipe in answers:
                task = busy.pop(pipe)
                try:
                    reply: TaskOutcome = pipe.recv()
                except (EOFError, OSError):
                    reply = self._bury(pipe)
                    if task is None:
                        raise WmqError(f"a worker process cannot start: {reply.reason}") from None
                else:
                    idle.append(pipe)
                if task is None:
                    continue
                if reply.fatal:
                    raise WmqError(reply.fatal)
                yield task, reply

    def _silent(self, busy: dict, since: dict, now: float) -> set[Connection]:
        return {p for p, task in busy.items() if task and now - since[p] > self.patience}

    def _start(self) -> Connection:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_work, args=(theirs, self.perform, self.seconds), daemon=True
        )
        # Workers inherit the mask: Ctrl-C is for the parent, which ends them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            ours_alone = self.perform.__module__ != "__main__"
            with _no_main_module() if ours_alone else nullcontext():
                process.start()
            self.workers[ours] = process
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return ours

    def _bury(self, pipe: Connection) -> TaskOutcome:
        process = self.workers.pop(pipe)
        process.join(LAST_WAIT)
        pipe.close()
        code = -(process.exitcode or 0)
        if code == signal.SIGPROF:
            reason = f"took longer than {self.seconds:g} s"
            return TaskOutcome(reason=reason, final=True, timed_out=True)
        name = signal.Signals(code).name if code > 0 else f"status {-code}"
        return TaskOutcome(
            reason=f"the reader died of it ({name}): damaged, or over "
            f"{MEMORY_LIMIT >> 20} MB of memory"
        )
