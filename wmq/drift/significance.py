"""Whether a model can be told from float, after one frame, some, and a minute.

Up to the horizon of the paired rollouts the question is whether the error against the real
game has changed: the bootstrap's interval of the paired difference says so.  For worlds
there are many statistics, of which one in twenty is outside of its interval by chance
alone.  So each gets a probability by exchanging, in a random half of the games, the two
models (if they are alike, every exchange is as likely as what was found; Fisher 1935,
section 21), and Holm's step-down correction (1979) keeps the chance of one false alarm
among all of them below 5 %.  Statistics that no exchange could change, such as events that
happen in neither model, can raise no alarm and are not counted (Tarone 1990).

Fewer than FEW_GAMES games give the figures and no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wmq.drift.parts import in_parts
from wmq.evaluation.bootstrap import FEW_GAMES, Interval, caveat, detectable
from wmq.evaluation.results import Verdict, WorldStatistic, played_by

LEVEL = 0.05
EXCHANGES = 4000


def exchange_test(
    of: Callable[[np.ndarray], np.ndarray], one: np.ndarray, other: np.ndarray, seed: int = 0
) -> float:
    """Probability of a difference as large as found, if the two were the same model.

    of          a figure of sums: (.., k) to (..)
    one, other  (games, k): each model's sums in each game
    1 where the figure is not defined.
    """
    found = float(of(other.sum(axis=0)) - of(one.sum(axis=0)))
    if not np.isfinite(found):
        return 1.0
    rng = np.random.default_rng(seed)
    kept = rng.integers(0, 2, (EXCHANGES, len(one))).astype(np.float64)

    def difference(after: np.ndarray, left: np.ndarray, before: np.ndarray, rest: np.ndarray):
        return of(after + left) - of(before + rest)

    drawn = in_parts(difference, (kept, other), (1 - kept, one), (kept, one), (1 - kept, other))
    drawn = drawn[np.isfinite(drawn)]
    # as much as found but for the last bits of sums in another order
    beyond = np.abs(drawn) >= abs(found) * (1 - 1e-9) - 1e-12
    return float((1 + beyond.sum()) / (1 + len(drawn)))


def holm(p: Sequence[float]) -> list[float]:
    """Corrected probabilities, in the order of p (Holm 1979): none is below LEVEL by chance
    in more than LEVEL of all such families."""
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found.tolist()


def can_differ(found: Interval) -> bool:
    """False where both models have the same figure in every draw: no exchange could change it."""
    return found.value is not None and not (found.value == 0 and {found.lo, found.hi} <= {0, None})


def error_verdict(
    model: str, horizon: int, measure: str, unit: str, change: tuple[Interval, np.ndarray],
    games: int,
) -> Verdict:  # fmt: skip
    """By the interval of a difference in error over games, model minus float, and its draws."""
    difference, drawn = change
    differs = difference.excludes_zero if games >= FEW_GAMES else None
    frames = "one frame" if horizon == 1 else f"{horizon:,} frames"
    least = detectable(drawn)
    sentence = (
        f"After {frames} {_told(model, differs, games)}: {measure} "
        f"{with_interval(difference, unit)}"
    )
    if differs is False and least is not None:
        sentence += f"; {least:.2g}{unit} would have shown"
    return Verdict(model, horizon, measure, difference, differs, f"{sentence}.", least)


def world_verdict(
    model: str, frames: int, statistics: Sequence[WorldStatistic], games: int
) -> Verdict:
    """By the statistic with the smallest probability, after Holm's correction."""
    least = min(statistics, key=lambda s: (s.p[model], s.name, s.controllers))
    differs = least.holm[model] < LEVEL if games >= FEW_GAMES else None
    measure = f"{least.name}, {played_by(least.controllers)}"
    counted = "" if differs is None else f"{_counted(model, statistics)}; "
    sentence = (
        f"Over {frames:,} frames {_told(model, differs, games)}: {counted}the farthest is "
        f"{measure}, {with_interval(least.differences[model], '')} {least.unit}, "
        f"p {least.p[model]:.2g}, corrected {least.holm[model]:.2g}."
    )
    return Verdict(model, frames, measure, least.differences[model], differs, sentence)


def _counted(model: str, statistics: Sequence[WorldStatistic]) -> str:
    """Tell how many differ, with and without the correction."""
    family = [s for s in statistics if can_differ(s.differences[model])]
    left = sum(s.holm[model] < LEVEL for s in family)
    raw = sum(s.differences[model].excludes_zero for s in family)
    return (f"{left} of {len(family)} world statistics differ after Holm's correction, {raw} "
            f"before it, where {len(family) * LEVEL:.1f} are chance")  # fmt: skip


def one_sentence(
    model: str, verdicts: Sequence[Verdict], statistics: Sequence[WorldStatistic], games: int
) -> str:
    """All horizons of a model; the last is that of its worlds.  games: the fewest of any of them"""
    nowhere = all(verdict.distinguishable is None for verdict in verdicts)
    unknown = "" if nowhere else f" no verdict, {caveat(games)}"
    parts = []
    for verdict in verdicts:
        frames = "one frame" if verdict.horizon == 1 else f"{verdict.horizon:,}"
        told = {True: " yes", False: " no", None: unknown}[verdict.distinguishable]
        unit = "" if verdict is verdicts[-1] else "%"
        reason = f"{verdict.measure} {with_interval(verdict.difference, unit)}"
        if verdict is verdicts[-1] and verdict.distinguishable is not None:
            reason = _counted(model, statistics)
        parts.append(f"at {frames}{told} ({reason})")
    if nowhere:
        return (f"{caveat(games)}, and no verdict whether {model} can be told from float: "
                f"{'; '.join(parts)}.")  # fmt: skip
    return f"Is {model} distinguishable from float? {'; '.join(parts)}."


def with_interval(figure: Interval, unit: str) -> str:
    """`+0.14 % (95 %: +0.10 to +0.18)`."""
    unit = f" {unit.strip()}" if unit.strip() else ""
    if figure.value is None:
        return "unknown"
    text = f"{figure.value:+.3g}{unit}"
    if figure.lo is None or figure.hi is None:
        return text
    return f"{text} (95 %: {figure.lo:+.3g} to {figure.hi:+.3g})"


def _told(model: str, differs: bool | None, games: int) -> str:
    if differs is None:
        return f"no verdict on {model} ({caveat(games)})"
    return f"{model} is {'' if differs else 'not '}distinguishable from float"
