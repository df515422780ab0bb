"""How worlds are shared out: which a thread computes side by side, and which threads share one.

Only the time depends on it.  World-frames a second of one core of a Zen 5, the embedded model
on vnni: 9,700 in worlds of one, 13,500 in groups of four, 12,500 in groups of eight; on
portable, 6,000 whatever the group.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import TypeVar

SIDE_BY_SIDE = 4  # worlds
TEAMS = (1, 2, 4, 8)  # threads that may share a frame
WARM, TRIAL = 56, 64  # frames: to begin with, and to be timed; a block of `roll` together
PAUSE, LONGEST = 1_000, 1 << 20  # frames between trials: at first, and at most
Item = TypeVar("Item")
Result = TypeVar("Result")


class Team:
    """How many threads share each frame of a single world: as many as is fastest just now.

    Threads that share a frame wait for each other some forty times in it.  With a core for
    each, two take about 0.6 of the time of one; while another process has one of the cores,
    they take twenty times as long.  So every number is tried, and the slower ones again for
    a few frames from time to time, ever more seldom while they stay slower.

    threads  all there are; clock: seconds
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._sizes = [size for size in TEAMS if size <= threads]
        self._begun: set[int] = set()  # those that have had some frames, which are not timed
        self._pace: dict[int, float] = {}  # seconds of a frame, by threads
        self._pause = self._left = PAUSE
        self._trials = 0

    def parts(self, frames: int) -> Iterator[tuple[int, int, int]]:
        """(first, last, threads) of one part of the frames after the other.

        A part's time is what passes until the next one is asked for.
        """
        first = 0
        while first < frames:
            threads, most = self._choice(frames)
            last = min(first + most, frames)
            began = self._clock()
            yield first, last, threads
            self._took(threads, last - first, self._clock() - began)
            first = last

    def _choice(self, frames: int) -> tuple[int, int]:
        """Threads, and frames at most."""
        if len(self._sizes) == 1:
            return self._sizes[0], frames
        for size in self._sizes:
            if size not in self._pace:
                return size, TRIAL if size in self._begun else WARM
        if self._left > 0:
            return self._fastest(), self._left
        slower = [size for size in self._sizes if size != self._fastest()]
        self._trials += 1
        return slower[self._trials % len(slower)], TRIAL

    def _fastest(self) -> int:
        return min(self._pace, key=self._pace.__getitem__)

    def _took(self, threads: int, frames: int, seconds: float) -> None:
        if threads not in self._begun:
            self._begun.add(threads)
            return
        trial = self._left <= 0
        self._pace[threads] = seconds / frames
        self._left -= frames
        if trial:
            self._pause = PAUSE if self._fastest() == threads else min(2 * self._pause, LONGEST)
            self._left = self._pause


def shares(count: int, threads: int, side_by_side: int = SIDE_BY_SIDE) -> list[list[int]]:
    """Groups of 0 .. count - 1 with up to `side_by_side` members, for each thread one at a time.

    They are dealt like cards, so that every thread has work while there is some, and members
    of about the same size are together if all are ordered by size.
    """
    dealt = threads * side_by_side
    blocks = [range(first, min(first + dealt, count)) for first in range(0, count, dealt)]
    return [list(block[k::threads]) for block in blocks for k in range(min(threads, len(block)))]


def grouped(members: Sequence[int], lanes: int) -> list[list[int]]:
    """Neighbours, up to `lanes` together."""
    return [list(members[first : first + lanes]) for first in range(0, len(members), lanes)]


def results_in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, stop: threading.Event
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with its result as soon as it is ready.

    An error, Ctrl-C, or a caller that closes the generator sets `stop`, which `work` has to look
    at, and no further item begins; all threads have ended when the generator has.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            running = {pool.submit(work, item): item for item in items}
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_threads(
    work: Callable[[list[int]], None], groups: Sequence[list[int]], threads: int,
    stop: threading.Event,
) -> None:  # fmt: skip
    """Do all groups, some at a time; an error or Ctrl-C ends the rest at once, by `stop`."""
    with closing(results_in_threads(work, groups, threads, stop)) as results:
        for _ in results:
            pass
