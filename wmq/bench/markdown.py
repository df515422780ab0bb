"""Tables in Markdown with columns of even width, which a terminal shows as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the first column to the left, figures to the right."""
    widths = [max(3, *(len(line[i]) for line in (titles, *lines))) for i in range(len(titles))]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    for line in (titles, rule, *lines):
        cells = [cell.ljust(w) if i == 0 else cell.rjust(w)
                 for i, (cell, w) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
