"""Play to calibrate other libraries' methods with."""

from __future__ import annotations

from wmq.calibration.play import CalibrationPlay, from_dataset, from_set
from wmq.dataset.select import usable
from wmq.dataset.store import Dataset
from wmq.game.schema import Schema
from wmq.toolkits.methods import MethodContext

SET = "self-play"  # frames that the embedded model made itself from real starts


def play(context: MethodContext, schema: Schema, frames: int) -> tuple[CalibrationPlay, str]:
    """Open training games of the dataset, else the embedded set; and say which, for a note.

    Raises WmqError or CalibrationError.
    """
    if any(g.frames > 1 for g in usable(Dataset.open(context.data).select("train"))):
        source = from_dataset(context.data, schema, frames)
        return source, f"{len(source.provenance['games'])} training games"
    return from_set(SET, schema), f"the embedded set {SET}"
