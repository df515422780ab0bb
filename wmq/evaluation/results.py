"""What the measurements of quantization leave, as plain data: JSON files of one struct each.

`wmq bench quantization` writes a `Suite`, `wmq drift` a `Drift`, `wmq sensitivity` a
`Sensitivity`; `wmq report` draws all three.  Percentages are given as such (0.14 is 0.14 %).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.files.atomic import write_atomically
from wmq.files.limited import read_limited
from wmq.files.names import printable

LARGEST = 1 << 28  # bytes of a file
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]  # as far as a float64 counts


class Figure(msgspec.Struct, frozen=True):
    """A figure of a row, and how far it is from that of float32 on the same frames.

    difference  row minus float32, paired, with its 95 % interval; in the figure's unit, or in
                percent of float32's for losses and errors (percent true)
    detectable  the smallest such difference that the sample would have shown
    """

    value: float | None
    difference: Interval | None = None
    percent: bool = False
    detectable: float | None = None


class HeadFigure(msgspec.Struct, frozen=True):
    """A head beside float32's: same argmax in percent (None for numbers), KL divergence in nats."""

    same_argmax: float | None
    kl_mean: float
    kl_99: float
    kl_max: float


class Row(msgspec.Struct, frozen=True):
    """One way to run the model; `reason` says why there are no figures.

    layers            of the 26 Linears, how many multiply int8 weights
    static_layers     of those, how many have input scales that were fixed beforehand
    float_operations  nodes of a step's graph that compute in floating point; None: unknown
    bytes             of the model as it is stored
    frames            evaluated one frame ahead, of all games together
    figures           val_loss, plan_loss, action_acc, change_acc, "change_acc: CATEGORY",
                      pos_mae, vel_mae, percent_mae, rc(5), rc(20), rc(60), same_action
    first_divergence  median: frame of the first action unlike float32's in rollouts with the
                      true controllers, None beyond the horizon; never: percent of starts
    """

    name: str
    library: str
    what: str
    reason: str = ""
    layers: Count | None = None
    static_layers: Count | None = None
    float_operations: Count | None = None
    bytes: Count | None = None
    frames: Count = 0
    figures: dict[str, Figure] = {}
    heads: dict[str, HeadFigure] = {}
    first_divergence: dict[str, float | None] = {}
    frames_per_second: float | None = None
    notes: list[str] = []


class Suite(msgspec.Struct, frozen=True):
    """The table of `wmq bench quantization`; the first row is float32, the record.

    seconds  of measuring, those of runs that were interrupted among them
    command  that makes it, with names in place of paths
    """

    model: str
    onnx_sha256: str
    games: list[str]
    starts: Count
    quick: bool
    rows: list[Row]
    seconds: float
    command: str = ""


class Curve(msgspec.Struct, frozen=True):
    """A figure over the horizon, with its 95 % interval over games: lists of one length.

    lo, hi  None where the interval is unknown, as that of one game
    """

    horizons: list[int]
    mean: list[float]
    lo: list[float | None]
    hi: list[float | None]


class Pair(msgspec.Struct, frozen=True):
    """Two models from the same real starts with the true controllers.

    kind              "quantized", or "yardstick" where both are float
    same              percent of starts without a differing action up to each horizon
    distance          mean distance of the players' positions at each horizon, game units
    first_divergence  median and never, as in Row
    """

    name: str
    kind: str
    same: Curve
    distance: Curve
    first_divergence: dict[str, float | None]


class WorldStatistic(msgspec.Struct, frozen=True):
    """One statistic of worlds left to themselves for a minute.

    tracks       name of a model, or "real" -> the statistic with its interval over worlds
    differences  name of a model -> that model minus float, paired over worlds
    p            name of a model -> probability of so large a difference by chance
    holm         the same after Holm's correction for all statistics in which the model can differ
    """

    name: str
    unit: str
    controllers: str
    tracks: dict[str, Interval]
    differences: dict[str, Interval]
    p: dict[str, float] = {}
    holm: dict[str, float] = {}


def played_by(controllers: str) -> str:
    """Say who plays, as the statistics of a world name it."""
    return "two agents" if controllers == "agents" else f"{controllers} controllers"


class Distance(msgspec.Struct, frozen=True):
    """How far worlds are from real play in one statistic.

    half    mean distance of two halves of the real games, the unit; None: unknown
    models  name -> distance of its worlds from all real games, in that unit
    """

    name: str
    controllers: str
    half: float | None
    models: dict[str, Interval]


class WorldHistogram(msgspec.Struct, frozen=True):
    """Shares of events by their size, of each track, in percent.

    at     lower end of each bin, in `unit`
    """

    name: str
    unit: str
    controllers: str
    at: list[float]
    shares: dict[str, list[float]]


class RealPlay(msgspec.Struct, frozen=True):
    """Worlds of a model that draws, beside the same stretches of the real games.

    agent, agent_sha256  the file that plays both players
    mean                 controllers -> model -> mean of its distances over the statistics
    """

    agent: str
    agent_sha256: str
    mean: dict[str, dict[str, Interval]]
    distances: list[Distance]
    histograms: list[WorldHistogram]


class Verdict(msgspec.Struct, frozen=True):
    """Whether a model can be told from float at a horizon of so many frames.

    distinguishable  None if the games are too few to say
    detectable       the smallest difference that the sample would have shown, in the same unit
    """

    model: str
    horizon: Count
    measure: str
    difference: Interval
    distinguishable: bool | None
    sentence: str
    detectable: float | None = None


class Drift(msgspec.Struct, frozen=True):
    """What `wmq drift` found.

    relative  per quantized pair, and yardstick: the ratio of their mean distances, with interval
    worlds    how many, of `frames` frames
    truth     model -> mean distance to the real game, as in Pair; truth_difference: minus float's
    games     SHA-256 of the replays; float_sha256: of the float model
    notes     what a reader has to know of these figures
    real_play  of a model that draws alone
    seconds, command  as in Suite
    """

    model: str
    sha256: str
    starts: Count
    horizon: Count
    pairs: list[Pair]
    relative: dict[str, dict[str, Curve]]
    worlds: Count
    frames: Count
    statistics: list[WorldStatistic]
    verdicts: list[Verdict]
    sentence: str
    seconds: float
    truth: dict[str, Curve] = {}
    truth_difference: dict[str, Curve] = {}
    games: list[str] = []
    float_sha256: str = ""
    notes: list[str] = []
    command: str = ""
    real_play: RealPlay | msgspec.UnsetType = msgspec.UNSET


class Sensitive(msgspec.Struct, frozen=True):
    """What is lost when these tensors alone are rounded as in the program.

    kind         "class": of all layers; "layer": of one, or one head's or table's; "together": of
                 all classes at once; "program": the integer program itself
    figures      val_loss, pos_mae, change_acc, rc(20): rounded minus float32
    same_action  percent of frames
    saturated    share of the values that the interval clips, in percent
    """

    name: str
    kind: str
    tensors: list[str]
    figures: dict[str, Figure]
    same_action: float
    saturated: float


class Sensitivity(msgspec.Struct, frozen=True):
    """What `wmq sensitivity` found, worst first.

    games             how many the intervals are over; 0: unknown
    seconds, command  as in Suite
    """

    model: str
    sha256: str
    frames: Count
    entries: list[Sensitive]
    saturations: dict[str, Count]
    seconds: float
    games: Count = 0
    command: str = ""


Found = TypeVar("Found", Suite, Drift, Sensitivity)


def shown_name(path: Path) -> str:
    """Return the name of a file as JSON can hold it."""
    return printable(path.name)


def write_result(path: Path, result: Suite | Drift | Sensitivity) -> None:
    """Write one JSON file, whole or not at all."""
    write_atomically(path, as_json(result).encode() + b"\n")


def as_json(result: Suite | Drift | Sensitivity) -> str:
    """Return the text that `write_result` writes."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1).decode()


def read_result(path: str | os.PathLike[str], kind: type[Found]) -> Found:
    """Read a result.  Raises WmqError, naming the file and the key at fault."""
    try:
        content = read_limited(path, LARGEST)
    except OSError as error:
        raise WmqError(f"{os.fspath(path)}: {error.strerror}; give another file") from None
    if len(content) > LARGEST:
        raise WmqError(f"{os.fspath(path)}: larger than {LARGEST} bytes, no result of wmq")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WmqError(f"{os.fspath(path)}: not a {kind.__name__.lower()} of wmq ({error}); "
                       "make it again") from None  # fmt: skip
