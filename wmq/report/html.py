"""Build HTML in Python: text is escaped unless it is markup already.

Names and reasons in a result come from outside, so that a plain `str` never reaches the page
as it is; only what `tag` and `join` made, which is `Html`, goes in unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import msgspec

VOID = frozenset({"br", "input", "meta"})  # elements without an end tag
Attribute = str | int | float | bool | None
# What could end a <script>, or is a line break to an older JavaScript.
UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026",
                    "\u2028": "\\u2028", "\u2029": "\\u2029"}  # fmt: skip


class Html(str):
    """Markup, as opposed to text."""


def tag(name: str, /, *content: str, **attributes: Attribute) -> Html:
    """Build <name attributes>content</name>.

    An attribute's `_` is written `-`, and a trailing one falls away (`class_`); None and False
    leave the attribute out, True gives it without a value.
    """
    parts = [name]
    for key, value in attributes.items():
        written = "viewBox" if key == "viewbox" else key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(written)
        elif value is not None and value is not False:
            parts.append(f'{written}="{escape(_text(value))}"')
    opening = f"<{' '.join(parts)}>"
    return Html(opening if name in VOID else f"{opening}{join(content)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Join markup as it is and text escaped."""
    escaped = (part if isinstance(part, Html) else escape(part) for part in parts)
    return Html(escape(between).join(escaped))


def data_script(name: str, data: Any) -> Html:
    """Embed data for the page's program, in an element that no text inside can end."""
    text = msgspec.json.encode(data).decode()
    for character, written in UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, written)
    return Html(f'<script type="application/json" id="{escape(name)}">{text}</script>')


def details(summary: str, *content: str) -> Html:
    """Build a part that the reader unfolds."""
    return tag("details", tag("summary", summary), *content)


def _text(value: str | int | float) -> str:
    """Coordinates to a hundredth: charts need no more."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
