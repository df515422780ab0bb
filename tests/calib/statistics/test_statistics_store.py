"""Statistics in a file: read back to the bit, and refused in one line when they are not ours."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, save

from calib.errors import CalibrationError
from calib.statistics.collect import collect, fits
from calib.statistics.results import Checkpoint, Statistics
from calib.statistics.store import (
    arrays_in,
    arrays_of,
    checkpoint_arrays,
    checkpoint_of,
    statistics_of,
)
from calib.step.runner import Position
from tests.support.small_step import random_game, small_step


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    return small_step(tmp_path_factory.mktemp("step"))


@pytest.fixture(scope="module")
def found(step) -> Statistics:
    return collect(step, [random_game(12, 1), random_game(5, 2)])


@pytest.fixture
def whole(found) -> bytes:
    """The bytes of a file."""
    return save(arrays_of(found))


def refused(folder, content: bytes) -> str:
    path = str(folder / "mine.safetensors")
    with pytest.raises(CalibrationError) as caught:
        statistics_of(arrays_in(content, path), path)
    text = str(caught.value)
    assert text.startswith(path) and "\n" not in text
    return text


def test_a_file_is_read_back_to_the_bit_and_in_the_graphs_order(step, found, whole):
    assert whole == save(arrays_of(found))
    again = statistics_of(arrays_in(whole, "a"), "a")
    assert fits(step, again)
    assert list(again.tensors) == list(found.tensors) and list(again.inputs) == list(found.inputs)
    first, second = arrays_of(found), arrays_of(again)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], strict=True)
    for observer, percent in (("minmax", None), ("mse", None), ("percentile", 99.9)):
        limits = again.limits(observer, percent)
        for name, wanted in found.limits(observer, percent).items():
            np.testing.assert_array_equal(limits[name], wanted)


def test_a_damaged_file_is_one_line(tmp_path, whole):
    for content in (b"", whole[:100], whole[:-4], b"\xff" * 64, whole.replace(b"I64", b"F64", 1)):
        refused(tmp_path, content)


NORM = "tensor/norm_f.unit"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("about", lambda a: a * [1, 0, 1]),  # fewer frames than games
        ("about", lambda a: a[:2]),
        (f"{NORM}/about", lambda a: a.astype(np.float64)),
        (f"{NORM}/about", lambda a: a[:0]),
        (f"{NORM}/counts", lambda a: -a),
        (f"{NORM}/counts", lambda a: a[:, 1:]),
        (f"{NORM}/counts", lambda a: a + (1 << 60)),
        (f"{NORM}/exponents", lambda a: a + 1000),
        (f"{NORM}/exponents", lambda a: a[:, None]),
        (f"{NORM}/maximum", lambda a: a * 4),  # beyond the histogram
        (f"{NORM}/maximum", lambda a: a * np.nan),
        (f"{NORM}/recent", lambda a: -a),
        (f"{NORM}/recent", lambda a: a.T),
        (f"{NORM}/recent", lambda a: a[:0]),
        ("input/encoded/about", lambda a: a + [0, 1000, 0]),
        ("input/encoded/about", lambda a: a * [1, 1, 0]),  # no frame
        ("input/encoded/channel_max", lambda a: a + np.inf),
        ("input/encoded/sums", lambda a: a[1:]),
        ("input/encoded/products", lambda a: a[1:]),
        ("input/encoded/products", lambda a: a - np.diag(a.diagonal() * 2)),
        ("input/encoded/products", lambda a: a + np.triu(np.ones_like(a), 1)),
    ],
)
def test_an_array_that_cannot_be_is_named(tmp_path, whole, name, change):
    arrays = load(whole)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    assert name in refused(tmp_path, save(arrays))


def test_an_array_too_few_or_too_many_is_named(tmp_path, whole):
    arrays = load(whole)
    del arrays[f"{NORM}/counts"]
    assert f"{NORM}/counts is missing" in refused(tmp_path, save(arrays))
    arrays = load(whole) | {"extra": np.zeros(1)}
    assert "'extra' does not belong there" in refused(tmp_path, save(arrays))


def test_another_format_is_named_with_both_numbers(tmp_path, whole):
    arrays = load(whole)
    arrays["about"][0] += 1
    assert "format 3, this program has 2" in refused(tmp_path, save(arrays))


def test_a_checkpoint_is_refused_unless_it_fits_the_step(step, found, tmp_path):
    state = step.sizes.zero_state(2)
    position = Position(np.array([0, 1]), np.array([3, 4]), state, found.frames, found.games)
    arrays = checkpoint_arrays(Checkpoint(found, position))
    assert fits(step, checkpoint_of(arrays, "kept"))
    for name, value in (
        ("position/numbers", np.array([0, 0])),
        ("position/numbers", np.array([0, 2])),  # only two games were begun
        ("position/at", np.array([3])),
        ("position/at", np.array([3, -4])),
        ("position/state/state.0", state["state.0"] * np.nan),
        ("position/state/state.0", state["state.0"][:1]),
    ):
        with pytest.raises(CalibrationError, match="kept: position"):
            checkpoint_of(arrays | {name: value}, "kept")
    narrow = arrays | {"position/state/state.0": state["state.0"][:, 1:]}
    assert not fits(step, checkpoint_of(narrow, "kept"))


def test_statistics_of_a_model_of_another_size_do_not_fit(found, tmp_path):
    assert not fits(small_step(tmp_path, projectiles=True), found)
