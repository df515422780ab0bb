"""Show worlds of a model that draws beside real play: how far, and distributions on each other."""

from __future__ import annotations

from collections.abc import Sequence

from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import Drift, RealPlay, WorldHistogram, WorldStatistic, played_by
from wmq.report.charts import Line, drawable, line_chart
from wmq.report.figures import Cell, digits_for, interval_text, number, table
from wmq.report.html import Html, details, tag

REAL = "real"
TRACK_COLOURS = {"float": 0, REAL: 7}


def check_histograms(name: str, drift: Drift) -> None:
    """Check that a histogram has a share in each bin.  Raises WmqError, naming it."""
    play = drift.real_play
    for found in play.histograms if isinstance(play, RealPlay) else []:
        for track, shares in found.shares.items():
            if len(shares) != len(found.at) or not all(map(drawable, [*shares, *found.at])):
                raise WmqError(f"{name}: real_play.histograms.{found.name}.{track}: not a number "
                               "for each bin; run `wmq drift` again")  # fmt: skip


def colours(tracks: Sequence[str]) -> dict[str, int]:
    """Give each track its colour, real play and float always the same."""
    others = [name for name in tracks if name not in TRACK_COLOURS]
    return TRACK_COLOURS | {name: 1 + k % 6 for k, name in enumerate(others)}


def distances_part(found: RealPlay, statistics: Sequence[WorldStatistic],
                   controllers: str) -> list[Html]:  # fmt: skip
    """Show the table of distances of one kind of play, and its distributions as small multiples."""
    own = {s.name: s for s in statistics if s.controllers == controllers}
    means = found.mean.get(controllers, {})
    models = list(means)
    titles = ["statistic", REAL, *models, *(f"{name}, distance" for name in models)]
    rows: list[list[Cell | str]]
    rows = [["mean", *[""] * (1 + len(models)), *(_times(means[name]) for name in models)]]
    rows += [
        [Cell(f"{d.name}, {own[d.name].unit}", d.name),
         *(_value(own[d.name].tracks.get(track)) for track in (REAL, *models)),
         *(_times(d.models.get(name)) for name in models)]
        for d in found.distances if d.controllers == controllers and d.name in own
    ]  # fmt: skip
    charts = [_chart(h) for h in found.histograms if h.controllers == controllers]
    caption = (f"Worlds of {played_by(controllers)}: distance from real play, of which 1 is that "
               "of two halves of the real games")  # fmt: skip
    return [table(caption, titles, rows, sortable=True), tag("div", *charts, class_="charts")]


def _value(found: Interval | None) -> Cell:
    if found is None:
        return Cell(number(None))
    return Cell(number(found.value, digits_for(found)), found.value)


def _times(found: Interval | None) -> Cell:
    if found is None:
        return Cell(number(None))
    return Cell(interval_text(found, "", min(2, digits_for(found)), sign=False), found.value)


def _chart(found: WorldHistogram) -> Html:
    """Draw the shares of all tracks over the bins that some track has anything in."""
    last = max((k for shares in found.shares.values() for k, v in enumerate(shares) if v),
               default=0) + 2  # fmt: skip
    colour = colours(list(found.shares))
    lines = [Line(name, colour[name], name != REAL, found.at[:last], shares[:last])
             for name, shares in found.shares.items()]  # fmt: skip
    listed = [[name, *(number(v, 1) for v in shares[:last])]
              for name, shares in found.shares.items()]  # fmt: skip
    figures = table(found.name, ["from", *(f"{at:g}" for at in found.at[:last])], listed)
    chart = line_chart(found.name, f"from, {found.unit}", "% of them", lines)
    return tag("div", chart, details("figures", figures))
