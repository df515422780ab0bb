"""A `Drift` as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wmq.drift.verdict import LEVEL
from wmq.intervals import Interval
from wmq.results import Curve, Drift, WorldStatistic

SHOWN = (1, 5, 20, 60, 120, 300, 600)  # horizons of the table, and the last
LABEL = 54  # width of the first column


def lines(found: Drift) -> Iterator[str]:
    """All tables, then the verdicts."""
    yield (f"{found.model}: {found.starts} starts of {len(found.games)} games with the true "
           f"controllers, {found.horizon} frames")  # fmt: skip
    yield from _curves("same actions up to frame, % of starts",
                       {pair.name: pair.same for pair in found.pairs}, "{:.1f}")  # fmt: skip
    yield from _curves("distance at frame, game units",
                       {pair.name: pair.distance for pair in found.pairs}, "{:.2g}")  # fmt: skip
    yield from _curves("distance to the real game, game units", found.truth, "{:.3g}")
    yield from _curves("minus that of float", found.truth_difference, "{:+.2g}", True)
    for name, ratios in found.relative.items():
        yield from _curves(f"distance of {name}, as multiple of", ratios, "{:.2g}", True)
    yield ""
    for pair in found.pairs:
        median, never = pair.first_divergence["median"], pair.first_divergence["never"]
        when = f"beyond frame {found.horizon}" if median is None else f"frame {median:g}"
        yield f"first other action, {pair.name}: median {when}; never in {never:.1f} % of starts"
    for controllers in dict.fromkeys(s.controllers for s in found.statistics):
        yield ""
        yield (f"{found.worlds} worlds of {found.frames:,} frames, {controllers} controllers: "
               "statistic, 95 % interval of the difference, probability (corrected)")  # fmt: skip
        chosen = [s for s in found.statistics if s.controllers == controllers]
        yield from _worlds(chosen)
    yield ""
    yield from (f"note: {note}" for note in found.notes)
    yield from (verdict.sentence for verdict in found.verdicts)
    yield found.sentence


def _curves(
    title: str, curves: Mapping[str, Curve], form: str, intervals: bool = False
) -> Iterator[str]:
    """One row a curve, one column a horizon; under it the interval if asked for."""
    known = sorted({h for curve in curves.values() for h in curve.horizons})
    if not known:
        return
    shown = [h for h in known if h in SHOWN or h == known[-1]]
    width = 20 if intervals else 9
    label = max(LABEL, len(title) + 1)
    yield ""
    yield title.ljust(label) + "".join(str(h).rjust(width) for h in shown)
    for name, curve in curves.items():
        at = [curve.horizons.index(h) if h in curve.horizons else None for h in shown]
        cells = ["-" if k is None else form.format(curve.mean[k]) for k in at]
        yield f"  {name}".ljust(label) + "".join(cell.rjust(width) for cell in cells)
        if intervals:
            ends = ["" if k is None else f"{form}..{form}".format(curve.lo[k], curve.hi[k])
                    for k in at]  # fmt: skip
            yield " " * label + "".join(cell.rjust(width) for cell in ends)


def _worlds(statistics: list[WorldStatistic]) -> Iterator[str]:
    """One row a statistic; statistics that are 0 everywhere share one line."""
    empty = [s for s in statistics if not any(t.value for t in s.tracks.values())]
    models = list(statistics[0].p)
    heads = [*statistics[0].tracks, *(f"{model} - float" for model in models)]
    widths = [max(11, len(name) + 2) for name in statistics[0].tracks]
    widths += [max(40, len(model) + 10) for model in models]
    yield " " * LABEL + "".join(map(str.rjust, heads, widths))
    for s in statistics:
        if s in empty:
            continue
        unit = s.unit.split(",")[0]
        cells = [_number(own.value) for own in s.tracks.values()]
        cells += [_difference(s.differences[m], s.p[m], s.holm[m]) for m in models]
        yield f"  {s.name}, {unit}".ljust(LABEL) + "".join(map(str.rjust, cells, widths))
    if empty:
        yield f"  0 everywhere: {', '.join(s.name for s in empty)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _difference(found: Interval, p: float, corrected: float) -> str:
    if found.value is None or found.lo is None or found.hi is None:
        return "-"
    mark = " *" if corrected < LEVEL else ""
    ends = f"{found.lo:+.3g}..{found.hi:+.3g}"
    return f"{found.value:+.3g}  {ends}  {p:.2g} ({corrected:.2g}){mark}"
