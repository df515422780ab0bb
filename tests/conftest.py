"""Ctrl-C for the processes that tests start, even where a shell has pytest ignore it (`&`)."""

from __future__ import annotations

import signal

import wmq  # noqa: F401  (before a test imports onnxruntime: turns its telemetry off)

signal.signal(signal.SIGINT, signal.default_int_handler)
