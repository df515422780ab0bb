"""What a float step's config and schema say about its shapes.

In come two JSON objects, `ModelConfig` and `Schema.to_json()`, trusted in nothing; out
comes `StepSizes`, from which the names and shapes of all weights, inputs and outputs follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calib.errors import CalibrationError

PLAYERS = ("p1", "p2")
NUMBER_HEADS = ("continuous", "velocity", "dynamics")  # standardized by an offset and a scale
HEADS = ("continuous", "binary", "velocity", "dynamics")  # of both players together, in order
FIELD_KINDS = ("fixed", "whole", "bit", "class")
FIELD_HEADS = (*HEADS, "classes", "")
# Least and greatest size of a model; far beyond the presets, far below a memory's end.
CONFIG_LIMITS = {
    "d_model": (1, 4096),
    "n_layer": (1, 64),
    "d_state": (1, 1024),
    "d_conv": (2, 16),
    "expand": (1, 8),
    "headdim": (1, 1024),
}
LARGEST_CLASS, LARGEST_DIM, LARGEST_LIST, LARGEST_SCALE = 1 << 16, 1024, 256, 1e6

Json = Mapping[str, Any]


@dataclass(frozen=True)
class StepSizes:
    """Sizes of one float step.

    number_scales  factor from natural units to the input, both players' numbers
    class_names    class fields of a player, in order; `embeddings` has one more, the stage
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
    class_names: tuple[str, ...]
    embeddings: Mapping[str, tuple[int, int]]
    controllers: int
    heads: Mapping[str, int]

    @property
    def conv_dim(self) -> int:
        return self.d_inner + 2 * self.d_state

    @property
    def class_inputs(self) -> tuple[str, ...]:
        """Embedding of each column of the input `classes`."""
        return (*self.class_names, *self.class_names, "stage")

    @property
    def encoded(self) -> int:
        widths = sum(self.embeddings[name][1] for name in self.class_inputs)
        return len(self.number_scales) + self.controllers + widths

    @property
    def in_proj_parts(self) -> tuple[int, int, int]:
        """Widths of z, (x, B, C) and dt."""
        return self.d_inner, self.conv_dim, self.nheads

    def state_shape(self) -> tuple[tuple[int, int], tuple[int, int, int]]:
        """Shapes of `conv.N` and `state.N` after the batch."""
        return (self.d_conv - 1, self.conv_dim), (self.nheads, self.headdim, self.d_state)

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight, named and laid out as in the torch state dict."""
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
    """Name of a head's Linear in torch, which forbids dots: `p1.action` -> `p1_action`."""
    return head.replace(".", "_")


def sizes_of(config: Json, schema: Json) -> StepSizes:
    """Check both objects and derive all sizes.  Raises CalibrationError with the path."""
    sizes = _config(config)
    if schema.get("projectiles") is not config["projectiles"]:
        raise CalibrationError("wmq.schema: projectiles differs from that of wmq.config")
    if type(schema.get("version")) is not int:
        raise CalibrationError("wmq.schema: version is not an integer")
    fields = _list(schema, "fields")
    for index, field in enumerate(fields):
        _check_field(field, f"wmq.schema: fields[{index}]")
    names = [field["name"] for field in fields]
    if len(set(names)) != len(names) or "stage" in names:
        raise CalibrationError("wmq.schema: fields: a name occurs twice")
    controllers = _list(schema, "controllers")
    stage = schema.get("stage")
    if not isinstance(stage, dict):
        raise CalibrationError("wmq.schema: stage is not an object")
    _check_rebirth(schema.get("rebirth"), names, stage)
    classes = [field for field in fields if field["kind"] == "class"]
    embeddings = {f["name"]: (f["hi"] + 1, f["dim"]) for f in classes}
    embeddings["stage"] = (
        _whole(stage.get("classes"), 1, LARGEST_CLASS, "wmq.schema: stage.classes"),
        _whole(stage.get("dim"), 1, LARGEST_DIM, "wmq.schema: stage.dim"),
    )
    heads = {name: 2 * sum(f["head"] == name for f in fields) for name in HEADS}
    for name, width in heads.items():
        if not width:
            raise CalibrationError(f"wmq.schema: no field has the head {name}")
    for player in PLAYERS:
        heads |= {f"{player}.{f['name']}": f["hi"] + 1 for f in classes if f["head"] == "classes"}
    scales = [float(f["scale"]) for f in fields if f["kind"] != "class"]
    return StepSizes(
        **sizes,
        number_scales=(*scales, *scales),
        class_names=tuple(f["name"] for f in classes),
        embeddings=embeddings,
        controllers=2 * len(controllers),
        heads=heads,
    )


def _config(config: Json) -> dict[str, int]:
    if set(config) != {*CONFIG_LIMITS, "projectiles"}:
        raise CalibrationError(f"wmq.config: keys must be {sorted(CONFIG_LIMITS)}, projectiles")
    if type(config["projectiles"]) is not bool:
        raise CalibrationError("wmq.config: projectiles is neither true nor false")
    size = {k: _whole(config[k], *ends, f"wmq.config: {k}") for k, ends in CONFIG_LIMITS.items()}
    d_inner = size.pop("expand") * size["d_model"]
    if d_inner % size["headdim"]:
        raise CalibrationError("wmq.config: headdim does not divide expand * d_model")
    return size | {"d_inner": d_inner, "nheads": d_inner // size["headdim"]}


def _check_field(field: Any, where: str) -> None:
    if not isinstance(field, dict):
        raise CalibrationError(f"{where} is not an object")
    name, scale = field.get("name"), field.get("scale")
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 64:
        raise CalibrationError(f"{where}.name is not a short identifier")
    if field.get("kind") not in FIELD_KINDS or field.get("head") not in FIELD_HEADS:
        raise CalibrationError(f"{where} ({name}): unknown kind or head")
    if (field["head"] == "classes") > (field["kind"] == "class"):
        raise CalibrationError(f"{where} ({name}): the head classes is for class fields alone")
    number = scale if isinstance(scale, int | float) and not isinstance(scale, bool) else 1e9
    if not abs(number) <= LARGEST_SCALE:
        raise CalibrationError(f"{where}.scale ({name}) is not a number")
    if field["kind"] == "class":
        _whole(field.get("hi"), 0, LARGEST_CLASS - 1, f"{where}.hi ({name})")
        _whole(field.get("dim"), 1, LARGEST_DIM, f"{where}.dim ({name})")


def _check_rebirth(rebirth: Any, names: list[str], stage: Json) -> None:
    """An action, and a place for each stage, player and field: whole numbers of int32."""
    where = "wmq.schema: rebirth"
    if not isinstance(rebirth, dict) or rebirth.get("fields") != ["x", "y"]:
        raise CalibrationError(f"{where}.fields are not x and y")
    if not {"x", "y", "action"} <= set(names) or names.index("y") != names.index("x") + 1:
        raise CalibrationError(f"{where}: x, y and action must be fields, y next to x")
    _whole(rebirth.get("action"), 0, LARGEST_CLASS, f"{where}.action")
    places = rebirth.get("places")
    if not isinstance(places, list) or len(places) != stage.get("classes"):
        raise CalibrationError(f"{where}.places is not a list with a row for each stage")
    for row in places:
        pairs = row if isinstance(row, list) else []
        if [len(p) if isinstance(p, list) else 0 for p in pairs] != [2, 2]:
            raise CalibrationError(f"{where}.places: a row is not two places of two numbers")
        for value in (*pairs[0], *pairs[1]):
            _whole(value, -(1 << 31), (1 << 31) - 1, f"{where}.places")


def _list(schema: Json, key: str) -> list:
    value = schema.get(key)
    if not isinstance(value, list) or not 1 <= len(value) <= LARGEST_LIST:
        raise CalibrationError(f"wmq.schema: {key} is not a list of 1 to {LARGEST_LIST}")
    return value


def _whole(value: Any, least: int, most: int, where: str) -> int:
    if type(value) is not int or not least <= value <= most:
        raise CalibrationError(f"{where} is not an integer in [{least}, {most}]")
    return value


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
