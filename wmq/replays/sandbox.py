"""Replays read where they can do no harm: in a process with limits of time and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wmq.errors import WmqError
from wmq.extras import require
from wmq.game.schema import FULL
from wmq.replays.replay_file import ReplayError, UnreadableError, broken_link
from wmq.replays.slippi import Game, read_replay
from wmq.replays.worker_pool import MEMORY_LIMIT, Task, TaskOutcome, WorkerPool

READ_SECONDS = 60.0


@dataclass(frozen=True)
class _Read(TaskOutcome):
    game: Game | None = None


def refusal(error: Exception) -> TaskOutcome:
    """Judge a file by an exception, in a worker; only a reader's verdict is final."""
    if isinstance(error, ReplayError):
        return TaskOutcome(reason=error.reason, final=not isinstance(error, UnreadableError))
    if isinstance(error, WmqError):
        return TaskOutcome(fatal=str(error))
    if isinstance(error, MemoryError):
        return TaskOutcome(reason=f"needs more than {MEMORY_LIMIT >> 20} MB of memory")
    text = " ".join(str(error).split())[:160]
    return TaskOutcome(reason=f"unexpected content ({type(error).__name__}: {text})")


def _read(task: Task) -> TaskOutcome:
    try:
        return _Read(game=read_replay(task.file, FULL))
    except Exception as error:  # noqa: BLE001  (a hostile file must not end in a traceback)
        return refusal(error)


def read_sandboxed(path: Path, seconds: float = READ_SECONDS) -> Game:
    """Read a replay with the fields of FULL in a process with limits.  Raises WmqError."""
    require(str(path), ["peppi_py", "pyarrow"])
    if not path.is_file():
        missing = broken_link(path) or "no such file"
        what = "not a regular file" if path.exists() else missing
        raise WmqError(f"{path}: {what}; give a .slp file")
    with WorkerPool(_read, 1, seconds) as pool:
        for _, outcome in pool.run([Task(path)]):
            if isinstance(outcome, _Read) and outcome.game is not None:
                return outcome.game
            way_out = "choose another game" if outcome.final else "try again, or another game"
            raise ReplayError(path, f"{outcome.reason}; {way_out}")
    raise ReplayError(path, "was not read; try again")
