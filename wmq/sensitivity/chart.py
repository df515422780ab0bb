"""A `Sensitivity` as a picture: bars with intervals, errors one frame ahead beside drift."""

from __future__ import annotations

from pathlib import Path

from wmq.evaluation.results import Sensitive, Sensitivity
from wmq.files.pictures import save_picture

PANELS = ("val_loss", "pos_mae", "rc(20)")  # all in percent of float32's
COLORS = {"class": "#1b6ca8", "together": "#8a8a8a", "program": "#404040"}


def draw(result: Sensitivity, out: Path) -> None:
    """Raises WmqError if it cannot be written."""
    from matplotlib.figure import Figure

    entries = [entry for entry in result.entries if entry.kind in ("together", "program")]
    entries += [entry for entry in result.entries if entry.kind == "class"]
    figure = Figure(figsize=(12, 1.5 + 0.24 * len(entries)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, name in zip(panels, PANELS, strict=True):
        for place, entry in enumerate(entries):
            value, around = _bar(entry, name)
            panel.barh(place, value, 0.7, xerr=around, color=COLORS[entry.kind],
                       ecolor="#c8843c")  # fmt: skip
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_xlabel(f"{name}, % of float32's")
    panels[0].set_yticks(range(len(entries)), [entry.name for entry in entries], fontsize=7)
    panels[0].set_ylim(len(entries) - 0.4, -0.6)
    figure.suptitle(
        f"{result.model}: what is lost when one class of tensors is rounded, the rest float32\n"
        f"{result.frames:,} frames; 95 % intervals over games",
        fontsize=8,
    )
    save_picture(figure, out)


def _bar(entry: Sensitive, name: str) -> tuple[float, list[list[float]] | None]:
    """Length of a bar, and how far its interval reaches to both sides."""
    found = entry.figures[name].difference
    if found is None or found.value is None:
        return 0.0, None
    if found.lo is None or found.hi is None:
        return found.value, None
    return found.value, [[max(0.0, found.value - found.lo)], [max(0.0, found.hi - found.value)]]
