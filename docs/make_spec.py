"""Writes the instructions of `wmq_kernels/isa.py` into docs/SPEC.md, between two markers.

python docs/make_spec.py           writes
python docs/make_spec.py --check   exits with 1 if the page is stale, and writes nothing
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wmq_kernels.isa import Instruction

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "SPEC.md"
BEGIN = "<!-- instructions: made by docs/make_spec.py from wmq_kernels/isa.py -->"
END = "<!-- end of instructions -->"


def power(n: int) -> str:
    """An end of a range as people write it: 2^31 - 1."""
    size = abs(n)
    sign = "-" if n < 0 else ""
    for offset, text in ((0, ""), (1, " - 1")):
        bits = (size + offset).bit_length() - 1
        if bits > 14 and size + offset == 1 << bits and not (sign and offset):
            return f"{sign}2^{bits}{text}"
    return str(n)


def instruction(row: Instruction) -> str:
    """One instruction as a section of Markdown."""
    formula = "\n".join(part.strip() for part in row.formula.split(";"))
    lines = [f"### {row.name}", "", "```", formula, "```", ""]
    lines += ["| operand | type | access | shape |", "|---|---|---|---|"]
    lines += [f"| {o.name} | {o.dtype} | {o.access} | {' × '.join(o.shape)} |"
              for o in row.operands]  # fmt: skip
    ranges = [f"{p.name} in [{power(p.lo)}, {power(p.hi)}]" for p in row.parameters]
    counted = "Counts saturations." if row.saturates else "Counts no saturations."
    return "\n".join([*lines, "", f"Parameters: {', '.join(ranges)}. {counted}", ""])


def made(page: str) -> str:
    """The page with its instructions made anew."""
    from wmq_kernels.isa import ROWS

    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n\n" + "\n".join(map(instruction, ROWS)) + "\n" + END + after


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    page = PAGE.read_text()
    fresh = made(page)
    if "--check" in arguments:
        if fresh != page:
            print("docs/SPEC.md is stale: run python docs/make_spec.py", file=sys.stderr)
        return int(fresh != page)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
