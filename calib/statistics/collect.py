"""Statistics of a float step's activations, collected over play in one pass.

Every recipe's needs are met at once: of each observed tensor a histogram of sizes, its
maximum and the largest sizes of the last calls; of each Linear's input what weights are
rounded and smoothed by, first and second moments and a maximum a channel.  Each call's
activations are added and dropped, so memory does not grow with the number of frames.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from calib.arithmetic.grid import grouped
from calib.arithmetic.hadamard import block_of, summed
from calib.errors import CalibrationError, UnfitWeight
from calib.statistics.histogram import Histogram
from calib.statistics.results import (
    LARGEST_SUM,
    WINDOW,
    Checkpoint,
    InputStatistics,
    Statistics,
    TensorStatistics,
)
from calib.statistics.tensors import (
    INPUT_BITS,
    Observed,
    fraction_of,
    observed_inputs,
    observed_tensors,
)
from calib.step.graph import StepModel
from calib.step.runner import CalibrationGame, Progress, StepRunner, silent

PENDING_ROWS = 512  # of products of two 22-bit numbers: 53 bits, which float64 keeps exactly
SAVE_SECONDS = 15.0  # between two checkpoints


def fits(step: StepModel, found: Statistics | Checkpoint) -> bool:
    """Tell whether statistics, or a pass under way, have the tensors of this step."""
    if isinstance(found, Checkpoint):
        like = step.sizes.zero_state(len(found.position.numbers))
        shapes = {name: array.shape for name, array in found.position.state.items()}
        wanted = {name: array.shape for name, array in like.items()}
        return shapes == wanted and fits(step, found.statistics)
    tensors = {n: Observed(len(t.maximum), t.bits) for n, t in found.tensors.items()}
    inputs = {name: (len(part.sums), part.fraction) for name, part in found.inputs.items()}
    return tensors == observed_tensors(step.sizes) and inputs == {
        name: (width, fraction_of(bound)) for name, (width, bound) in observed_inputs(step).items()
    }


def collect(
    step: StepModel,
    games: Iterable[CalibrationGame],
    frames: int | None = None,
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
    save: Callable[[Checkpoint], None] | None = None,
) -> Statistics:
    """Collect statistics over the games, or over their first `frames` frames.

    games       read as they are needed, so one may be loaded at a time
    checkpoint  where an interrupted pass over the same games goes on
    save        takes a checkpoint every SAVE_SECONDS; its arrays change afterwards
    Raises CalibrationError if there is no frame, UnfitWeight if a value is not finite.
    """
    before, position = None, None
    if checkpoint is not None:
        before, position = checkpoint.statistics, checkpoint.position
    seen = _Collector(step, before)
    runner = StepRunner(step, list(dict.fromkeys([*seen.tensors, *seen.inputs])))
    saved = time.monotonic()
    for found in runner.play(games, frames, position):
        seen.add(found)
        progress("observing", runner.frames, frames or runner.frames)
        if save is not None and time.monotonic() - saved >= SAVE_SECONDS:
            save(Checkpoint(seen.statistics(runner), runner.position))
            saved = time.monotonic()
    if not runner.frames:
        raise CalibrationError("no frame to observe; give more games")
    return seen.statistics(runner)


class _Collector:
    """Adds up what the runner shows."""

    def __init__(self, step: StepModel, before: Statistics | None):
        self.step, self.tensors = step, observed_tensors(step.sizes)
        self.inputs = {name: _InputCollector(name, width, bound)
                       for name, (width, bound) in observed_inputs(step).items()}  # fmt: skip
        self.histograms = {name: Histogram(t.groups) for name, t in self.tensors.items()}
        self.recent = {name: deque[np.ndarray](maxlen=WINDOW) for name in self.tensors}
        if before is not None:
            for name, tensor in before.tensors.items():
                self.histograms[name] = tensor.histogram.merged(Histogram(len(tensor.maximum)))
                self.recent[name].extend(tensor.recent)
            for name, part in before.inputs.items():
                self.inputs[name].begin(part)

    def add(self, found: dict[str, np.ndarray]) -> None:
        for name, tensor in self.tensors.items():
            try:
                largest = self.histograms[name].add(grouped(found[name], tensor.groups))
            except ValueError as error:
                weight, size = _largest_weight(self.step)
                raise UnfitWeight(
                    f"{name}: {error}, as weights are too large, the largest being {size:.5g} in "
                    f"{weight}; keep them smaller in training, and export again"
                ) from None
            self.recent[name].append(largest)
        for name, seen in self.inputs.items():
            seen.add(found[name])

    def statistics(self, runner: StepRunner) -> Statistics:
        tensors = {name: TensorStatistics(t.bits, self.histograms[name],
                                          np.array(self.recent[name]).reshape(-1, t.groups))
                   for name, t in self.tensors.items()}  # fmt: skip
        inputs = {name: seen.statistics() for name, seen in self.inputs.items()}
        return Statistics(tensors, inputs, runner.frames, runner.games)


def _largest_weight(step: StepModel) -> tuple[str, float]:
    sizes = {name: float(np.abs(array).max()) for name, array in step.weights.items()}
    return max(sizes.items(), key=lambda found: found[1])


class _InputCollector:
    """Sums of a Linear's input; rows are gathered first, as one large product costs less."""

    def __init__(self, name: str, width: int, bound: float):
        self.name, self.fraction = name, fraction_of(bound)
        self.frames = 0
        self.channel_max, self.rotated_max = np.zeros(width), 0.0
        self.sums = np.zeros(width, dtype=np.int64)
        self.products = np.zeros((width, width), dtype=np.int64)
        self.pending: list[np.ndarray] = []
        self.pending_rows = 0

    def begin(self, found: InputStatistics) -> None:
        self.frames, self.channel_max = found.frames, found.channel_max
        self.rotated_max = found.rotated_max
        self.sums, self.products = found.sums, found.products

    def add(self, values: np.ndarray) -> None:
        """Add values (rows, n) float32, at most ROWS rows."""
        if self.pending_rows + len(values) > PENDING_ROWS:
            self._sum_up()
        self.pending.append(values)
        self.pending_rows += len(values)

    def statistics(self) -> InputStatistics:
        self._sum_up()
        return InputStatistics(self.fraction, self.frames, self.channel_max,
                               self.rotated_max, self.sums, self.products)  # fmt: skip

    def _sum_up(self) -> None:
        if not self.pending:
            return
        values = np.concatenate(self.pending).astype(np.float64)
        self.channel_max = np.maximum(self.channel_max, np.abs(values).max(axis=0))
        whole = np.rint(values * 2.0**self.fraction)
        turned = np.abs(summed(whole)).max() / np.sqrt(block_of(whole.shape[1]))
        self.rotated_max = max(self.rotated_max, float(turned) * 2.0**-self.fraction)
        if np.abs(whole).max() > 1 << (INPUT_BITS + 1):
            raise CalibrationError(f"{self.name}: a value of {np.abs(values).max():g} is beyond "
                                   "what the schema allows; prepare the dataset again")  # fmt: skip
        self.frames += len(values)
        self.sums = self.sums + whole.sum(axis=0).astype(np.int64)
        self.products = _checked_sums(self.name, self.products + (whole.T @ whole).astype(np.int64))
        self.pending, self.pending_rows = [], 0


def _checked_sums(name: str, products: np.ndarray) -> np.ndarray:
    """Check the largest entry, which is on the diagonal (Cauchy and Schwarz)."""
    if products.diagonal().max() > LARGEST_SUM:
        raise CalibrationError(f"{name}: its sums do not fit 64 bits; give fewer frames")
    return products
