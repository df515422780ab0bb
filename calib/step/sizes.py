"""The sizes of a float step: the shapes of its weights, inputs, outputs and state.

A config, a JSON object trusted in nothing, and a `StepSchema` come in; a `StepSizes` leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calib.errors import CalibrationError
from calib.step.schema import NUMBER_HEADS, Json, StepSchema, whole

# Least and greatest size of a model; far beyond the presets, far below a memory's end.
CONFIG_LIMITS = {
    "d_model": (1, 4096),
    "n_layer": (1, 64),
    "d_state": (1, 1024),
    "d_conv": (2, 16),
    "expand": (1, 8),
    "headdim": (1, 1024),
}


@dataclass(frozen=True)
class StepSizes:
    """Sizes of one float step.

    number_scales  factor from natural units to the input, both players' numbers
    class_inputs   embedding of each column of the input `classes`
    embeddings     name -> (classes, width)
    heads          name -> number of outputs, in order
    """

    d_model: int
    n_layer: int
    d_state: int
    d_conv: int
    headdim: int
    d_inner: int
    nheads: int
    number_scales: tuple[float, ...]
    class_inputs: tuple[str, ...]
    embeddings: Mapping[str, tuple[int, int]]
    controllers: int
    heads: Mapping[str, int]

    @property
    def conv_dim(self) -> int:
        return self.d_inner + 2 * self.d_state

    @property
    def encoded(self) -> int:
        widths = sum(self.embeddings[name][1] for name in self.class_inputs)
        return len(self.number_scales) + self.controllers + widths

    @property
    def in_proj_parts(self) -> tuple[int, int, int]:
        """Widths of z, (x, B, C) and dt."""
        return self.d_inner, self.conv_dim, self.nheads

    def state_shape(self) -> tuple[tuple[int, int], tuple[int, int, int]]:
        """Give the shapes of `conv.N` and `state.N` after the batch."""
        return (self.d_conv - 1, self.conv_dim), (self.nheads, self.headdim, self.d_state)

    def zero_state(self, batch: int = 1) -> dict[str, np.ndarray]:
        """Make the state before a game's first frame, float32 by input name."""
        conv, ssm = self.state_shape()
        state = {}
        for layer in range(self.n_layer):
            state[f"conv.{layer}"] = np.zeros((batch, *conv), dtype=np.float32)
            state[f"state.{layer}"] = np.zeros((batch, *ssm), dtype=np.float32)
        return state

    def weights(self) -> dict[str, tuple[int, ...]]:
        """List the shape of every weight, named and laid out as in the torch state dict."""
        shapes: dict[str, tuple[int, ...]] = {
            f"embeddings.{name}.weight": shape for name, shape in self.embeddings.items()
        }
        shapes |= _linear("frame_proj", self.encoded, self.d_model)
        shapes |= _linear("ctrl_proj", self.controllers, self.d_model)
        for layer in range(self.n_layer):
            shapes |= {f"layers.{layer}.{k}": v for k, v in self._layer().items()}
        shapes["norm_f.weight"] = (self.d_model,)
        for name, width in self.heads.items():
            shapes |= _linear(f"heads.{module_name(name)}", self.d_model, width)
        for name in NUMBER_HEADS:
            shapes |= {f"{name}_{part}": (self.heads[name],) for part in ("offset", "scale")}
        return shapes

    def _layer(self) -> dict[str, tuple[int, ...]]:
        return {
            "norm.weight": (self.d_model,),
            "mamba.in_proj.weight": (sum(self.in_proj_parts), self.d_model),
            "mamba.conv1d.weight": (self.conv_dim, 1, self.d_conv),
            "mamba.conv1d.bias": (self.conv_dim,),
            "mamba.dt_bias": (self.nheads,),
            "mamba.A_log": (self.nheads,),
            "mamba.D": (self.nheads,),
            "mamba.norm.weight": (self.d_inner,),
            "mamba.out_proj.weight": (self.d_model, self.d_inner),
        }


def module_name(head: str) -> str:
    """Name a head's Linear as torch does, which forbids dots: `p1.action` -> `p1_action`."""
    return head.replace(".", "_")


def sizes_of(config: Json, schema: StepSchema) -> StepSizes:
    """Check a config against its schema and derive all sizes.  Raises CalibrationError."""
    sizes = _config(config)
    if schema.projectiles is not config["projectiles"]:
        raise CalibrationError("wmq.schema: projectiles differs from that of wmq.config")
    scales = tuple(float(field.scale) for field in schema.numbers)
    return StepSizes(
        **sizes,
        number_scales=(*scales, *scales),
        class_inputs=schema.class_inputs,
        embeddings={f.name: (f.classes, f.dim) for f in schema.classes}
        | {"stage": (schema.stage_classes, schema.stage_dim)},
        controllers=2 * len(schema.controllers),
        heads=schema.heads,
    )


def _config(config: Json) -> dict[str, int]:
    if set(config) != {*CONFIG_LIMITS, "projectiles"}:
        raise CalibrationError(f"wmq.config: keys must be {sorted(CONFIG_LIMITS)}, projectiles")
    if type(config["projectiles"]) is not bool:
        raise CalibrationError("wmq.config: projectiles is neither true nor false")
    size = {k: whole(config[k], *ends, f"wmq.config: {k}") for k, ends in CONFIG_LIMITS.items()}
    d_inner = size.pop("expand") * size["d_model"]
    if d_inner % size["headdim"]:
        raise CalibrationError("wmq.config: headdim does not divide expand * d_model")
    return size | {"d_inner": d_inner, "nheads": d_inner // size["headdim"]}


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
