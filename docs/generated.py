"""Parts of a page of docs that a script writes from the code, between markers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_parts(script: str, page: Path, parts: Mapping[str, Callable[[], str]]) -> int:
    """Write the parts into the page, or with --check only compare; an exit code."""
    sys.path.insert(0, str(ROOT))
    text = fresh = page.read_text("utf-8")
    for name, make in parts.items():
        begin, end = f"<!-- {name}: made by {script} -->", f"<!-- end of {name} -->"
        before, rest = fresh.split(begin)
        _, after = rest.split(end)
        fresh = f"{before}{begin}\n\n{make()}\n{end}{after}"
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print(f"docs/{page.name} is stale: run python {script}", file=sys.stderr)
        return int(fresh != text)
    page.write_text(fresh, "utf-8")
    return 0
