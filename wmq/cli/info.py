"""`wmq info`: show what a model file holds, what a frame costs, and what it runs on."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from wmq.cli.environment import environment, environment_lines
from wmq.cli.file_types import MODEL
from wmq.cli.models import compile_first, frozen_garbage, open_model
from wmq.errors import WmqError
from wmq.files.names import printable

NAME, WIDTH = 13, 98
LONGEST_LIST = 8  # entries of a list that stands in a line


@click.command(name="info", epilog="Example: wmq info model.wmq")
@click.argument("model", type=MODEL, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(model: str | None, as_json: bool) -> None:
    """Show what a .wmq or .onnx MODEL holds.  Without MODEL, the embedded program.

    Measures the latency: one world, one frame after the other, on one thread.  For a bug report,
    --json also prints versions, processor, kernels and cache, even if MODEL cannot be read.
    """
    try:
        facts = _model_facts(model)
    except WmqError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "environment": environment()}, indent=1))
        raise
    facts["environment"] = environment()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, text in (*_lines(facts), *environment_lines(facts["environment"])):
        click.echo(textwrap.fill(printable(text), WIDTH, initial_indent=f"{name:{NAME}}  ",
                                 subsequent_indent=" " * (NAME + 2)))  # fmt: skip


def _model_facts(model: str | None) -> dict[str, Any]:
    from wmq.bench.latency import latency
    from wmq.inference.integer_predictor import IntegerPredictor
    from wmq.inference.model_facts import program_facts, step_facts
    from wmq.inference.model_files import open_program

    if model is not None and model.lower().endswith(".onnx"):
        facts, opened = step_facts(model), open_model(model, "float32")
    else:
        with frozen_garbage():
            program = open_program(model)
            facts, opened = program_facts(program), IntegerPredictor(program)
    compile_first(opened)
    facts["latency"] = latency(opened)
    return facts


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Titles and texts: what the model is, what it costs, what it was made from, what is in it."""
    program = facts["kind"] == "integer program"
    yield "file", f"{facts['file']}, {facts['kind']}, {facts['bytes']:,} bytes"
    yield "sha256", facts["sha256"]
    size = facts["parameters"]
    counted = f"{size:,} parameters" if isinstance(size, int) else ""
    yield "network", "; ".join(filter(None, (counted, _flat(facts["config"]))))
    took = facts["latency"]
    yield "latency", (f"{took['milliseconds']:.3f} ms a frame: one world, one thread, the median "
                      f"of {took['frames']} frames just now")  # fmt: skip
    yield from _program_costs(facts) if program else _step_costs(facts)
    yield "a world", f"{facts['state bytes']:,} bytes of state"
    if program:
        yield from _calibration(facts["calibration"])
    yield "training", _flat(facts["training"]) or "not recorded"
    if facts["run"]:
        yield "run", str(facts["run"])
    yield "heads", _flat(facts["heads"])
    yield "fields", f"{', '.join(facts['fields'])}; {facts['frame size']} numbers a frame"
    if program:
        kinds = ", ".join(f"{name} {count}" for name, count in facts["by kind"].items())
        yield "instructions", f"{facts['instructions']}: {kinds}"


def _program_costs(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    lacking = f"; not vnni: {facts['not vnni']}" if "not vnni" in facts else ""
    yield "kernels", f"{facts['kernels']}, for {facts['processor']}{lacking}"
    yield "a frame", f"{facts['products']:,} products of int8, {facts['instructions']} instructions"
    yield "weights", (f"{facts['int8 weights']:,} bytes of int8; {facts['constant bytes']:,} with "
                      "biases, scales and tables")  # fmt: skip


def _step_costs(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    half = "; the large ones are stored in 16 bits" if facts["half"] else ""
    yield "a frame", f"{facts['nodes']} nodes in onnxruntime"
    yield "weights", f"{facts['weight bytes']:,} bytes of float32{half}"


def _calibration(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    recipe = found.get("recipe")
    if isinstance(recipe, dict):
        rest = _flat({key: part for key, part in recipe.items() if key != "name"})
        yield "recipe", f"{recipe.get('name', 'without a name')}: {rest}"
    rest = _flat({key: part for key, part in found.items() if key != "recipe"})
    yield "calibration", rest or "not recorded"


def _flat(table: dict[str, Any], above: str = "") -> str:
    """`key value` after `key value`, with a point between the keys of tables in each other."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{above}{key}."))
        elif isinstance(value, list):
            listed = " ".join(map(str, value))
            long = len(value) > LONGEST_LIST
            parts.append(f"{above}{key} {f'{len(value)} entries' if long else listed}")
        elif isinstance(value, int) and not isinstance(value, bool):
            parts.append(f"{above}{key} {value:,}")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            parts.append(f"{above}{key} {text}")
    return ", ".join(filter(None, parts))
