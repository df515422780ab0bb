"""Which tensors of a float step are observed: for a limit of their own, or as a Linear's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arithmetic.fixed import power_at_least
from calib.step.graph import StepModel
from calib.step.sizes import StepSizes, module_name

INPUT_BITS = 21  # of a Linear's input as a whole number, besides its sign


@dataclass(frozen=True)
class Observed:
    """How a tensor is observed.

    groups  how many of its parts have a limit of their own
    bits    width of the integers that will hold it

    Only int8 ones go by the observer; wider ones always keep the
    maximum, as they have bits enough: clipping at 99.99 % cost an int16 tensor 30 to 50 dB.
    """

    groups: int
    bits: int


def observed_tensors(sizes: StepSizes) -> dict[str, Observed]:
    """List every tensor that `collect` observes, in the order of the graph."""
    found = {"encoded": Observed(1, 8), "residual.0": Observed(1, 32)}
    for i in range(sizes.n_layer):
        mamba = f"layers.{i}.mamba"
        found[f"layers.{i}.norm.unit"] = Observed(1, 8)
        found |= {f"{mamba}.{name}": Observed(1, 16) for name in ("z", "xbc", "conv1d", "silu_z")}
        found |= {f"{mamba}.{name}": Observed(1, 16) for name in ("x", "B", "C")}
        found[f"{mamba}.dt"] = Observed(sizes.nheads, 32)
        found[f"{mamba}.drive"] = Observed(sizes.nheads, 32)
        found[f"next_state.{i}"] = Observed(sizes.nheads, 32)
        found[f"{mamba}.y"] = Observed(sizes.nheads, 16)
        found[f"{mamba}.gated"] = Observed(1, 32)
        found[f"{mamba}.norm.unit"] = Observed(1, 8)
        found[f"residual.{i + 1}"] = Observed(1, 32)
    for number in range(len(sizes.draws)):
        found |= {f"chain.{number}.{part}": Observed(1, bits)
                  for part, bits in _link(sizes, number).items()}  # fmt: skip
    if len(sizes.draws) < len(sizes.heads):
        found["norm_f.unit"] = Observed(1, 8)
    found |= {f"heads.{module_name(name)}": Observed(1, 32) for name in sizes.heads}
    return found


def _link(sizes: StepSizes, number: int) -> dict[str, int]:
    """List the tensors around a draw, and their bits."""
    found = {"norm.unit": 8}
    if f"chain.{number}.given.weight" not in sizes.weights():
        return found
    mix = {"norm.unit": 8, "u": 16, "z": 16, "silu_z": 16, "gated": 32, "gated_norm.unit": 8}
    return found | {"told": 32, **{f"mix.{part}": bits for part, bits in mix.items()}, "x": 32}


def observed_inputs(step: StepModel) -> dict[str, tuple[int, float]]:
    """List the inputs of Linears: how many channels, and a bound of their |value|s.

    A norm's output is at most the root of its width; what is encoded is bounded by the schema.
    """
    sizes = step.sizes
    embeddings = [np.abs(step.weights[f"embeddings.{name}.weight"]).max()
                  for name in sizes.embeddings]  # fmt: skip
    numbers = [field.reach * abs(field.scale) for field in step.schema.numbers]
    found = {"encoded": (sizes.encoded, float(max(1.0, *embeddings, *numbers)))}
    if not sizes.agent:
        found["next_controllers"] = (sizes.controllers, 1.0)
    for i in range(sizes.n_layer):
        found[f"layers.{i}.norm.unit"] = (sizes.d_model, sizes.d_model**0.5)
        found[f"layers.{i}.mamba.norm.unit"] = (sizes.d_inner, sizes.d_inner**0.5)
    for number in range(len(sizes.draws)):
        widths = {"norm.unit": sizes.d_model, "mix.norm.unit": sizes.d_model,
                  "mix.gated_norm.unit": sizes.d_mix}  # fmt: skip
        found |= {f"chain.{number}.{part}": (width, width**0.5) for part, width in widths.items()
                  if part in _link(sizes, number)}  # fmt: skip
    if len(sizes.draws) < len(sizes.heads):
        found["norm_f.unit"] = (sizes.d_model, sizes.d_model**0.5)
    return found


def fraction_of(bound: float) -> int:
    """Count the fraction bits of a Linear's input whose |value|s stay below `bound`."""
    return INPUT_BITS - power_at_least(bound)
