"""Show file names as text: a name is bytes, which not every terminal or JSON accepts."""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import category

ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # would move the cursor, turn the line or end it


def printable(name: str | Path) -> str:
    """One line of valid Unicode: bytes that are not UTF-8 as \\xNN, controls as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        c.encode("unicode_escape").decode("ascii") if category(c) in ESCAPED else c for c in text
    )
