"""Values that may be made again, each in one whole file named after the hash of its key.

A value has a kind and a key: plain data or arrays, everything that it follows from.  Its file
is KIND-SHA256 with the suffix of its `Form`, so that another key has another file and nothing
stale is ever found.  `Store` raises where it cannot write; `Cache` lies in the user's cache
folder, is limited in size, and at worst says so in a line and goes on in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from wmq.files.atomic import FileError, cannot_write, write_atomically
from wmq.files.limited import read_limited
from wmq.memo.forms import Damaged, Form
from wmq.memo.provenance import digest
from wmq_kernels.engine.user_cache import user_cache

LARGEST_FOLDER = 1 << 30  # bytes of a cache; the files that were used longest ago go first
LONGEST_KIND = 60  # characters of it in a file's name
Value = TypeVar("Value")


class Store:
    """Values of any kind in a folder, which is made when it is needed; None: nothing is kept."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def kept(self, kind: str, key: Any, form: Form[Value], make: Callable[[], Value]) -> Value:
        """Return the value, made and written where no whole file holds it.  Raises FileError."""
        found = self.read(kind, key, form)
        if found is None:
            found = make()
            self.write(kind, key, form, found)
        return found

    def read(self, kind: str, key: Any, form: Form[Value]) -> Value | None:
        """None if it is not there or damaged."""
        name = file_name(kind, key, form.suffix)
        content = self._read_bytes(name, form.largest)
        if content is None:
            return None
        try:
            return form.decode(content, os.fspath(self._path(name) or name))
        except Damaged as error:
            self._say(f"{error}; made again")
            return None

    def write(self, kind: str, key: Any, form: Form[Value], value: Value) -> None:
        """Whole or not at all.  Raises FileError."""
        self._write_bytes(file_name(kind, key, form.suffix), form.encode(value))

    def remove(self, kind: str, key: Any, form: Form[Any]) -> None:
        path = self._path(file_name(kind, key, form.suffix))
        if path is not None:
            with suppress(OSError):
                path.unlink()

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name

    def _read_bytes(self, name: str, largest: int) -> bytes | None:
        path = self._path(name)
        try:
            return None if path is None else read_limited(path, largest)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._say(f"{path}: {error.strerror}; going on without it")
            return None

    def _write_bytes(self, name: str, content: bytes) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from None
        write_atomically(self.folder / name, content)

    def _say(self, text: str) -> None:
        """A file that cannot be used is made again without a word."""


class Cache(Store):
    """A folder that costs no more than making again what lies there: trouble is one line of text.

    Without a folder, or with one that cannot be written, values stay in memory for as long as
    the process.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]):
        super().__init__(folder)
        self.warn = warn
        self._memory: dict[str, bytes] = {}

    @classmethod
    def of_statistics(cls, warn: Callable[[str], None] = lambda text: None) -> Cache:
        """$XDG_CACHE_HOME/wmq/statistics, or ~/.cache/wmq/statistics."""
        try:
            return cls(user_cache() / "statistics", warn)
        except RuntimeError as error:
            warn(f"{error}: ranges are kept in memory alone, and an interrupted pass is lost")
            return cls(None, warn)

    def remove(self, kind: str, key: Any, form: Form[Any]) -> None:
        self._memory.pop(file_name(kind, key, form.suffix), None)
        super().remove(kind, key, form)

    def _read_bytes(self, name: str, largest: int) -> bytes | None:
        if name in self._memory:
            return self._memory[name]
        if path := self._path(name):
            with suppress(OSError):
                os.utime(path)  # used last
        return super()._read_bytes(name, largest)

    def _write_bytes(self, name: str, content: bytes) -> None:
        if self.folder is not None:
            try:
                super()._write_bytes(name, content)
                self._prune(self.folder)
                return
            except (OSError, FileError):
                self.warn(f"{self.folder}: cannot be written; going on without a cache, so the "
                          "next run starts over")  # fmt: skip
                self.folder = None
        self._memory[name] = content

    def _say(self, text: str) -> None:
        self.warn(text)

    def _prune(self, folder: Path) -> None:
        """Other processes may do the same at once: a file that is gone is no error."""
        left = LARGEST_FOLDER
        facts = []
        for path in folder.iterdir():
            with suppress(OSError):
                facts.append((path.stat(), path))
        for stat, path in sorted(facts, key=lambda fact: -fact[0].st_mtime):
            left -= stat.st_size
            if left < 0:
                with suppress(OSError):
                    path.unlink()


def file_name(kind: str, key: Any, suffix: str) -> str:
    """Return the kind as a name that every file system takes, and the SHA-256 of the key."""
    short = re.sub("[^a-z0-9]+", "-", kind.lower()).strip("-")[:LONGEST_KIND]
    return f"{short}-{digest(kind, key)}{suffix}"
