"""What all tests rest on: Ctrl-C, caches of their own, and one skip for what is missing here."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import wmq  # noqa: F401  (before a test imports onnxruntime: turns its telemetry off)
from wmq_kernels.engine.user_cache import user_cache

# For the processes that tests start, even where a shell has pytest ignore it (`&`).
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a machine that has other work.
settings.register_profile("busy machine", deadline=None,
                          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
settings.load_profile("busy machine")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled kernels with the user's own, and everything else out of the user's cache."""
    if hasattr(config, "workerinput"):  # pytest-xdist's workers inherit the environment
        return
    own = tempfile.TemporaryDirectory(prefix="wmq-tests-")
    config.add_cleanup(own.cleanup)
    try:
        kernels = user_cache()
        kernels.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home
        kernels = Path(own.name)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(kernels))
    os.environ["XDG_CACHE_HOME"] = own.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run: one skip an obstacle gives number and reason."""
    groups: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        marker = item.get_closest_marker("needs")
        if marker and marker.args[1]:
            groups.setdefault(marker.args, []).append(item)
    for (what, obstacle), left_out in groups.items():
        reason = f"{len(left_out)} tests that need {what}: {obstacle}"
        left_out[0].add_marker(pytest.mark.skip(reason=reason))
    others = {item for left_out in groups.values() for item in left_out[1:]}
    if others:
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=list(others))
