"""Metrics of version 2: torch's own losses, and figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.support.ruled_frames import RULED, frame, pads, random_frames, still
from wmq.evaluation.control_metrics import ControlTally
from wmq.evaluation.metrics import CLASS_WEIGHTS, Tally
from wmq.game.controls import control_pads, controls
from wmq.game.rules import RISES
from wmq.game.schema import BLAST_ZONES, Q16, REBIRTH_PLACES
from wmq.game.targets import NUMBER_HEADS, drawn_classes

ONES = {head: np.ones(2 * len(RULED.head(head)), np.float32) for head in NUMBER_HEADS}
STAND, DASH, DEAD_LEFT, REBORN = 14, 20, 1, 12


def figures(now: np.ndarray, after: np.ndarray, heads: dict[str, np.ndarray]) -> dict[str, float]:
    tally = Tally(RULED, ONES)
    tally.add(now, after, heads, pads=pads(len(now)))
    return tally.result()


def test_the_nll_of_a_frame_is_that_of_its_choices():
    rng = np.random.default_rng(0)
    now, after = random_frames(rng, 300), random_frames(rng, 300)
    heads = {name: rng.normal(0, 2, (300, width)).astype(np.float32)
             for name, width in RULED.heads.items()}  # fmt: skip
    drawn = drawn_classes(RULED, now, after)
    wanted, of_actions = 0.0, 0.0
    for column, draw in enumerate(RULED.draws):
        logits = torch.from_numpy(heads[draw.name]).double()
        entropy = F.cross_entropy(logits, torch.from_numpy(drawn.classes[:, column]),
                                  reduction="none").numpy()  # fmt: skip
        total = float((entropy * drawn.counted[:, column]).sum()) / 300
        wanted += total
        of_actions += total / 2 if draw.field == "action" else 0
    found = figures(now, after, heads)
    assert found["nll"] == pytest.approx(wanted, rel=1e-6)
    flat = {name: np.zeros_like(value) for name, value in heads.items()}
    for player in ("p1", "p2"):
        flat[f"{player}.action"] = heads[f"{player}.action"]
    less = {name: value for name, value in flat.items()}
    for player in ("p1", "p2"):
        less[f"{player}.action"] = np.zeros_like(heads[f"{player}.action"])
    uniform = np.log(544) * drawn.counted[:, 2:].mean()
    change = figures(now, after, flat)["val_loss"] - figures(now, after, less)["val_loss"]
    assert change == pytest.approx(CLASS_WEIGHTS["action"] * (of_actions - uniform), rel=1e-5)


def test_accuracies_count_frames_on_which_the_action_is_a_choice():
    """The dead, the dying and the reborn are no prediction, whatever the logits say of them."""
    edge = {"x": BLAST_ZONES[31][0] + 0.1}
    pairs = [
        (STAND, STAND, {}), (STAND, DASH, {}), (STAND, DEAD_LEFT, edge),
        (DEAD_LEFT, DEAD_LEFT, {}), (DEAD_LEFT, REBORN, {}), (REBORN, REBORN, {}),
    ]  # fmt: skip
    now = np.concatenate([frame({"action": a} | more) for a, _, more in pairs])
    after = np.concatenate([frame({"action": b} | more) for _, b, more in pairs])
    heads = still(now)
    for said, right, changes in (({1: DASH}, 9, 1), ({}, 8, 0), ({1: DASH, 3: 99, 4: 99}, 9, 1),
                                 ({2: 99, 3: 99, 4: 99}, 8, 0), ({0: 99}, 7, 0)):  # fmt: skip
        for name, player in (("p1.action", 0), ("p2.action", 1)):
            heads[name] = np.zeros((6, 544))
            heads[name][np.arange(6), now[:, RULED.index("action", player)]] = 1
        for row, action in said.items():
            heads["p1.action"][row, action] = 2
        found = figures(now, after, heads)
        assert found["action_acc"] == pytest.approx(100 * right / 9)  # 3 of player 1, 6 of 2
        assert found["change_acc"] == 100 * changes


def test_pos_mae_is_of_the_frame_that_the_update_makes():
    """With the true draws: a rebirth is placed, and speeds carry."""
    x, y = REBIRTH_PLACES[31][0]
    now = frame({"x": 10, "speed_air_x": 2}, {"action": 0, "state_age": 59, "x": 50, "y": -150})
    after = frame({"x": 13, "speed_air_x": 2}, {"action": REBORN})
    after[0, [RULED.index(name, 1) for name in ("x", "y")]] = REBIRTH_PLACES[31][1]
    heads = still(now)
    assert figures(now, after, heads)["pos_mae"] == pytest.approx(1 / 4)
    after[0, RULED.index("y", 1)] += Q16
    assert figures(now, after, heads)["pos_mae"] == pytest.approx(2 / 4)
    assert (x, y) != (0, 0)


def test_percent_mae_is_of_the_likeliest_rise():
    now, after = frame({"percent": 20}), frame({"percent": 25})
    heads = still(now)
    heads["p1.percent"][0, 9] = 3
    wanted = abs(RISES[9] / Q16 - 5) / 2
    assert figures(now, after, heads)["percent_mae"] == pytest.approx(wanted)
    healed = frame({"percent": 0})
    assert figures(now, healed, still(now))["percent_mae"] == 0


def test_an_agent_s_presses_are_counted_apart():
    """Buttons: rest, A, A, rest, B: two presses, one of them foreseen, and one wait foreseen."""
    table = controls().buttons
    a, b = (next(k for k, row in enumerate(table) if row[2:] == tuple(pressed) and row[0] == row[1])
            for pressed in ([65536] + [0] * 7, [0, 65536] + [0] * 6))  # fmt: skip
    classes = np.array([[0, 0, 0], [a, 0, 0], [a, 5, 0], [0, 5, 2], [b, 5, 2]])
    pads = control_pads(classes)
    heads = {part: np.zeros((4, len(controls().table(part)))) for part in
             ("buttons", "main", "trigger")}  # fmt: skip
    for row, said in enumerate((a, a, a, a)):
        heads["buttons"][row, said] = 2
    tally = ControlTally()
    tally.add(pads[:-1], pads[1:], heads)
    found = tally.result()
    assert (found["press_acc"], found["held_acc"]) == (50, 50)
    log = np.log(np.exp(2) + len(table) - 1)
    assert found["press_nll"] == pytest.approx((log - 2 + log) / 2)
    assert found["buttons"] == pytest.approx((2 * (log - 2) + 2 * log) / 4)
    assert found["main"] == pytest.approx(np.log(len(controls().main)))
    parts = sum(found[part] for part in ("buttons", "main", "trigger"))
    assert found["nll"] == found["val_loss"] == pytest.approx(parts)
