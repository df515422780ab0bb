"""`wmq recipes`: list the calibration recipes that come with wmq, and what each costs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from wmq.bench.quantization.recipe_figures import RecipeFigures

NAME = 26
# Figure -> its title and unit; differences to float32, but for the same action.
COLUMNS = {
    "val_loss": ("val_loss", "%"),
    "pos_mae": ("pos_mae", "%"),
    "change_acc": ("change_acc", "points"),
    "same_action": ("same action", "%"),
    "rc(20)": ("rc(20)", "%"),
}
WIDTH = 12


@click.command(name="recipes", epilog="Example: wmq recipes --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recipes(as_json: bool) -> None:
    """List the recipes of wmq calibrate, and what each costs on the embedded model.

    Measured by wmq bench quantization: differences to float32, and the percentage of frames on
    which a player's predicted action is the same.
    """
    from wmq.bench.quantization.recipe_figures import read_figures

    found = read_figures()
    listed = _listed(found)
    if as_json:
        click.echo(json.dumps({"recipes": listed}, indent=1))
    else:
        _print(listed, found)


def _listed(found: RecipeFigures | None) -> list[dict[str, Any]]:
    from msgspec import to_builtins

    from calib.recipe import DEFAULT, FOLDER, names, read_recipe
    from wmq.bench.quantization.recipe_figures import figures_of

    return [
        {
            "name": name,
            "default": name == DEFAULT,
            "what": _first_sentence((FOLDER / f"{name}.toml").read_text("utf-8")),
            "figures": to_builtins(figures_of(read_recipe(name), found)) or None,
        }
        for name in names()
    ]


def _first_sentence(text: str) -> str:
    """Of the comment that a recipe begins with."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.strip("# "))
    sentence, stop, _ = " ".join(comment).partition(". ")
    return sentence + stop.strip()


def _print(listed: list[dict[str, Any]], found: RecipeFigures | None) -> None:
    for line in (0, 1):
        titles = "".join(column[line].rjust(WIDTH) for column in COLUMNS.values())
        click.echo(f"{'':{NAME}}{titles}")
    for recipe in listed:
        name = recipe["name"] + (" (default)" if recipe["default"] else "")
        cells = [_cell(name, recipe["figures"]) for name in COLUMNS] if recipe["figures"] else []
        click.echo(f"{name:{NAME}}{''.join(cells) or 'not measured'.rjust(WIDTH)}")
        click.echo(textwrap.fill(recipe["what"], 96, initial_indent="    ",
                                 subsequent_indent="    "))  # fmt: skip
    if found:
        click.echo(f"\n{_measured(found)}, {found.frames:,} frames, the beginnings of "
                   f"{found.games} games")  # fmt: skip


def _measured(found: RecipeFigures) -> str:
    """Name the model that the figures are of."""
    from wmq.files.digest import file_sha256
    from wmq.inference.model_files import embedded_model

    if found.onnx_sha256 == file_sha256(embedded_model(".onnx")):
        return "the embedded model"
    return f"of a model that was embedded before, {found.onnx_sha256[:16]}.."


def _cell(name: str, figures: dict[str, Any]) -> str:
    figure = figures[name]
    value = figure["value"] if name == "same_action" else figure["difference"]["value"]
    if value is None:
        return "-".rjust(WIDTH)
    return f"{value:{'' if name == 'same_action' else '+'}.2f}".rjust(WIDTH)
