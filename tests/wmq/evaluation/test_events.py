"""Events: their chances class by class, and models that are calibrated because they must be."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.ruled_frames import AGENT, RULED, frame, pads, set_head, still
from tests.support.small_chain import made_play
from wmq.evaluation.bootstrap import draw_weights
from wmq.evaluation.events import (
    CHANGES,
    DEATH,
    HIT,
    LEAST,
    NAMES,
    PRESS,
    Foreseen,
    drawable,
    event_figures,
    event_rates,
    foresee,
    happenings,
    log_likelihood,
    probabilities,
)
from wmq.game.controls import control_pads, controls
from wmq.game.rules import RISES
from wmq.game.schema import BLAST_ZONES
from wmq.game.targets import drawn_classes
from wmq.replays.slippi import Game

SURE = 60.0  # a logit beside which the others are nothing
ACTIONS = 544
BY_NAME = {change.name: change for change in CHANGES}


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def played(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, dict]:
    """Frames, those after them and heads: what follows is drawn with the heads' probabilities."""
    alive = np.flatnonzero(drawable(RULED)[14:].sum(1) > 20) + 14
    now = np.repeat(frame(), count, axis=0)
    heads = {name: rng.normal(0, 1, (count, width)) for name, width in RULED.heads.items()}
    for player in (0, 1):
        now[:, RULED.index("action", player)] = rng.choice(alive, count)
    after = now.copy()
    for draw in RULED.draws:
        at, logits = RULED.index(draw.field, draw.player), heads[draw.name]
        if draw.field == "percent":
            logits[:, 0] += 4
        else:
            logits[:, sorted({action for change in CHANGES for action in change.to})] += 2
        for row in range(count):
            mine = logits[row].copy()
            if draw.field == "action":
                mine[~drawable(RULED)[now[row, at]]] = -np.inf
            drawn = rng.choice(len(mine), p=softmax(mine))
            after[row, at] = drawn if draw.field == "action" else now[row, at] + RISES[drawn]
    return now, after, heads


def test_a_chance_is_the_sum_over_the_classes_on_which_it_would_happen() -> None:
    now, after, heads = played(np.random.default_rng(1), 12)
    found = foresee(RULED, now, after, heads, pads(len(now)))
    for player, prefix in enumerate(("p1", "p2")):
        for row in range(12):
            place = player * 12 + row
            action = now[row, RULED.index("action", player)]
            logits = heads[f"{prefix}.action"][row].copy()
            logits[~drawable(RULED)[action]] = -np.inf
            chance = softmax(logits)
            for change in CHANGES:
                would = [bool(change.happens(np.array([action]), np.array([c]))[0])
                         for c in range(ACTIONS)]  # fmt: skip
                assert found[change.name].chance[place] == pytest.approx(chance[would].sum())
            hit = 1 - softmax(heads[f"{prefix}.percent"][row])[0]
            assert found[HIT].chance[place] == pytest.approx(hit)


@pytest.mark.parametrize(
    ("name", "now", "after", "happens"),
    [
        ("shield hit", 179, 181, True), ("shield hit", 181, 181, False),
        ("grab", 14, 223, True), ("grab", 14, 226, True), ("grab", 224, 223, False),
        ("grab", 14, 224, False), ("ledge grab", 29, 252, True), ("ledge grab", 252, 253, False),
        ("landing", 29, 42, True), ("landing", 65, 70, True), ("landing", 70, 70, False),
        ("jump", 14, 24, True), ("jump", 24, 25, False), ("jump", 29, 27, True),
    ],
)  # fmt: skip
def test_an_event_is_a_change_of_action(name: str, now: int, after: int, happens: bool) -> None:
    assert BY_NAME[name].happens(np.array([now]), np.array([after])).tolist() == [happens]


def test_frames_that_a_rule_decides_do_not_count() -> None:
    """Player 2 is dead on the first frame, and born again on the second; he dies on the third."""
    edge = {"x": BLAST_ZONES[31][0] + 0.1}
    pairs = [({"action": 0}, {"action": 0}), ({"action": 0}, {"action": 12}),
             ({"action": 14} | edge, {"action": 1}), ({"action": 14}, {"action": 24})]  # fmt: skip
    now, after = (np.concatenate([frame({}, pair[k]) for pair in pairs]) for k in (0, 1))
    found = happenings(RULED, now, after)
    assert {name: len(rows) for name, rows in found.items()} == {
        name: 8 if name == HIT else 6 if name == DEATH else 5 for name in NAMES
    }
    assert found["jump"].tolist() == [False] * 4 + [True]
    assert found[DEATH].tolist() == [False] * 4 + [True, False]


def test_a_death_is_foreseen_by_the_whole_update() -> None:
    now = np.repeat(frame({"x": BLAST_ZONES[31][0] + 0.1, "y": 20}, {"y": 20}), 3, axis=0)
    after, heads = now.copy(), still(now)
    set_head(heads, "x", 0, np.array([0, -1, -1]))
    after[1:, RULED.index("action")] = [1, 14]
    found = foresee(RULED, now, after, heads, pads(len(now)))[DEATH]
    assert found.chance.tolist() == [0, 1, 1, 0, 0, 0]
    assert found.happened.tolist() == [False, True, False, False, False, False]


def test_a_model_that_knows_the_truth_is_calibrated_and_precise() -> None:
    frames, _ = made_play(RULED)
    drawn = drawn_classes(RULED, frames[:-1], frames[1:]).classes
    actions = [[RULED.index("action", player), 2 + player] for player in (0, 1)]
    kept = np.all([drawable(RULED)[frames[:-1, at], drawn[:, column]]
                   for at, column in actions], axis=0)  # fmt: skip
    now, after, drawn = frames[:-1][kept], frames[1:][kept], drawn[kept]
    heads = still(now)
    for column, draw in enumerate(RULED.draws):
        heads[draw.name] = np.zeros((len(now), draw.classes))
        heads[draw.name][np.arange(len(now)), drawn[:, column]] = SURE
    still_pads = pads(len(now))
    halves = [slice(0, 600), slice(600, None)]
    games = [foresee(RULED, now[rows], after[rows], {n: v[rows] for n, v in heads.items()},
                     still_pads[rows])
             for rows in halves]  # fmt: skip
    happened = happenings(RULED, now, after)
    rates = {name: float(rows.mean()) for name, rows in happened.items()}
    figures = event_figures(games, rates, draw_weights(2, 50))
    came = [name for name in NAMES if figures[name].observed and name != DEATH]
    assert {"jump", "landing", HIT} <= set(came)
    for name in came:
        found, count = figures[name], sum(len(game[name].chance) for game in games)
        assert found.ratio.value == pytest.approx(1) and found.precision.value == pytest.approx(1)
        share = found.observed / count
        entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
        assert found.base_rate == pytest.approx(share)
        assert found.gain.value == pytest.approx(1000 * entropy, rel=1e-3)
    assert figures[DEATH].gain.value is None
    game = Game(None, frames, pads)  # type: ignore[arg-type]
    whole = happenings(RULED, frames[:-1], frames[1:])
    assert event_rates(RULED, [game, game]) == {n: rows.mean() for n, rows in whole.items()}


def test_what_comes_by_the_probabilities_comes_as_often_as_they_say() -> None:
    now, after, heads = played(np.random.default_rng(2), 3000)
    found = foresee(RULED, now, after, heads, pads(len(now)))
    for name in NAMES:
        if name == DEATH:
            continue
        chance, happened = found[name].chance, found[name].happened
        error = np.sqrt((chance * (1 - chance)).sum())
        assert happened.sum() > 10, name
        assert abs(chance.sum() - happened.sum()) < 3.5 * error, name
        gain = log_likelihood(chance, happened) - log_likelihood(
            np.full(len(chance), happened.mean()), happened
        )
        assert gain > 0, name


def test_a_base_rate_gains_nothing_and_the_impossible_costs_a_limit() -> None:
    happened = np.arange(50) % 5 == 0
    game = {HIT: Foreseen(np.full(50, 0.2), happened)}
    found = event_figures([game, game], {HIT: 0.2}, draw_weights(2, 20))[HIT]
    assert found.ratio.value == pytest.approx(1) and found.gain.value == pytest.approx(0)
    assert found.precision.value == pytest.approx(0.2)
    assert log_likelihood(np.zeros(1), np.ones(1, bool)) == pytest.approx(np.log(LEAST))


def test_a_press_is_a_class_of_buttons_that_begins() -> None:
    classes = np.array([[0, 0, 0], [3, 0, 0], [3, 5, 0], [0, 5, 2], [7, 5, 2], [3, 1, 1]])
    pads = control_pads(classes)
    logits = np.random.default_rng(3).normal(0, 1, (5, len(controls().buttons)))
    found = foresee(AGENT, pads[:-1], pads[1:], {"buttons": logits})[PRESS]
    assert found.happened.tolist() == [True, False, False, True, True]
    for row in range(5):
        chance = softmax(logits[row])
        wanted = sum(p for c, p in enumerate(chance) if c not in (0, classes[row, 0]))
        assert found.chance[row] == pytest.approx(wanted)


def test_what_is_not_allowed_has_no_probability() -> None:
    found = probabilities(np.array([[1.0, 2.0, 3.0]]), np.array([[True, False, True]]))
    assert found[0, 1] == 0 and found.sum() == pytest.approx(1)
    assert found[0, 2] / found[0, 0] == pytest.approx(np.exp(2))
