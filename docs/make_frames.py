"""Writes the tables that docs/frames.md takes from the schema, between markers.

python docs/make_frames.py           writes
python docs/make_frames.py --check   exits with 1 if the page is stale, and writes nothing
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from generated import ROOT, write_parts

if TYPE_CHECKING:
    from wmq.game.schema import Field

UPDATES = {
    "add": "adds the head's delta, clamps",
    "round": "rounds the head to whole, clamps",
    "round_falling": "as round, never above the present value",
    "sign": "logit > 0",
    "argmax": "argmax",
    "age": "0 when the action changes, else one more",
    "keep": "stays",
    "draw": "the action drawn",
    "hit": "adds the rise drawn, clamps",
    "move": "adds the head's delta and both new speeds, clamps",
    "down": "rounds the head to whole if that is above the present value, else one less",
    "strike": "one less at certain ages of certain actions",
}


def fields() -> str:
    """The fields of one player, a row each."""
    from wmq.game.schema import PLAYER_FIELDS, PROJECTILE_FIELDS

    return field_table([*PLAYER_FIELDS, *PROJECTILE_FIELDS])


def sampled_fields() -> str:
    """The fields of one player that are others in version 2."""
    from wmq.game.schema import PLAYER_FIELDS, SAMPLED_FIELDS

    return field_table([SAMPLED_FIELDS[f.name] for f in PLAYER_FIELDS if f.name in SAMPLED_FIELDS])


def field_table(rows: list[Field]) -> str:
    lines = [
        "| field | unit | from | since | stored as | interval | input | head | next frame |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(row, rows),
    ]
    return "\n".join([*lines, ""])


def row(field: Field) -> str:
    from wmq.replays.slippi import POST_COLUMNS

    column = "item" if field.optional else "action"
    if field.name in POST_COLUMNS:
        column, _ = POST_COLUMNS[field.name]
    stored = {"fixed": "Q15.16", "whole": "whole", "bit": "bit", "class": "class"}[field.kind]
    entry = f"embedding of {field.dim}" if field.kind == "class" else f"× {field.scale:g}"
    cells = (
        f"`{field.name}`" + (" (optional)" if field.optional else ""),
        field.unit,
        column,
        ".".join(map(str, field.since)),
        stored,
        f"{field.lo} to {field.hi}",
        entry,
        field.head or "none",
        UPDATES[field.update],
    )
    return f"| {' | '.join(cells)} |"


def controls() -> str:
    """The controls of one player, a row each."""
    from wmq.game.schema import ANALOG_CONTROLS, CONTROLLER_FIELDS
    from wmq.replays.slippi import BUTTON_BITS, PRE_COLUMNS

    lines = ["| control | column of the replay | values | at rest |", "|---|---|---|---|"]
    for at, name in enumerate(CONTROLLER_FIELDS):
        if at < ANALOG_CONTROLS:
            column, rest = PRE_COLUMNS[name]
            values = "0 to 1; the column is -1 to 1" if rest else "0 to 1"
        else:
            column, values, rest = f"buttons_physical, bit 0x{BUTTON_BITS[name]:04x}", "0, 1", 0
        lines.append(f"| `{name}` | {column} | {values} | {rest:g} |")
    return "\n".join([*lines, ""])


def deaths() -> str:
    """The actions that a clock of the rules ends, a row each."""
    from wmq.game.schema import SAMPLED, Schema

    rules = Schema(version=SAMPLED).rules
    assert rules is not None  # version 2 has them
    beyond = dict(zip(rules.blast.fates, ("left", "right", "bottom", "top"), strict=True))
    taken = {strike.action: strike.age for strike in rules.strikes}
    lines = [
        "| action | begins beyond the | frames | then | takes a stock at age |",
        "|---|---|---|---|---|",
    ]
    for clock in rules.clocks:
        begins, age = beyond.get(clock.action, "-"), taken.get(clock.action, "-")
        lines.append(
            f"| {clock.action} | {begins} | {clock.last + 1} | {clock.following} | {age} |"
        )
    return "\n".join([*lines, ""])


def blast_zones() -> str:
    """The ends of the stages, a row each."""
    from wmq.game.schema import BLAST_ZONES, LEGAL_STAGES

    lines = ["| stage | left | right | bottom | top |", "|---|---|---|---|---|"]
    for stage, ends in BLAST_ZONES.items():
        cells = (LEGAL_STAGES[stage], *(f"{end:g}" for end in ends))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


PARTS = {
    "fields": fields,
    "controllers": controls,
    "fields of version 2": sampled_fields,
    "deaths": deaths,
    "blast zones": blast_zones,
}


if __name__ == "__main__":
    sys.exit(write_parts("docs/make_frames.py", ROOT / "docs" / "frames.md", PARTS))
