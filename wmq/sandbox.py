"""Work on hostile files, in worker processes that the kernel ends at a limit of time or memory.

A `Task` names a file; its `Outcome` comes back whatever the file did to the worker: a panic,
an endless loop or a blow-up costs one file, and the worker is replaced.
"""

from __future__ import annotations

import os
import resource
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self, cast

from wmq.errors import WmqError

MEMORY_LIMIT = 2 << 30  # bytes of address space that one file may take in a worker


@dataclass(frozen=True)
class Task:
    """Work on one file: its SHA-256 if `sha256` is empty, else its shard in `root`."""

    file: Path
    sha256: str = ""
    root: Path = Path()
    split: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    reason     why the file is left out, or ""
    final      the reason lies in the content: no need to try again
    timed_out  the reason is the time limit
    fatal      why the whole run must end, or ""
    """

    sha256: str = ""
    reason: str = ""
    final: bool = True
    timed_out: bool = False
    fatal: str = ""


Perform = Callable[[Task], Outcome]


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
            signal.setitimer(signal.ITIMER_REAL, seconds)  # its default action ends the process
            outcome = perform(task)
            signal.setitimer(signal.ITIMER_REAL, 0)
            tasks.send(outcome)


def _limit_memory() -> None:
    """Cap the address space at what is in use now plus MEMORY_LIMIT, where the system can."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass


class WorkerPool:
    """Worker processes that do `perform`, with a pipe each; one that dies is replaced."""

    def __init__(self, perform: Perform, jobs: int, seconds: float) -> None:
        self.perform, self.jobs, self.seconds = perform, jobs, seconds
        self.context = get_context("spawn")
        self.workers: dict = {}  # pipe -> process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.workers.values():
            process.kill()
        for pipe, process in self.workers.items():
            process.join()
            pipe.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        """Do the tasks, in any order.  Raises WmqError if the run cannot go on."""
        waiting = deque(tasks)
        busy: dict = {}  # pipe -> task, or None while the worker starts
        idle = list(self.workers)
        while waiting or busy:
            while waiting and idle:
                pipe = idle.pop()
                try:
                    pipe.send(waiting[0])
                    busy[pipe] = waiting.popleft()
                except OSError:  # it died while it had nothing to do
                    self._bury(pipe)
            while len(self.workers) < min(self.jobs, len(waiting) + len(busy)):
                busy[self._start()] = None
            for pipe in cast("list[Connection]", wait(list(busy))):
                task = busy.pop(pipe)
                try:
                    reply: Outcome = pipe.recv()
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

    def _start(self) -> Connection:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_work, args=(theirs, self.perform, self.seconds), daemon=True
        )
        # Workers inherit the mask: Ctrl-C is for the parent, which ends them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process.start()
            self.workers[ours] = process
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return ours

    def _bury(self, pipe: Connection) -> Outcome:
        process = self.workers.pop(pipe)
        process.join()
        pipe.close()
        code = -(process.exitcode or 0)
        if code == signal.SIGALRM:
            return Outcome(reason=f"took longer than {self.seconds:g} s", timed_out=True)
        name = signal.Signals(code).name if code > 0 else f"status {-code}"
        return Outcome(
            reason=f"the reader died of it ({name}): damaged, or over "
            f"{MEMORY_LIMIT >> 20} MB of memory",
            final=code != signal.SIGKILL,  # that one comes from outside
        )
