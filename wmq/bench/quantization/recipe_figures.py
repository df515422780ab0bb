"""The measured figures of the recipes, kept beside them: `calib/recipes/figures.json`.

    python -m wmq.bench.quantization.recipe_figures FOLDER/suite.json

writes the file from a suite of the embedded model that was no quick one.  A recipe that has
changed since has no figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from calib.recipe import DEFAULT, FOLDER, Recipe, names, read_recipe
from wmq.errors import WmqError
from wmq.evaluation.results import Figure, Suite, read_result
from wmq.files.atomic import write_atomically
from wmq.files.digest import file_sha256
from wmq.inference.model_files import embedded_model
from wmq.memo.provenance import digest
from wmq.toolkits.methods import MOST

FILE = FOLDER / "figures.json"
SHOWN = ("val_loss", "pos_mae", "change_acc", "same_action", "rc(20)")


class MeasuredRecipe(msgspec.Struct, frozen=True):
    """recipe  digest of the recipe as it was; figures: SHOWN, beside float32's"""

    recipe: str
    figures: dict[str, Figure]


class RecipeFigures(msgspec.Struct, frozen=True):
    """onnx_sha256  of the embedded float step; over the first `frames` frames of `games` games"""

    onnx_sha256: str
    games: int
    frames: int
    recipes: dict[str, MeasuredRecipe]


def from_suite(suite: Suite, where: str) -> RecipeFigures:
    """Take the figures of the recipes out of a suite.

    Raises WmqError if it is not of the embedded model, or a quick one.
    """
    if suite.onnx_sha256 != file_sha256(embedded_model(".onnx")):
        raise WmqError(f"{where}: onnx_sha256: not the embedded model's; measure without a MODEL")
    if suite.quick:
        raise WmqError(f"{where}: quick: from too few frames; measure without --quick")
    rows = {row.name: row for row in suite.rows if not row.reason}
    recipes, frames = {}, 0
    for name in names():
        # the default on the frames of the other recipes
        row = rows.get(f"wmq {DEFAULT}, first {MOST:.0%}" if name == DEFAULT else f"wmq {name}")
        if row:
            figures = {figure: row.figures[figure] for figure in SHOWN}
            recipes[name] = MeasuredRecipe(recipe_digest(read_recipe(name)), figures)
            frames = row.frames
    if not recipes:
        raise WmqError(f"{where}: rows: none is of a recipe; measure without --only")
    return RecipeFigures(suite.onnx_sha256, len(suite.games), frames, recipes)


def read_figures(path: Path = FILE) -> RecipeFigures | None:
    """Read the figures of all recipes; None if nothing was measured.  Raises WmqError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RecipeFigures)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise WmqError(f"{path}: not the figures of recipes ({error}); reinstall wmq") from None


def figures_of(recipe: Recipe, found: RecipeFigures | None) -> dict[str, Figure]:
    """Find a recipe's figures, or none if it was not measured as it is now."""
    measured = found.recipes.get(recipe.name) if found else None
    return measured.figures if measured and measured.recipe == recipe_digest(recipe) else {}


def recipe_digest(recipe: Recipe) -> str:
    return digest(recipe.to_json())


@click.command()
@click.argument("suite", metavar="FOLDER/suite.json")
def main(suite: str) -> None:
    """Keep the figures of the recipes that a suite measured beside the recipes."""
    try:
        found = from_suite(read_result(suite, Suite), suite)
    except WmqError as error:
        click.echo(f"recipe_figures: {error}", err=True)
        sys.exit(2)
    write_atomically(FILE, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    click.echo(f"{FILE}: {', '.join(found.recipes)}")


if __name__ == "__main__":
    main()
