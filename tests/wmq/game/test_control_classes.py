"""The classes of controllers that an agent draws, and the actions that a draw may give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calib.step.controls import PARTS, controls_from_json
from tests.support.ruled_frames import RULED
from wmq.game.controls import c_stick_places, control_classes, control_pads, controls
from wmq.game.names import CONTROLLER_FIELDS
from wmq.game.schema import ACTIONS, Q16
from wmq.game.transitions import drawable_actions, seen_transitions

SIZES = {part: len(controls().table(part)) for part in PARTS}
REST = Q16 // 2
RULED_ACTIONS = [0, 1, 2, 4, 6, 7, 12]  # deaths, what follows them, and rebirth


def test_every_class_comes_back_from_its_controller():
    sizes = list(SIZES.values())
    rows = np.zeros((sum(sizes), 3), np.int64)
    ends = np.cumsum([0, *sizes])
    for part in range(3):
        rows[ends[part] : ends[part + 1], part] = np.arange(sizes[part])
    rng = np.random.default_rng(0)
    rows = np.concatenate([rows, rng.integers(0, sizes, (2000, 3))])
    pads = control_pads(rows)
    assert pads.shape == (len(rows), 13) and pads.dtype == np.int32
    assert 0 <= pads.min() and pads.max() <= Q16
    assert (control_classes(pads) == rows).all()


def test_no_class_occurs_twice_and_the_table_is_one_that_a_file_may_hold():
    for part in PARTS:
        table = controls().table(part)
        assert len(set(table)) == len(table)
    plain = {part: [list(row) for row in controls().table(part)] for part in PARTS}
    assert controls_from_json(plain, CONTROLLER_FIELDS) == controls()


def test_every_control_belongs_to_one_draw():
    assert sorted(itertools.chain(*PARTS.values())) == sorted(CONTROLLER_FIELDS)


def pad(**values: float) -> np.ndarray:
    """A controller at rest, (1, 13), but for what is named, in natural units."""
    made = np.zeros((1, 13), np.int32)
    made[0, :4] = REST
    for name, value in values.items():
        made[0, CONTROLLER_FIELDS.index(name)] = round(value * Q16)
    return made


def test_a_controller_at_rest_stays_at_rest():
    assert (control_pads(control_classes(pad())) == pad()).all()
    assert control_classes(pad())[0, 0] == 0  # the commonest of the buttons


@pytest.mark.parametrize("name", ["A", "B", "X", "Y", "Z", "L", "R"])
def test_a_button_alone_is_kept(name):
    back = control_pads(control_classes(pad(**{name: 1})))
    assert (back == pad(**{name: 1})).all()


def test_buttons_that_nobody_pressed_together_become_those_that_share_most():
    every = dict.fromkeys(("A", "B", "X", "Y", "Z", "L", "R"), 1.0)
    back = control_pads(control_classes(pad(**every)))
    buttons = back[0, CONTROLLER_FIELDS.index("A") :] // Q16
    table = np.array(controls().buttons)[:, 2:] // Q16
    wanted = pad(**every)[0, CONTROLLER_FIELDS.index("A") :] // Q16
    assert (buttons != wanted).sum() == (table != wanted).sum(1).min()


@pytest.mark.parametrize(
    "x, y, to",
    [(0.5, 0.5, (0.5, 0.5)), (0.6, 0.45, (0.5, 0.5)), (0.9, 0.55, (1, 0.5)), (0.5, 0.8, (0.5, 1)),
     (0.2, 0.15, (0.146453, 0.146453)), (0, 0.4, (0, 0.5)), (0.62, 0.5, (0.5, 0.5)),
     (0.63, 0.5, (1, 0.5))],
)  # fmt: skip
def test_the_c_stick_goes_to_its_rest_or_to_one_of_eight_places_of_the_rim(x, y, to):
    found = c_stick_places(np.array([[x, y]]) * Q16) / Q16
    np.testing.assert_allclose(found[0], to, atol=1e-5)


def test_controllers_of_any_shape_are_classified_alike():
    pads = np.random.default_rng(1).integers(0, Q16 + 1, (3, 4, 13)).astype(np.int32)
    found = control_classes(pads)
    assert found.shape == (3, 4, 3)
    assert (found.reshape(-1, 3) == control_classes(pads.reshape(-1, 13))).all()
    assert control_classes(pads[:0]).shape == (0, 4, 3)
    assert (control_pads(found)[2] == control_pads(found[2])).all()


def test_the_main_stick_goes_to_the_nearest_place():
    pads = np.random.default_rng(2).integers(0, Q16 + 1, (300, 13)).astype(np.int32)
    kept = control_pads(control_classes(pads))[:, :2].astype(np.int64)
    places = np.array(controls().main)
    away = ((pads[:, None, :2] - places) ** 2.0).sum(2)
    assert (((pads[:, :2] - kept) ** 2.0).sum(1) == away.min(1)).all()


# --- changes of action ---------------------------------------------------------------------------


def test_a_draw_may_give_what_games_show_but_nothing_that_a_rule_alone_begins():
    allowed, seen = drawable_actions(RULED.rules), seen_transitions()
    assert allowed.shape == (ACTIONS, ACTIONS) and allowed.dtype == np.float32
    assert np.isin(allowed, (0, 1)).all() and (np.diag(allowed) == 1).all()
    off = ~np.eye(ACTIONS, dtype=bool)
    assert not allowed[:, RULED_ACTIONS][off[:, RULED_ACTIONS]].any()
    free = np.setdiff1d(np.arange(ACTIONS), RULED_ACTIONS)
    came_out = (seen & off)[:, free].any(axis=1)
    kept = free[came_out[free]]
    assert (allowed[:, kept] == seen[:, kept]).all()
    assert allowed[14, 20] == 1 and allowed[12, 13] == 1  # stand to dash, and off the platform


def test_what_a_draw_may_begin_can_be_left_by_a_draw():
    allowed = drawable_actions(RULED.rules) - np.eye(ACTIONS)
    begun = allowed.any(axis=0)
    assert begun.sum() > 200 and allowed[begun].any(axis=1).all()
