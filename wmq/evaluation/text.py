"""The figures of models that draw as lines of 80 columns, behind those that all models have."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from wmq.evaluation.bootstrap import Interval, caveat
from wmq.evaluation.events import EventFigures
from wmq.evaluation.reports import DrawnComparison, DrawnReport, EvaluationReport

WIDTH = 80
LABEL, COUNT, RATIO, PRECISION, GAIN = 12, 9, 19, 19, 21  # columns of the table of events
FIGURES = {"press_acc": " %", "held_acc": " %"}  # units of an agent's figures


def chain_lines(report: EvaluationReport) -> Iterator[str]:
    """For each model its nll, or all figures of an agent, and its events; then what differs."""
    models = [model for model in report.models if isinstance(model, DrawnReport)]
    if not models:
        return
    note = caveat(len(report.sha256)) or "in brackets 95 % intervals over games"
    yield from textwrap.wrap(
        f"nll: -log p of all that is drawn on a frame; events on the next frame; {note}", WIDTH
    )
    for model in models:
        yield ""
        yield from _model(model)
    for found in report.comparisons:
        if isinstance(found, DrawnComparison):
            yield ""
            yield from _comparison(found)


def _model(model: DrawnReport) -> Iterator[str]:
    yield from textwrap.wrap(model.name, WIDTH)
    for name, found in model.intervals.items():
        unit = FIGURES.get(name, "")
        yield f"{name:{LABEL}}{with_ends(found, '.2f' if unit else '.4f')}{unit}"
    yield (f"{'event':{LABEL}}{'observed':>{COUNT}}{'predicted/obs.':>{RATIO}}"
           f"{'average precision':>{PRECISION}}{'gain, nats/1,000':>{GAIN}}")  # fmt: skip
    for name, event in model.events.items():
        yield _event(name, event)


def _event(name: str, found: EventFigures) -> str:
    cells = (
        f"{found.observed:,}".rjust(COUNT),
        with_ends(found.ratio).rjust(RATIO),
        with_ends(found.precision).rjust(PRECISION),
        with_ends(found.gain).rjust(GAIN),
    )
    return name.ljust(LABEL) + "".join(cells)


def _comparison(found: DrawnComparison) -> Iterator[str]:
    yield from textwrap.wrap(f"{found.names[1]} against {found.names[0]}", WIDTH)
    yield f"  nll {with_ends(found.nll, '+.2f')} %"
    yield from textwrap.wrap(
        f"drawn otherwise by the same words: {with_ends(found.other_draws, '.2f')} % of the "
        f"draws, any on {with_ends(found.other_frames, '.2f')} % of the frames",
        WIDTH, initial_indent="  ", subsequent_indent="  ",
    )  # fmt: skip


def with_ends(found: Interval, form: str = "") -> str:
    """Write a figure, and its interval in brackets if it is known; three digits without a form."""
    known = [value for value in (found.value, found.lo, found.hi) if value is not None]
    digits = [f"{value:{form or _three(value)}}" for value in known]
    if len(known) < 3:
        return digits[0] if digits else "-"
    return f"{digits[0]} ({digits[1]}..{digits[2]})"


def _three(value: float) -> str:
    return f".{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f"
