"""`wmq info`: what is in a model file."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import click

from wmq.cli.rollout import all_stays


@click.command(name="info", epilog="Example: wmq info model.wmq")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(model: str | None, as_json: bool) -> None:
    """Show what a .wmq or .onnx MODEL holds.  Without MODEL, the embedded program."""
    float_model = model is not None and model.lower().endswith(".onnx")
    with all_stays():
        facts = _onnx_facts(model) if model and float_model else _program_facts(model)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        _print(name, value)


def _print(name: str, value: Any) -> None:
    """One line a fact; a table one line a row."""
    if isinstance(value, dict):
        click.echo(f"{name}")
        for key, entry in value.items():
            text = entry if isinstance(entry, str) else json.dumps(entry)
            click.echo(f"  {key:26s}  {text}")
    elif isinstance(value, list):
        click.echo(f"{name:13s}  {', '.join(map(str, value))}")
    elif isinstance(value, int) and not isinstance(value, bool):
        click.echo(f"{name:13s}  {value:,}")
    else:
        click.echo(f"{name:13s}  {value}")


def _program_facts(path: str | None) -> dict:
    from wmq.opening import open_program

    opened = open_program(path)
    program = opened.program
    values, weights = Counter[str](), 0
    for value in program.values.values():
        values[f"{value.kind} {value.dtype}"] += prod(value.shape)
        weights += prod(value.shape) if (value.kind, value.dtype) == ("const", "i8") else 0
    meta = program.meta
    return {
        "file": opened.path.name,
        "kind": "integer program",
        "sha256": opened.sha256,
        "bytes": Path(opened.path).stat().st_size,
        **_schema_facts(meta.get("schema", {})),
        "config": _table(meta.get("config")),
        "int8 weights": weights,
        "elements": dict(sorted(values.items())),
        "values": len(program.values),
        "instructions": len(program.steps),
        "by kind": dict(Counter(step.op for step in program.steps).most_common()),
        "heads": {name: count for name, (_, count) in program.heads.items()},
        "calibration": _table(meta.get("calibration")),
        "training": _table(meta.get("training")),
        "run": str(meta.get("run", "")),
        **_kernels_facts(),
    }


def _kernels_facts() -> dict:
    """Which kernels this machine gets, and why not others."""
    from wmq_kernels.engine.paths import chosen, obstacle, processor

    facts = {"kernels": chosen("auto"), "processor": processor()}
    return facts | ({"not vnni": why} if (why := obstacle()) else {})


def _onnx_facts(path: str) -> dict:
    from hashlib import sha256

    from calib.step_graph import read_step
    from wmq.opening import model_path, schema_of

    found = model_path(path, ".onnx")
    step = read_step(found)
    schema_of(step.schema, found)
    texts = {}
    for key in ("wmq.training", "wmq.run"):
        text = step.metadata.get(key, "")
        try:
            texts[key] = json.loads(text)
        except ValueError:
            texts[key] = text
    return {
        "file": found.name,
        "kind": "float step",
        "sha256": sha256(found.read_bytes()).hexdigest(),
        "bytes": found.stat().st_size,
        **_schema_facts(step.schema),
        "config": _table(step.config),
        "parameters": sum(array.size for array in step.weights.values()),
        "half": step.half,
        "nodes": len(step.model.graph.node),
        "training": _table(texts["wmq.training"]),
        "run": texts["wmq.run"],
    }


def _table(found: Any) -> dict:
    return found if isinstance(found, dict) else {}


def _schema_facts(schema: dict) -> dict:
    return {
        "schema": schema["version"],
        "frame size": schema["frame_size"],
        "fields": [field["name"] for field in schema["fields"]],
    }
