"""Metrics: equal to torch's own losses in float64, and to figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wmq.evaluation.metrics import (
    CLASS_WEIGHTS,
    HEAD_WEIGHTS,
    ROBUST_BETA,
    Tally,
    binary_cross_entropy,
    cross_entropy,
    robust,
)
from wmq.game.schema import Q16, Schema
from wmq.game.targets import NUMBER_HEADS, PLAYERS

SCHEMA = Schema()
ONES = {head: np.ones(2 * len(SCHEMA.head(head)), np.float32) for head in NUMBER_HEADS}


def random_frames(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(SCHEMA.lo, SCHEMA.hi, (count, SCHEMA.frame_size), np.int32, endpoint=True)


def random_heads(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {
        name: rng.normal(0, 3, (count, width)).astype(np.float32)
        for name, width in SCHEMA.heads.items()
    }


def perfect_heads(now: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Heads that hit every target, written out field by field."""
    heads = {name: np.zeros((len(now), w), np.float32) for name, w in SCHEMA.heads.items()}
    for head in NUMBER_HEADS:
        for column, (player, field) in enumerate((p, f) for p in (0, 1) for f in SCHEMA.head(head)):
            at = SCHEMA.index(field.name, player)
            target = after[:, at] - (now[:, at] if head != "dynamics" else 0)
            heads[head][:, column] = target / field.quantum
    for column, (player, field) in enumerate((p, f) for p in (0, 1) for f in SCHEMA.head("binary")):
        heads["binary"][:, column] = np.where(after[:, SCHEMA.index(field.name, player)], 50, -50)
    for player, prefix in enumerate(PLAYERS):
        for field in SCHEMA.head("classes"):
            for row, target in enumerate(after[:, SCHEMA.index(field.name, player)]):
                heads[f"{prefix}.{field.name}"][row, target] = 50
    return heads


def test_a_rebirth_that_is_foreseen_has_the_stages_place():
    now = np.zeros((2, SCHEMA.frame_size), np.int32)
    now[:, SCHEMA.stage_index] = 3  # Pokemon Stadium, player 1 at x = 0, y = 119.0
    after = now.copy()
    after[0, SCHEMA.index("action")] = 12
    after[0, SCHEMA.index("y")] = 7798784 + Q16  # a unit above it
    after[1, SCHEMA.index("x")] = 2 * Q16
    heads = perfect_heads(now, after)
    heads["continuous"][:] = 0
    tally = Tally(SCHEMA, ONES)
    tally.add(now, after, heads)
    assert tally.result()["pos_mae"] == pytest.approx((1 + 2) / 8)  # of 2 frames, 4 numbers each


@pytest.mark.parametrize("version", ROBUST_BETA)
def test_robust_is_torchs_smooth_l1(version: int):
    error = np.linspace(-2, 2, 401)
    expected = F.smooth_l1_loss(
        torch.from_numpy(error), torch.zeros(401, dtype=torch.float64), beta=ROBUST_BETA[version],
        reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(robust(error, version), expected, atol=1e-12)


@pytest.mark.parametrize("spread", [0.1, 5.0, 300.0])
def test_cross_entropies_are_torchs(spread: float):
    rng = np.random.default_rng(1)
    logits, target = rng.normal(0, spread, (50, 7)), rng.integers(0, 7, 50)
    expected = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target), reduction="none")
    np.testing.assert_allclose(cross_entropy(logits, target), expected, rtol=1e-12, atol=1e-12)
    bits = rng.integers(0, 2, (50, 7)).astype(np.float64)
    expected = F.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(bits), reduction="none"
    )
    np.testing.assert_allclose(binary_cross_entropy(logits, bits), expected, atol=1e-12)


def test_val_loss_and_plan_loss_are_the_formulas_in_float64():
    rng = np.random.default_rng(2)
    now, after = random_frames(rng, 40), random_frames(rng, 40)
    heads = random_heads(rng, 40)
    scales = {h: rng.uniform(0.5, 4, len(v)).astype(np.float32) for h, v in ONES.items()}
    tally = Tally(SCHEMA, scales)
    tally.add(now[:11], after[:11], {n: v[:11] for n, v in heads.items()})
    tally.add(now[11:], after[11:], {n: v[11:] for n, v in heads.items()})
    found = tally.result()

    perfect = perfect_heads(now, after)
    exact = {name: torch.from_numpy(v.astype(np.float64)) for name, v in heads.items()}
    val = plan = 0.0
    for head in NUMBER_HEADS:
        error = exact[head] - torch.from_numpy(perfect[head].astype(np.float64))
        standard = error / torch.from_numpy(scales[head].astype(np.float64))
        val += HEAD_WEIGHTS[head] * F.smooth_l1_loss(
            standard, torch.zeros_like(standard), beta=ROBUST_BETA[SCHEMA.version]
        )
        scaled = error * torch.tensor([f.scale for _ in (0, 1) for f in SCHEMA.head(head)])
        plan += {"continuous": 1.0}.get(head, 0.5) * (scaled**2).mean()
    bits = (torch.from_numpy(perfect["binary"]) > 0).double()
    binary = F.binary_cross_entropy_with_logits(exact["binary"], bits)
    classes = 0.0
    for prefix in PLAYERS:
        for field in SCHEMA.head("classes"):
            target = torch.from_numpy(perfect[f"{prefix}.{field.name}"]).argmax(1)
            entropy = F.cross_entropy(exact[f"{prefix}.{field.name}"], target)
            classes += CLASS_WEIGHTS[field.name] * entropy / 2
    assert found["val_loss"] == pytest.approx(float(val + binary + classes), rel=1e-5)
    assert found["plan_loss"] == pytest.approx(float(plan + binary + classes), rel=1e-5)


def test_perfect_heads_have_no_loss_and_all_actions():
    rng = np.random.default_rng(3)
    now, after = random_frames(rng, 30), random_frames(rng, 30)
    tally = Tally(SCHEMA, ONES)
    tally.add(now, after, perfect_heads(now, after))
    found = tally.result()
    assert found["action_acc"] == found["change_acc"] == 100
    assert all(v == 100 for name, v in found.items() if name.startswith("change_acc"))
    for figure in ("val_loss", "plan_loss", "pos_mae", "vel_mae", "percent_mae"):
        assert found[figure] == pytest.approx(0, abs=1e-4), figure


def test_figures_of_two_frames_by_hand():
    """P1's x is off by 3 in the first frame, P2's speed_y by 0.5 in the second, and of three
    changed actions one is predicted."""
    now = np.zeros((2, SCHEMA.frame_size), np.int32)
    after = now.copy()
    after[0, SCHEMA.index("x", 0)] = 3 * Q16
    after[1, SCHEMA.index("speed_y", 1)] = Q16 // 2
    after[0, SCHEMA.index("percent", 1)] = 8 * Q16
    after[0, SCHEMA.index("action", 0)] = 24  # jump
    after[0, SCHEMA.index("action", 1)] = 75  # damage
    after[1, SCHEMA.index("action", 1)] = 27  # jump
    heads = perfect_heads(now, after)
    for name in NUMBER_HEADS:
        heads[name][:] = 0
    heads["p1.action"][0, 24] = heads["p2.action"][:, [75, 27]] = 0
    heads["p1.action"][0, 24] = 50
    heads["p2.action"][:, 14] = 50
    tally = Tally(SCHEMA, ONES)
    tally.add(now, after, heads)
    found = tally.result()
    assert found["pos_mae"] == pytest.approx(3 / 8)  # x, y of two players in two frames
    assert found["vel_mae"] == pytest.approx(0.5 / 20)
    assert found["percent_mae"] == pytest.approx(8 / 4)
    assert found["action_acc"] == pytest.approx(50)
    assert found["change_acc"] == pytest.approx(100 / 3)
    assert found["change_acc: jump and fall"] == pytest.approx(50)
    assert found["change_acc: damage"] == 0
    assert not any("shield" in name for name in found)


def test_a_wrong_action_costs_its_surety():
    now = np.zeros((1, SCHEMA.frame_size), np.int32)
    heads = perfect_heads(now, now)
    for player in PLAYERS:
        heads[f"{player}.action"][:] = 0
    tally = Tally(SCHEMA, ONES)
    tally.add(now, now, heads)
    assert tally.result()["val_loss"] == pytest.approx(2 * math.log(400))


def test_what_a_replay_lacks_counts_nowhere():
    rng = np.random.default_rng(4)
    now, after = random_frames(rng, 20), random_frames(rng, 20)
    heads = random_heads(rng, 20)
    lacking = ("hitlag", "speed_y", "invulnerable", "hurtbox")
    one, other = Tally(SCHEMA, ONES), Tally(SCHEMA, ONES)
    one.add(now, after, heads, lacking)
    for name in lacking:
        for player in (0, 1):
            at = SCHEMA.index(name, player)
            now[:, at], after[:, at] = SCHEMA.lo[at], SCHEMA.hi[at]
    other.add(now, after, heads, lacking)
    assert one.result() == other.result()
    third = Tally(SCHEMA, ONES)
    third.add(now, after, heads)
    assert third.result()["val_loss"] != one.result()["val_loss"]


def test_a_game_without_speeds_leaves_vel_mae_open():
    now = np.zeros((3, SCHEMA.frame_size), np.int32)
    tally = Tally(SCHEMA, ONES)
    tally.add(now, now, perfect_heads(now, now), [f.name for f in SCHEMA.head("velocity")])
    assert math.isnan(tally.result()["vel_mae"])
    assert tally.result()["pos_mae"] == 0
