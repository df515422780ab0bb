"""The sizes of a float step: the shapes of its weights, inputs, outputs and state.

A config, a JSON object trusted in nothing, and a `StepSchema` come in; a `StepSizes` leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calib.errors import CalibrationError
from calib.step.controls import DIMS
from calib.step.schema import NUMBER_HEADS, Draw, Json, StepSchema, whole

DECODE = ("temperature", "min_p")  # what the weight `decode` holds
MASKED = "action"  # a drawn field whose changes are limited to those of `allowed`
RISE_DIM = 16  # width of the embedding of a hit's rise of percent
# Least and greatest size of a model; far beyond the presets, far below a memory's end.
CONFIG_LIMITS = {
    "d_model": (1, 4096),
    "n_layer": (1, 64),
    "d_state": (1, 1024),
    "d_conv": (2, 16),
    "expand": (1, 8),
    "headdim": (1, 1024),
}
LARGEST_MIX = 4096  # width of a chain's gated layers


@dataclass(frozen=True)
class StepSizes:
    """Sizes of one float step.

    number_scales  factor from natural units to the input, both players' numbers
    class_inputs   embedding of each column of the input `classes`
    embeddings     name -> (classes, width)
    heads          name -> number of outputs, in order
    draws          the heads that are a chain, the first of `heads`
    d_mix          width of the gated layer after each draw
    agent          whether there is no input of the next controllers
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
    draws: tuple[Draw, ...] = ()
    d_mix: int = 0
    agent: bool = False

    @property
    def conv_dim(self) -> int:
        return self.d_inner + 2 * self.d_state

    @property
    def encoded(self) -> int:
        widths = sum(self.embeddings[name][1] for name in self.class_inputs)
        return len(self.number_scales) + self.controllers + widths

    @property
    def number_heads(self) -> tuple[str, ...]:
        return tuple(name for name in NUMBER_HEADS if name in self.heads)

    @property
    def masked(self) -> tuple[Draw, ...]:
        """Draws of a field that the frame has, which follow it by `allowed` changes alone."""
        return tuple(draw for draw in self.draws if draw.field == MASKED)

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
        if not self.agent:
            shapes |= _linear("ctrl_proj", self.controllers, self.d_model)
        for layer in range(self.n_layer):
            shapes |= {f"layers.{layer}.{k}": v for k, v in self._layer().items()}
        for number, draw in enumerate(self.draws):
            shapes |= {f"chain.{number}.{k}": v for k, v in self._link(draw).items()}
        if len(self.draws) < len(self.heads):
            shapes["norm_f.weight"] = (self.d_model,)
        for name, width in self.heads.items():
            shapes |= _linear(f"heads.{module_name(name)}", self.d_model, width)
        if self.draws:
            shapes["decode"] = (len(DECODE),)
        for draw in self.masked[:1]:
            shapes["allowed"] = (draw.classes, draw.classes)
        for name in self.number_heads:
            shapes |= {f"{name}_{part}": (self.heads[name],) for part in ("offset", "scale")}
        return shapes

    def _link(self, draw: Draw) -> dict[str, tuple[int, ...]]:
        """What surrounds a draw; nothing follows an agent's last."""
        shapes: dict[str, tuple[int, ...]] = {"norm.weight": (self.d_model,)}
        if draw == self.draws[-1] and len(self.draws) == len(self.heads):
            return shapes
        return shapes | {
            "given.weight": (self.d_model, self.embeddings[draw.field][1]),
            "mix.norm.weight": (self.d_model,),
            "mix.in_proj.weight": (2 * self.d_mix, self.d_model),
            "mix.gated_norm.weight": (self.d_mix,),
            "mix.out_proj.weight": (self.d_model, self.d_mix),
        }

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
    if config.get("agent", False) != bool(schema.controls):
        raise CalibrationError("wmq.config: agent is true if and only if the schema has controls")
    if bool(schema.draws) != bool(sizes["d_mix"]):
        raise CalibrationError("wmq.config: d_mix is above 0 if and only if the schema draws")
    scales = tuple(float(field.scale) for field in schema.numbers)
    return StepSizes(
        **sizes,
        number_scales=(*scales, *scales),
        class_inputs=schema.class_inputs,
        embeddings=embeddings_of(schema),
        controllers=(1 if schema.controls else 2) * len(schema.controllers),
        heads=schema.heads,
        draws=schema.draws,
        agent=schema.controls is not None,
    )


def embeddings_of(schema: StepSchema) -> dict[str, tuple[int, int]]:
    """List every embedding's classes and width: of the frame's classes, then of what is drawn.

    The last draw of an agent is told to nothing.
    """
    found = {f.name: (f.classes, f.dim) for f in schema.classes}
    found["stage"] = (schema.stage_classes, schema.stage_dim)
    for draw in schema.draws[: -1 if schema.controls else None]:
        dim = DIMS[draw.field] if schema.controls else RISE_DIM
        found.setdefault(draw.field, (draw.classes, dim))
    return found


def _config(config: Json) -> dict[str, int]:
    known = {*CONFIG_LIMITS, "projectiles"}
    if not known <= set(config) <= known | {"d_mix", "agent"}:
        raise CalibrationError(f"wmq.config: keys must be {sorted(CONFIG_LIMITS)}, projectiles")
    for name in ("projectiles", "agent"):
        if type(config.get(name, False)) is not bool:
            raise CalibrationError(f"wmq.config: {name} is neither true nor false")
    size = {k: whole(config[k], *ends, f"wmq.config: {k}") for k, ends in CONFIG_LIMITS.items()}
    d_inner = size.pop("expand") * size["d_model"]
    if d_inner % size["headdim"]:
        raise CalibrationError("wmq.config: headdim does not divide expand * d_model")
    mix = whole(config.get("d_mix", 0), 0, LARGEST_MIX, "wmq.config: d_mix")
    return size | {"d_inner": d_inner, "nheads": d_inner // size["headdim"], "d_mix": mix}


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
