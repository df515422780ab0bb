"""Writes what docs/SPEC.md takes from the code, between markers: instructions and golden rollout.

python docs/make_spec.py           writes
python docs/make_spec.py --check   exits with 1 if the page is stale, and writes nothing
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from generated import ROOT, write_parts

if TYPE_CHECKING:
    from wmq_kernels.isa import Instruction

GOLDEN_FRAMES = (1, 60, 600, 3600)


def power(n: int) -> str:
    """An end of a range as people write it: 2^31 - 1."""
    size = abs(n)
    sign = "-" if n < 0 else ""
    for offset, text in ((0, ""), (1, " - 1")):
        bits = (size + offset).bit_length() - 1
        if bits > 14 and size + offset == 1 << bits and not (sign and offset):
            return f"{sign}2^{bits}{text}"
    return str(n)


def clauses(text: str) -> list[str]:
    return [part.strip() for part in text.split(";")]


def instruction(number: int, row: Instruction) -> str:
    """One instruction as a section of Markdown."""
    lines = [f"### I{number} {row.name}", "", "```", *clauses(row.formula), "```", ""]
    lines += ["| operand | type | access | shape |", "|---|---|---|---|"]
    lines += [f"| {o.name} | {o.dtype} | {o.access} | {' × '.join(o.shape)} |"
              for o in row.operands]  # fmt: skip
    ranges = [f"{p.name} in [{power(p.lo)}, {power(p.hi)}]" for p in row.parameters]
    counted = "Counts saturations." if row.saturates else "Counts no saturations."
    lines += ["", f"Parameters: {', '.join(ranges)}. {counted}", ""]
    lines += ["Proof:", "", "```", *clauses(row.proof), "```", ""]
    return "\n".join([*lines, row.note, ""] if row.note else lines)


def instructions() -> str:
    from wmq_kernels.isa import ROWS

    return "\n".join(instruction(number, row) for number, row in enumerate(ROWS, 1))


def golden() -> str:
    """The given frame of the standard rollout, and its hashes after some frames."""
    from wmq.inference.integer_predictor import IntegerPredictor
    from wmq.inference.model_files import open_program
    from wmq.rollout.controllers import Source
    from wmq.rollout.match import open_agents
    from wmq.rollout.rollout import agent_sha256, both_controllers, roll
    from wmq.rollout.starts import match_start

    model = open_program()
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    worlds, usual = IntegerPredictor(model), start.usual_source(model.schema)

    def table(kind: str, most: int) -> list[str]:
        sources = Source(kind), Source(kind)
        agents = open_agents(sources, "int8", "auto", model.schema)
        rows = []
        for frames in (count for count in GOLDEN_FRAMES if count <= most):
            pads = both_controllers(sources, start, frames, 0)
            rolled = roll(worlds, start, [pads], [0], agents=agents)
            rows.append(f"| {frames:,} | `{rolled.sha256}` | {rolled.saturations} |")
        title = ["| frames | `rollout_sha256` | saturations |", "|---|---|---|"]
        named = [f"Both agents' `model_sha256` is `{agent_sha256(agents)[0]}`.", ""]
        return [*(named if kind == "agent" else []), *title, *rows]

    values = ", ".join(map(str, start.given[0].tolist()))
    lines = ["The given frame:", "", "```", *wrapped(values), "```", ""]
    lines += [f"The model's `model_sha256` is `{model.sha256}`.", "", *table(usual, 3600)]
    if usual == "agent":
        lines += ["", "The same world with random play of both players instead of agents:", "",
                  *table("random", 60)]  # fmt: skip
    return "\n".join([*lines, ""])


def wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100)


PARTS = {"instructions": instructions, "golden rollout": golden}


if __name__ == "__main__":
    sys.exit(write_parts("docs/make_spec.py", ROOT / "docs" / "SPEC.md", PARTS))
