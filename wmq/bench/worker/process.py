"""A worker from outside: a process that answers one request at a time, or a reason.

Idle workers wait for their next line, and end when it cannot come any more, so that none
outlives the benchmark.  They are in sessions of their own: Ctrl-C reaches the benchmark
alone, which then ends them.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from wmq.bench.worker.messages import Answer, Request, Setup

LIMIT = 300.0  # seconds for an answer beyond what is measured: some compile first


def command(setup: Setup) -> list[str]:
    return [sys.executable, "-m", "wmq.bench.worker", msgspec.json.encode(setup).decode()]


class Worker:
    """A process and its pipes; use it as a context.

    command  what is started; it first says an Answer by itself
    errors   file for what it writes on stderr
    threads  for libraries that ask the environment
    """

    def __init__(self, command: Sequence[str], errors: Path, threads: int = 1,
                 limit: float = LIMIT):  # fmt: skip
        self._limit, self._errors, self._text, self._closed = limit, errors, b"", False
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        with open(errors, "wb") as file:
            self._process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
                env=environment, start_new_session=True,
            )  # fmt: skip
        try:
            self.started = self._answer(limit)
        except BaseException:  # Ctrl-C, before anyone could close it
            self.close()
            raise

    def ask(self, request: Request) -> Answer:
        """Ask for the worker's answer, or why there is none; then it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        except OSError:
            return self._ended()
        return self._answer(self._limit + 10 * request.seconds)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and all that it started."""
        if self._closed:
            return
        self._closed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self, seconds: float) -> Answer:
        assert self._process.stdout is not None
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._text:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.close()
                    return Answer(reason=f"no answer within {seconds:.0f} s")
                piece = os.read(self._process.stdout.fileno(), 1 << 16)
                if not piece:
                    return self._ended()
                self._text += piece
        line, _, self._text = self._text.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=Answer)
        except msgspec.MsgspecError:
            self.close()
            return Answer(reason=f"no answer but {line[:60].decode(errors='replace')!r}")

    def _ended(self) -> Answer:
        """Say how the process ended, and its last words."""
        self.close()
        code = self._process.returncode
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = self._errors.read_bytes().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        return Answer(reason=f"its process {how}" + (f": {last[:200]}" if last else ""))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()
