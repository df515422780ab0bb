"""Draw a random instance of an instruction: one recipe per row of the instruction table.

A recipe adds the instruction to a `Builder`, with random lengths, constants and
parameters and with operands up to the ends of their types, and shows what it writes.
`wild` recipes ignore what must fit int64 and draw declared intervals at random: what
they make may be refused by the range proof, but may never overflow if it is accepted.
Those that make the next frame are in `frame_recipes` and `rule_recipes`.
"""

from __future__ import annotations

from math import isqrt
from random import Random

from wmq_kernels import tables
from wmq_kernels.conformance import frame_recipes, rule_recipes
from wmq_kernels.conformance.builder import Builder, Interval, numbers, whole
from wmq_kernels.conformance.drawing import LARGEST, Drawing, Recipe
from wmq_kernels.isa import INT32
from wmq_kernels.program import Program, Slice
from wmq_kernels.rangecheck import certified


def digits(d: Drawing) -> None:
    n = d.size()
    if d.chance(0.3):  # an odd multiple of 1/2 or of 64: a tie of the first or second rounding
        v = (2 * d.rng.randrange(-100, 100) + 1) * d.rng.choice((1, 64))
        x, offset = d.b.read("x", "i32", n, (v, v)), [0] * n
        scale = {"multiplier": d.i32("multiplier", [1] * n),
                 "shift": d.i32("shift", [d.rng.randrange(2) for _ in range(n)])}  # fmt: skip
    else:
        x, offset = d.read("x", "i32", n), numbers(d.rng, n, d.interval(*INT32))
        value = d.b.values[x.value]
        scale = d.scale(max(value.hi - min(offset), max(offset) - value.lo, 1), n, 15)
    high, low = d.out("i8", n, (-127, 127), "high"), d.out("i8", n, (-64, 63), "low")
    d.b.step("digits", {"x": x, "offset": d.i32("offset", offset), **scale, "high": high,
                        "low": low}, n=n)  # fmt: skip
    d.b.show("high", high)
    d.b.show("low", low)


def embed(d: Drawing) -> None:
    classes, dim = d.size(), d.size(33)
    index = d.read("index", "i32", 1, d.rng.choice([INT32, (-2, classes + 2), (0, classes)]))
    table = numbers(d.rng, classes * dim, whole("i8"))
    out = d.out("i8", dim, (min(table), max(table)))
    d.b.step("embed", {"index": index, "table": d.b.const("table", "i8", table), "out": out},
             one=1, classes=classes, dim=dim)  # fmt: skip
    d.b.show("out", out)


def _weights(d: Drawing, x: Slice, o: int) -> tuple[Slice, Interval]:
    """Weights for x, and an interval that holds all sums."""
    weight = numbers(d.rng, o * x.count, whole("i8"))
    rows = [sum(map(abs, weight[j * x.count : (j + 1) * x.count])) for j in range(o)]
    reach = max(rows) * d.reach(x)
    return d.b.const("weight", "i8", weight), (-reach, reach)


def dot(d: Drawing) -> None:
    x, o = d.read("x", "i8", d.size()), d.size(33)
    weight, (lo, hi) = _weights(d, x, o)
    room = (INT32[0] - lo, INT32[1] - hi)
    bias = d.any_i32("bias", o, INT32 if d.wild else room)
    out = d.out("i32", o, INT32)
    d.b.step("dot", {"x": x, "weight": weight, "bias": bias, "out": out}, n=x.count, o=o)
    d.b.show("out", out)


def dot_add(d: Drawing) -> None:
    x, o = d.read("x", "i8", d.size()), d.size(33)
    weight, (lo, hi) = _weights(d, x, o)
    shift = d.rng.randrange(8) if not d.wild else d.parameter("dot_add", "shift")
    room = (INT32[0] - (lo << shift), INT32[1] - (hi << shift))
    acc = d.read("acc", "i32", o, INT32 if d.wild else room)
    out = d.out("i32", o, INT32)
    d.b.step("dot_add", {"x": x, "weight": weight, "acc": acc, "out": out},
             n=x.count, o=o, shift=shift)  # fmt: skip
    d.b.show("out", out)


def _requantize(dtype: str) -> Recipe:
    def recipe(d: Drawing) -> None:
        n = d.size()
        x = d.read("x", "i32", n)
        interval, clamp = d.clamp(dtype)
        out = d.out(dtype, n, interval)
        d.b.step(f"requantize_{dtype}",
                 {"x": x, **d.scale(d.reach(x), n, int(dtype[1:])), "out": out},
                 n=n, **clamp)  # fmt: skip
        d.b.show("out", out)

    return recipe


def add(d: Drawing) -> None:
    n = d.size()
    interval, clamp = d.clamp("i32")
    out = d.out("i32", n, interval)
    d.b.step("add", {"a": d.read("a", "i32", n), "b": d.read("b", "i32", n), "out": out},
             n=n, **clamp)  # fmt: skip
    d.b.show("out", out)


def _norm(d: Drawing) -> tuple[Slice, dict[str, int]]:
    """x and the parameters that both norms have."""
    n = d.size()
    if d.chance(0.25):
        return _round_norm(d, n)
    eps = max(1, d.parameter("rms_norm", "eps"))
    most = min(isqrt(((1 << 62) - 1 - eps) // n), INT32[1])
    slack = d.rng.choice((0, 1, 1 << 20)) if d.wild else 0
    most = min(most + slack, INT32[1])
    if d.chance(0.4):  # a small sum of squares, whose root needs the whole of e
        most, eps = min(most, 1 << d.rng.randrange(1, 14)), min(eps, 1 << d.rng.randrange(14))
    x = d.read("x", "i32", n, (-most, most))
    steepest = max((62 - eps.bit_length()) // 2, 0)
    visible = (max(steepest, 44), 58) if d.chance(0.7) else (steepest - d.wild, 62)
    shift = d.rng.randint(max(visible[0], 0), visible[1])
    numerator = d.parameter("rms_norm", "numerator")
    return x, {"n": n, "eps": eps, "shift": shift, "numerator": numerator}


def _round_norm(d: Drawing, n: int) -> tuple[Slice, dict[str, int]]:
    """All elements equal, so that t is a power of 4 and x * m a tie of the rounding."""
    v = d.rng.choice((-1, 1)) * d.rng.choice((1, 3, 63, 64, 64, 65, 127, 192, 192, 193))
    bits = d.rng.randint((n * v * v).bit_length() // 2 + 1, 30)
    x = d.b.read("x", "i32", n, (v, v))
    shift = 30 - bits + d.rng.choice((30, 31))  # m is 2^30, e is 30 - bits
    return x, {"n": n, "eps": (1 << 2 * bits) - n * v * v, "shift": shift, "numerator": 1 << 60}


def rms_norm(d: Drawing) -> None:
    x, common = _norm(d)
    interval, clamp = d.clamp("i8")
    out = d.out("i8", x.count, interval)
    d.b.step("rms_norm", {"x": x, "out": out}, **common, **clamp)
    d.b.show("out", out)


def rms_norm_digits(d: Drawing) -> None:
    x, common = _norm(d)
    high = d.out("i8", x.count, (-127, 127), "high")
    low = d.out("i8", x.count, (-64, 63), "low")
    d.b.step("rms_norm_digits", {"x": x, "high": high, "low": low}, **common)
    d.b.show("high", high)
    d.b.show("low", low)


def rms_norm_channels(d: Drawing) -> None:
    x, common = _norm(d)
    around = common.pop("shift")
    least = max((62 - common["eps"].bit_length()) // 2, 0) - d.wild
    shifts = [min(max(around + d.rng.randint(-2, 2), least), 62 + d.wild) for _ in range(x.count)]
    interval, clamp = d.clamp("i8")
    out = d.out("i8", x.count, interval)
    d.b.step("rms_norm_channels", {"x": x, "shift": d.i32("shift", shifts), "out": out},
             **common, **clamp)  # fmt: skip
    d.b.show("out", out)


def hadamard(d: Drawing) -> None:
    block, blocks = 1 << d.rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 7)), d.rng.randint(1, 3)
    if d.wild and d.chance(0.3):
        block = d.parameter("hadamard", "block")
    shift = d.rng.choice((0, 1, 2, block.bit_length() // 2, d.rng.randrange(32 + d.wild)))
    most = (INT32[1] - (1 << shift >> 1)) // block
    reach = (-most, most) if not d.wild else d.rng.choice((INT32, (-most - 1, most)))
    if d.chance(0.3):  # small sums, of which many are ties of the rounding
        reach, shift = (-9, 9), d.rng.randint(1, 3)
    x = d.read("x", "i32", blocks * block, reach)
    interval, clamp = d.clamp("i32")
    out = d.out("i32", blocks * block, interval)
    d.b.step("hadamard", {"x": x, "out": out}, blocks=blocks, block=block, shift=shift,
             **clamp)  # fmt: skip
    d.b.show("out", out)


def conv(d: Drawing) -> None:
    past, n = d.rng.randint(1, 4), d.size()
    x = d.read("x", "i16", n)
    held = d.b.values[x.value]
    kept = (min(held.lo, 0), max(held.hi, 0)) if not d.wild else whole("i16")
    history = d.b.state("history", "i16", past * n, kept)
    weight = numbers(d.rng, past * n, whole("i16"))
    now, bias = numbers(d.rng, n, whole("i16")), numbers(d.rng, n, INT32)
    reach = max(sum(map(abs, weight[i::n])) for i in range(n)) * d.reach(history)
    reach += max(map(abs, now)) * d.reach(x) + max(map(abs, bias))
    interval, clamp = d.clamp("i16")
    out = d.out("i16", n, interval)
    d.b.step("conv", {"x": x, "history": history, "weight": d.b.const("weight", "i16", weight),
                      "weight_now": d.b.const("now", "i16", now), "bias": d.i32("bias", bias),
                      **d.scale(max(reach, 1), n, 16), "out": out},
             past=past, n=n, **clamp)  # fmt: skip
    d.b.show("out", out)
    d.b.show("history", history)


def silu(d: Drawing) -> None:
    n, fraction = d.size(), d.parameter("silu", "fraction")
    table = d.rng.choice(
        [
            tables.sigmoid_table(),
            numbers(d.rng, d.rng.randint(1 if d.wild else 2, 70), (0, 1 << 22)),
        ]
    )
    if d.wild and d.rng.random() < 0.2:
        table = numbers(d.rng, 40, INT32)
    if d.chance(0.15):  # next to 0, where the sign decides
        x, table = d.b.read("x", "i16", n, (-1, 1)), numbers(d.rng, 3, (0, 1 << 22))
    else:
        x = d.read("x", "i16", n)
    reach = d.reach(x) << 22 + fraction - 7
    multiplier = d.rng.randint(0, d.factor(reach, 62))
    shift = d.shift(max(reach * multiplier, 1), 16)
    if d.chance(0.15):  # g is a power of two: every odd x is a tie of the rounding
        table, multiplier, shift = [1 << 21] * 3, 1, 21 + fraction - 7 + d.rng.choice((1, 2))
    interval, clamp = d.clamp("i16")
    out = d.out("i16", n, interval)
    d.b.step("silu", {"x": x, "table": d.i32("table", table), "out": out}, n=n,
             entries=len(table), fraction=fraction, multiplier=multiplier, shift=shift,
             **clamp)  # fmt: skip
    d.b.show("out", out)


def softplus(d: Drawing) -> None:
    n = d.size()
    length = 2050 if not d.wild else d.rng.choice((2049, 2050, 2051))
    rough = 1 << (31 if d.wild else 27)  # a parabola may leave its points by half of this
    table = d.rng.choice([tables.softplus_table(), numbers(d.rng, length, (-rough, rough - 1))])
    reach = (1 << 20) + (d.rng.randrange(2) if d.wild else 0)
    x = d.read("x", "i32", n, (-reach, reach - 1))
    if d.chance(0.2):  # a straight line: halfway between two points is a tie of the rounding
        table, halfway = list(range(2050)), 512 + 1024 * d.rng.randrange(-1024, 1024)
        x = d.b.read("x", "i32", n, (halfway, halfway))
    out = d.out("i32", n, (max(min(table) - rough, INT32[0]), min(max(table) + rough, INT32[1])))
    d.b.step("softplus", {"x": x,
                          "table": d.i32("table", table), "out": out},
             n=n, entries=len(table))  # fmt: skip
    d.b.show("out", out)


def decay(d: Drawing) -> None:
    n, least = d.size(), -1 if d.wild and d.rng.random() < 0.2 else 0
    one, part = (0, (1 << 46) + (1 if d.wild else 0)), (0, (1 << 30) + (1 if d.wild else 0))
    coarse, fine = tables.decay_coarse(), tables.decay_fine()
    if d.rng.random() < 0.5:
        coarse = numbers(d.rng, d.rng.choice((1, 2) if d.wild else (2, 255, 256, 257)), one)
        fine = numbers(d.rng, 256 if not d.wild else d.rng.randint(254, 257), part)
    dt, rate = d.interval(least, INT32[1]), numbers(d.rng, n, (least, INT32[1]))
    if d.rng.random() < 0.3:  # exponents around the table's end
        coarse, fine = coarse[: d.rng.choice((2, 64, 127))], tables.decay_fine()
        rate, last = [1 << 18] * n, (len(coarse) - 1) << 24
        dt = (last - 2, last + 2)
    elif d.chance(0.2):  # dt * rate is a tie of the rounding, where a unit of v shows
        rate, dt = [1 << 17] * n, (1, 1 << 20)
    elif d.chance(0.3):  # from the last points of a coarse step into the next
        rate, k = [1 << 18] * n, d.rng.randrange(min(len(coarse), 100))
        dt = ((k << 24) + (252 << 16), (k + 1 << 24) + (1 << 16))
    elif d.chance(0.3):  # the result is a tie of the rounding
        k = d.rng.randrange(100)
        coarse = [(2 * d.rng.getrandbits(30) + 1) << 14 for _ in range(102)]
        rate, dt, fine = [1 << 18] * n, (k << 24, k << 24), tables.decay_fine()
    out = d.out("i32", n, (0, INT32[1]))
    d.b.step("decay", {"dt": d.b.read("dt", "i32", n, dt), "rate": d.i32("rate", rate),
                       "coarse": d.b.const("coarse", "i64", coarse),
                       "fine": d.b.const("fine", "i64", fine), "out": out},
             n=n, entries=len(coarse), fines=len(fine))  # fmt: skip
    d.b.show("out", out)


def drive(d: Drawing) -> None:
    heads, headdim = d.size(8), d.size(17)
    x, dt = d.read("x", "i16", heads * headdim), d.read("dt", "i32", heads)
    shifts = [d.shift(d.reach(x) * d.reach(dt), 32) for _ in range(heads)]
    interval, clamp = d.clamp("i32")
    out = d.out("i32", heads * headdim, interval)
    d.b.step("drive", {"x": x, "dt": dt, "shift": d.i32("shift", shifts), "out": out},
             heads=heads, headdim=headdim, **clamp)  # fmt: skip
    d.b.show("out", out)


def scan(d: Drawing) -> None:
    _scan(d, "scan")


def scan_carry(d: Drawing) -> None:
    _scan(d, "scan_carry")


def _scan(d: Drawing, op: str) -> None:
    heads, d_state, headdim = d.size(5), d.size(9), d.size(9)
    limit = min(d.parameter(op, "limit"), INT32[1])
    kept = (-limit, limit) if not d.wild else whole("i32")
    state = d.b.state("state", "i32", heads * d_state * headdim, kept)
    ties = d.chance(0.25)  # the update is a multiple of a half
    decay, drive, small = ((0, 1 << 30), (-9, 9), (-5, 5)) if ties else (None, None, None)
    keep = d.read("decay", "i32", heads, decay)
    push = d.read("drive", "i32", heads * headdim, drive)
    B, C = d.read("B", "i16", d_state, small), d.read("C", "i16", d_state)
    carried = whole("i16") if not d.wild else d.interval(*whole("i16"))
    carry = {}
    if op == "scan_carry":
        carried = (min(carried[0], 0), max(carried[1], 0))
        carry["carry"] = d.b.state("carry", "i16", heads * d_state * headdim, carried)
    room = LARGEST - (1 << 31) - limit * d.reach(keep)
    most = (room // (d.reach(push) * d.reach(B))).bit_length() - 1
    gain = numbers(d.rng, heads, (0, 41 if d.wild else min(most, 40)))
    if ties:
        gain = [30] * heads
    x = d.read("x", "i16", heads * headdim)
    skip_most = 1 << (50 if d.wild else 46)
    skip = numbers(d.rng, heads, (-skip_most, skip_most))
    shift = [d.shift(max(map(abs, skip)) * d.reach(x) + 1, 16) for _ in range(heads)]
    interval, clamp = d.clamp("i16")
    out = d.out("i16", heads * headdim, interval)
    d.b.step(op, {"state": state, **carry, "decay": keep, "drive": push, "B": B, "C": C, "x": x,
                      "skip": d.b.const("skip", "i64", skip), "gain": d.i32("gain", gain),
                      "shift": d.i32("shift", shift), "out": out},
             heads=heads, d_state=d_state, headdim=headdim, limit=limit, **clamp)  # fmt: skip
    d.b.show("out", out)
    d.b.show("state", state)
    for at in carry.values():
        d.b.show("carry", at)


def gate(d: Drawing) -> None:
    n = d.size()
    a, b = d.read("a", "i16", n), d.read("b", "i16", n)
    interval, clamp = d.clamp("i32")
    out = d.out("i32", n, interval)
    d.b.step("gate", {"a": a, "b": b, **d.scale(d.reach(a) * d.reach(b), n, 32), "out": out},
             n=n, **clamp)  # fmt: skip
    d.b.show("out", out)


def copy(d: Drawing) -> None:
    n = d.size()
    x = d.b.part(n, INT32) if d.rng.random() < 0.5 else d.read("x", "i32", n)
    out = d.out("i32", n, INT32)
    d.b.step("copy", {"x": x, "out": out}, n=n)
    d.b.show("out", out)


RECIPES: dict[str, Recipe] = {
    "requantize_i8": _requantize("i8"), "requantize_i16": _requantize("i16"),
    "requantize_i32": _requantize("i32"), "digits": digits, "embed": embed, "dot": dot,
    "dot_add": dot_add, "add": add, "rms_norm": rms_norm, "conv": conv, "silu": silu,
    "softplus": softplus, "decay": decay, "drive": drive, "scan": scan,
    "scan_carry": scan_carry, "gate": gate,
    "copy": copy, "rms_norm_digits": rms_norm_digits, "rms_norm_channels": rms_norm_channels,
    "hadamard": hadamard, **frame_recipes.RECIPES, **rule_recipes.RECIPES,
}  # fmt: skip


def draw(op: str, seed: int, wild: bool = False) -> tuple[Program, list[list[int]]]:
    """A program around one random instance of an instruction, and three frames for it.

    A wild one has no certificate.
    """
    rng = Random(seed)
    builder = Builder(rng)
    RECIPES[op](Drawing(rng, builder, wild))
    program = builder.program()
    return program if wild else certified(program), builder.frames(3)
