"""Recipes: those that ship are read, and a mistake is named by its key."""

from __future__ import annotations

import pytest

from calib.errors import CalibrationError
from calib.recipe import DEFAULT, FOLDER, LARGEST, names, parse_recipe, read_recipe

GOOD = """
name = "mine"
[activations]
observer = "percentile"
percent = 99.9
[state]
headroom_bits = 3
"""


def test_the_recipes_that_ship_are_named_after_their_files():
    assert {
        "static-datafree", "static-digits", "static-entropy", "static-minmax",
        "static-moving-average", "static-mse", "static-percentile",
    } <= set(names())  # fmt: skip
    for name in names():
        assert read_recipe(name).name == name
        assert (FOLDER / f"{name}.toml").read_text("utf-8").startswith("# ")  # what it does


def test_the_default_clips_nothing_and_leaves_the_state_room_for_four_times_its_size():
    recipe = read_recipe(DEFAULT)
    assert recipe.activations.observer == "minmax"
    assert recipe.state.headroom_bits >= 2


def test_a_file_is_read_and_kept_as_plain_data(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert read_recipe(path).to_json() == {
        "name": "mine",
        "activations": {"observer": "percentile", "percent": 99.9},
        "state": {"headroom_bits": 3, "bits": 32, "error_feedback": True},
    }


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('observer = "percentile"', 'observer = "median"', "activations.observer: "),
        ('observer = "percentile"', 'observer = "entropy"', "activations.percent: "),
        ("[state]", '[data]\nplay = "set"\n[state]', "data.set: "),
        ("[state]", '[data]\nplay = "self"\nset = "a"\n[state]', "data.set: "),
        ("[state]", '[data]\nplay = "selfish"\n[state]', "data.play: "),
        ("[state]", '[data]\nset = "a"\n[state]', "data.play: missing"),
        ("[state]", '[data]\nplay = "real"\ngames = 3\n[state]', "data.games: unknown key"),
        ('observer = "percentile"', "observer = 3", "activations.observer: "),
        ('observer = "percentile"', "", "activations.observer: missing"),
        ('observer = "percentile"', 'observer = "minmax"', "activations.percent: "),
        ("percent = 99.9", "", "activations.percent: "),
        ("percent = 99.9", "percent = 0", "activations.percent: "),
        ("percent = 99.9", "percent = 101.0", "activations.percent: "),
        ("percent = 99.9", "percent = nan", "activations.percent: "),
        ("percent = 99.9", "percent = '99.9'", "activations.percent: "),
        ("percent = 99.9", "percent = 99.9\nbits = 8", "activations.bits: unknown key"),
        ("headroom_bits = 3", "headroom_bits = 40", "state.headroom_bits: "),
        ("headroom_bits = 3", "headroom_bits = 2.5", "state.headroom_bits: "),
        ("headroom_bits = 3", "headroom_bits = true", "state.headroom_bits: "),
        ("[state]\nheadroom_bits = 3", "", "state: missing"),
        ('name = "mine"', "", "name: missing"),
        ('name = "mine"', 'name = ""', "name: "),
        ('name = "mine"', 'name = "mine"\nextra = 1', "extra: unknown key"),
        ("[state]", "[activations]", "not a TOML file"),
        ("[state]", "[state", "not a TOML file"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_key(before, after, place):
    assert before in GOOD
    with pytest.raises(CalibrationError) as caught:
        parse_recipe(GOOD.replace(before, after).encode(), "mine.toml")
    assert str(caught.value).startswith(f"mine.toml: {place}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "ways"),
    [
        ('observer = "percentile"', 'observer = "median"', "minmax, moving-average, percentile, "),
        ("[state]", '[data]\nplay = "selfish"\n[state]', "real, self, mixed, set"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_answered_with_them(before, after, ways):
    with pytest.raises(CalibrationError, match=ways):
        parse_recipe(GOOD.replace(before, after).encode(), "mine.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 30_000, b"", b'"a\\nb" = 1'])
def test_hostile_content_is_one_line(content):
    with pytest.raises(CalibrationError, match="^mine.toml: ") as caught:
        parse_recipe(content, "mine.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_too_large_or_of_an_unknown_name(tmp_path):
    (tmp_path / "large.toml").write_bytes(b"#" * (LARGEST + 1))
    (tmp_path / "folder.toml").mkdir()
    for source, reason in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path / "large.toml", "larger than"),
        (tmp_path / "folder.toml", "directory"),
        ("static-mimmax", "static-minmax"),
        ("../recipes/static-minmax", "no such recipe"),
    ):
        with pytest.raises(CalibrationError, match=reason):
            read_recipe(source)
