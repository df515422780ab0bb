"""What `wmq evaluate` leaves, as plain data: a model's figures, and how two models differ.

Reports of models that draw, worlds of version 2 and agents, hold the figures of their chain too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.events import EventFigures


@dataclass(frozen=True)
class ModelReport:
    """figures  of `Tally.result` or `ControlTally.result`, over all games; games: of each game
    rolled   rc by horizon; by_horizon: mean position error at each frame
    """

    name: str
    figures: dict[str, float]
    games: list[dict[str, float]]
    rolled: dict[str, float] = field(default_factory=dict)
    by_horizon: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DrawnReport(ModelReport):
    """Of a model that draws.

    intervals  over games: of a world's nll, and of all figures of an agent
    events     what it expects to happen, and what does
    """

    intervals: dict[str, Interval]
    events: dict[str, EventFigures]


@dataclass(frozen=True)
class ModelComparison:
    """The second model against the first.

    difference  second minus first; percent: of the first, for losses and errors
    divergence  figures of the first frame with another action; first: that of each start
    """

    names: tuple[str, str]
    difference: dict[str, float]
    percent: dict[str, float]
    divergence: dict[str, float | None] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DrawnComparison(ModelComparison):
    """Of two models that draw; intervals over games, in percent.

    nll           change of it, paired over games
    other_draws   share of the draws that give another class by the same word, given the same
                  true draws before them; those that a rule decides are none
    other_frames  share of the frames on which any does, of an agent those of either side
    """

    nll: Interval
    other_draws: Interval
    other_frames: Interval


@dataclass(frozen=True)
class EvaluationReport:
    """sha256  of the games; frames: pairs of frames evaluated; starts as (sha256, row)."""

    split: str
    sha256: list[str]
    frames: int
    models: list[ModelReport]
    comparisons: list[ModelComparison]
    starts: list[tuple[str, int]]
