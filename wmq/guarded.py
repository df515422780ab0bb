"""One replay, read where it can do no harm: in a process with limits of time and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wmq.dataset import FULL
from wmq.errors import WmqError
from wmq.extras import require
from wmq.replays import Game, ReplayError, read_replay
from wmq.sandbox import Outcome, Task, WorkerPool

READ_SECONDS = 60.0


@dataclass(frozen=True)
class _Read(Outcome):
    game: Game | None = None


def _read(task: Task) -> Outcome:
    """In the worker: the game, or the reason against it."""
    try:
        return _Read(game=read_replay(task.file, FULL))
    except ReplayError as error:
        return Outcome(reason=error.reason)
    except MemoryError:
        return Outcome(reason="needs too much memory")
    except Exception as error:  # noqa: BLE001  (a hostile file must not end in a traceback)
        text = " ".join(str(error).split())[:160]
        return Outcome(reason=f"unexpected content ({type(error).__name__}: {text})")


def read_guarded(path: Path, seconds: float = READ_SECONDS) -> Game:
    """A replay with the fields of FULL, read in a process with limits.  Raises WmqError."""
    require(str(path), ["peppi_py", "pyarrow"])
    if not path.is_file():
        what = "not a regular file" if path.exists() else "no such file"
        raise WmqError(f"{path}: {what}; give a .slp file")
    with WorkerPool(_read, 1, seconds) as pool:
        for _, outcome in pool.run([Task(path)]):
            if isinstance(outcome, _Read) and outcome.game is not None:
                return outcome.game
            raise ReplayError(path, f"{outcome.reason}; choose another game")
    raise ReplayError(path, "was not read; try again")
