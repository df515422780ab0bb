"""Figures beside float32's: agreement with other computations of the same thing."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from tests.support.tiny import walking_game
from wmq.bench.quantization.figures import (
    drawn_figures,
    rolled_figures,
    same_action,
    tally_figures,
)
from wmq.bench.quantization.heads import Agreement, bits_divergence, divergence, head_figures
from wmq.bench.quantization.table import markdown, rank_correlation
from wmq.errors import WmqError
from wmq.evaluation.bootstrap import POWER, Interval, draw_weights
from wmq.evaluation.differences import paired_figure
from wmq.evaluation.evaluate import together
from wmq.evaluation.metrics import Tally
from wmq.evaluation.results import Figure, Row, Suite
from wmq.game.schema import Schema
from wmq.game.targets import NUMBER_HEADS
from wmq.replays.slippi import Game

SCHEMA = Schema()
SCALES = {head: np.ones(SCHEMA.heads[head], np.float32) for head in NUMBER_HEADS}


def some_heads(frames: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 3, (frames, width)).astype(np.float32)
            for name, width in SCHEMA.heads.items()}  # fmt: skip


def some_game(number: int, frames: int, missing: tuple[str, ...] = ()) -> Game:
    game = walking_game(f"{number:02x}", frames=frames)
    rng = np.random.default_rng(number)
    rows = rng.integers(SCHEMA.lo, SCHEMA.hi, (frames, SCHEMA.frame_size), endpoint=True)
    return replace(game, frames=rows.astype(np.int32), info=replace(game.info, missing=missing))


def tally(game: Game, heads: dict[str, np.ndarray]) -> Tally:
    found = Tally(SCHEMA, SCALES)
    found.add(game.frames[:-1], game.frames[1:], heads, game.info.missing)
    return found


@pytest.fixture(scope="module")
def sides() -> tuple[list[Tally], list[Tally]]:
    """Five games of two predictors; one of them has nothing of what older replays lack."""
    missing = {3: ("hitlag", "hurtbox", "invulnerable")}
    games = [some_game(k, 20 + 9 * k, missing.get(k, ())) for k in range(1, 6)]
    first, second = ([tally(game, some_heads(len(game.frames) - 1, 10 * number + side))
                      for number, game in enumerate(games)] for side in (0, 1))  # fmt: skip
    return first, second


def drawn_by_hand(tallies: list[Tally], weights: np.ndarray) -> list[dict[str, float]]:
    """Every draw as a list of games, each as often as it was drawn, added up one by one."""
    return [
        together(SCHEMA, SCALES, [t for t, n in zip(tallies, row, strict=True)
                                  for _ in range(int(n))]).result()
        for row in weights
    ]  # fmt: skip


def test_draws_are_the_tallies_of_games_repeated(sides: tuple[list[Tally], list[Tally]]) -> None:
    weights = draw_weights(5, draws=40, seed=3)
    drawn = drawn_figures(sides[0], weights)
    assert (weights.max(1) > 1).any() and (weights == 0).any()
    for at, expected in enumerate(drawn_by_hand(sides[0], weights)):
        known = {name: values[at] for name, values in drawn.items() if not math.isnan(values[at])}
        assert known == pytest.approx(expected, rel=1e-9)


def test_a_draw_without_a_field_leaves_it_out_of_the_loss(
    sides: tuple[list[Tally], list[Tally]],
) -> None:
    only_third = np.array([[0.0, 0, 5, 0, 0]])
    drawn = drawn_figures(sides[0], only_third)
    alone = sides[0][2].result()
    assert "hurtbox" not in sides[0][2].sums
    assert drawn["val_loss"][0] == pytest.approx(alone["val_loss"])
    lacking = {name for name in drawn if name not in alone}
    assert all(math.isnan(drawn[name][0]) for name in lacking)


def test_intervals_of_differences_are_percentiles_of_paired_draws(
    sides: tuple[list[Tally], list[Tally]],
) -> None:
    weights = draw_weights(5, draws=200)
    found = tally_figures(sides[1], sides[0], weights)
    ours, true = (drawn_by_hand(side, weights) for side in (sides[1], sides[0]))
    whole, against = (together(SCHEMA, SCALES, side).result() for side in (sides[1], sides[0]))
    for name in ("val_loss", "plan_loss", "pos_mae", "action_acc", "change_acc"):
        differences = [a[name] - b[name] for a, b in zip(ours, true, strict=True)]
        value = whole[name] - against[name]
        if "_acc" not in name:
            value *= 100 / against[name]
            differences = [100 * d / b[name] for d, b in zip(differences, true, strict=True)]
        ordered = sorted(differences)
        figure = found[name]
        assert figure.percent == ("_acc" not in name)
        assert figure.value == pytest.approx(whole[name])
        assert figure.difference is not None and figure.difference.lo is not None
        assert figure.difference.value == pytest.approx(value)
        # 2.5 % of 199 gaps is 4.975: between the fifth and the sixth
        assert ordered[4] <= figure.difference.lo <= ordered[5]
        mean = sum(differences) / 200
        deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / 200)
        assert figure.detectable == pytest.approx(POWER * deviation)


def test_a_predictor_beside_itself_differs_by_nothing(
    sides: tuple[list[Tally], list[Tally]],
) -> None:
    found = tally_figures(sides[0], sides[0], draw_weights(5))
    for figure in found.values():
        assert figure.difference is not None
        assert (figure.difference.value, figure.difference.lo, figure.difference.hi) == (0, 0, 0)


def test_rc_is_the_mean_over_starts_and_draws_whole_games() -> None:
    rng = np.random.default_rng(0)
    games = [0, 0, 0, 2, 2, 3]
    true, ours = rng.uniform(1, 2, (6, 60)), rng.uniform(1, 3, (6, 60))
    weights = draw_weights(4, draws=50)
    found = rolled_figures(ours, true, games, weights)
    assert set(found) == {"rc(5)", "rc(20)", "rc(60)"}
    for horizon in (5, 20, 60):
        figure = found[f"rc({horizon})"]
        ratios = []
        for row in weights:
            chosen = [s for s, game in enumerate(games) for _ in range(int(row[game]))]
            if chosen:
                sides = ours[chosen, :horizon].mean(), true[chosen, :horizon].mean()
                ratios.append(100 * (sides[0] / sides[1] - 1))
        assert figure.value == pytest.approx(ours[:, :horizon].mean())
        assert figure.difference is not None
        assert figure.difference.lo == pytest.approx(np.percentile(ratios, 2.5))
        assert figure.difference.hi == pytest.approx(np.percentile(ratios, 97.5))


def test_same_action_counts_the_frames_of_both_players() -> None:
    actions = [np.array([[1.0, 1], [0, 1]]), np.ones((6, 2))]
    figure = same_action(actions, np.array([[2.0, 0], [0, 2], [1, 1]]))
    assert figure.value == pytest.approx(100 * 15 / 16)
    assert figure.difference is not None
    assert figure.difference.value == pytest.approx(-100 / 16)
    drawn = [75 - 100, 0, 100 * 15 / 16 - 100]
    assert figure.difference.lo == pytest.approx(np.percentile(drawn, 2.5))


def test_what_float32_cannot_be_measured_by_has_no_difference() -> None:
    assert paired_figure(None, 1.0, np.ones(3), np.ones(3), True).difference is not None
    figure = paired_figure(1.0, 0.0, np.ones(3), np.zeros(3), percent=True)
    assert figure.value == 1.0
    assert figure.difference is not None and figure.difference.value is None


def test_divergence_is_that_of_fifty_digits() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(0, 6, (6, 9)).astype(np.float32)
    apart = np.array([1e-4, 1e-2, 1, 5, 30, 0], np.float32)[:, None]
    ours = (true + apart * rng.normal(size=true.shape)).astype(np.float32)
    found = divergence(true, ours)
    with mpmath.workdps(50):
        for row in range(len(true)):
            p, q = ([mpmath.exp(float(x)) for x in side[row]] for side in (true, ours))
            p, q = ([x / sum(side) for x in side] for side in (p, q))
            exact = float(sum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True)))
            assert found[row] == pytest.approx(exact, rel=1e-6, abs=1e-14)
    assert found[-1] == 0 and (found >= 0).all()


def test_divergence_of_bits_is_that_of_fifty_digits() -> None:
    true = np.array([[-40, -3, 0, 0.5, 8, 60]], np.float32)
    ours = np.array([[-39, 3, 0, 0.501, 9, -60]], np.float32)
    found = bits_divergence(true, ours)[0]
    with mpmath.workdps(60):
        for at, pair in enumerate(zip(true[0], ours[0], strict=True)):
            p, q = (1 / (1 + mpmath.exp(-mpmath.mpf(float(x)))) for x in pair)
            exact = float(p * mpmath.log(p / q) + (1 - p) * mpmath.log((1 - p) / (1 - q)))
            assert found[at] == pytest.approx(exact, rel=1e-6, abs=1e-14)


def test_figures_of_heads_are_over_all_frames_of_all_games() -> None:
    lengths = (70, 31)
    true = [some_heads(n, 5 + n) for n in lengths]
    ours = [{name: v + np.float32(0.7) * some_heads(n, 99)[name] for name, v in side.items()}
            for n, side in zip(lengths, true, strict=True)]  # fmt: skip
    agreements = []
    for count, a, b in zip(lengths, true, ours, strict=True):
        agreement = Agreement(SCHEMA, count)
        for first, last in ((0, 16), (16, count)):
            agreement.add(first, {n: v[first:last] for n, v in a.items()},
                          {n: v[first:last] for n, v in b.items()})  # fmt: skip
        agreements.append(agreement)
    found = head_figures(agreements)
    assert not set(NUMBER_HEADS) & set(found) and set(found) | set(NUMBER_HEADS) == set(
        SCHEMA.heads
    )
    name = "p2.action"
    a, b = (np.concatenate([side[name] for side in both]).astype(np.float64)
            for both in (true, ours))  # fmt: skip
    p = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    q = np.exp(b) / np.exp(b).sum(1, keepdims=True)
    kl = (p * np.log(p / q)).sum(1)
    assert found[name].kl_mean == pytest.approx(kl.mean())
    assert found[name].kl_max == pytest.approx(kl.max())
    assert sorted(kl)[98] <= found[name].kl_99 <= sorted(kl)[100]
    assert found[name].same_argmax == pytest.approx(100 * (a.argmax(1) == b.argmax(1)).mean())
    bits = np.concatenate([(x["binary"] > 0) == (y["binary"] > 0)
                           for x, y in zip(true, ours, strict=True)])  # fmt: skip
    assert found["binary"].same_argmax == pytest.approx(100 * bits.mean())
    players = [(x[f"{p}.action"].argmax(1) == y[f"{p}.action"].argmax(1)).mean()
               for p in ("p1", "p2") for x, y in [(true[0], ours[0])]]  # fmt: skip
    assert agreements[0].actions.mean() == pytest.approx(np.mean(players))


def test_heads_that_are_no_numbers_are_refused() -> None:
    true, ours = some_heads(4, 1), some_heads(4, 2)
    ours["p1.jumps"][2, 1] = np.nan
    with pytest.raises(WmqError, match="head p1.jumps: not finite"):
        Agreement(SCHEMA, 4).add(0, true, ours)


def test_rank_correlation_is_that_of_textbooks() -> None:
    """IQ and hours of television, the example of Wikipedia's page on Spearman's rho: -29/165."""
    quotients = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert rank_correlation(quotients, hours) == pytest.approx(-29 / 165)
    assert rank_correlation([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9**0.5)  # of R


def test_the_table_says_whether_one_step_predicts_a_rollout() -> None:
    """Of ways on the same frames; a program that two rows have counts once."""

    def row(name: str, frames: int, *costs: float) -> Row:
        names = ("val_loss", "pos_mae", "rc(20)")
        figures = {figure: Figure(1.0, Interval(cost, cost, cost), True)
                   for figure, cost in zip(names, costs, strict=True)}  # fmt: skip
        return Row(name, "wmq", "", frames=frames, figures=figures)

    rows = [row("float32", 900, 0, 0, 0), row("a", 300, 1, 3, 10), row("b", 300, 2, 2, 20)]
    few = markdown(Suite("m", "", ["g"], 5, False, rows, 1.0))
    assert "rank" not in "\n".join(few)
    rows += [row("c", 300, 3, 1, 30), row("c again", 300, 3, 1, 30), row("all", 900, 9, 9, 0)]
    found = "\n".join(markdown(Suite("m", "", ["g"], 5, False, rows, 1.0)))
    assert "Over the 3 ways on 300 frames, the rank correlation" in found
    assert "with val_loss is 1.00, with pos_mae -1.00." in found
