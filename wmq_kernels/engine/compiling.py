"""Compile functions, and keep them from one process to the next in a cache of our own.

numba takes a kept function for fresh while the file that it stands in is unchanged, which
is not enough here: kernels take constants and intrinsics from other files.  So they are
kept in a folder of the user's cache whose name is a hash over all files of this package,
the versions of numba and llvmlite, the processor and the settings that numba leaves out of
its own key.  A file that can't be read or written costs compiling again and no more.

With no folder to be trusted (`user_cache`), each process compiles for itself and says why.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache

from wmq_kernels.engine.user_cache import kernel_folder

# _nrt: arrays are borrowed from Python, and nothing is allocated, so that numba's counting
# of references, which costs more than most instructions, is left out.
OPTIONS = {"nogil": True, "boundscheck": False, "_nrt": False}


@cache
def folder() -> Path | None:
    """Where compiled functions are kept; None, with a line on stderr, if they can't be."""
    try:
        return kernel_folder(f"kernels-{_key()[:16]}")
    except OSError as error:
        _tell_once(
            f"{error.filename or 'NUMBA_CACHE_DIR'}: {error.strerror}"
            if error.strerror
            else str(error)
        )
    except RuntimeError as error:
        _tell_once(str(error).rstrip("."))
    return None


@cache
def _tell_once(why: str) -> None:
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:  # a worker repeats it
        logging.getLogger(__name__).warning(
            "wmq: compiled kernels can't be kept, so each run compiles them: %s; "
            "set NUMBA_CACHE_DIR to a folder of yours",
            why,
        )


def _key() -> str:
    features = binding.get_host_cpu_features().flatten()
    rest = (numba.__version__, llvmlite.__version__, sys.version, binding.get_host_cpu_name(),
            features, config.CPU_NAME, config.CPU_FEATURES, config.OPT,
            config.BOUNDSCHECK)  # fmt: skip
    found = hashlib.sha256("\0".join(map(str, rest)).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    """CACHE_LOCATOR_CLASSES, which not every numba has, would name another place."""
    ours = {"CACHE_DIR": str(place), "CACHE_LOCATOR_CLASSES": ""}
    before = {name: vars(config)[name] for name in ours if name in vars(config)}
    vars(config).update(ours)
    try:
        yield
    finally:
        vars(config).update(before)


class _Kept(FunctionCache):
    """numba's cache, made fit for what a folder may hold.

    Processes that fill it at once may leave one signature's code under another's name, as
    numba numbers files without a lock; a full disk or a crash may leave a part of a file.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # whatever a file of any content makes of pickle
            return None
        return found if found is None or tuple(found.signature.args) == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:  # of the index that it reads, or of the disk
            try:
                self.flush()
                super().save_overload(sig, data)
            except OSError as error:
                _tell_once(f"{self.cache_path}: {error.strerror}")


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call, for each set of types, or found in `folder()`."""
    made = njit(**OPTIONS)(function)
    if config.DISABLE_JIT:
        return made
    place = folder()
    if place is not None:
        with _kept_in(place):
            made._cache = _Kept(function)
    return made


def inlined(function: Callable[..., Any]) -> Any:
    """A function that numba merges into each of its callers."""
    return njit(inline="always", **OPTIONS)(function)
