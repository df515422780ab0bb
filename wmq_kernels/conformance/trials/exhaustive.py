"""Try every input: of every int8 function, of silu on int16, of the tables.

dot and dot_add are what an int8 number goes into; embed and lookup take an index.  softplus and
decay read tables, and are tried on both sides of every point of them.  hadamard is linear
before it rounds, so that unit vectors show all of its matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from wmq_kernels import tables
from wmq_kernels.conformance.builder import Builder, Interval, whole
from wmq_kernels.conformance.trials.trial import Trial, in_rows, trial
from wmq_kernels.isa import INT32
from wmq_kernels.rangecheck import certified

INT8 = range(-128, 128)
INT16 = range(-(1 << 15), 1 << 15)
LANES = 64  # inputs of a frame


def dot(bias: int) -> Trial:
    """All 65,536 products: a frame for each x, a row for each weight."""
    b = Builder(Random(0))
    x, out = b.read("x", "i8", 1), b.temp("out", "i32", len(INT8), INT32)
    b.step("dot", {"x": x, "weight": b.const("weight", "i8", INT8),
                   "bias": b.const("bias", "i32", [bias] * len(INT8)), "out": out},
           n=1, o=len(INT8))  # fmt: skip
    b.show("out", out)
    return trial(b, certified(b.program()), [[x] for x in INT8])


def dot_add(shift: int) -> Trial:
    """All 65,536 products, on sums as far from 0 as there is room, and on small ones."""
    b, rows = Builder(Random(0)), len(INT8)
    room = INT32[1] - (1 << 14 + shift)
    sums = [(-room, room, 0, -1, 77)[row % 5] for row in range(rows)]
    x, acc = b.read("x", "i8", 1), b.temp("acc", "i32", rows, (-room, room))
    b.step("dot", {"x": x, "weight": b.const("nothing", "i8", [0] * rows),
                   "bias": b.const("sums", "i32", sums), "out": acc}, n=1, o=rows)  # fmt: skip
    out = b.temp("out", "i32", rows, INT32)
    b.step("dot_add", {"x": x, "weight": b.const("weight", "i8", INT8), "acc": acc, "out": out},
           n=1, o=rows, shift=shift)  # fmt: skip
    b.show("out", out)
    return trial(b, certified(b.program()), [[x] for x in INT8])


def embed(classes: int, dim: int) -> Trial:
    return _row_of("embed", "i8", {"classes": classes, "dim": dim})


def lookup(entries: int, n: int) -> Trial:
    return _row_of("lookup", "i32", {"entries": entries, "n": n})


def _row_of(op: str, dtype: str, sizes: dict[str, int]) -> Trial:
    """Every row of a table, indices on both sides of it, and the ends of int32."""
    rows, columns = sizes.values()
    b = Builder(Random(0))
    table = [b.rng.randint(*whole(dtype)) for _ in range(rows * columns)]
    out = b.temp("out", dtype, columns, whole(dtype))
    b.step(op, {"index": b.part(1, INT32), "table": b.const("table", dtype, table), "out": out},
           one=1, **sizes)  # fmt: skip
    b.show("out", out)
    indices = [INT32[0], -rows - 1, *range(-3, rows + 4), 2 * rows + 1, INT32[1]]
    return trial(b, certified(b.program()), [[index] for index in indices])


def silu(fraction: int, multiplier: int, more_shift: int, clamp: Interval) -> Trial:
    """All 65,536 x: sigmoid(x) * x with `fraction` bits, times multiplier / 2^more_shift."""
    b = Builder(Random(0))
    x, out = b.read("x", "i16", LANES), b.temp("out", "i16", LANES, clamp)
    table = tables.sigmoid_table()
    b.step("silu", {"x": x, "table": b.const("table", "i32", table), "out": out}, n=LANES,
           entries=len(table), fraction=fraction, multiplier=multiplier,
           shift=22 + fraction - 7 + more_shift, lo=clamp[0], hi=clamp[1])  # fmt: skip
    b.show("out", out)
    return trial(b, certified(b.program()), in_rows(INT16, LANES))


def softplus() -> Trial:
    """x at every point of the table, a unit on either side of it, and halfway to the next."""
    b = Builder(Random(0))
    table = tables.softplus_table()
    x = b.read("x", "i32", LANES, (-(1 << 20), (1 << 20) - 1))
    out = b.temp("out", "i32", LANES, INT32)
    b.step("softplus", {"x": x, "table": b.const("table", "i32", table), "out": out}, n=LANES,
           entries=len(table))  # fmt: skip
    b.show("out", out)
    near = [(k << 10) + d for k in range(-1024, 1025) for d in (-1, 0, 1, 511, 512)]
    inputs = [v for v in near if -(1 << 20) <= v < 1 << 20]
    return trial(b, certified(b.program()), in_rows(inputs, LANES))


def decay(rate: int, exponents: tuple[int, ...]) -> Trial:
    """dt around every given exponent v (32 fraction bits): the last below, and the next two."""
    b = Builder(Random(0))
    coarse, fine = tables.decay_coarse(), tables.decay_fine()
    dt, out = b.read("dt", "i32", LANES, (0, INT32[1])), b.temp("out", "i32", LANES, (0, INT32[1]))
    b.step("decay", {"dt": dt, "rate": b.const("rate", "i32", [rate] * LANES),
                     "coarse": b.const("coarse", "i64", coarse),
                     "fine": b.const("fine", "i64", fine), "out": out},
           n=LANES, entries=len(coarse), fines=len(fine))  # fmt: skip
    b.show("out", out)
    first = [-(-((v << 18) - (1 << 17)) // rate) for v in exponents]  # the least dt with that v
    inputs = [0, INT32[1]] + [dt + d for dt in first for d in (-1, 0, 1)]
    return trial(b, certified(b.program()), in_rows([v for v in inputs if 0 <= v <= INT32[1]],
                                                    LANES))  # fmt: skip


def hadamard(block: int, columns: Sequence[int]) -> Trial:
    """Unit vectors in the first block, and so columns of the matrix; a second block of ones."""
    b, n = Builder(Random(0)), 2 * block
    x, out = b.read("x", "i32", n, (-1, 1)), b.temp("out", "i32", n, INT32)
    b.step("hadamard", {"x": x, "out": out}, blocks=2, block=block, shift=0, lo=INT32[0],
           hi=INT32[1])  # fmt: skip
    b.show("out", out)
    given = [[*(int(j == column) for j in range(block)), *[1] * block] for column in columns]
    return trial(b, certified(b.program()), given)


COARSE = tuple(k << 24 for k in range(5698))  # one beyond the table's end
FINE = tuple(step << 16 for step in range(0, 1 << 15, 3))  # with every j of 0..255
TRIALS: dict[str, Callable[[], Trial]] = {
    **{f"dot, bias {bias}": partial(dot, bias) for bias in (0, INT32[1] - (1 << 14), -(1 << 30))},
    **{f"dot_add, shift {shift}": partial(dot_add, shift) for shift in (0, 1, 7, 13, 16)},
    **{f"embed, {classes} x {dim}": partial(embed, classes, dim)
       for classes, dim in ((1, 1), (2, 5), (7, 3), (256, 4))},
    **{f"lookup, {entries} x {n}": partial(lookup, entries, n)
       for entries, n in ((1, 1), (2, 5), (7, 3))},
    **{f"silu, fraction {fraction}, times {multiplier} / 2^{shift} in {list(clamp)}":
       partial(silu, fraction, multiplier, shift, clamp)
       for fraction in range(7, 16)
       for multiplier, shift, clamp in ((1, 0, whole("i16")), (54_321, 15, (-100, 20_000)))},
    **{f"hadamard, all of block {block}": partial(hadamard, block, range(block))
       for block in (2, 4, 8, 16, 32, 64)},
    **{f"hadamard, some of block {block}": partial(hadamard, block, (0, 1, block - 1))
       for block in (128, 256, 512, 1024)},
    "softplus": softplus,
    "decay, every coarse point": partial(decay, 1 << 24, COARSE),
    "decay, every coarse point, odd rate": partial(decay, (1 << 24) + 12_345, COARSE),
    "decay, fine points": partial(decay, 1 << 18, FINE),
    "decay, fine points and the units beside them": partial(
        decay, 1 << 18, tuple(v + d for v in FINE[:: 1 << 5] for d in (-1, 1))),
}  # fmt: skip
