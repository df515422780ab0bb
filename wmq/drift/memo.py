"""Stages of a long measurement, each kept in a file, so that an interrupted run goes on.

A stage is a few arrays and a key: everything that they depend on, as plain data.  Its file
is named after the SHA-256 of the key; another model, start or setting has another file.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wmq.errors import WmqError
from wmq.files.atomic import write_atomically
from wmq.memo.provenance import sources, versions

MEASURING = "wmq.drift.run"  # with all that it imports
SECONDS = "seconds"  # beside the arrays: how long the stage took
LARGEST = 1 << 32  # bytes of a stage in memory
Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[tuple[int, ...], np.dtype]]


class Stages:
    """Arrays that are made once and read back afterwards; without a folder, always made.

    seconds  that those took which were read back
    """

    def __init__(self, folder: Path | None, key: dict[str, Any]):
        """key: what all stages depend on.  Raises WmqError if the folder cannot be made."""
        self.folder = folder
        self._took: dict[Path, float] = {}  # 0 for a stage that was made here
        self.key = {"sources": sources(MEASURING), "libraries": versions(), **key}
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WmqError(f"{folder}: stages cannot be kept there ({error.strerror}); "
                               "choose another folder with -w") from None  # fmt: skip

    @property
    def seconds(self) -> float:
        return sum(self._took.values())

    def kept(
        self, name: str, key: dict[str, Any], shapes: Shapes, make: Callable[[], Arrays]
    ) -> Arrays:
        """The arrays of a stage; `make` is called if no whole file holds them.

        shapes  of each array, and its type
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{_file_name(name)}-{self._digest(name, key)[:20]}.npz"
        found = _read(path) or {}
        took = found.pop(SECONDS, None)
        if took is not None and {n: (a.shape, a.dtype) for n, a in found.items()} == shapes:
            self._took.setdefault(path, float(took))
            return found
        self._took[path] = 0.0
        began = time.perf_counter()
        found = make()
        sink = io.BytesIO()
        seconds = np.array(time.perf_counter() - began)
        np.savez_compressed(sink, allow_pickle=False, **found, **{SECONDS: seconds})
        write_atomically(path, sink.getvalue())
        return found

    def _digest(self, name: str, key: dict[str, Any]) -> str:
        text = json.dumps({"stage": name, "own": key, "all": self.key}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def digest(*arrays: np.ndarray) -> str:
    """Hex SHA-256 of shapes and contents."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _read(path: Path) -> Arrays | None:
    """None if there is no such file, or if it is damaged: then it is made again."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                return None
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
            NotImplementedError, RuntimeError):  # fmt: skip
        return None


def _file_name(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
