"""Controllers as a caller gives them: the same integers in every form, and named refusals."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wmq.api.controllers import controller_row, controller_rows
from wmq.errors import WmqError
from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS, Q16
from wmq.rollout.controllers import AT_REST, random_controllers, read_script

REST = np.tile(AT_REST, 2)
PLAYER = st.tuples(
    *(st.integers(0, Q16) for _ in range(ANALOG_CONTROLS)),
    *(st.sampled_from((0, Q16)) for _ in range(ANALOG_CONTROLS, len(CONTROLLER_FIELDS))),
)


@given(PLAYER, PLAYER, st.sampled_from((np.int32, np.int64, np.uint32)))
def test_integers_pass_as_they_are_in_both_shapes(one: tuple, other: tuple, dtype: type) -> None:
    row = np.array([*one, *other], dtype)
    for form in (row, row.reshape(2, 13), row.tolist(), [list(one), list(other)]):
        found = controller_row(form)
        assert found.dtype == np.int32 and found.tolist() == row.tolist()


@given(PLAYER, PLAYER)
def test_names_in_natural_units_give_the_integers_back(one: tuple, other: tuple) -> None:
    """As the columns of a table hold them; a trigger that is named counts as it is."""
    natural = {
        player: {name: value / Q16 for name, value in zip(CONTROLLER_FIELDS, row, strict=True)}
        for player, row in (("p1", one), ("p2", other))
    }
    assert controller_row(natural).tolist() == [*one, *other]


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_numbers_are_rounded_half_up(trigger: float, x: float, y: float) -> None:
    row = controller_row({"p2": {"trigger": trigger, "c": (x, y)}})

    def wanted(value: Fraction) -> int:
        return (value * Q16 + Fraction(1, 2)).__floor__()

    assert row[13 + 4] == wanted(Fraction(trigger))
    assert row[13 + 2 : 13 + 4].tolist() == [wanted((Fraction(v) + 1) / 2) for v in (x, y)]


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("main=1,0.5 X", {"main": (1, 0.5), "X": 1}),
        ("c=0,-1 trigger=0.35", {"c": [0, -1], "trigger": 0.35}),
        ("L", {"L": True}),
        ("Z D_UP A", {"Z": 1, "D_UP": np.bool_(True), "A": np.int64(1), "B": 0}),
        ("main=0,0", {"main_x": np.float32(0.5), "main_y": 0.5}),
    ],
)
def test_names_mean_what_they_mean_in_a_script(tmp_path: Path, line: str, held: dict) -> None:
    script = tmp_path / "script.txt"
    script.write_text(f"0 {line}\n")
    found = controller_row({"p2": held})
    assert (found[13:] == read_script(script, 1)[0]).all() and (found[:13] == AT_REST).all()


def test_nothing_held_is_at_rest() -> None:
    for nothing in ({}, {"p1": {}}, {"p1": {}, "p2": {}}, {"p2": {"A": False, "main": (0, 0)}}):
        assert (controller_row(nothing) == REST).all()


def with_value(place: int, value: int) -> np.ndarray:
    row = REST.astype(np.int64)
    row[place] = value
    return row


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (with_value(0, Q16 + 1), "p1 main_x is 65537; give an integer in 0..65536"),
        (with_value(17, -1), "p2 trigger is -1; give an integer in 0..65536"),
        (with_value(5, 1), "p1 A is 1; give a button, 0 or 65536"),
        (with_value(25, 2**40), "p2 D_UP is 1099511627776; give an integer in 0..65536"),
        (REST / Q16, "controllers: give integers of shape (26,) or (2, 13), or names"),
        (REST[:25], "shape is (25,)"),
        (np.zeros((3, 26), int), "shape (3, 26)"),
        (np.zeros((13, 2), int), "shape is (13, 2)"),
        ([], "controllers: give integers"),
        ([[1, 2], [3]], "no one shape"),
        (None, "controllers: give integers"),
        ("A", "controllers: give integers"),
        ({"p3": {}}, "unknown player 'p3'; give p1 or p2"),
        ({"p1": [1]}, "p1 is [1]; give the controls that are held"),
        ({"p1": {"C": 1}}, "p1 C: unknown control; choose from main, c, main_x"),
        ({"p1": {"A": 2}}, "p1 A is 2; give 0 or 1"),
        ({"p1": {"A": "yes"}}, "p1 A is 'yes'; give 0 or 1"),
        ({"p2": {"main_x": 1.01}}, "p2 main_x is 1.01; give a number in 0..1"),
        ({"p2": {"trigger": float("nan")}}, "p2 trigger is nan; give a number in 0..1"),
        ({"p2": {"trigger": "1"}}, "p2 trigger is '1'; give a number in 0..1"),
        ({"p1": {"main": (0, -2)}}, "p1 main is -2; give a number in -1..1"),
        ({"p1": {"main": 1}}, "p1 main is 1; give (x, y), each a number in -1..1"),
        ({"p1": {"c": (0, 0, 0)}}, "p1 c is (0, 0, 0); give (x, y)"),
        ({"p1": {"c": (0, 0), "c_y": 1}}, "p1 c and c_y: give one of them"),
    ],
)
def test_a_wrong_value_is_named_with_its_range(wrong: object, said: str) -> None:
    with pytest.raises(WmqError) as caught:
        controller_row(wrong)  # type: ignore[arg-type]
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_many_frames_in_every_form() -> None:
    rows = np.concatenate([random_controllers(30, player, 7) for player in (0, 1)], axis=1)
    for form in (rows, rows.reshape(30, 2, 13), list(rows), rows.tolist()):
        assert (controller_rows(form, False) == rows).all()
    worlds = np.stack([rows, rows[::-1]])
    assert (controller_rows(worlds.reshape(2, 30, 2, 13), True) == worlds).all()
    mixed = controller_rows([{"p1": {"A": 1}}, rows[4], {}], False)
    assert mixed[0, 5] == Q16 and (mixed[1] == rows[4]).all() and (mixed[2] == REST).all()


@pytest.mark.parametrize(
    ("wrong", "worlds", "said"),
    [
        (np.stack([REST, with_value(13, -5)]), False, "p2 main_x is -5 (row 1)"),
        (np.zeros((0, 26), int), False, "shape of (frames, 26)"),
        (REST, False, "(frames, 26)"),
        (np.stack([REST, REST]), True, "(worlds, frames, 26)"),
        (np.zeros((1, 4, 26)), True, "these are float64"),
        ([{"p1": {}}, {"p1": {"A": 3}}], False, "p1 A is 3"),
    ],
)
def test_wrong_rows_are_named(wrong: object, worlds: bool, said: str) -> None:
    with pytest.raises(WmqError) as caught:
        controller_rows(wrong, worlds)  # type: ignore[arg-type]
    assert said.replace("shape of ", "shape ") in str(caught.value)
