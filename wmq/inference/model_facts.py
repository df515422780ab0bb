"""What a model file holds and what a frame of it costs, as plain data.

A model comes in, one flat mapping of titles leaves, which `wmq info` prints.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from wmq.files.digest import file_sha256
from wmq.files.names import printable
from wmq.inference.model_files import IntegerModel, model_path, schema_of
from wmq_kernels.program import NUMPY, Program

if TYPE_CHECKING:
    from calib.step.graph import StepModel
    from wmq.game.schema import Schema


@dataclass(frozen=True)
class FrameCost:
    """What a frame of one world has to do.

    weights   bytes of int8 weights, each once
    states    bytes of what lives from frame to frame: states, their carries, convolutions
    products  of two int8
    """

    weights: int
    states: int
    products: int


def frame_cost(program: Program) -> FrameCost:
    """Count what a frame takes; a weight that several instructions share is read once."""
    weights: dict[tuple[str, int], int] = {}
    products = 0
    for step in program.steps:
        if step.op in ("dot", "dot_add"):
            at = step.operands["weight"]
            weights[at.value, at.start] = at.count
            products += at.count
    states = sum(value.size * np.dtype(NUMPY[value.dtype]).itemsize
                 for value in program.values.values() if value.kind == "state")  # fmt: skip
    return FrameCost(sum(weights.values()), states, products)


def program_facts(opened: IntegerModel) -> dict[str, Any]:
    """Describe an integer program."""
    from wmq_kernels.engine.cpu import chosen, obstacle, processor

    program, meta, cost = opened.program, opened.program.meta, frame_cost(opened.program)
    elements = Counter[str]()
    for value in program.values.values():
        elements[f"{value.kind} {value.dtype}"] += prod(value.shape)
    why_not = obstacle()
    return {
        "file": printable(opened.path.name),
        "kind": "integer program",
        "sha256": opened.sha256,
        "bytes": opened.path.stat().st_size,
        **_schema_facts(opened.schema),
        "config": _table(meta.get("config")),
        "parameters": meta.get("parameters"),
        "heads": {name: count for name, (_, count) in program.heads.items()},
        "training": _table(meta.get("training")),
        "run": str(meta.get("run", "")),
        "calibration": _table(meta.get("calibration")),
        "int8 weights": elements["const i8"],
        "constant bytes": sum(array.nbytes for array in program.data.values()),
        "state bytes": cost.states,
        "products": cost.products,
        "elements": dict(sorted(elements.items())),
        "values": len(program.values),
        "instructions": len(program.steps),
        "by kind": dict(Counter(step.op for step in program.steps).most_common()),
        "kernels": chosen("auto"),
        "processor": processor(),
        **({"not vnni": why_not} if why_not else {}),
    }


def step_facts(name: str) -> dict[str, Any]:
    """Describe a float step.  Raises ModelError or CalibrationError."""
    from calib.step.graph import read_step

    path = model_path(name, ".onnx")
    step = read_step(path)
    schema = schema_of(step.schema, path)
    state = step.sizes.zero_state()
    return {
        "file": printable(path.name),
        "kind": "float step",
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        **_schema_facts(schema),
        "config": _table(step.config),
        "parameters": sum(array.size for array in step.weights.values()),
        "heads": dict(schema.heads),
        "training": _table(_metadata(step, "wmq.training")),
        "run": _metadata(step, "wmq.run"),
        "half": step.half,
        "weight bytes": sum(array.nbytes for array in step.weights.values()),
        "state bytes": sum(array.nbytes for array in state.values()),
        "nodes": len(step.model.graph.node),
    }


def _schema_facts(schema: Schema) -> dict[str, Any]:
    found = schema.to_json()
    return {
        "schema": found["version"],
        "frame size": found["frame_size"],
        "fields": [field["name"] for field in found["fields"]],
    }


def _metadata(step: StepModel, key: str) -> Any:
    """Read a text of the file, as JSON if it is that."""
    text = step.metadata.get(key, "")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _table(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {}
