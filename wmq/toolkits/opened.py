"""What every way begins with: the float step, and play to calibrate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calib.step.graph import StepModel, read_step
from wmq.calibration.play import Source, from_dataset, from_set
from wmq.dataset.select import usable
from wmq.dataset.store import Dataset
from wmq.files.digest import file_sha256
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.inference.model_files import model_path, schema_of
from wmq.inference.predictor import Spreads
from wmq.toolkits.methods import Context

SET = "self-play"  # frames that the embedded model made itself from real starts


@dataclass(frozen=True)
class Opened:
    """The float step of a context.

    sha256   of its file
    spreads  of the targets of each number head
    """

    path: Path
    sha256: str
    step: StepModel
    schema: Schema
    spreads: Spreads


def open_float(context: Context) -> Opened:
    """Raises ModelError or CalibrationError."""
    path = model_path(context.onnx, ".onnx")
    step = read_step(path)
    return Opened(
        path=path,
        sha256=file_sha256(path),
        step=step,
        schema=schema_of(step.schema, path),
        spreads={head: step.weights[f"{head}_scale"] for head in NUMBER_HEADS},
    )


def play(context: Context, schema: Schema, frames: int) -> tuple[Source, str]:
    """Training games of the dataset, else the embedded set; and what it is, for a note.

    Raises WmqError or CalibrationError.
    """
    if any(g.frames > 1 for g in usable(Dataset.open(context.data).select("train"))):
        source = from_dataset(context.data, schema, frames)
        return source, f"{len(source.provenance['games'])} training games"
    return from_set(SET, schema), f"the embedded set {SET}"
