"""What all tests rest on: Ctrl-C, caches of their own, and no test that this processor lacks."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
        kernels = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "wmq"
    except RuntimeError:  # no home
        kernels = Path(own.name)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(kernels))
    os.environ["XDG_CACHE_HOME"] = own.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs AVX-512 VNNI where there is none: one skip gives number and reason."""
    marked = [item for item in items if item.get_closest_marker("vnni")]
    if not marked:
        return
    from wmq_kernels.engine.paths import obstacle

    if lacking := obstacle():
        count = f"{len(marked)} tests of the vnni kernels" if len(marked) > 1 else "vnni kernels"
        marked[0].add_marker(pytest.mark.skip(reason=f"{count}: {lacking}"))
        items[:] = [item for item in items if item not in marked[1:]]
        config.hook.pytest_deselected(items=marked[1:])
