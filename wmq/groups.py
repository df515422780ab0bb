"""How worlds are shared out: which a thread computes side by side, and which threads share one.

Only the time depends on it.  World-frames a second of one core of a Zen 5, the embedded model
on vnni: 9,700 in worlds of one, 13,500 in groups of four, 12,500 in groups of eight; on
portable, 6,000 whatever the group.
"""

from __future__ import annotations

SIDE_BY_SIDE = 4  # worlds
# Threads that share each frame of a single world, by kernels.  Two gain nothing on vnni and a
# tenth on portable, and lose nine tenths when another process has one of the two cores.
# Threads that share each frame of a single world, by kernels.  Two gain nothing on vnni and a
# tenth on portable, and lose nine tenths when another process has one of the two cores.
TEAM = {"vnni": 1, "portable": 1}


def shares(count: int, threads: int, side_by_side: int = SIDE_BY_SIDE) -> list[list[int]]:
    """Groups of 0 .. count - 1 with up to `side_by_side` members, for each thread one at a time.

    They are dealt like cards, so that every thread has work while there is some, and members
    of about the same size are together if all are ordered by size.
    """
    dealt = threads * side_by_side
    blocks = [range(first, min(first + dealt, count)) for first in range(0, count, dealt)]
    return [list(block[k::threads]) for block in blocks for k in range(min(threads, len(block)))]
