"""What a sensitivity run has measured so far, beside its result.

Every entry is filed under the SHA-256 of all that it follows from: the float step's file, the
code that measures and the versions of its libraries, the games' frames, the starts, and the
integers and scales of what is rounded.  An interrupted run resumes, and after another calibration
only what has changed is measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from calib.arithmetic.grid import Grid
from calib.simulation.simulate import Change
from wmq.files.atomic import write_atomically
from wmq.sensitivity.measure import Measured

LARGEST = 1 << 28  # bytes


class Kept(msgspec.Struct):
    """measured: sums by key; clipped: values clipped and seen, by key; seconds: by key of a run"""

    measured: dict[str, Measured] = {}
    clipped: dict[str, tuple[int, int]] = {}
    seconds: dict[str, float] = {}


class Keeper:
    """The file beside a result.  One that cannot be read is started over.

    run  key of the program and what it is measured on, for the time that it took
    """

    def __init__(self, out: Path, run: str):
        self._run, self._began = run, perf_counter()
        self.path = out.with_name(out.name + ".measured")
        self.kept = Kept()
        try:
            if self.path.stat().st_size <= LARGEST:
                self.kept = msgspec.json.decode(self.path.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError, RecursionError):
            pass
        self._before = self.kept.seconds.get(run, 0.0)

    @property
    def seconds(self) -> float:
        """Of this run, and of those before it that were interrupted."""
        return self._before + perf_counter() - self._began

    def measured(self, wanted: Iterable[str], games: int) -> dict[str, Measured]:
        """All sums by key, less those wanted that are not whole; what is added is kept."""
        known = self.kept.measured
        for name in wanted:
            if name in known and not known[name].fits(games):
                del known[name]
        return known

    def write(self) -> None:
        self.kept.seconds[self._run] = self.seconds
        write_atomically(self.path, msgspec.json.encode(self.kept))


def key(field: str, what: object) -> str:
    """Of one entry: the field's key, and what is rounded, or the name of a program."""
    digest = hashlib.sha256(field.encode())
    _feed(digest, what)
    return digest.hexdigest()


def _feed(digest, what: object) -> None:  # noqa: ANN001  (hashlib's type has no name)
    """Plain data, arrays and the structs of a Change, each with its kind and length in front."""
    if isinstance(what, Change):
        blocks = {name: block for name, block in what.blocks.items() if block > 1}
        what = [what.tensors, sorted(what.carried), what.inputs, blocks, what.linears, what.weights]
    elif isinstance(what, Grid):
        what = [what.scale, what.lo, what.hi]
    elif hasattr(what, "__dataclass_fields__"):
        what = [getattr(what, name) for name in what.__dataclass_fields__]
    if isinstance(what, np.ndarray):
        digest.update(f"a{what.dtype.str}{what.shape};".encode())
        digest.update(np.ascontiguousarray(what).tobytes())
    elif isinstance(what, Mapping):
        _feed(digest, [part for name in sorted(what) for part in (name, what[name])])
    elif isinstance(what, list | tuple):
        digest.update(f"l{len(what)};".encode())
        for part in what:
            _feed(digest, part)
    else:
        text = repr(what).encode()
        digest.update(f"v{len(text)};".encode() + text)
