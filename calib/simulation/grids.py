"""The grids on which a program holds the tensors of the float step that it was lowered from.

A value with one scale says it itself.  The scan's values have a scale a head, which the
program needs only inside of factors; they are taken back out of those.
"""

from __future__ import annotations

import numpy as np

from calib.arithmetic.grid import Grid
from calib.statistics.tensors import observed_tensors
from calib.step.graph import StepModel
from calib.step.sizes import StepSizes, module_name
from wmq_kernels.isa import DIGITS_LIMIT
from wmq_kernels.program import Program


def grids_of(step: StepModel, program: Program) -> dict[str, Grid]:
    """Find the Grid of each observed tensor that the program holds as such.

    Left out are `encoded`, which enters as digits and embeddings, and the heads of numbers,
    which leave in natural units.
    """
    found = {}
    for name, tensor in observed_tensors(step.sizes).items():
        value, low = program.values.get(name), program.values.get(f"{name}.low")
        if low is not None:  # two digits
            scale = np.full(tensor.groups, low.scale)
            found[name] = Grid(scale, -DIGITS_LIMIT, DIGITS_LIMIT)
        elif value is not None and value.scale > 0:
            found[name] = Grid(np.full(tensor.groups, value.scale), value.lo, value.hi)
    for layer in range(step.sizes.n_layer):
        found |= _scan(step.sizes, program, layer)
    reach = program.values["heads"].hi
    logits = {head for head in step.sizes.heads if head == "binary" or "." in head}
    for head in logits:
        scale = np.array([program.meta["head_scales"][head]])
        found[f"heads.{module_name(head)}"] = Grid(scale, -reach, reach)
    return found


def _scan(sizes: StepSizes, program: Program, layer: int) -> dict[str, Grid]:
    """Find the grids of y, the state and what drives it, a scale a head.

    gate: gated = y * silu_z * multiplier / 2^shift, each at its scale; scan: y is the sum
    of state * C, shifted by y.shift; drive * B * 2^(gain - 31) has the state's unit.
    """
    at = f"layers.{layer}.mamba"
    values, data = program.values, program.data
    shift = data[f"{at}.gated.shift"].astype(np.float64)
    factor = data[f"{at}.gated.multiplier"] * np.exp2(-shift)
    y_scale = factor * values[f"{at}.gated"].scale / values[f"{at}.silu_z"].scale
    y_scale = y_scale[:: sizes.headdim]  # (heads,)
    sum_scale = y_scale * np.exp2(-data[f"{at}.y.shift"].astype(np.float64))
    state_scale = sum_scale / values[f"{at}.C"].scale
    drive_scale = state_scale * np.exp2(data[f"{at}.gain"] - 31.0) / values[f"{at}.B"].scale
    y, drive, state = (values[n] for n in (f"{at}.y", f"{at}.drive", f"state.{layer}"))
    return {
        f"{at}.drive": Grid(drive_scale, drive.lo, drive.hi),
        f"next_state.{layer}": Grid(state_scale, state.lo, state.hi),
        f"{at}.y": Grid(y_scale, y.lo, y.hi),
    }
