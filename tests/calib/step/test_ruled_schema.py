"""Schemas with rules or controls out of a file: read without loss, and refused in one line."""

from __future__ import annotations

import copy
import json
import random

import pytest

from calib.errors import CalibrationError
from calib.step.schema import StepSchema
from calib.step.sizes import sizes_of
from tests.support.ruled_frames import AGENT, RULED
from tests.support.small_chain import CONFIGS
from wmq.export.onnx import size_of
from wmq.game.schema import SAMPLED, Schema

WORLD, CHOICES = RULED.to_json(), AGENT.to_json()


@pytest.mark.parametrize(
    "schema", [RULED, AGENT, Schema(True, SAMPLED), Schema(True, SAMPLED, True)]
)
def test_what_is_read_is_the_table_itself_and_goes_back_to_the_same_text(schema):
    plain = schema.to_json()
    read = StepSchema.from_json(json.loads(json.dumps(plain)))
    assert read == schema.step
    assert json.dumps(read.to_json()) == json.dumps(plain)
    assert (read.rules is None) == schema.agent and (read.controls is None) != schema.agent
    config = size_of(CONFIGS["agent" if schema.agent else "world"])
    config["projectiles"] = schema.projectiles
    sizes = sizes_of(config, read)
    assert sizes.agent == schema.agent
    assert sizes.encoded == schema.encoded_size and sizes.controllers == schema.controllers_size


def refused(plain: dict, change) -> str:
    changed = copy.deepcopy(plain)
    change(changed)
    with pytest.raises(CalibrationError) as caught:
        StepSchema.from_json(changed)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400 and text.startswith("wmq.schema")
    return text


def field(schema: dict, name: str) -> dict:
    return next(f for f in schema["fields"] if f["name"] == name)


RULES = [
    (lambda r: r.pop("rises"), "rises"),
    (lambda r: r.pop("blast"), "blast"),
    (lambda r: r.update(more=1), "more"),
    (lambda r: r.update(rises=[0]), "rises"),
    (lambda r: r.update(rises=[]), "rises"),
    (lambda r: r.update(rises=None), "rises"),
    (lambda r: r.update(rises=[1, 2]), "rises"),
    (lambda r: r.update(rises=[0, -1]), "rises"),
    (lambda r: r.update(rises=[0, 5, 3]), "rises"),
    (lambda r: r.update(rises=[0, 1.5]), "rises"),
    (lambda r: r.update(rises=[0, 2.0]), "rises"),
    (lambda r: r.update(rises=[0, True]), "rises"),
    (lambda r: r.update(rises=[0, "1"]), "rises"),
    (lambda r: r.update(rises=[0, 1 << 31]), "rises"),
    (lambda r: r.update(rises=[0, 10**400]), "rises"),
    (lambda r: r.update(rises=[0] + [1] * 1024), "rises"),
    (lambda r: r.update(clocks=7), "clocks"),
    (lambda r: r["clocks"].append({}), "clocks"),
    (lambda r: r["clocks"].append({"action": 544, "last": 1, "following": 1}), "544"),
    (lambda r: r["clocks"].append({"action": 1, "last": 1, "following": 544}), "544"),
    (lambda r: r["clocks"].append({"action": 1, "last": -1, "following": 2}), "last"),
    (lambda r: r["clocks"].append({"action": -1, "last": 1, "following": 2}), "action"),
    (lambda r: r["clocks"].append({"action": 0, "last": 1, "following": 2}), "twice"),
    (lambda r: r["strikes"].append({"action": 544, "age": 1}), "544"),
    (lambda r: r["strikes"].append({"action": 0, "age": 9}), "twice"),
    (lambda r: r["strikes"].append({"action": 3, "age": 1e99}), "age"),
    (lambda r: r["strikes"].append([3, 4]), "strikes"),
    (lambda r: r["blast"]["ends"].pop(), "ends"),
    (lambda r: r["blast"].update(ends={}), "ends"),
    (lambda r: r["blast"]["ends"].__setitem__(2, [0, 1, 2]), "ends"),
    (lambda r: r["blast"]["ends"].__setitem__(2, [1, 0, 2, 3]), "ends"),
    (lambda r: r["blast"]["ends"].__setitem__(2, [0, 1, 4, 3]), "ends"),
    (lambda r: r["blast"].update(fates=[0, 1, 2]), "fates"),
    (lambda r: r["blast"].update(fates=[0, 1, 2, 600]), "600"),
    (lambda r: r["blast"].update(immune=[544]), "544"),
    (lambda r: r["blast"].update(top=[70000]), "top"),
    (lambda r: r["blast"].update(push=0.5), "push"),
    (lambda r: r["blast"].update(push=-(1 << 40)), "push"),
    (lambda r: r["blast"].update(stopped=[]), "stopped"),
    (lambda r: r["blast"].update(stopped=["nothing"]), "nothing"),
    (lambda r: r["blast"].update(stopped=["x\nwmq: all is well"]), "stopped|rules"),
    (lambda r: r["blast"].update(stopped=["hitlag", "hitlag"]), "stopped"),
    (lambda r: r["blast"].update(stopped=["speed_y", "speed_air_x"]), "stopped"),
    (lambda r: r["blast"].update(stopped=["combo"]), "stopped"),
    (lambda r: r["blast"].update(stopped="hitlag"), "stopped"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(RULES)))
def test_broken_rules_are_refused_by_their_place(number):
    change, named = RULES[number]
    text = refused(WORLD, lambda schema: change(schema["rules"]))
    assert any(name in text for name in named.split("|")), text


@pytest.mark.parametrize("found", [None, 0, [], "rules", {}, [{}]])
def test_what_are_no_rules_is_refused(found):
    assert "rules" in refused(WORLD, lambda schema: schema.update(rules=found))


FIELDS = [
    (lambda s: s.pop("rules"), "the update of percent needs rules"),
    (lambda s: [f.update(name="heat") for f in s["fields"] if f["name"] == "percent"], "fields"),
    (lambda s: field(s, "stocks").update(update="keep"), "stocks"),
    (lambda s: field(s, "hitlag").update(update="round"), "hitlag"),
    (lambda s: field(s, "combo").update(update="down"), "combo"),
    (lambda s: field(s, "jumps").update(update="draw", head="draw"), "jumps"),
    (lambda s: field(s, "jumps").update(head="draw"), "jumps"),
    (lambda s: field(s, "shield").update(update="move"), "shield"),
    (lambda s: field(s, "x").update(head="velocity"), "x"),
    (lambda s: field(s, "x").update(head="draw"), "x"),
    (lambda s: field(s, "percent").update(head="continuous"), "percent"),
    (lambda s: field(s, "percent").update(kind="whole"), "percent"),
    (lambda s: field(s, "action").update(head="classes"), "action"),
    (lambda s: field(s, "stocks").update(head="dynamics"), "stocks"),
    (lambda s: field(s, "state_age").update(head="classes"), "state_age"),
    (lambda s: field(s, "hitlag").update(head="binary"), "hitlag"),
    (lambda s: field(s, "hitlag").update(head=""), "hitlag"),
    (lambda s: field(s, "speed_y").update(update="round"), "speed_y"),
    (lambda s: s["fields"].insert(1, s["fields"].pop(3)), "side by side"),  # shield, x
    (lambda s: (s["rebirth"].update(fields=["x", "y"]),
                s["rebirth"].update(places=[[p[:2] for p in row] for row in
                                            s["rebirth"]["places"]])), "stopped"),
    (lambda s: s.update(controls=CHOICES["controls"]), "rules"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FIELDS)))
def test_fields_that_do_not_suit_the_rules_are_refused(number):
    change, named = FIELDS[number]
    text = refused(WORLD, change)
    assert any(name in text for name in named.split("|")), text


CONTROLS = [
    (lambda c: c.pop("main"), "main"),
    (lambda c: c.update(more=[]), "more"),
    (lambda c: c.update(main=[]), "main"),
    (lambda c: c.update(main=[[0, 0]]), "main"),
    (lambda c: c.update(main=[[0, 0]] * 1025), "main"),
    (lambda c: c["main"].append([1]), "main"),
    (lambda c: c["main"].append([1, 2, 3]), "main"),
    (lambda c: c["main"].append([0, 65537]), "main"),
    (lambda c: c["main"].append([0, -1]), "main"),
    (lambda c: c["main"].append([0, 0.5]), "main"),
    (lambda c: c["main"].append([0, 2.0]), "main"),
    (lambda c: c["main"].append([0, 10**400]), "main"),
    (lambda c: c["main"].append(None), "main"),
    (lambda c: c["buttons"].__setitem__(3, "AAAAAAAAAA"), "buttons"),
    (lambda c: c.update(trigger=0), "trigger"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CONTROLS)))
def test_broken_controls_are_refused_by_their_place(number):
    change, named = CONTROLS[number]
    assert named in refused(CHOICES, lambda schema: change(schema["controls"]))


@pytest.mark.parametrize("found", [None, 0, [], "controls", {}])
def test_what_are_no_controls_is_refused(found):
    assert "controls" in refused(CHOICES, lambda schema: schema.update(controls=found))


@pytest.mark.parametrize("change", [
    lambda s: s["controllers"].remove("trigger"),
    lambda s: s["controllers"].append("START"),
    lambda s: s["controllers"].append("A"),
    lambda s: s["controllers"].__setitem__(0, "main_z"),
])  # fmt: skip
def test_controls_and_draws_are_of_the_same_controller(change):
    assert "control" in refused(CHOICES, change)


JUNK = [None, True, -1, 0, 1, 2.5, 1e308, 10**400, 1 << 31, 65535, "", "x", "action", [], [0], {},
        [[0, 1]], {"x": 1}]  # fmt: skip


def places(plain, path=()) -> list[tuple]:
    """Every path into plain data, long lists by their ends."""
    found = [path] if path else []
    keys = (
        plain if isinstance(plain, dict) else range(len(plain)) if isinstance(plain, list) else ()
    )
    keys = list(keys)
    for key in keys[:3] + keys[-2:] if len(keys) > 24 else keys:
        found += places(plain[key], (*path, key))
    return found


@pytest.mark.parametrize("plain", [WORLD, CHOICES], ids=["world", "agent"])
def test_no_junk_anywhere_leads_to_anything_but_a_schema_or_a_refusal(plain):
    """And a schema that is taken has sizes, or these are refused."""
    rng, tried, taken = random.Random(0), 0, 0
    config = size_of(CONFIGS["agent" if plain is CHOICES else "world"])
    for path in places(plain):
        for junk in rng.sample(JUNK, 4):
            changed, tried = copy.deepcopy(plain), tried + 1
            at = changed
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = junk
            try:
                schema = StepSchema.from_json(changed)
                sizes_of(config, schema).weights()
                assert json.dumps(schema.to_json()) == json.dumps(changed), path
                taken += 1
            except CalibrationError as error:
                assert "\n" not in str(error)
    assert 0 < taken < tried / 4
