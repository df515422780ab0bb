"""What a schema says of a rebirth is hostile until checked."""

import copy

import pytest

from calib.errors import CalibrationError
from calib.step.sizes import sizes_of
from tests.support.small_step import CONFIG
from wmq.game.schema import Schema

SCHEMA = Schema().to_json()
CONFIGURED = CONFIG | {"projectiles": False}


def test_the_schema_as_it_is_passes():
    assert sizes_of(CONFIGURED, SCHEMA).encoded == 196


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda s: s.pop("rebirth"), "fields"),
        (lambda s: s.update(rebirth=[]), "fields"),
        (lambda s: s["rebirth"].update(fields=["x", "shield"]), "fields"),
        (lambda s: s["rebirth"].update(action=-1), "action"),
        (lambda s: s["rebirth"].update(action="12"), "action"),
        (lambda s: s["rebirth"].update(places=[]), "places"),
        (lambda s: s["rebirth"]["places"].pop(), "places"),
        (lambda s: s["rebirth"]["places"].__setitem__(3, 7), "places"),
        (lambda s: s["rebirth"]["places"].__setitem__(3, [[1, 2]]), "places"),
        (lambda s: s["rebirth"]["places"][3].__setitem__(1, [1, 2.5]), "places"),
        (lambda s: s["rebirth"]["places"][3].__setitem__(1, [1, 1 << 31]), "places"),
    ],
)
def test_a_broken_rebirth_is_refused_by_its_place(change, named):
    schema = copy.deepcopy(SCHEMA)
    change(schema)
    with pytest.raises(CalibrationError, match=f"rebirth.*{named}"):
        sizes_of(CONFIGURED, schema)
