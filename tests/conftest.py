"""Ctrl-C for the processes that tests start, and which tests this processor is left out of."""

from __future__ import annotations

import signal

import pytest

# Even where a shell has pytest ignore it (`&`).
signal.signal(signal.SIGINT, signal.default_int_handler)


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
