"""Actions become the nearest integers, and a bad one is refused in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wmq.envs.actions import ANALOG, action_space, controllers_of, natural_controllers
from wmq.errors import WmqError
from wmq.game.schema import CONTROLLER_FIELDS
from wmq.rollout.controllers import BUTTONS, random_controllers, read_script

REST = {"analog": np.zeros(5, np.float32), "buttons": np.zeros(8, np.int8)}


def half_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


@given(stick=st.floats(-1, 1, width=32), trigger=st.floats(0, 1, width=32))
def test_sticks_and_triggers_are_rounded_half_up_exactly(stick: float, trigger: float) -> None:
    row = controllers_of(REST | {"analog": [stick, 0, 0, stick, trigger]})
    main_x = half_up((Fraction(stick) + 1) * 2**15)
    assert row[:5].tolist() == [main_x, 2**15, 2**15, main_x, half_up(Fraction(trigger) * 2**16)]


@pytest.mark.parametrize(
    "stick", [2.0**-16, -(2.0**-16), 3 * 2.0**-16, 1 - 2.0**-16, -1 + 2.0**-16]
)
def test_halves_go_up(stick: float) -> None:
    row = controllers_of(REST | {"analog": np.array([stick, 0, 0, 0, 0], np.float32)})
    assert row[0] == half_up((Fraction(stick) + 1) * 2**15)
    assert (Fraction(stick) * 2**15).denominator == 2


def test_random_play_in_natural_units_gives_its_integers_back() -> None:
    rows = random_controllers(3000, 0, seed=11)
    natural = natural_controllers(rows)
    action = {"analog": natural[:, :5], "buttons": natural[:, 5:]}
    assert (controllers_of(action, (3000,)) == rows).all()
    for name in ("main_x", "c_y", "trigger", "A", "L"):
        assert len(np.unique(rows[:, CONTROLLER_FIELDS.index(name)])) > 1, name


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize("trigger", [0.0, 0.25, 0.75])
def test_a_held_button_does_what_it_does_in_a_script(
    button: str, trigger: float, tmp_path: Path
) -> None:
    script = tmp_path / "held"
    script.write_text(f"0 main=-0.5,1 trigger={trigger}\n0 {button}\n")
    pressed = np.array([name == button for name in BUTTONS])
    action = {"analog": [-0.5, 1, 0, 0, trigger], "buttons": pressed}
    assert controllers_of(action).tolist() == read_script(script, 1)[0].tolist()


def test_whatever_the_space_samples_is_taken() -> None:
    space = action_space()
    space.seed(5)
    for _ in range(200):
        row = controllers_of(space.sample())
        assert row.dtype == np.int32 and row.min() >= 0 and row.max() <= 2**16


BAD = {
    "nothing": None,
    "an array": np.zeros(13),
    "no buttons": {"analog": REST["analog"]},
    "another key": REST | {"frames": 3},
    "too few": REST | {"analog": np.zeros(4)},
    "a batch": REST | {"buttons": np.zeros((1, 8))},
    "ragged": REST | {"analog": [[0], [0, 0]]},
    "text": REST | {"buttons": list("ABXYZLRD")},
    "not a number": REST | {"analog": np.array([0, np.nan, 0, 0, 0])},
    "infinite": REST | {"analog": np.array([0, 0, 0, 0, np.inf])},
    "too large": REST | {"analog": np.array([1e300, 0, 0, 0, 0])},
    "just beyond": REST | {"analog": np.array([0, 0, -1 - 1e-9, 0, 0])},
    "a negative trigger": REST | {"analog": np.array([0, 0, 0, 0, -0.5])},
    "half a button": REST | {"buttons": np.full(8, 0.5)},
    "a button of 2": REST | {"buttons": np.full(8, 2)},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", BAD)
def test_a_bad_action_is_refused_in_one_line(what: str) -> None:
    with pytest.raises(WmqError) as refused:
        controllers_of(BAD[what], who="p2")
    assert str(refused.value).startswith("p2: ") and "\n" not in str(refused.value)


def test_the_message_names_the_control_and_which_of_a_batch() -> None:
    analog, buttons = np.zeros((4, 5)), np.zeros((4, 8))
    analog[2, ANALOG.index("c_y")] = 1.5
    with pytest.raises(WmqError, match=r"^action 2: c_y is 1\.5, outside of -1\.\.1"):
        controllers_of({"analog": analog, "buttons": buttons}, (4,))
    buttons[1, BUTTONS.index("Z")] = -1
    with pytest.raises(WmqError, match="^action 1: Z is -1, not 0 or 1"):
        controllers_of({"analog": 0 * analog, "buttons": buttons}, (4,))
