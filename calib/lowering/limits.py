"""What no program can hold, whatever the play: weights that are refused by their names."""

from __future__ import annotations

import math

import numpy as np

from calib.errors import UnfitWeight
from wmq_kernels.isa import SOFTPLUS_REACH

RATE_BITS = 24
LARGEST_RATE = 1 << (31 - RATE_BITS)
LONGEST_STEP = SOFTPLUS_REACH >> 16  # dt_raw has 16 fraction bits
WAY_OUT = "it is the weights, not the play"


def decay_rates(name: str, log: np.ndarray) -> np.ndarray:
    """Round the decay rates A of the heads to int32; log (heads,) float64.  Raises UnfitWeight."""
    rates = np.rint(np.exp(np.minimum(log, LARGEST_RATE)) * 2.0**RATE_BITS)
    head = int(rates.argmax())
    if rates[head] >= LARGEST_RATE << RATE_BITS:
        raise UnfitWeight(
            f"{name}: {log[head]:.5g} in head {head}, and a program's decay rates exp(A_log) end "
            f"at {LARGEST_RATE}; {WAY_OUT}: keep A_log below {math.log(LARGEST_RATE):.3f} in "
            "training, and export again"
        )
    return rates.astype(np.int32)


def check_time_steps(at: str, longest: np.ndarray) -> None:
    """Check the largest dt of each head in calibration, (heads,).  Raises UnfitWeight."""
    head = int(longest.argmax())
    if longest[head] > LONGEST_STEP:
        raise UnfitWeight(
            f"{at}.dt_bias and the rows of {at}.in_proj.weight for dt: head {head} has time steps "
            f"of up to {longest[head]:.5g}, and a program's end at {LONGEST_STEP}; {WAY_OUT}: keep "
            "them smaller in training, and export again"
        )
