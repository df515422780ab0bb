"""A `SpeedReport` as a picture: bars with ranges, one panel for each number of worlds."""

from __future__ import annotations

from pathlib import Path

from wmq.bench.speed.measure import MATCH, OURS, SpeedReport
from wmq.files.pictures import save_picture

COLORS = {OURS: "#1b6ca8", MATCH: "#2a7f3f", "onnxruntime": "#c8843c", "torch": "#8a8a8a"}


def draw(report: SpeedReport, out: Path) -> None:
    """Draw the report into a file.  Raises WmqError if it cannot be written."""
    from matplotlib.figure import Figure

    cells = [cell for cell in report.cells if cell.figure]
    batches = list(dict.fromkeys(cell.batch for cell in cells))
    labels = list(dict.fromkeys(cell.row for cell in cells))
    figure = Figure(figsize=(3 + 3.2 * max(1, len(batches)), 1.5 + 0.24 * len(labels)),
                    layout="constrained")  # fmt: skip
    panels = figure.subplots(1, max(1, len(batches)), sharey=True, squeeze=False)[0]
    for panel, batch in zip(panels, batches, strict=False):
        for cell in cells:
            if cell.batch != batch or cell.figure is None:
                continue
            found = cell.figure
            around = [[found.median - found.lowest], [found.highest - found.median]]
            height, strength = (0.4, 1.0) if cell.way == "frame" else (0.8, 0.5)
            panel.barh(labels.index(cell.row), found.median, height, xerr=around,
                       color=COLORS[cell.library], alpha=strength, ecolor="#404040")  # fmt: skip
        for top in report.limits:
            if top.batch == batch:
                style = ":" if top.threads > 1 else "--"
                panel.axvline(top.frames_per_second, color="black", linewidth=0.8, linestyle=style)
        panel.set_title(f"{batch} world{'s' if batch > 1 else ''}")
        panel.set_xlabel("world-frames a second")
    panels[0].set_yticks(range(len(labels)), labels, fontsize=7)
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    figure.suptitle(
        f"median and range of {report.repeats}; narrow: whole frames, wide: the model's call\n"
        "limits of memory and multipliers: dashed with 1 thread, dotted with 2",
        fontsize=8,
    )
    save_picture(figure, out)
