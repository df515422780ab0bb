"""Ctrl-C for the processes that tests start, even where a shell has pytest ignore it (`&`)."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
