"""Save matplotlib charts as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from wmq.files.atomic import write_atomically
from wmq.files.output_path import output_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")


def check_picture(path: str) -> Path:
    """Check a chart's path, and that matplotlib is installed.  Raises WmqError."""
    import matplotlib

    matplotlib.use("agg")
    return output_path(path, "--chart", SUFFIXES)


def save_picture(figure: Figure, out: Path) -> None:
    """Write a picture whole or not at all, in the format of its suffix.  Raises WmqError."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=out.suffix.lower().removeprefix("."))
    write_atomically(out, drawn.getvalue())
