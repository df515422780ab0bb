"""Try the boundaries of sample: words beside each sum of weights, distances beside each point.

A word is the least that draws class i if the sum of the weights before i, over that of all,
is just reached; that word and the one before it draw neighbours, and so tell each weight to
the unit.  Distances are a unit below, at and above points of the table, the last of which
is the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, product
from random import Random

from wmq_kernels import tables
from wmq_kernels.conformance.builder import Builder, Interval, Rows
from wmq_kernels.conformance.trials.boundaries import least_input
from wmq_kernels.conformance.trials.trial import Trial, trial
from wmq_kernels.exact import round_shift
from wmq_kernels.isa import INT32
from wmq_kernels.rangecheck import certified

EDGES = (0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)  # of a word
DRAW, MODE = -1, -2


def _trial(x: Interval, allowed: Rows, table: Sequence[int], multiplier: int, shift: int,
           given: Iterable[tuple[Sequence[int], int, int, int]]) -> Trial:  # fmt: skip
    """A frame for each (x, state, word, forced)."""
    b, n = Builder(Random(0)), len(allowed[0])
    operands = {"x": b.read("x", "i32", n, x), "state": b.part(1, INT32),
                "word": b.part(1, INT32), "forced": b.part(1, INT32),
                "allowed": b.const("allowed", "i8", [v for row in allowed for v in row]),
                "table": b.const("table", "i32", table),
                "out": b.temp("out", "i32", 1, (0, n - 1))}  # fmt: skip
    b.step("sample", operands, n=n, one=1, classes=len(allowed), entries=len(table),
           multiplier=multiplier, shift=shift)  # fmt: skip
    b.show("out", operands["out"])
    rows = [[*logits, state, _signed(word), forced] for logits, state, word, forced in given]
    return trial(b, certified(b.program()), rows)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _weights(x: Sequence[int], allowed: Sequence[int], table: Sequence[int], multiplier: int,
             shift: int) -> list[int]:  # fmt: skip
    most = max(v for v, may in zip(x, allowed, strict=True) if may)
    found = []
    for v, may in zip(x, allowed, strict=True):
        distance = round_shift((most - v) * multiplier, shift) if may else 0
        q, r = divmod(distance, 256)
        here = may and q < len(table) - 1
        found.append(round_shift(table[q] * (256 - r) + table[q + 1] * r, 8) if here else 0)
    return found


def _words(weights: Sequence[int]) -> list[int]:
    """The least word of each class that has one, the word before it, and the ends."""
    total = sum(weights)
    least = {-(-(seen << 32) // total) for seen in accumulate(weights) if 0 < seen < total}
    return sorted({*EDGES, *(w + d for w in least for d in (-1, 0))})


LOGITS = (
    [0] * 7, [5] * 7, [9, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 9], [0, 1, 2, 3, 4, 5, 6],
    [6, 5, 4, 3, 2, 1, 0], [-1000, 1000, -1000, 1000, 999, 1000, -1000], [0, 0, 3, 3, 0, 0, 3],
    [INT32[0]] * 7, [INT32[1], INT32[0], *[INT32[1]] * 5],
)  # fmt: skip
MASKS = (
    [1] * 7, [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, -1], [0, 0, 0, 127, 0, 0, 0],
    [0, 1, 0, 1, 0, 1, 0], [-128, 0, 1, 1, 0, 0, 1],
)  # fmt: skip


def words(name: str, multiplier: int, shift: int) -> Trial:
    """Equal logits, one ahead, ties and ends, under masks that leave one class or more."""
    table = TABLES[name]
    given = [(x, state, word, DRAW) for x in LOGITS for state, mask in enumerate(MASKS)
             for word in _words(_weights(x, mask, table, multiplier, shift))]  # fmt: skip
    return _trial(INT32, list(MASKS), table, multiplier, shift, given)


def forced() -> Trial:
    """What is forced: a draw, the mode, a class within and beyond; states on both sides."""
    things = (INT32[0], -3, MODE, DRAW, 0, 1, 6, 7, INT32[1])
    states = (INT32[0], -1, *range(len(MASKS)), len(MASKS), INT32[1])
    given = list(product(LOGITS, states, (0, (1 << 32) - 1), things))
    return _trial(INT32, list(MASKS), TABLES["exp"], 1 << 12, 4, given)


def distances(name: str, multiplier: int, shift: int, every: int) -> Trial:
    """x[1] falls behind x[0], past every `every`-th point of the table and the cut."""
    table, mask = TABLES[name], [1, 1]
    points = [*range(1, len(table) - 1, every), len(table) - 1, len(table)]
    reach = least_input(multiplier, 0, shift, 256 * (len(table) + 1))
    given = []
    for u in [0, *(256 * k + d for k in points for d in (-129, -128, -127, -1, 0, 1))]:
        behind = min(max(least_input(multiplier, 0, shift, u), 0), reach)
        for distance in {max(behind - 1, 0), behind}:
            x = [reach, reach - distance]
            weights = _weights(x, mask, table, multiplier, shift)
            given += [(x, 0, word, DRAW) for word in _words(weights)[-3:]]
    return _trial((0, reach), [mask], table, multiplier, shift, given)


TABLES = {
    "exp": tables.weights_table(1003),
    "two points": [1, 1],
    "one weight": [1, *[0] * 8],
    "steep": [1000, 3, 999, 0, 500, 1, 1],
    "large": [INT32[1] // 7] * 3,
}
TRIALS: dict[str, Callable[[], Trial]] = {
    **{f"sample, words, {name}, {multiplier} / 2^{shift}": partial(words, name, multiplier, shift)
       for name, multiplier, shift in (("exp", 1 << 14, 1), ("exp", 77, 0), ("exp", 0, 5),
                                       ("two points", 1, 0), ("one weight", 255, 0),
                                       ("steep", 129, 0), ("steep", 301, 1),
                                       ("large", 200, 2))},
    "sample, forced": forced,
    **{f"sample, distances, {name}, {multiplier} / 2^{shift}":
       partial(distances, name, multiplier, shift, every)
       for name, multiplier, shift, every in (("exp", 1, 0, 50), ("exp", 12_345, 14, 100),
                                              ("steep", 1, 1, 1), ("steep", 3, 7, 1),
                                              ("one weight", (1 << 31) - 1, 40, 1))},
}  # fmt: skip
