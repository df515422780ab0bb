"""Rollouts in files: whole again for `wmq verify`, refused in one line, and as tables."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.rollout_models import played, wmq
from wmq.errors import WmqError
from wmq.game.schema import Q16, Schema
from wmq.inference.integer_predictor import IntegerPredictor
from wmq.rollout.files import read_rollout, write_rollout
from wmq.rollout.rollout import Rollout
from wmq.rollout.table import controller_names, frame_names
from wmq.verification.recompute import altered_worlds, recompute

SCHEMA = Schema()

pytest_plugins = ("tests.support.rollout_models",)


@pytest.mark.parametrize("seeds", [[3], [3, 4, 5]])
def test_stored_rollouts_are_verified(
    worlds: IntegerPredictor, tmp_path: Path, seeds: list[int]
) -> None:
    whole = played(worlds, 50, seeds, given=20)
    path = tmp_path / "rollout.npz"
    write_rollout(path, whole)
    back = read_rollout(path)
    assert back.seeds == tuple(seeds) and back.start.first == 77
    assert [w.sha256 for w in whole.worlds] == list(back.worlds)
    again, differences = recompute(back, worlds)
    assert again.sha256 == whole.sha256 and not differences and not altered_worlds(back)
    first = path.read_bytes()
    write_rollout(path, whole)
    assert path.read_bytes() == first


def changed(path: Path, **arrays: np.ndarray) -> Path:
    with np.load(path) as file:
        content = dict(file) | arrays
    other = path.with_name("changed.npz")
    np.savez(other, **{name: a for name, a in content.items() if a is not None})
    return other


def test_verify_names_the_first_difference(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "minute.npz"
    model = models / "small.wmq"
    made = wmq("rollout", model, "--frames", 50, "--worlds", 2, "-o", path, "--json")
    same = wmq("verify", model, path)
    assert same.exit_code == 0 and "same: 100 frames" in same.output
    assert json.loads(made.output)["rollout_sha256"] in same.output
    with np.load(path) as file:
        frames = file["frames"].copy()
    frames[1, 30, SCHEMA.index("y", 1)] += 1
    other = changed(path, frames=frames)
    result = wmq("verify", model, other)
    assert result.exit_code == 1
    assert "differs: world 1 first at frame -92, p2.y" in result.output
    facts = json.loads(wmq("verify", model, other, "--json").output)
    assert facts["worlds_that_differ"] == facts["worlds_changed_in_the_file"] == [1]
    assert facts["first_difference"]["frame"] == -92 and not facts["same"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"frames": None}, "damaged or no stored rollout"),
        ({"frames": np.zeros((1, 5), np.int32)}, "damaged or no stored rollout"),
        ({"frames": np.zeros((0, 5, 47), np.int32)}, "it holds no frame"),
        ({"given": np.zeros((1, 47), np.int64)}, "given is not int32"),
        ({"given": np.full((1, 47), 2**31 - 1, np.int32)}, "outside of the schema's intervals"),
        ({"controllers": np.full((1, 5, 26), -1, np.int32)}, "controllers are outside of 0"),
        ({"format": np.array(9)}, "rollout of format 9, schema 1; this program has format 2"),
        ({"schema": np.array([1, 2])}, "schema is not one integer"),
        ({"seeds": np.array(["x"], dtype=object)}, "damaged or no stored rollout"),
        ({"arithmetic": np.frombuffer(b"float32", np.uint8)}, "was made in float32"),
        ({"model_sha256": np.zeros(32, np.uint8)}, "was made by the model 0000000000000000"),
    ],
)  # fmt: skip
def test_bad_stored_rollouts_are_one_line(
    worlds: IntegerPredictor, tmp_path: Path, arrays: dict, message: str
) -> None:
    write_rollout(tmp_path / "a.npz", played(worlds, 5, [0]))
    other = changed(tmp_path / "a.npz", **arrays)
    result = wmq("verify", worlds.path, other)
    assert result.exit_code == 2 and message in result.output
    assert result.output.startswith("wmq: ") and result.output.count("\n") == 1


def test_truncated_stored_rollouts_are_one_line(worlds: IntegerPredictor, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_rollout(path, played(worlds, 5, [0]))
    whole = path.read_bytes()
    for content in (b"", b"PK\3\4", whole[:100], whole[:-30], bytes(len(whole))):
        path.write_bytes(content)
        with pytest.raises(WmqError, match="damaged or no stored rollout") as caught:
            read_rollout(path)
        assert "\n" not in str(caught.value)


def test_damaged_bytes_are_refused_or_found_to_differ(
    worlds: IntegerPredictor, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    write_rollout(path, played(worlds, 5, [0]))
    whole = path.read_bytes()
    for at in range(40, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            back = read_rollout(path)
            recompute(back, worlds)
        except WmqError as error:
            assert "\n" not in str(error)


UNITS = {field.name: (field.quantum, field.unit) for field in SCHEMA.fields}
BUTTONS = ("A", "B", "X", "Y", "Z", "L", "R", "D_UP")


def as_frames(whole: Rollout) -> dict[str, np.ndarray]:
    """What a table must hold, from the rollout itself: float64 in natural units."""
    frames = np.concatenate([world.frames for world in whole.worlds]).astype(np.float64)
    pads = np.concatenate([world.controllers for world in whole.worlds]).astype(np.float64)
    columns = {name: frames[:, at] / UNITS.get(name.partition(".")[2], (1, ""))[0]
               for at, name in enumerate(frame_names(SCHEMA))}  # fmt: skip
    return columns | {name: pads[:, at] / Q16 for at, name in enumerate(controller_names())}


def read_table(path: Path) -> dict[str, np.ndarray]:
    pa = pytest.importorskip("pyarrow")
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    if path.suffix == ".arrow":
        table = pa.ipc.open_file(path).read_all()
    else:
        from pyarrow.parquet import read_table as read_parquet

        table = read_parquet(path)
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_tables_of_all_forms_are_equal_and_exact(
    worlds: IntegerPredictor, tmp_path: Path, seed: int
) -> None:
    """Any integers that a frame may hold, extremes first, come back from every form."""
    played_once = played(worlds, 6, [3, 4])
    rng = np.random.default_rng(seed)
    made = []
    for world in played_once.worlds:
        frames = rng.integers(SCHEMA.lo, SCHEMA.hi, world.frames.shape, np.int32, endpoint=True)
        frames[0], frames[1] = SCHEMA.lo, SCHEMA.hi
        pads = rng.integers(0, Q16, world.controllers.shape, np.int32, endpoint=True)
        buttons = [at for at, n in enumerate(controller_names()) if n.split(".")[2] in BUTTONS]
        pads[:, buttons] = Q16 * (pads[:, buttons] & 1)
        made.append(replace(world, frames=frames, controllers=pads))
    whole = replace(played_once, worlds=tuple(made))
    expected = as_frames(whole)
    expected |= {"world": np.repeat([0.0, 1.0], 6), "frame": np.tile(np.arange(-122.0, -116), 2)}
    for suffix in (".csv", ".arrow", ".parquet"):
        write_rollout(tmp_path / f"a{suffix}", whole)
        found = read_table(tmp_path / f"a{suffix}")
        assert list(found)[:2] == ["world", "frame"] and set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, f"{name} in {suffix}")


def test_columns_name_their_units_and_the_scale_of_the_integers(
    worlds: IntegerPredictor, tmp_path: Path
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    whole = played(worlds, 20, [3])
    for suffix in (".arrow", ".parquet"):
        write_rollout(tmp_path / f"a{suffix}", whole)
    arrow = pa.ipc.open_file(tmp_path / "a.arrow").read_all()
    parquet = pq.read_table(tmp_path / "a.parquet")
    for table in (arrow, parquet):
        assert table.schema.metadata[b"wmq.rollout_sha256"].decode() == whole.sha256
        for name, (quantum, unit) in UNITS.items():
            field = table.schema.field(f"p2.{name}")
            assert field.metadata[b"quantum"] == str(quantum).encode()
            assert field.metadata[b"unit"] == unit.encode()
            back = table[f"p2.{name}"].to_numpy() * quantum
            at = SCHEMA.index(name, 1)
            assert (back == whole.worlds[0].frames[:, at]).all()
        assert table.schema.field("p1.pad.c_x").metadata[b"quantum"] == str(Q16).encode()
        assert table["p1.pad.A"].type == pa.int32()
    assert arrow.schema.equals(parquet.schema)
