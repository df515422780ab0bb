"""Map one function over many items on all cores, with results in the order of the items.

Workers ignore Ctrl-C, and the parent, which does not, ends them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_work: Callable[[Any], Any]  # in a worker: what it does


def in_order(function: Callable[..., R], items: Iterable[T], processes: int,
             shared: tuple = (), chunk: int = 1) -> Iterator[R]:  # fmt: skip
    """function(item, *shared) for each item; `shared` goes to each worker once."""
    if processes == 1:
        yield from (function(item, *shared) for item in items)
        return
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # workers inherit it from their first line
    try:
        pool = get_context("spawn").Pool(processes, _begin, (function, shared))
    finally:
        signal.signal(signal.SIGINT, old)
    with pool:
        yield from pool.imap(_call, items, chunk)


def _begin(function: Callable[..., Any], shared: tuple) -> None:
    global _work
    _work = lambda item: function(item, *shared)  # noqa: E731


def _call(item: Any) -> Any:
    return _work(item)
