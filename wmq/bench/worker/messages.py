"""What a benchmark and its workers tell each other: JSON, one object a line.

A worker is started with a `Setup`, says by an `Answer` whether it is ready, and from then
on gives one `Answer` for each `Request`.  Nothing else may stand on these lines.
"""

from __future__ import annotations

import msgspec

WHOLE, EMPTY = "a whole frame", "an empty frame"  # in the table of a profile


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker is to be.

    kind      of `wmq.bench.worker.KINDS`; variant is its affair
    threads   that it computes with
    program   path of the integer program; onnx: of the float step, "" for none
    agent     path of what plays a match, "" for none
    folder    for files that workers of a run share
    """

    kind: str
    variant: str
    threads: int
    program: str
    onnx: str
    folder: str
    agent: str = ""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement of about `seconds`, or a little more.

    do    "session" or "frame" with a batch, "read" with a size in bytes, "products", "profile"
    """

    do: str
    seconds: float
    batch: int = 1
    size: int = 0


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was done in how many seconds, or the reason why not.

    amount  world-frames, bytes or products of two int8
    table   instruction -> microseconds of a frame, of "profile"
    """

    amount: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    table: dict[str, float] = {}
