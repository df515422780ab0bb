"""The float model for the other libraries, as large as the integer program."""

from __future__ import annotations

from calib.step.graph import StepModel, read_step
from wmq.bench.worker.messages import Setup
from wmq.errors import WmqError
from wmq.game.schema import Schema
from wmq.inference.model_files import model_path, open_program, schema_of


def float_step(setup: Setup) -> tuple[StepModel, Schema]:
    """Raises WmqError if the two models of a run are of different sizes."""
    path = model_path(setup.onnx, ".onnx")
    step = read_step(path)
    if open_program(setup.program).program.meta.get("config") != step.config:
        raise WmqError(f"{path}: of another size than {setup.program}; give a pair of models")
    return step, schema_of(step.schema, path)
