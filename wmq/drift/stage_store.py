"""Stages of a drift measurement: arrays of one model each, kept so that a run can resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wmq.errors import WmqError
from wmq.memo.forms import Arrays, Shapes, arrays_form
from wmq.memo.provenance import digest, sources, versions
from wmq.memo.store import Store

MEASURING = "wmq.drift.run"  # with all that it imports
SECONDS = "seconds"  # beside the arrays: how long the stage took
ONE_NUMBER: Shapes = {SECONDS: ((), np.dtype(np.float64))}


class StageStore:
    """Stages of one run; without a folder, always made."""

    def __init__(self, folder: Path | None, about: Any):
        """about: what all stages depend on.  Raises WmqError if the folder cannot be made."""
        self._store = Store(folder)
        self._about = digest(sources(MEASURING), versions(), about)
        self._took: dict[tuple[str, str], float] = {}  # 0 for a stage that was made here
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WmqError(f"{folder}: stages cannot be kept there ({error.strerror}); "
                               "choose another folder with -w") from None  # fmt: skip

    @property
    def seconds(self) -> float:
        """How long the stages took that were read back."""
        return sum(self._took.values())

    def kept(self, name: str, model: str, shapes: Shapes, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a stage; `make` is called if no whole file holds them.

        model   SHA-256 of its file or recipe
        shapes  of each array, and its type
        """

        def timed() -> Arrays:
            self._took[name, model] = 0.0
            began = time.perf_counter()
            made = make()
            return {**made, SECONDS: np.array(time.perf_counter() - began)}

        key = self._about, model
        found = self._store.kept(name, key, arrays_form({**shapes, **ONE_NUMBER}), timed)
        self._took.setdefault((name, model), float(found.pop(SECONDS)))
        return found
