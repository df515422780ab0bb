"""What a model file holds and what a frame of it costs, as plain data.

A path comes in, one flat mapping of titles leaves: `wmq info` prints it, or hands it on as
JSON.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from math import prod
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from wmq.files.digest import file_sha256
from wmq.files.names import printable
from wmq.inference.model_files import IntegerModel, model_path, schema_of
from wmq.rollout.starts import Start, match_start

if TYPE_CHECKING:
    from calib.step.graph import StepModel
    from wmq.game.schema import Schema
    from wmq.rollout.rollout import RolloutModel

WARM, TIMED = 10, 200  # frames
LONGEST = 0.5  # seconds after which no more frames are timed


def program_facts(opened: IntegerModel) -> dict[str, Any]:
    """Of an integer program."""
    from wmq.bench.limit import work_of
    from wmq_kernels.engine.cpu import chosen, obstacle, processor

    program, meta, work = opened.program, opened.program.meta, work_of(opened.program)
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
        "state bytes": work.states,
        "products": work.products,
        "elements": dict(sorted(elements.items())),
        "values": len(program.values),
        "instructions": len(program.steps),
        "by kind": dict(Counter(step.op for step in program.steps).most_common()),
        "kernels": chosen("auto"),
        "processor": processor(),
        **({"not vnni": why_not} if why_not else {}),
    }


def step_facts(name: str) -> dict[str, Any]:
    """Of a float model.  Raises ModelError or CalibrationError."""
    from calib.step.graph import read_step
    from wmq.game.targets import head_widths

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
        "heads": dict(head_widths(schema)),
        "training": _table(_metadata(step, "wmq.training")),
        "run": _metadata(step, "wmq.run"),
        "half": step.half,
        "weight bytes": sum(array.nbytes for array in step.weights.values()),
        "state bytes": sum(array.nbytes for array in state.values()),
        "nodes": len(step.model.graph.node),
    }


def a_start(schema: Schema) -> Start:
    """Any first frame, on which a model can be tried."""
    return match_start(schema, "battlefield", ("fox", "falco"))


def latency(model: RolloutModel) -> dict[str, Any]:
    """How long one frame of one world takes on one thread, called frame by frame.

    To be called with a model whose engine has been compiled.
    """
    start = a_start(model.schema)
    worlds = model.worlds(1)
    pads = np.repeat(start.controllers[None, -1:], 2, axis=1)
    frame = start.given[None, -1:]
    seconds: list[float] = []
    until = time.perf_counter() + LONGEST
    while len(seconds) < WARM + TIMED:
        began = time.perf_counter()
        frame = worlds.advance(frame, pads, 1)
        seconds.append(time.perf_counter() - began)
        if len(seconds) > WARM and began > until:
            break
    timed = seconds[WARM:]
    return {"milliseconds": round(1000 * median(timed), 4), "frames": len(timed), "threads": 1}


def _schema_facts(schema: Schema) -> dict[str, Any]:
    found = schema.to_json()
    return {
        "schema": found["version"],
        "frame size": found["frame_size"],
        "fields": [field["name"] for field in found["fields"]],
    }


def _metadata(step: StepModel, key: str) -> Any:
    """A text of the file, read as JSON if it is that."""
    text = step.metadata.get(key, "")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _table(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {}
