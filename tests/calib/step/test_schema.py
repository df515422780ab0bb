"""A schema out of a file is hostile until checked, and is read without loss."""

import copy
import json
import re

import pytest

from calib.errors import CalibrationError
from calib.step.schema import StepSchema
from calib.step.sizes import sizes_of
from tests.support.small_step import CONFIG
from wmq.game.schema import Schema

SCHEMA = Schema().to_json()
CONFIGURED = CONFIG | {"projectiles": False}


def test_the_schema_as_it_is_passes():
    assert sizes_of(CONFIGURED, StepSchema.from_json(SCHEMA)).encoded == 196


@pytest.mark.parametrize("schema", [Schema(), Schema(projectiles=True)])
def test_what_is_read_is_the_table_itself_and_goes_back_to_the_same_text(schema):
    plain = schema.to_json()
    read = StepSchema.from_json(json.loads(json.dumps(plain)))
    assert read == schema.step
    assert json.dumps(read.to_json()) == json.dumps(plain)


def test_the_places_of_the_frame_follow_from_the_order_of_the_fields():
    read = StepSchema.from_json(SCHEMA)
    rows = [(player, field["name"]) for player in (0, 1) for field in SCHEMA["fields"]]
    assert [read.index(name, player) for player, name in rows] == list(range(len(rows)))
    assert (read.stage_index, read.frame_size) == (len(rows), len(rows) + 1)
    numbers = {rows[at][1] for at in read.number_index}
    assert numbers == {f["name"] for f in SCHEMA["fields"] if f["kind"] != "class"}
    named = [rows[at][1] for at in read.class_index[:-1]]
    assert (*named, "stage") == read.class_inputs


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
        StepSchema.from_json(schema)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.update(more=1), "wmq.schema: unknown key 'more'"),
        (lambda s: s.update(frame_size=7), "frame_size is not an integer in [47, 47]"),
        (lambda s: s.update(projectiles=1), "projectiles is neither true nor false"),
        (lambda s: s.update(controllers=["A", 3]), "controllers: a name is no short text"),
        (lambda s: s["stage"].update(dim=0), "stage.dim is not an integer in [1, 1024]"),
        (lambda s: s["stage"].update(more=0), "stage: unknown key 'more'"),
        (lambda s: s["fields"].reverse(), "fields: a class comes before a number"),
        (lambda s: s["fields"].__setitem__(4, None), "fields[4] is not an object"),
        (lambda s: s["fields"][0].pop("lo"), "fields[0].lo (percent) is not an integer"),
        (lambda s: s["fields"][0].update(lo=1000), "fields[0].lo (percent) is not an integer"),
        (lambda s: s["fields"][0].update(hi=1 << 15), "fields[0].hi (percent) is not an integer"),
        (lambda s: s["fields"][0].update(update=[]), "fields[0] (percent): unknown update"),
        (lambda s: s["fields"][0].update(since=[3]), "fields[0].since (percent) is not a version"),
        (lambda s: s["fields"][0].update(unit=None), "fields[0].unit (percent) is not a short"),
        (lambda s: s["fields"][0].update(optional=0), "fields[0].optional (percent) is neither"),
        (lambda s: s["fields"][0].update(more=0), "fields[0] (percent): unknown key 'more'"),
        (lambda s: s["rebirth"].update(more=0), "rebirth: unknown key 'more'"),
        (lambda s: [f.update(head="") for f in s["fields"] if f["head"] == "binary"],
         "no field has the head binary"),
    ],
)  # fmt: skip
def test_a_broken_schema_is_refused_by_its_place(change, message):
    schema = copy.deepcopy(SCHEMA)
    change(schema)
    with pytest.raises(CalibrationError, match=re.escape(message)):
        StepSchema.from_json(schema)


@pytest.mark.parametrize("found", [None, [], 7, "{}"])
def test_what_is_no_object_is_refused(found):
    with pytest.raises(CalibrationError, match="wmq.schema is not an object"):
        StepSchema.from_json(found)
