"""The system's usual place for what may be made again: a user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """wmq's own folder in it, which need not exist: $XDG_CACHE_HOME/wmq or ~/.cache/wmq,
    and what Windows and macOS have instead."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "wmq"
