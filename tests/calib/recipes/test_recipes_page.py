"""docs/recipes.md has every key of a recipe, with its default, its choices and who sets it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from calib import sets
from calib.recipe import CHOICES, FOLDER, Recipe, names, parse_recipe

PAGE = (Path(__file__).parents[3] / "docs/recipes.md").read_text("utf-8")


def rows() -> dict[str, list[str]]:
    """Key -> type, default, what it does, built-in recipes."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def fields(struct: type, prefix: str = "") -> dict[str, msgspec.structs.FieldInfo]:
    """Every key of a recipe by its path, sections themselves left out."""
    found = {}
    for field in msgspec.structs.fields(struct):
        inner = [t for t in (field.type, *getattr(field.type, "__args__", ()))
                 if isinstance(t, type) and issubclass(t, msgspec.Struct)]  # fmt: skip
        path = f"{prefix}{field.name}"
        found |= fields(inner[0], f"{path}.") if inner else {path: field}
    return found


def test_the_page_has_each_key_and_no_other():
    assert set(rows()) == set(fields(Recipe))


def test_defaults_are_those_of_the_code():
    for key, field in fields(Recipe).items():
        default = rows()[key][1]
        if field.required:
            assert default.startswith("required"), key
        elif field.default is None:
            assert default == "none", key
        else:
            value = tomllib.loads(f"a = {quoted(default.strip('`'))}")["a"]
            wanted = list(field.default) if isinstance(field.default, tuple) else field.default
            assert value == wanted, key


def quoted(text: str) -> str:
    return f'"{text}"' if text.isalpha() and text not in ("true", "false") else text


def test_choices_are_those_of_the_code():
    for key, choices in CHOICES.items():
        assert set(re.findall("`(.*?)`", rows()[key][0])) == set(choices), key
    assert set(re.findall("`(.*?)`", rows()["data.set"][0])) == set(sets.names())


def test_the_recipes_that_set_a_key_are_named():
    set_by: dict[str, list[str]] = {key: [] for key in rows()}
    for name in names():
        for key, value in tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8")).items():
            inner = [f"{key}.{k}" for k in value] if isinstance(value, dict) else [key]
            for path in inner:
                set_by[path].append(name)
    for key, row in rows().items():
        wanted = "all" if set_by[key] == names() else ", ".join(set_by[key]) or "none"
        assert row[3] == wanted, key


def test_the_example_is_a_recipe():
    (example,) = re.findall("```toml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_recipe(example.encode(), "docs/recipes.md").name == "mine"
