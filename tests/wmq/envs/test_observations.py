"""Observations hold each field of the schema once for each player, in natural units."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.small_step import random_play
from wmq.envs.observations import Observer
from wmq.game.schema import CONTROLLER_FIELDS, Q16, Schema

SIZE = len(CONTROLLER_FIELDS)


@pytest.mark.parametrize("projectiles", [False, True])
@pytest.mark.parametrize("player", [0, 1])
def test_each_element_is_a_field_of_the_player_it_names(projectiles: bool, player: int) -> None:
    schema = Schema(projectiles)
    observer = Observer(schema)
    frames, pads = random_play(schema, 30)
    seen = observer.observe(frames, pads, player)
    for at, (who, field) in enumerate(observer.numbers):
        owner = player if who == "self" else 1 - player
        natural = frames[:, schema.index(field.name, owner)] / (Q16 if field.kind == "fixed" else 1)
        assert (seen["numbers"][:, at] == natural.astype(np.float32)).all(), (who, field.name)
    for at, (who, field) in enumerate(observer.classes):
        owner = player if who == "self" else 1 - player
        assert (seen["classes"][:, at] == frames[:, schema.index(field.name, owner)]).all()
    assert (seen["classes"][:, -1] == frames[:, -1]).all()
    own = pads[:, player * SIZE : (player + 1) * SIZE] / Q16
    assert (seen["controller"][:, :4] == own[:, :4] * 2 - 1).all()
    assert (seen["controller"][:, 4:] == own[:, 4:]).all()
    elements = [*observer.numbers, *observer.classes]
    assert len(elements) == len({(who, f.name) for who, f in elements}) == 2 * len(schema.fields)


def test_each_player_sees_what_the_other_would_in_his_place() -> None:
    schema = Schema()
    frames, pads = random_play(schema, 20)
    half = len(schema.fields)
    turned = np.concatenate([frames[:, half:-1], frames[:, :half], frames[:, -1:]], axis=1)
    turned_pads = np.concatenate([pads[:, SIZE:], pads[:, :SIZE]], axis=1)
    observer = Observer(schema)
    both = observer.observe(frames, pads, slice(None))
    for name, values in observer.observe(turned, turned_pads, 0).items():
        assert (values == both[name][:, 1]).all(), name
    for name, values in observer.observe(frames, pads, 0).items():
        assert (values == both[name][:, 0]).all(), name


@pytest.mark.parametrize("projectiles", [False, True])
def test_the_ends_of_all_intervals_lie_in_the_space_and_it_is_no_larger(projectiles: bool) -> None:
    schema = Schema(projectiles)
    observer = Observer(schema)
    space = observer.space()
    ends = np.stack([schema.lo, schema.hi])
    pads = np.stack([np.zeros(26, np.int32), np.full(26, Q16, np.int32)])
    seen = observer.observe(ends, pads, 1)
    for row in (0, 1):
        assert {name: values[row] for name, values in seen.items()} in space
    box = space["numbers"]
    assert (seen["numbers"] == np.stack([box.low, box.high])).all() and np.isfinite(box.high).all()
    assert (seen["classes"][1] == space["classes"].nvec - 1).all()
    assert (seen["controller"] == [space["controller"].low, space["controller"].high]).all()
