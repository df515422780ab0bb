"""Arrays that may be made again, kept in the user's cache folder under a hash's name.

Whatever lies there costs no more than making it again: a file that cannot be read, and a
folder that cannot be written, give one line of warning.  Without a folder, what is stored
stays in memory for as long as the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from safetensors.numpy import save

from calib.errors import CalibrationError
from calib.statistics.store import LARGEST_FILE, Arrays, arrays_in
from wmq.files.atomic import FileError, write_atomically
from wmq_kernels.engine.user_cache import user_cache

LARGEST_FOLDER = 1 << 30  # bytes; the files that were used longest ago go first
Made = TypeVar("Made")


class Cache:
    """folder  made when it is needed; None: memory alone
    warn    takes a line of text
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]):
        self.folder, self.warn = folder, warn
        self._memory: dict[str, Arrays] = {}

    @classmethod
    def of_statistics(cls, warn: Callable[[str], None] = lambda text: None) -> Cache:
        """$XDG_CACHE_HOME/wmq/statistics, or ~/.cache/wmq/statistics."""
        try:
            return cls(user_cache() / "statistics", warn)
        except RuntimeError as error:
            warn(f"{error}: ranges are kept in memory alone, and an interrupted pass is lost")
            return cls(None, warn)

    def read(self, name: str, parse: Callable[[Arrays, str], Made]) -> Made | None:
        """What `parse` makes of the stored arrays; None if there are none or they are damaged.

        parse  takes the arrays and the file's name, raises CalibrationError
        """
        if name in self._memory:
            return parse(self._memory[name], name)
        if self.folder is None:
            return None
        path = self.folder / name
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST_FILE + 1)
            with suppress(OSError):
                os.utime(path)
            return parse(arrays_in(content, os.fspath(path)), os.fspath(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.warn(f"{path}: {error.strerror}; going on without it")
        except CalibrationError as error:
            self.warn(f"{error}; made again")
        return None

    def write(self, name: str, arrays: Arrays) -> None:
        """Store arrays under a name, whole or not at all."""
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self.folder / name, save(arrays))
                self._prune()
                return
            except (OSError, FileError):
                self.warn(f"{self.folder}: cannot be written; going on without a cache, so the "
                          "next run starts over")  # fmt: skip
                self.folder = None
        self._memory[name] = {key: array.copy() for key, array in arrays.items()}

    def remove(self, name: str) -> None:
        self._memory.pop(name, None)
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / name).unlink()

    def _prune(self) -> None:
        """Other processes may do the same at once: a file that is gone is no error."""
        assert self.folder is not None
        left = LARGEST_FOLDER
        facts = []
        for path in self.folder.iterdir():
            with suppress(OSError):
                facts.append((path.stat(), path))
        for stat, path in sorted(facts, key=lambda fact: -fact[0].st_mtime):
            left -= stat.st_size
            if left < 0:
                with suppress(OSError):
                    path.unlink()
