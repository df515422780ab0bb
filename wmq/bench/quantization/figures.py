"""Figures of a method and of float32 from the same games, and how sure their difference is.

Draws resample whole games (`wmq.evaluation.bootstrap`); both sides get the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wmq.evaluation.bootstrap import drawn_means
from wmq.evaluation.differences import known, paired_figure, sums_of_games
from wmq.evaluation.evaluate import together
from wmq.evaluation.metrics import ERRORS, Tally, losses_of
from wmq.evaluation.results import Figure
from wmq.evaluation.rollout_error import HORIZONS


def drawn_figures(tallies: Sequence[Tally], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute `Tally.result` in every draw, (draws,) each; NaN where a draw has no such frame.

    weights  how often each game is in each draw, (draws, games)
    """
    names = sorted({name for tally in tallies for name in tally.sums})
    sums = np.array([[tally.sums.get(name, 0.0) for name in names] for tally in tallies])
    counts = np.array([[tally.counts.get(name, 0.0) for name in names] for tally in tallies])
    means = {name: drawn_means(sums[:, at], counts[:, at], weights)
             for at, name in enumerate(names)}  # fmt: skip
    losses = losses_of({name: np.where(weights @ counts[:, at] > 0, means[name], 0.0)
                        for at, name in enumerate(names)})  # fmt: skip
    unknown = np.full(len(weights), math.nan)
    errors = {name: means.get(name, unknown) for name in ERRORS}
    return losses | errors | {name: 100 * means[name] for name in names if "_acc" in name}


def plain_figures(tallies: Sequence[Tally]) -> dict[str, Figure]:
    """Give the figures of float32 itself, without a difference."""
    found = together(tallies[0].schema, dict(tallies[0].scales), tallies).result()
    return {name: Figure(known(value)) for name, value in found.items()}


def tally_figures(
    ours: Sequence[Tally], true: Sequence[Tally], weights: np.ndarray
) -> dict[str, Figure]:
    """Give all figures of `Tally.result`; one tally a game on both sides."""
    values, against = ({name: figure.value for name, figure in plain_figures(side).items()}
                       for side in (ours, true))  # fmt: skip
    drawn, drawn_true = drawn_figures(ours, weights), drawn_figures(true, weights)
    return {
        name: paired_figure(
            value, against[name], drawn[name], drawn_true[name], percent="_acc" not in name
        )
        for name, value in values.items()
        if name in against
    }


def rolled_figures(
    ours: np.ndarray, true: np.ndarray | None, games: Sequence[int], weights: np.ndarray
) -> dict[str, Figure]:
    """Measure rc at each of HORIZONS.

    ours, true  errors, (starts, horizon), see `wmq.evaluation.rollout_error.position_errors`
    games       of each start
    """
    found = {}
    for horizon in HORIZONS:
        name = f"rc({horizon})"
        value, drawn = _mean_by_game(ours[:, :horizon].mean(1), games, weights)
        if true is None:
            found[name] = Figure(known(value))
        else:
            against, drawn_true = _mean_by_game(true[:, :horizon].mean(1), games, weights)
            found[name] = paired_figure(value, against, drawn, drawn_true, percent=True)
    return found


def same_action(actions: Sequence[np.ndarray], weights: np.ndarray) -> Figure:
    """Count equal actions in percent of player-frames; float32 has 100, which the difference is to.

    actions  of each game, whether the action is the same, (T, players)
    """
    sums = np.array([100 * game.sum() for game in actions])
    counts = np.array([float(game.size) for game in actions])
    drawn = drawn_means(sums, counts, weights)
    value = float(sums.sum() / counts.sum())
    return paired_figure(value, 100.0, drawn, np.full(len(drawn), 100.0), percent=False)


def _mean_by_game(
    values: np.ndarray, games: Sequence[int], weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """Average one value a start, over all games and in each draw of games."""
    count = weights.shape[1]
    sums = sums_of_games(values, games, count)
    counts = np.bincount(games, minlength=count)
    value = float(values.mean()) if len(values) else math.nan
    return value, drawn_means(sums, counts, weights)
