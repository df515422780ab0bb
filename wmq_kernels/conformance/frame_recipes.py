"""Draw the instructions that make the next frame: what `recipes` is for all the others."""

from __future__ import annotations

from wmq_kernels import tables
from wmq_kernels.conformance.builder import numbers
from wmq_kernels.conformance.drawing import Drawing, Recipe
from wmq_kernels.isa import INT32
from wmq_kernels.program import Slice

MIN_P = 1003  # points of a table of weights that drops what is below 2 % of the likeliest


def bounds(d: Drawing, n: int) -> tuple[list[int], list[int]]:
    pairs = [sorted(numbers(d.rng, 2, INT32)) for _ in range(n)]
    if d.wild and d.rng.random() < 0.3:
        pairs = [pair[::-1] for pair in pairs]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def frame_add(d: Drawing) -> None:
    n = d.size()
    least, most = bounds(d, n)
    out = d.out("i32", n, (min(least), max(most)) if not d.wild else INT32)
    d.b.step("frame_add", {"now": d.read("now", "i32", n), "change": d.read("change", "i32", n),
                           "least": d.i32("least", least), "most": d.i32("most", most),
                           "out": out}, n=n)  # fmt: skip
    d.b.show("out", out)


def frame_round(d: Drawing) -> None:
    n = d.size()
    least, most = bounds(d, n)
    out = d.out("i32", n, INT32)
    half = d.rng.randrange(-99, 99) << 15
    value = (
        d.b.read("value", "i32", n, (half, half)) if d.chance(0.3) else d.read("value", "i32", n)
    )
    d.b.step("frame_round", {"now": d.read("now", "i32", n), "value": value,
                             "least": d.i32("least", least), "most": d.i32("most", most),
                             "falling": d.any_i32("falling", n, (0, 1)), "out": out},
             n=n)  # fmt: skip
    d.b.show("out", out)


def frame_sign(d: Drawing) -> None:
    n = d.size()
    out = d.out("i32", n, (0, 1))
    d.b.step("frame_sign", {"x": d.read("x", "i32", n), "out": out}, n=n)
    d.b.show("out", out)


def argmax(d: Drawing) -> None:
    n = d.size()
    x = d.read("x", "i32", n, d.rng.choice([INT32, (0, 2), (-3, -1)]))
    out = d.out("i32", 1, (0, n - 1))
    d.b.step("argmax", {"x": x, "out": out}, n=n, one=1)
    d.b.show("out", out)


def age(d: Drawing) -> None:
    most = d.parameter("age", "most")
    near = d.rng.choice([INT32, (0, 1), (7, 8)])
    out = d.out("i32", 1, INT32)
    d.b.step("age", {"before": d.read("before", "i32", 1, near),
                     "after": d.read("after", "i32", 1, near),
                     "age": d.read("age", "i32", 1, d.rng.choice([INT32, (most - 2, most + 2)])),
                     "out": out}, one=1, most=most)  # fmt: skip
    d.b.show("out", out)


def place(d: Drawing) -> None:
    n, entries, event = d.size(9), d.size(33), d.rng.choice((0, 1, 12, INT32[1]))
    near = (max(event - 1, 0), event)
    out = d.out("i32", n, INT32)
    d.b.step("place", {"before": d.read("before", "i32", 1, near),
                       "after": d.read("after", "i32", 1, near),
                       "index": d.read("index", "i32", 1, (-2, entries + 1)),
                       "moved": d.read("moved", "i32", n), "table": d.any_i32("table", entries * n),
                       "out": out}, one=1, n=n, entries=entries, event=event)  # fmt: skip
    d.b.show("out", out)


def sample(d: Drawing) -> None:
    n, classes = d.size(), d.rng.randint(1, 4)
    forced = d.rng.choice([(-1, -1)] * 5 + [(-2, -1), (-2, -2), (0, 0), INT32, (-3, n + 1)])
    if d.chance(0.5):
        x, table, multiplier, shift = _ties(d, n)
        forced = (-1, -1)
    else:
        x = d.read("x", "i32", n, d.rng.choice([INT32, (-9, 9), (-(1 << 20), 1 << 20), (7, 7)]))
        value, table = d.b.values[x.value], _weights(d, n)
        multiplier, shift = _temperature(d, max(value.hi - value.lo, 1), 256 * len(table))
    state = d.read("state", "i32", 1, (-2, classes + 1))
    word = d.read("word", "i32", 1, d.rng.choice([INT32, INT32, INT32, (-1, 0), INT32[:1] * 2]))
    out = d.out("i32", 1, (0, n - 1))
    d.b.step("sample", {"x": x, "allowed": d.b.const("allowed", "i8", _allowed(d, classes, n)),
                        "state": state, "word": word,
                        "forced": d.read("forced", "i32", 1, forced),
                        "table": d.i32("table", table), "out": out},
             n=n, one=1, classes=classes, entries=len(table), multiplier=multiplier,
             shift=shift)  # fmt: skip
    d.b.show("out", out)


def _ties(d: Drawing, n: int) -> tuple[Slice, list[int], int, int]:
    """Weights of 0 and 1, all but the first class about halfway between two, or at the cut."""
    table, shift = [1, 0, 0, 1, 1, 0, 1, 1], d.rng.choice((0, 1, 1, 3))
    cut = len(table) - 1
    far = d.rng.choice([256 * k + 128 for k in range(cut)] + [256 * cut] * 2) << shift
    x = d.b.part(1, (0, 0))
    if n > 1:
        d.b.part(n - 1, (-far - (1 << shift), -far + (1 << shift)))
    return Slice("frame", x.start, n), table, 1, shift


def _weights(d: Drawing, n: int) -> list[int]:
    """exp as far as a min-p, or any numbers whose sums fit."""
    if d.chance(0.5):
        return tables.weights_table(d.rng.choice((2, 178, MIN_P)))
    most = min(INT32[1] // n + d.wild, INT32[1])
    entries = d.rng.randint(1 if d.wild else 2, 70)
    low = -1 if d.wild and d.chance(0.3) else 0
    table = numbers(d.rng, entries, (low, most if d.chance(0.5) else min(most, 9)))
    return [table[0] if d.wild else max(table[0], 1), *table[1:]]


def _temperature(d: Drawing, spread: int, units: int) -> tuple[int, int]:
    """Multiplier and shift, mostly so that the spread of x reaches the table's end or less."""
    if d.chance(0.2):  # odd distances are ties of the rounding
        return d.rng.choice((1, 3)), 1
    shift = d.rng.choice((0, 1, 16, 31, 40, d.rng.randrange(63)))
    top = d.factor(spread, shift)
    if d.chance(0.3):
        return d.rng.randint(0, top), shift
    near = (units << shift) // spread
    return min(max(d.rng.randint(near // 4, near * 2), 0), top), shift


def _allowed(d: Drawing, classes: int, n: int) -> list[int]:
    """All, most, some, or one of each row."""
    share = d.rng.choice((1.0, 0.9, 0.5, 0.0))
    kinds = (1,) if d.chance(0.5) else (1, -1, 127, -128)
    mask = [d.rng.choice(kinds) if d.chance(share) else 0 for _ in range(classes * n)]
    for row in range(classes):
        if not (d.wild and d.chance(0.2)):
            mask[row * n + d.rng.randrange(n)] = 1
    return mask


def lookup(d: Drawing) -> None:
    entries, n = d.size(33), d.size(17)
    index = d.read("index", "i32", 1, d.rng.choice([INT32, (-2, entries + 2), (0, entries)]))
    table = numbers(d.rng, entries * n, INT32)
    out = d.out("i32", n, (min(table), max(table)))
    d.b.step("lookup", {"index": index, "table": d.i32("table", table), "out": out},
             one=1, entries=entries, n=n)  # fmt: skip
    d.b.show("out", out)


RECIPES: dict[str, Recipe] = {
    "frame_add": frame_add, "frame_round": frame_round, "frame_sign": frame_sign,
    "argmax": argmax, "age": age, "place": place, "sample": sample, "lookup": lookup,
}  # fmt: skip
