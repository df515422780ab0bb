"""Define the argument types that name files, so that a shell completes them.

A value is checked by the command that uses it; here it stays the text that was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class FileName(click.ParamType):
    """A file with one of some endings, or any file or folder where none is given.

    names  other values that are taken, as a recipe's
    """

    name = "file"

    def __init__(self, *endings: str, names: Callable[[], Sequence[str]] = tuple):
        self.endings, self.names = endings, names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete to folders, files with these endings, and names.

        A lone folder is left to the shell, which adds no space after it.
        """
        found = [name for name in self.names() if name.startswith(incomplete)]
        if self.endings:
            found += _below(incomplete, self.endings)
        if not self.endings or (len(found) == 1 and found[0].endswith("/")):
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(name) for name in found]


class FolderName(click.ParamType):
    """A folder: a dataset, a training run, or results."""

    name = "folder"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete to folders, by the shell."""
        return [CompletionItem(incomplete, type="dir")]


def recipe_names() -> list[str]:
    from calib.recipe import names

    return names()


ANY_FILE = FileName()
FOLDER = FolderName()
MODEL, PROGRAM, FLOAT_STEP = FileName(".wmq", ".onnx"), FileName(".wmq"), FileName(".onnx")
ROLLOUT = FileName(".wmq", ".npz")
RECIPE = FileName(".toml", names=recipe_names)
JSON, HTML, PICTURE = FileName(".json"), FileName(".html"), FileName(".svg", ".png")
TABLE = FileName(".npz", ".csv", ".arrow", ".parquet")


def _below(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """List files with these endings, and folders with a slash, that begin as `incomplete` does."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    return [
        f"{folder}{slash}{entry.name}" + "/" * entry.is_dir()
        for entry in entries
        if entry.name.startswith(start)
        and (start or not entry.name.startswith("."))
        and (entry.is_dir() or entry.name.lower().endswith(endings))
    ]
