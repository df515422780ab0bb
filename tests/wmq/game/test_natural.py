"""Frames by field name: exact, one or many, with and without projectiles."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.support.small_step import random_play
from wmq.errors import WmqError
from wmq.game.natural import frame_dtype, natural_frames
from wmq.game.schema import Field, Schema

BOTH = [Schema(), Schema(projectiles=True)]


def extremes(schema: Schema) -> np.ndarray:
    """Frames at both ends of every interval, and random ones between."""
    return np.stack([schema.lo, schema.hi, *random_play(schema, 40)[0]])


@pytest.mark.parametrize("schema", BOTH)
def test_a_value_times_its_quantum_is_the_integer(schema: Schema) -> None:
    integers = extremes(schema)
    frames = natural_frames(schema, integers)
    assert frames.shape == (42,) and (frames["integers"] == integers).all()
    assert (frames["stage"] == integers[:, schema.stage_index]).all()
    for player, name in enumerate(("p1", "p2")):
        for field in schema.fields:
            held = integers[:, schema.index(field.name, player)].tolist()
            exact = [Fraction(value, field.quantum) for value in held]
            assert [Fraction(value) for value in frames[name][field.name].tolist()] == exact


@pytest.mark.parametrize("schema", BOTH)
def test_the_dtype_has_every_field_in_schema_order(schema: Schema) -> None:
    dtype = frame_dtype(schema)
    assert dtype.names == ("p1", "p2", "stage", "integers")
    assert natural_frames(schema, extremes(schema)).dtype == dtype

    def wanted(field: Field) -> type:
        return np.float64 if field.kind == "fixed" else np.int32

    for player in ("p1", "p2"):
        assert dtype[player].names == tuple(field.name for field in schema.fields)
        assert all(dtype[player][f.name] == wanted(f) for f in schema.fields)


def test_any_shape_of_frames_and_a_single_one() -> None:
    schema = Schema()
    integers = extremes(schema)
    flat = natural_frames(schema, integers)
    worlds = natural_frames(schema, integers.reshape(2, 21, -1))
    assert worlds.shape == (2, 21) and (worlds.reshape(42) == flat).all()
    one = natural_frames(schema, integers[1])[()]
    assert one["p1"]["percent"] == 999.0 and one["p2"]["action"] == 399
    assert (one["integers"] == integers[1]).all()


def test_what_is_no_schema_is_named() -> None:
    with pytest.raises(WmqError, match="^schema is 3; give the schema of a model"):
        frame_dtype(3)  # type: ignore[arg-type]
