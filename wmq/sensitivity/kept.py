"""What a sensitivity run has measured so far, beside its result.

Every entry is filed under the SHA-256 of all that it follows from: the float step's file,
onnxruntime's version, the games' frames, the starts, and the integers and scales of what is
rounded.  A run that was interrupted goes on, and after another calibration only what has changed
is measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from calib.simulate import Change
from calib.statistics import Rounding
from wmq.dataset import write_atomically
from wmq.sensitivity.measure import Measured

FORM = 1  # raised when a measurement comes to mean something else
LARGEST = 1 << 28  # bytes


class Kept(msgspec.Struct):
    """form; measured: sums by key; clipped: values clipped and seen, by key."""

    form: int = FORM
    measured: dict[str, Measured] = {}
    clipped: dict[str, tuple[int, int]] = {}


class Keeper:
    """The file beside a result.  One that cannot be read, or of another form, is begun anew."""

    def __init__(self, out: Path):
        self.path = out.with_name(out.name + ".measured")
        self.kept = Kept()
        try:
            if self.path.stat().st_size <= LARGEST:
                found = msgspec.json.decode(self.path.read_bytes(), type=Kept)
                self.kept = found if found.form == FORM else Kept()
        except (OSError, msgspec.DecodeError, RecursionError):
            pass

    def measured(self, wanted: Iterable[str], games: int) -> dict[str, Measured]:
        """All sums by key, less those wanted that are not whole; what is added is kept."""
        known = self.kept.measured
        for name in wanted:
            if name in known and not known[name].fits(games):
                del known[name]
        return known

    def write(self) -> None:
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
    elif isinstance(what, Rounding):
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
