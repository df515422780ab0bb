"""Writes the tables that docs/environments.md takes from the code, between markers.

python docs/make_environments.py           writes
python docs/make_environments.py --check   exits with 1 if the page is stale, and writes nothing
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields

from generated import ROOT, write_parts


def table(titles: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join([*(f"| {' | '.join(map(str, line))} |" for line in lines), ""])


def actions() -> str:
    """Each control: where it is in an action, its interval, its integer."""
    from wmq.envs.actions import ANALOG, BUTTONS, HIGHEST, LOWEST, TRIGGERS

    def integer(name: str) -> str:
        return "floor(v × 65536 + 1/2)" if name == "trigger" else "floor((v + 1) × 32768 + 1/2)"

    analog = [(f"`analog[{at}]`", name, f"{LOWEST[at]:g} to {HIGHEST[at]:g}", integer(name), "")
              for at, name in enumerate(ANALOG)]  # fmt: skip
    buttons = [(f"`buttons[{at}]`", name, "0, 1", "0, 65536", TRIGGERS.get(name, ""))
               for at, name in enumerate(BUTTONS)]  # fmt: skip
    return table(("element", "control", "values", "integer", "pulls the trigger to"),
                 [*analog, *buttons])  # fmt: skip


def numbers() -> str:
    from wmq.envs.observations import Observer
    from wmq.inference.model_files import open_program

    return table(
        ("element", "whose", "field", "unit", "lowest", "highest"),
        ((f"`numbers[{at}]`", who, f"`{field.name}`", field.unit, field.lo, field.hi)
         for at, (who, field) in enumerate(Observer(open_program().schema).numbers)),
    )  # fmt: skip


def classes() -> str:
    from wmq.envs.observations import Observer
    from wmq.game.schema import STAGE_CLASSES
    from wmq.inference.model_files import open_program

    rows = [(f"`classes[{at}]`", who, f"`{field.name}`", field.classes)
            for at, (who, field) in enumerate(Observer(open_program().schema).classes)]  # fmt: skip
    stage = (f"`classes[{len(rows)}]`", "both", "`stage`", STAGE_CLASSES)
    return table(("element", "whose", "field", "classes"), [*rows, stage])


def options() -> str:
    """Names and defaults of what all forms take, with the meanings of the docstring."""
    from wmq.envs.options import MatchOptions

    meanings: dict[str, str] = {}
    for line in (MatchOptions.__doc__ or "").partition("\n\n")[0].splitlines():
        name, _, meaning = line.strip().partition(" ")
        meanings[name] = meaning.strip().replace("|", "\\|")
    return table(("option", "default", ""),
                 ((f"`{f.name}`", f"`{f.default!r}`", meanings[f.name])
                  for f in fields(MatchOptions)))  # fmt: skip


PARTS = {"options": options, "actions": actions, "numbers": numbers, "classes": classes}


if __name__ == "__main__":
    sys.exit(write_parts("docs/make_environments.py", ROOT / "docs" / "environments.md", PARTS))
