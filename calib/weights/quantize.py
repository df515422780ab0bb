"""Weights to int8: each entry separately, or so that a Linear's output errs least on real inputs.

A float matrix, a step for each of its entries and the second moments of its input come in;
whole numbers leave, and what the bias has to add.  GPTQ (Frantar et al. 2023, algorithm 1)
rounds a column after the other and lets the columns that follow make up for the error, in
the metric of the inputs' second moments: what is rounded stays int8, and costs nothing at
run time.  Sums are float64; a tie that falls the other way on another machine gives another,
equally good program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from calib.arithmetic.fixed import INT8_LIMIT
from calib.errors import CalibrationError
from calib.statistics.results import InputStatistics


@dataclass(frozen=True)
class Moments:
    """Of a Linear's input x: mean (n,) and covariance (n, n), float64."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, found: InputStatistics) -> Moments:
        mean = found.channel_mean
        return cls(mean, found.moments / found.frames - np.outer(mean, mean))

    @property
    def second(self) -> np.ndarray:
        """E x x^T, (n, n)."""
        return self.covariance + np.outer(self.mean, self.mean)

    def scaled(self, scale: np.ndarray, offset: np.ndarray | float = 0.0) -> Moments:
        """Convert to the moments of (x - offset) / scale."""
        return Moments((self.mean - offset) / scale, self.covariance / np.outer(scale, scale))

    def chosen(self, columns: np.ndarray) -> Moments:
        """Select some of the inputs."""
        return Moments(self.mean[columns], self.covariance[np.ix_(columns, columns)])


@dataclass(frozen=True)
class WeightQuantizer:
    """How weights become int8.

    gptq     columns make up for each other's errors; else each entry goes to its nearest
    damping  of GPTQ: share of the mean variance that is added to each channel's
    bias_correction  the mean of what the rounding does to the output is added to the bias
    two_digits  the projections of the frame and the controllers whose weights are two int8
             digits: names in which * stands for any text
    inputs   statistics of the Linears' inputs by tensor; needed unless weights go to the nearest
    """

    gptq: bool = False
    damping: float = 0.001
    bias_correction: bool = False
    two_digits: Sequence[str] = ()
    inputs: Mapping[str, InputStatistics] = field(default_factory=dict)

    def fine(self, linear: str) -> bool:
        return any(fnmatchcase(linear, pattern) for pattern in self.two_digits)

    def moments(self, name: str) -> Moments | None:
        """Find an input's moments; None if they are not needed.  Raises CalibrationError."""
        if not (self.gptq or self.bias_correction):
            return None
        if name not in self.inputs:
            raise CalibrationError(f"{name}: the statistics lack this input; collect them again")
        return Moments.of(self.inputs[name])

    def round(self, weight: np.ndarray, step: np.ndarray, inputs: Moments | None
              ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Quantize to int8 entries in [-127, 127].  Returns them, and what the bias gains.

        weight  (out, n) float64, in output units per unit of the input
        step    (out, n) or (out, 1), what one unit of an entry stands for
        inputs  as `moments` gives them
        """
        step = np.broadcast_to(step, weight.shape)
        if self.gptq and inputs is not None:
            # what a mean error does to the output counts, unless the bias makes up for it
            metric = inputs.covariance if self.bias_correction else inputs.second
            ints = gptq(weight, step, metric, self.damping)
        else:
            ints = np.clip(np.rint(weight / step), -INT8_LIMIT, INT8_LIMIT)
        gain = np.zeros(len(weight))
        if self.bias_correction and inputs is not None:
            gain = (weight - ints * step) @ inputs.mean
        return ints.astype(np.int8), gain


NEAREST = WeightQuantizer()


def gptq(weight: np.ndarray, step: np.ndarray, covariance: np.ndarray,
         damping: float) -> np.ndarray:  # fmt: skip
    """Quantize each row to whole numbers in [-127, 127], multiples of its steps.

    Least E (d x)^2 is sought for each row's error d; the channels that vary most come first.  A
    row that runs into the ends of int8 on the way may err more than its nearest, which is then
    taken.
    weight, step (out, n), covariance of x, or E x x^T where its mean counts, (n, n), all float64.
    """
    count = weight.shape[1]
    order = np.argsort(-np.diag(covariance), kind="stable")
    added = damping * max(float(np.mean(np.diag(covariance))), 1e-30)
    inverse_root = _inverse_root(covariance[np.ix_(order, order)], added)
    left, steps = weight[:, order].astype(np.float64), step[:, order]
    ints = np.empty((len(weight), count))
    for k in range(count):
        rounded = np.clip(np.rint(left[:, k] / steps[:, k]), -INT8_LIMIT, INT8_LIMIT)
        ints[:, order[k]] = rounded
        error = (left[:, k] - rounded * steps[:, k]) / inverse_root[k, k]
        left[:, k + 1 :] -= np.outer(error, inverse_root[k, k + 1 :])
    nearest = np.clip(np.rint(weight / step), -INT8_LIMIT, INT8_LIMIT)
    better = _errors(weight - nearest * step, covariance) < _errors(
        weight - ints * step, covariance
    )
    return np.where(better[:, None], nearest, ints)


def _inverse_root(covariance: np.ndarray, added: float) -> np.ndarray:
    """Find the upper triangle whose square is the inverse of covariance + added * I.

    Inputs that move together leave no inverse that float64 can hold: then more is added.
    """
    while True:
        damped = covariance + added * np.eye(len(covariance))
        with suppress(np.linalg.LinAlgError):
            return np.linalg.cholesky(np.linalg.inv(damped)).T
        added = max(10 * added, np.finfo(np.float64).eps * float(np.diag(covariance).max()), 1e-30)


def _errors(difference: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Compute E (d x)^2 of each row d."""
    return ((difference @ covariance) * difference).sum(1)
