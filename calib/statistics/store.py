"""Statistics as plain arrays, and back again from a file that is trusted in nothing.

In a file, `tensor/NAME/...` and `input/NAME/...` are the arrays of `TensorStatistics` and
`InputStatistics`, and `about` the format's number, frames and games.
"""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from calib.errors import CalibrationError
from calib.statistics.histogram import BINS, LEAST_EXPONENT, MOST_EXPONENT, Histogram
from calib.statistics.results import (
    LARGEST_SUM,
    Checkpoint,
    InputStatistics,
    Statistics,
    TensorStatistics,
)
from calib.step.runner import Position

FORMAT_VERSION = 2
LARGEST_FILE = 1 << 31  # bytes
Arrays = dict[str, np.ndarray]


def arrays_of(found: Statistics) -> Arrays:
    """Convert statistics to plain arrays, as they are stored."""
    arrays = {"about": np.array([FORMAT_VERSION, found.frames, found.games])}
    for place, (name, tensor) in enumerate(found.tensors.items()):
        arrays |= {
            f"tensor/{name}/about": np.array([place, tensor.bits]),
            f"tensor/{name}/exponents": tensor.histogram.exponents,
            f"tensor/{name}/counts": tensor.histogram.counts,
            f"tensor/{name}/maximum": tensor.histogram.maximum,
            f"tensor/{name}/recent": tensor.recent,
        }
    for place, (name, part) in enumerate(found.inputs.items()):
        arrays |= {
            f"input/{name}/about": np.array([place, part.fraction, part.frames]),
            f"input/{name}/channel_max": part.channel_max,
            f"input/{name}/rotated_max": np.array([part.rotated_max]),
            f"input/{name}/sums": part.sums,
            f"input/{name}/products": part.products,
        }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def arrays_in(content: bytes, where: str) -> Arrays:
    """Read the arrays in a safetensors file's bytes.  Raises CalibrationError."""
    if len(content) > LARGEST_FILE:
        raise CalibrationError(f"{where}: larger than {LARGEST_FILE} bytes, no statistics of wmq")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CalibrationError(f"{where}: not a file of statistics ({reason})") from None


def statistics_of(arrays: Arrays, where: str) -> Statistics:
    """Check plain arrays as statistics.  Raises CalibrationError, naming the array."""
    taken = _Taken(arrays, where)
    version, frames, games = taken.whole("about", (3,), 0)
    if version != FORMAT_VERSION:
        raise CalibrationError(f"{where}: statistics of format {version}, this program has "
                               f"{FORMAT_VERSION}; collect them again")  # fmt: skip
    if not 0 < games <= frames:
        raise CalibrationError(f"{where}: about: {games} games of together {frames} frames")
    tensors = {name: _tensor(taken, name) for name in taken.names("tensor")}
    inputs = {name: _input(taken, name) for name in taken.names("input")}
    if unknown := sorted(set(arrays) - taken.seen):
        raise CalibrationError(f"{where}: {unknown[0][:80]!r} does not belong there")
    return Statistics(tensors, inputs, int(frames), int(games))


def checkpoint_arrays(found: Checkpoint) -> Arrays:
    """Convert a checkpoint to plain arrays: its statistics, and `position/...`."""
    arrays = arrays_of(found.statistics)
    arrays["position/numbers"], arrays["position/at"] = found.position.numbers, found.position.at
    for name, values in found.position.state.items():
        arrays[f"position/state/{name}"] = np.ascontiguousarray(values)
    return arrays


def checkpoint_of(arrays: Arrays, where: str) -> Checkpoint:
    """Check plain arrays as a checkpoint.  Raises CalibrationError, naming the array."""
    statistics = statistics_of(
        {name: a for name, a in arrays.items() if not name.startswith("position/")}, where
    )
    taken = _Taken(arrays, where)
    numbers = taken.whole("position/numbers", (None,), 0, statistics.games - 1)
    at = taken.whole("position/at", (len(numbers),), 0)
    state = {name.removeprefix("position/state/"): array for name, array in arrays.items()
             if name.startswith("position/state/")}  # fmt: skip
    if len(np.unique(numbers)) != len(numbers) or not all(
        a.dtype == np.float32 and a.shape[:1] == numbers.shape and np.isfinite(a).all()
        for a in state.values()
    ):
        raise CalibrationError(f"{where}: position: not that of a pass")
    position = Position(numbers, at, state, statistics.frames, statistics.games)
    return Checkpoint(statistics, position)


def _tensor(taken: _Taken, name: str) -> TensorStatistics:
    at = f"tensor/{name}"
    _, bits = (int(v) for v in taken.whole(f"{at}/about", (2,), 0))
    exponents = taken.whole(f"{at}/exponents", (None,), LEAST_EXPONENT, MOST_EXPONENT)
    histogram = Histogram(len(exponents))
    histogram.exponents = exponents
    histogram.counts = taken.whole(f"{at}/counts", (len(exponents), BINS), 0, LARGEST_SUM // BINS)
    histogram.maximum = taken.number(f"{at}/maximum", (len(exponents),))
    if (histogram.maximum >= np.exp2(exponents.astype(np.float64))).any():
        raise CalibrationError(f"{taken.where}: {at}/maximum: beyond its histogram")
    return TensorStatistics(bits, histogram,
                            taken.number(f"{at}/recent", (None, len(exponents))))  # fmt: skip


def _input(taken: _Taken, name: str) -> InputStatistics:
    at = f"input/{name}"
    _, fraction, frames = (int(v) for v in taken.whole(f"{at}/about", (3,), -1024))
    channel_max = taken.number(f"{at}/channel_max", (None,))
    rotated_max = taken.number(f"{at}/rotated_max", (1,))
    n = len(channel_max)
    sums = taken.whole(f"{at}/sums", (n,), -LARGEST_SUM, LARGEST_SUM)
    products = taken.whole(f"{at}/products", (n, n), -LARGEST_SUM, LARGEST_SUM)
    if frames < 1 or fraction > 64:
        raise CalibrationError(f"{taken.where}: {at}/about: no frame, or no unit")
    if (products != products.T).any() or (products.diagonal() < 0).any():
        raise CalibrationError(f"{taken.where}: {at}/products: not a sum of x x^T")
    return InputStatistics(fraction, frames, channel_max, float(rotated_max[0]), sums, products)


class _Taken:
    """Arrays of a file, taken out one by one and checked; a None in a shape is any length >= 1."""

    def __init__(self, arrays: Arrays, where: str):
        self.arrays, self.where, self.seen = arrays, where, set[str]()

    def names(self, kind: str) -> list[str]:
        """List NAME of every array kind/NAME/about, in the order of its first number, its place."""
        found = [key.split("/") for key in self.arrays]
        named = [parts[1] for parts in found
                 if len(parts) == 3 and (parts[0], parts[2]) == (kind, "about")]  # fmt: skip
        places = {n: int(self._array(f"{kind}/{n}/about", (None,), np.int64)[0]) for n in named}
        return sorted(named, key=lambda name: (places[name], name))

    def whole(self, name: str, shape: tuple[int | None, ...], lo: int,
              hi: int = LARGEST_SUM) -> np.ndarray:  # fmt: skip
        found = self._array(name, shape, np.int64)
        if found.min() < lo or found.max() > hi:
            raise CalibrationError(f"{self.where}: {name}: a value is outside {lo}..{hi}")
        return found

    def number(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Take finite sizes, none negative."""
        found = self._array(name, shape, np.float64)
        if not np.isfinite(found).all() or found.min() < 0:
            raise CalibrationError(f"{self.where}: {name}: a value is no size")
        return found

    def _array(self, name: str, shape: tuple[int | None, ...], dtype: type) -> np.ndarray:
        found = self.arrays.get(name)
        if found is None:
            raise CalibrationError(f"{self.where}: {name} is missing; collect statistics again")
        fits = len(found.shape) == len(shape) and all(
            have == want or (want is None and have > 0)
            for have, want in zip(found.shape, shape, strict=True)
        )
        if not fits or found.dtype != dtype or not found.size:
            raise CalibrationError(f"{self.where}: {name}: {found.dtype} {list(found.shape)} "
                                   "is not its type and shape")  # fmt: skip
        self.seen.add(name)
        return found
