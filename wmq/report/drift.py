"""Show what `wmq drift` found: curves beside the chaos yardsticks, and free-running worlds."""

from __future__ import annotations

from collections.abc import Iterator

from wmq.errors import WmqError
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import Curve, Drift, RealPlay, WorldStatistic, played_by
from wmq.report.charts import LARGEST, Line, Mark, drawable, line_chart, point_chart
from wmq.report.figures import NONE, Cell, difference_html, digits_for, interval_text, number, table
from wmq.report.html import Html, details, join, tag
from wmq.report.real_play import check_histograms, colours, distances_part
from wmq.report.suite import divergence_text

YARDSTICK = "yardstick"
ACROSS = "frames since the start"
LONGEST = 10**9  # frames
SURE = 0.05
LISTED = 8  # horizons of the table behind a chart
TOLD = {True: Cell("yes", 1.0), False: Cell("no", 0.0), None: Cell("too few games")}


def check_curves(name: str, drift: Drift) -> None:
    """Check that a curve's lists have one length.  Raises WmqError, naming the curve.

    A ratio has no point at a horizon at which its yardstick has not moved, so perhaps none at all.
    """
    for where, curve in _curves(drift):
        lengths = {len(curve.horizons), len(curve.mean), len(curve.lo), len(curve.hi)}
        if len(lengths) != 1:
            raise WmqError(f"{name}: {where}: horizons, mean, lo and hi have to be of one length; "
                           "run `wmq drift` again")  # fmt: skip
        if not curve.horizons:
            continue
        if not 0 <= min(curve.horizons) <= max(curve.horizons) <= LONGEST:
            raise WmqError(f"{name}: {where}: horizons outside of 0..{LONGEST}; run `wmq drift` "
                           "again")  # fmt: skip
        numbers = [v for v in (*curve.mean, *curve.lo, *curve.hi) if v is not None]
        if not all(map(drawable, numbers)):
            raise WmqError(f"{name}: {where}: numbers beyond {LARGEST:.0e}; run `wmq drift` again")
    check_histograms(name, drift)


def _curves(drift: Drift) -> Iterator[tuple[str, Curve]]:
    for k, pair in enumerate(drift.pairs):
        yield f"pairs[{k}].same", pair.same
        yield f"pairs[{k}].distance", pair.distance
    for model, ratios in drift.relative.items():
        for yardstick, curve in ratios.items():
            yield f"relative.{model}.{yardstick}", curve
    for model, curve in drift.truth.items():
        yield f"truth.{model}", curve
    for model, curve in drift.truth_difference.items():
        yield f"truth_difference.{model}", curve


def drift_section(drift: Drift) -> list[Html]:
    """Show curves, ratios and their figures."""
    colours = {pair.name: k for k, pair in enumerate(drift.pairs)}
    same, distance = (
        [
            _line(pair.name, getattr(pair, which), colours[pair.name], pair.kind == YARDSTICK)
            for pair in drift.pairs
        ]
        for which in ("same", "distance")
    )
    charts = [
        line_chart("Still the same actions", ACROSS, "% of starts", same),
        line_chart("Distance of the players", ACROSS, "game units", distance, powers=True),
    ]
    for model, ratios in drift.relative.items():
        lines = [_line(name, curve, colours.get(name, k), True)
                 for k, (name, curve) in enumerate(ratios.items())]  # fmt: skip
        title = f"{model}, beside the yardsticks"
        charts.append(line_chart(title, ACROSS, "ratio of mean distances", lines, 1.0, True))
    if drift.truth:
        lines = [
            _line(name, curve, k, False) for k, (name, curve) in enumerate(drift.truth.items())
        ]
        charts.append(line_chart("Distance to the real game", ACROSS, "game units", lines))
    if drift.truth_difference:
        lines = [_line(name, curve, 1 + k, False)
                 for k, (name, curve) in enumerate(drift.truth_difference.items())]  # fmt: skip
        charts.append(line_chart("Distance to the real game, minus float's", ACROSS, "game units",
                                 lines, reference=0.0))  # fmt: skip
    intro = (
        f"From {drift.starts:,} real starts with the true controllers, {drift.horizon:,} frames; "
        "the shade is the 95 % interval over games. Dashed: yardsticks, both of whose models are "
        "float; a ratio of 1 means that a model drifts no faster than that."
    )
    notes = tag("ul", *(tag("li", note) for note in drift.notes))
    return [tag("p", intro), tag("div", *charts, class_="charts"), notes, _pairs(drift)]


def _line(name: str, curve: Curve, colour: int, dashed: bool) -> Line:
    return Line(name, colour, dashed, curve.horizons, curve.mean, curve.lo, curve.hi)


def _pairs(drift: Drift) -> Html:
    """Return the curves at some horizons, for those who can't see them."""
    parted = [[pair.name, divergence_text(pair.first_divergence)] for pair in drift.pairs]
    groups = {
        "Starts still with the same actions, %": {p.name: p.same for p in drift.pairs},
        "Distance of the players, game units": {p.name: p.distance for p in drift.pairs},
        **{f"{model}: ratio of mean distances": found for model, found in drift.relative.items()},
        "Distance to the real game, game units": drift.truth,
        "Distance to the real game, minus float's, game units": drift.truth_difference,
    }
    return details(
        "The figures behind the curves",
        table("First other action", ["pair", "median"], parted),
        *(
            _listed(title, curves)
            for title, curves in groups.items()
            if any(curve.horizons for curve in curves.values())
        ),
    )


def _listed(title: str, curves: dict[str, Curve]) -> Html:
    """Some curves at LISTED horizons at even distances, first and last among them."""
    every = sorted({h for curve in curves.values() for h in curve.horizons})
    last = len(every) - 1
    horizons = sorted({every[round(k * last / (LISTED - 1))] for k in range(LISTED)})
    rows = [[name, *(_at(curve, h) for h in horizons)] for name, curve in curves.items()]
    return table(title, ["of", *(f"frame {h:,}" for h in horizons)], rows)


def _at(curve: Curve, horizon: int) -> str:
    if horizon not in curve.horizons:
        return NONE
    k = curve.horizons.index(horizon)
    found = Interval(curve.mean[k], curve.lo[k], curve.hi[k])
    return interval_text(found, "", digits_for(found), sign=False)


def worlds_section(drift: Drift) -> list[Html]:
    """Show one chart per statistic, and beside it each model's difference from float."""
    intro = (
        f"{drift.worlds:,} worlds of {drift.frames:,} frames, left to themselves; points are "
        "means, whiskers 95 % intervals over games. Bold: distinguishable from float, where p is "
        "corrected for the number of statistics."
    )
    parts = [tag("p", intro)]
    for controllers in dict.fromkeys(found.controllers for found in drift.statistics):
        cards = [_statistic(s) for s in drift.statistics if s.controllers == controllers]
        parts.append(tag("h3", played_by(controllers)))
        if isinstance(drift.real_play, RealPlay):
            parts += distances_part(drift.real_play, drift.statistics, controllers)
        parts.append(tag("div", *cards, class_="cards"))
    return parts


def _chance(found: WorldStatistic, name: str) -> Html:
    """Tell how probable such a difference is by chance, alone and among all statistics."""
    if name not in found.p:
        return Html()
    corrected = f", corrected {number(found.holm[name], 3)}" if name in found.holm else ""
    return join([tag("br"), tag("small", f"by chance: p {number(found.p[name], 3)}{corrected}")])


def _differs(found: WorldStatistic, name: str) -> bool:
    """After the correction for the number of statistics, where there is one."""
    if name in found.holm:
        return found.holm[name] < SURE
    return found.differences[name].excludes_zero


def _difference(found: Interval, sure: bool) -> Html:
    return difference_html(found, "", digits_for(found), sure)


def _statistic(found: WorldStatistic) -> Html:
    colour = colours(list(found.tracks))
    marks = [Mark(name, colour[name], value) for name, value in found.tracks.items()]
    lines = [tag("li", f"{name} minus float: ", _difference(value, _differs(found, name)),
                 _chance(found, name)) for name, value in found.differences.items()]  # fmt: skip
    points = [tag("li", f"{name}: {interval_text(value, found.unit, digits_for(value), False)}")
              for name, value in found.tracks.items()]  # fmt: skip
    return tag("div", point_chart(found.name, found.unit, marks), tag("ul", *lines, class_="plain"),
               details("figures", tag("ul", *points, class_="plain")), class_="card")  # fmt: skip


def verdicts_section(drift: Drift) -> list[Html]:
    """Show one line per model, horizon and measure; the page begins with the short sentence."""
    rows = [
        [
            Cell(found.model, found.model),
            Cell(f"{found.horizon:,}", found.horizon),
            Cell(found.measure, found.measure),
            Cell(_difference(found.difference, found.distinguishable is True),
                 found.difference.value),
            Cell(number(found.detectable, digits_for(found.difference)), found.detectable),
            TOLD[found.distinguishable],
            Cell(found.sentence),
        ]
        for found in drift.verdicts
    ]  # fmt: skip
    titles = [
        "model",
        "frames",
        "measure",
        "difference to float",
        "would show",
        "distinguishable",
        "in words",
    ]
    return [table("Can it be told from float?", titles, rows, sortable=True)]
