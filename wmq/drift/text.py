"""A `Drift` as lines of 80 columns: the verdicts first, then the figures behind them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from wmq.drift.significance import LEVEL, with_interval
from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import (
    Curve,
    Distance,
    Drift,
    RealPlay,
    Verdict,
    WorldStatistic,
    played_by,
)

WIDTH = 80
SHOWN = (1, 20, 120)  # horizons of the tables, and the last
LABEL, COLUMN = 36, 11  # widths of the tables of curves
STATISTIC, NUMBER, BETWEEN, CHANCE = 25, 9, 19, 9  # widths of the table of worlds
TOLD = {True: "yes", False: "no", None: "?"}
RULE = "impossible: "
JUDGED = "int8"  # whose distances have room
# Tracks of the table of distances, and their titles.
COMPARED = {"real": "real", "float": "float", "int8": "int8", "onnxruntime dynamic": "dynamic"}


def lines(found: Drift) -> Iterator[str]:
    """Verdicts and notes, then all tables."""
    yield from verdict_lines(found)
    if isinstance(found.real_play, RealPlay):
        yield from _real_play(found.real_play, found.statistics)
    yield ""
    yield from textwrap.wrap(
        f"{found.model}: {found.starts} starts of {len(found.games)} games with the true "
        f"controllers, {found.horizon} frames", WIDTH)  # fmt: skip
    yield from _curves("same actions up to frame, % of starts",
                       {pair.name: pair.same for pair in found.pairs}, "{:.1f}")  # fmt: skip
    yield from _curves("distance at frame, game units",
                       {pair.name: pair.distance for pair in found.pairs}, "{:.2g}")  # fmt: skip
    yield from _curves("distance to the real game", found.truth, "{:.3g}")
    yield from _curves("minus that of float", found.truth_difference, "{:+.2g}", True)
    for name, ratios in found.relative.items():
        yield from _curves(f"distance of {name}, as multiple of", ratios, "{:.2g}", True)
    yield from _first_divergence(found)
    yield ""
    yield from textwrap.wrap(f"{found.worlds} worlds of {found.frames:,} frames: of each statistic "
                             "the 95 % interval of the difference, and its probability by chance "
                             "after Holm's correction", WIDTH)  # fmt: skip
    for controllers in dict.fromkeys(s.controllers for s in found.statistics):
        chosen = [s for s in found.statistics if s.controllers == controllers]
        for model in chosen[0].p:
            yield ""
            yield from textwrap.wrap(f"{model}, {played_by(controllers)}", WIDTH)
            yield from _worlds(model, chosen)


def verdict_lines(found: Drift) -> Iterator[str]:
    """For each model, one line a horizon; then what a reader has to know of them."""
    for model in dict.fromkeys(verdict.model for verdict in found.verdicts):
        yield f"Can {model} be told from float?"
        for verdict in found.verdicts:
            if verdict.model == model:
                yield from _verdict(verdict, found.statistics)
    for note in found.notes:
        yield from textwrap.wrap(f"note: {note}", WIDTH, subsequent_indent="  ")


def _verdict(verdict: Verdict, statistics: Sequence[WorldStatistic]) -> Iterator[str]:
    frames = "one frame" if verdict.horizon == 1 else f"{verdict.horizon:,} frames"
    units = {f"{s.name}, {played_by(s.controllers)}": s.unit.split(",")[0] for s in statistics}
    text = f"{verdict.measure} " + with_interval(
        verdict.difference, units.get(verdict.measure, "%")
    )
    if verdict.distinguishable is False and verdict.detectable is not None:
        text += f"; {verdict.detectable:.2g} % would have shown"
    head = f"  {frames:14}{TOLD[verdict.distinguishable]:5}"
    yield from textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _curves(
    title: str, curves: Mapping[str, Curve], form: str, intervals: bool = False
) -> Iterator[str]:
    """One row a curve, one column a horizon; under it the interval if asked for."""
    known = sorted({h for curve in curves.values() for h in curve.horizons})
    if not known:
        return
    shown = [h for h in known if h in SHOWN or h == known[-1]]
    width = (WIDTH - 4) // len(SHOWN + (0,)) if intervals else COLUMN
    yield ""
    yield from _row(title, list(map(str, shown)), width)
    for name, curve in curves.items():
        at = [curve.horizons.index(h) if h in curve.horizons else None for h in shown]
        yield from _row(f"  {name}", ["-" if k is None else form.format(curve.mean[k]) for k in at],
                        width)  # fmt: skip
        if intervals:
            ends = ["" if k is None else _between(curve.lo[k], curve.hi[k], form) for k in at]
            yield from _row("", ends, width)


def _row(label: str, cells: Sequence[str], width: int) -> Iterator[str]:
    """Yield a label with cells behind it, or above them where there is no room."""
    behind = "".join(cell.rjust(width) for cell in cells)
    room = WIDTH - len(behind) if width > COLUMN else LABEL
    if len(label) > room:
        yield from textwrap.wrap(label, WIDTH, subsequent_indent="    ", drop_whitespace=False)
        label = ""
    if line := (label.ljust(room) + behind).rstrip():
        yield line


def _first_divergence(found: Drift) -> Iterator[str]:
    yield ""
    yield from _row("first other action", ["median", "never, %"], COLUMN)
    for pair in found.pairs:
        median, never = pair.first_divergence["median"], pair.first_divergence["never"]
        when = f"> {found.horizon}" if median is None else f"{median:g}"
        yield from _row(f"  {pair.name}", [when, f"{never:.1f}"], COLUMN)


def _worlds(model: str, statistics: Sequence[WorldStatistic]) -> Iterator[str]:
    """One row a statistic: real play, float, the model, their difference and its probability."""
    tracks = [name for name in statistics[0].tracks if name in ("real", "float")]
    short = model if len(model) < NUMBER else "model"
    yield (" " * STATISTIC + "".join(name.rjust(NUMBER) for name in (*tracks, short))
           + "difference".rjust(BETWEEN) + "p".rjust(CHANCE))  # fmt: skip
    empty = [s for s in statistics if not any(t.value for t in s.tracks.values())]
    for s in statistics:
        if s in empty:
            continue
        name = f"    {s.name.removeprefix(RULE)}" if RULE in s.name else _label(s)
        cells = "".join(_number(s.tracks[track].value).rjust(NUMBER) for track in (*tracks, model))
        yield name.ljust(STATISTIC) + cells + _difference(s.differences[model], s.holm[model])
    if empty:
        yield from textwrap.wrap(f"0 everywhere: {', '.join(s.name for s in empty)}", WIDTH,
                                 initial_indent="  ", subsequent_indent="    ")  # fmt: skip


def _real_play(found: RealPlay, statistics: Sequence[WorldStatistic]) -> Iterator[str]:
    """One row a statistic: real play, the models, and int8's distance in units of real play."""
    models = [name for name in COMPARED if name in statistics[0].tracks]
    for controllers, means in found.mean.items():
        own = {s.name: s for s in statistics if s.controllers == controllers}
        yield ""
        yield from textwrap.wrap(
            f"Worlds of {played_by(controllers)}, and the distance of {JUDGED} from real play: 1 "
            f"is as far as half of the real games is from the other half", WIDTH)  # fmt: skip
        titles = "".join(COMPARED[name].rjust(NUMBER) for name in models)
        yield " " * STATISTIC + titles + "distance".rjust(BETWEEN)
        for distance in found.distances:
            if distance.controllers == controllers:
                yield _distance(distance, own[distance.name], models)
        cells = " " * NUMBER * len(models)
        yield ("  mean".ljust(STATISTIC) + cells + _times(means[JUDGED])).rstrip()


def _distance(found: Distance, own: WorldStatistic, models: Sequence[str]) -> str:
    cells = "".join(_number(own.tracks[name].value).rjust(NUMBER) for name in models)
    return (_label(own).ljust(STATISTIC) + cells + _times(found.models[JUDGED])).rstrip()


def _times(found: Interval) -> str:
    """A ratio with its interval; large ones in whole numbers."""
    value, lo, hi = ("-" if v is None else f"{v:.0f}" if v >= 10 else f"{v:.2g}"
                     for v in (found.value, found.lo, found.hi))  # fmt: skip
    between = "" if found.lo is None else f" {lo}..{hi}"
    return f" {value}{between}".rjust(BETWEEN)


def _label(found: WorldStatistic) -> str:
    unit = found.unit.split(",")[0].removeprefix("events ").removesuffix(" from real play")
    return f"  {found.name}, {unit}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _between(lo: float | None, hi: float | None, form: str) -> str:
    return "" if lo is None or hi is None else f"{form}..{form}".format(lo, hi)


def _difference(found: Interval, corrected: float) -> str:
    """Return the 95 % interval, and the probability after Holm's correction."""
    chance = f"{corrected:.2g}" + (" *" if corrected < LEVEL else "  ")
    between = _between(found.lo, found.hi, "{:+.2g}") or "-"
    return (between.rjust(BETWEEN) + chance.rjust(CHANCE)).rstrip()
