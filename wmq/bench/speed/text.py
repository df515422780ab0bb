"""A `SpeedReport` as text: tables in Markdown, the machine, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from wmq.bench.markdown import table
from wmq.bench.speed.measure import MATCH, OURS, ContenderSpeed, Rates, SpeedReport
from wmq.bench.worker.messages import WHOLE
from wmq.memo.machine import machine

LIBRARIES = ("numba", "numpy", "onnxruntime", "torch")
WHAT = (
    "World-frames a second, median (lowest-highest).  frame: with encoding, argmax and frame "
    "update, as wmq always; session: the model's call alone; split: a session of one thread for "
    "each thread, with its part of the worlds."
)


def plain(report: SpeedReport) -> dict[str, Any]:
    """Turn a report into plain data for JSON."""
    found = asdict(report)
    if not report.agent:
        del found["agent"]
    return {"machine": machine(LIBRARIES), **found}


def text(report: SpeedReport) -> Iterator[str]:
    """Yield a table for each number of worlds and threads, the machine, and what was left out."""
    yield _heading(report)
    yield WHAT
    for threads, batch in dict.fromkeys((cell.threads, cell.batch) for cell in report.cells):
        yield ""
        yield from _columns(report, threads, batch)
    yield from _match(report)
    yield ""
    yield from _machine(report)
    yield from _left_out(report)
    for path, kinds in report.profile.items():
        yield ""
        yield from _profile(path, kinds)


def markdown(report: SpeedReport) -> Iterator[str]:
    """Yield a table of figures and one of ratios, with a column for each number of worlds."""
    batches = list(dict.fromkeys(cell.batch for cell in report.cells))
    titles = [f"{batch} world{'s' if batch > 1 else ''}" for batch in batches]
    yield f"{_heading(report)}. {WHAT}"
    yield ""
    by_line: dict[tuple[str, str], dict[int, str]] = {}
    for cell in report.cells:
        if cell.figure:
            by_line.setdefault((cell.row, cell.way), {})[cell.batch] = _range(cell.figure)
    for top in report.limits:
        name = f"limit, {top.threads} thread{'s' if top.threads > 1 else ''}"
        by_line.setdefault((name, top.bound), {})[top.batch] = f"{top.frames_per_second:,.0f}"
    yield from table(["", "", *titles], [[*at, *(found.get(b, "-") for b in batches)]
                                         for at, found in by_line.items()])  # fmt: skip
    divided: dict[tuple[str, str], dict[int, str]] = {}
    for ratio in report.ratios:
        if ratio.ours == _best(report, ratio.threads):
            found = divided.setdefault((ratio.row, ratio.way), {})
            found[ratio.batch] = f"{ratio.ratio:.2f}"
    if divided:
        yield ""
        yield "How many times as fast wmq is, with as many threads:"
        yield ""
        yield from table(["", "", *titles], [[*at, *(found.get(b, "-") for b in batches)]
                                             for at, found in divided.items()])  # fmt: skip
    yield from _match(report)
    yield from _left_out(report)


def _heading(report: SpeedReport) -> str:
    here = machine(LIBRARIES)
    versions = ", ".join(f"{name} {here[name]}" for name in ("python", *LIBRARIES) if name in here)
    models = " and ".join(filter(None, (report.program, report.onnx, report.agent)))
    return (f"{here['processor']}, {here['cores']} cores, {versions}; {models}; "
            f"measured {report.repeats} times for {report.seconds:g} s")  # fmt: skip


def _best(report: SpeedReport, threads: int) -> str:
    """Find our first row that was measured: the one that this processor gets."""
    ours = (c for c in report.cells if (c.library, c.threads) == (OURS, threads) and c.figure)
    return next((cell.row for cell in ours), "")


def _columns(report: SpeedReport, threads: int, batch: int) -> Iterator[str]:
    """List all rows with so many threads and worlds."""
    cells = [
        c
        for c in report.cells
        if (c.threads, c.batch) == (threads, batch) and c.figure and c.library != MATCH
    ]
    if not cells:
        return
    best = _best(report, threads)
    found = {(r.row, r.way): r.ratio for r in report.ratios
             if r.ours == best and (r.threads, r.batch) == (threads, batch)}  # fmt: skip
    top = next((x for x in report.limits if (x.threads, x.batch) == (threads, batch)), None)
    title = f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
    if top:
        title += f"; limit {top.frames_per_second:,.0f} ({top.bound})"
    yield title
    yield ""
    lines = []
    for row in dict.fromkeys(cell.row for cell in cells):
        by_way = {cell.way: cell for cell in cells if cell.row == row}
        lines.append([
            row.partition(",")[0],
            *(_range(by_way[way].figure) if way in by_way else "-" for way in ("session", "frame")),
            *(_times(found.get((row, way))) for way in ("session", "frame")),
            _share(by_way.get("session") or by_way["frame"]),
        ])  # fmt: skip
    ours = best.partition(",")[0] or OURS
    yield from table(["", "session", "frame", f"{ours} / session", f"{ours} / frame",
                      "share of limit"], lines)  # fmt: skip
    yield from _fastest(cells, found, ours)


def _match(report: SpeedReport) -> Iterator[str]:
    """List the rows of a match, and how fast each is beside the embedded program."""
    cells = [cell for cell in report.cells if cell.library == MATCH and cell.figure]
    if not cells:
        return
    found = {ratio.ours: ratio.ratio for ratio in report.ratios}
    yield ""
    yield "one match, 1 thread"
    yield ""
    yield from table(["", "frame", "/ embedded program"],
                     [[cell.row.partition(",")[0], _range(cell.figure),
                       _times(found.get(cell.row))] for cell in cells])  # fmt: skip


def _fastest(
    cells: Sequence[ContenderSpeed], found: dict[tuple[str, str], float], ours: str
) -> Iterator[str]:
    """Name the best of the others, by either figure."""
    for way in ("session", "frame"):
        others = [c for c in cells if c.library != OURS and c.way == way and (c.row, way) in found]
        if others:
            best = max(others, key=lambda cell: cell.figure.median if cell.figure else 0.0)
            ratio = found[best.row, way]
            yield f"fastest other {way}: {best.row.partition(',')[0]}; {ours} has {ratio:.2f} times"


def _machine(report: SpeedReport) -> Iterator[str]:
    work = report.work
    yield (f"a frame: {work.weights:,} bytes of int8 weights, {work.states:,} of states, "
           f"{work.products:,} products of int8")  # fmt: skip
    yield ""
    threads = sorted({peak.threads for peak in report.peaks})
    by_size: dict[int, list[str]] = {}
    for peak in report.peaks:
        cell = f"{peak.figure.median / 1e9:,.0f}" if peak.figure else "-"
        by_size.setdefault(peak.size, []).append(cell)
    products = by_size.pop(0)
    lines = [[f"GB/s, reading {size >> 10:,} KiB", *found] for size, found in by_size.items()]
    titles = ["at best", *(f"{n} thread{'s' if n > 1 else ''}" for n in threads)]
    yield from table(titles, [*lines, ["10^9 products of int8 a second", *products]])


def _left_out(report: SpeedReport) -> Iterator[str]:
    """Yield a line for each reason, with what it kept from being measured."""
    reasons: dict[str, dict[str, list[int]]] = {}
    for cell in report.cells:
        if cell.reason:
            batches = reasons.setdefault(cell.reason, {}).setdefault(cell.row, [])
            if cell.batch not in batches:
                batches.append(cell.batch)
    every = list(dict.fromkeys(cell.batch for cell in report.cells))
    if reasons:
        yield ""
    for reason, rows in reasons.items():
        names = [row if found == every else f"{row} (batch {', '.join(map(str, found))})"
                 for row, found in rows.items()]  # fmt: skip
        yield f"left out: {'; '.join(names)}: {reason}"


def _profile(path: str, kinds: dict[str, float]) -> Iterator[str]:
    """Yield what the rows take alone, and what a frame takes beyond them."""
    whole = kinds[WHOLE]
    beyond = {"reading from further away": 2 * whole - sum(kinds.values())}
    yield from table([f"{path}, one world", "us", "share"],
                     [[name, f"{spent:.1f}", f"{spent / whole:.1%}"]
                      for name, spent in (kinds | beyond).items()])  # fmt: skip


def _range(figure: Rates | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.median:,.0f} ({figure.lowest:,.0f}-{figure.highest:,.0f})"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _share(cell: ContenderSpeed) -> str:
    return "-" if cell.share is None else f"{cell.share:.0%}"
