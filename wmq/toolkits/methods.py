"""What the suite needs to know of a quantization method, whichever library it is of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wmq.inference.predictor import Predictor

# Of the frames of every game, so that the whole takes less than 40 minutes on two cores.  Each of
# the shares below 1 also has the default's row, as the beginning of a game is not like the rest.
WHOLE = 1.0  # float32 and the default
MOST = 0.35  # what shares a call among games, some 30 s
ALONE = 0.2  # onnxruntime, a game a call
TORCH_ALONE = 0.05  # torch, a game a call


class Lacking(Exception):
    """A method that cannot be had here; its text is the reason, one line, for the table."""


@dataclass(frozen=True)
class MethodContext:
    """What a method is made from.

    onnx       the float step
    data       the dataset; its training games, if there are any, calibrate, else the embedded set
    folder     for the files that are made in between, and found again
    threads    how many may compute
    frames     of calibration play, at most
    """

    onnx: Path
    data: Path
    folder: Path
    threads: int
    frames: int


@dataclass(frozen=True)
class Method:
    """A method, ready to predict, and the figures that are counted and not measured.

    side_by_side  games that share one call, and with it the scales of dynamic quantization
    share         of every game's frames that is worth the time, one of those above
    layers, static_layers, float_operations, bytes, notes: as in `wmq.evaluation.results.Row`
    sha256        of what is run; methods with this and the share in common are measured once; "":
                  measure it
    """

    predictor: Predictor
    side_by_side: int
    share: float
    layers: int | None
    static_layers: int | None
    float_operations: int | None
    bytes: int | None
    notes: tuple[str, ...] = ()
    sha256: str = ""
