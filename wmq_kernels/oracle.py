"""Define what each instruction means, in Python's unbounded integers: the oracle.

One function a row of `isa.ROWS`, under the same name and written from its formula.  It
takes the row's operands and parameters by name, lists of ints in row-major order, and
returns what it writes by name, and how many clamps changed a value.  Every step towards a
result is checked to fit int64; `reference.py` checks what is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import isqrt
from operator import mul

from wmq_kernels.errors import ProgramError
from wmq_kernels.exact import INT32, Ints, Result, clamp, entry, int64, round_shift, saturate
from wmq_kernels.frame_oracle import FRAME_ORACLE


def digits(x: Ints, offset: Ints, multiplier: Ints, shift: Ints, n: int) -> Result:
    products = [int64((x[i] - offset[i]) * multiplier[i], "product") for i in range(n)]
    rounded = [round_shift(products[i], shift[i]) for i in range(n)]
    u, saturated = saturate(rounded, -16256, 16256)
    high = [round_shift(v, 7) for v in u]
    low = [u[i] - 128 * high[i] for i in range(n)]
    return {"high": high, "low": low}, saturated


def embed(index: Ints, table: Ints, one: int, classes: int, dim: int) -> Result:
    row = clamp(index[0], 0, classes - 1)
    return {"out": table[row * dim : (row + 1) * dim]}, 0


def dot(x: Ints, weight: Ints, bias: Ints, n: int, o: int) -> Result:
    return {"out": [bias[j] + _row_dot(weight, j, x) for j in range(o)]}, 0


def dot_add(x: Ints, weight: Ints, acc: Ints, n: int, o: int, shift: int) -> Result:
    shifted = [int64(2**shift * _row_dot(weight, j, x), "2^shift * sum") for j in range(o)]
    return {"out": [int64(acc[j] + shifted[j], "acc + sum") for j in range(o)]}, 0


def _row_dot(weight: Ints, j: int, x: Ints) -> int:
    n = len(x)
    total = sum(map(mul, weight[j * n : (j + 1) * n], x))
    if not -INT32 <= total < INT32:
        raise ProgramError(f"row {j} sums up to {total}, which does not fit int32")
    return total


def _requantize(
    x: Ints, multiplier: Ints, shift: Ints, n: int, lo: int, hi: int
) -> Result:  # for all widths
    products = [int64(x[i] * multiplier[i], "x * multiplier") for i in range(n)]
    out, saturated = saturate([round_shift(products[i], shift[i]) for i in range(n)], lo, hi)
    return {"out": out}, saturated


def add(a: Ints, b: Ints, n: int, lo: int, hi: int) -> Result:
    out, saturated = saturate([a[i] + b[i] for i in range(n)], lo, hi)
    return {"out": out}, saturated


def rms_norm(x: Ints, n: int, eps: int, numerator: int, shift: int, lo: int, hi: int) -> Result:
    return rms_norm_channels(x, [shift] * n, n, eps, numerator, lo, hi)


def rms_norm_channels(
    x: Ints, shift: Ints, n: int, eps: int, numerator: int, lo: int, hi: int
) -> Result:
    t = eps + sum(v * v for v in x)
    if t >= 2**62:
        raise ProgramError(f"eps + sum x^2 = {t} is not below 2^62")
    e = 0
    while t * 4**e < 2**60:
        e += 1
    m = numerator // isqrt(t * 4**e)
    products = [int64(v * m, "x * m") for v in x]
    rounded = [round_shift(products[i], shift[i] - e) for i in range(n)]
    out, saturated = saturate(rounded, lo, hi)
    return {"out": out}, saturated


def rms_norm_digits(x: Ints, n: int, eps: int, numerator: int, shift: int) -> Result:
    found, saturated = rms_norm(x, n, eps, numerator, shift, -16256, 16256)
    high = [round_shift(u, 7) for u in found["out"]]
    low = [found["out"][i] - 128 * high[i] for i in range(n)]
    return {"high": high, "low": low}, saturated


def conv(
    x: Ints, history: Ints, weight: Ints, weight_now: Ints, bias: Ints, multiplier: Ints,
    shift: Ints, past: int, n: int, lo: int, hi: int,
) -> Result:  # fmt: skip
    rounded = []
    for i in range(n):
        a = bias[i] + weight_now[i] * x[i] + sum(map(mul, weight[i::n], history[i::n]))
        product = int64(int64(a, "a") * multiplier[i], "a * multiplier")
        rounded.append(round_shift(product, shift[i]))
    out, saturated = saturate(rounded, lo, hi)
    return {"out": out, "history": history[n:] + x}, saturated


def silu(
    x: Ints, table: Ints, n: int, entries: int, fraction: int, multiplier: int, shift: int,
    lo: int, hi: int,
) -> Result:  # fmt: skip
    b = fraction - 7
    rounded = []
    for v in x:
        a = abs(v)
        k = min(a >> b, entries - 2)
        r = min(a - k * 2**b, 2**b)
        left, right = entry(table, k, "table"), entry(table, k + 1, "table")
        g = int64(left * 2**b + (right - left) * r, "g")
        if v < 0:
            g = int64(2 ** (22 + b) - g, "g")
        product = int64(int64(v * g, "x * g") * multiplier, "x * g * multiplier")
        rounded.append(round_shift(product, shift))
    out, saturated = saturate(rounded, lo, hi)
    return {"out": out}, saturated


def softplus(x: Ints, table: Ints, n: int, entries: int) -> Result:
    out = []
    for v in x:
        a = v + 2**20
        k = a >> 10
        r = a - k * 2**10
        left, middle, right = (entry(table, k + j, "table") for j in (0, 1, 2))
        bend = right - 2 * middle + left
        exact = left * 2**21 + (middle - left) * r * 2**11 + bend * r * (r - 1024)
        out.append(round_shift(int64(exact, "the parabola"), 21))
    return {"out": out}, 0


def decay(
    dt: Ints, rate: Ints, coarse: Ints, fine: Ints, n: int, entries: int, fines: int
) -> Result:
    out = []
    for i in range(n):
        v = round_shift(int64(dt[i] * rate[i], "dt * rate"), 18)
        k, j, r = v >> 24, (v >> 16) % 256, v % 65536
        if k >= entries - 1:
            out.append(0)
            continue
        near = int64(_decay_point(coarse, fine, k, j) * (65536 - r), "e(j) * (65536 - r)")
        far = int64(_decay_point(coarse, fine, k, j + 1) * r, "e(j + 1) * r")
        out.append(min(round_shift(int64(near + far, "e"), 31), 2**31 - 1))
    return {"out": out}, 0


def _decay_point(coarse: Ints, fine: Ints, k: int, j: int) -> int:
    """exp(-(k / 2^8 + j / 2^16)) with 46 fraction bits, for j = 0..256."""
    if j == 256:
        return entry(coarse, k + 1, "coarse")
    here = entry(coarse, k, "coarse")
    return here - (int64((here >> 14) * entry(fine, j, "fine"), "coarse * fine") >> 24)


def drive(x: Ints, dt: Ints, shift: Ints, heads: int, headdim: int, lo: int, hi: int) -> Result:
    rounded = []
    for h in range(heads):
        for p in range(headdim):
            product = int64(x[h * headdim + p] * dt[h], "x * dt")
            rounded.append(round_shift(product, shift[h]))
    out, saturated = saturate(rounded, lo, hi)
    return {"out": out}, saturated


def scan(
    state: Ints, decay: Ints, drive: Ints, B: Ints, C: Ints, x: Ints, skip: Ints, gain: Ints,
    shift: Ints, heads: int, d_state: int, headdim: int, limit: int, lo: int, hi: int,
) -> Result:  # fmt: skip
    no_carry = [0] * len(state)
    written, saturated = scan_carry(state, no_carry, decay, drive, B, C, x, skip, gain, shift,
                                    heads, d_state, headdim, limit, lo, hi)  # fmt: skip
    return {"state": written["state"], "out": written["out"]}, saturated


def scan_carry(
    state: Ints, carry: Ints, decay: Ints, drive: Ints, B: Ints, C: Ints, x: Ints, skip: Ints,
    gain: Ints, shift: Ints, heads: int, d_state: int, headdim: int, limit: int, lo: int, hi: int,
) -> Result:  # fmt: skip
    new: Ints = []
    left: Ints = []
    rounded: Ints = []
    saturated = 0
    for h in range(heads):
        mine = slice(h * headdim, (h + 1) * headdim)
        first = len(new)
        for n in range(d_state):
            row = slice(first + n * headdim, first + (n + 1) * headdim)
            moved, rest, clamped = _scan_row(
                state[row], decay[h], drive[mine], B[n], gain[h], limit, carry[row]
            )
            new += moved
            left += rest
            saturated += clamped
        for p, value in enumerate(x[mine]):
            seen = sum(map(mul, new[first + p :: headdim], C))
            total = int64(int64(skip[h] * value, "skip * x") + seen, "skip * x + sum")
            rounded.append(round_shift(total, shift[h]))
    out, clamped = saturate(rounded, lo, hi)
    return {"state": new, "carry": left, "out": out}, saturated + clamped


def _scan_row(
    row: Ints, decay: int, drive: Ints, b: int, gain: int, limit: int, carry: Ints
) -> tuple[Ints, Ints, int]:
    """state[h, n, :] and carry[h, n, :] of the next frame, and saturations.

    Checks are on the row's extremes, for speed.
    """
    if not 0 <= gain <= 62:
        raise ProgramError(f"a gain of {gain} is not in [0, 62]")
    weight = b * 2**gain
    kept = [s * decay for s in row]
    added = [d * weight for d in drive]
    totals = [a + b + c * 2**15 for a, b, c in zip(kept, added, carry, strict=True)]
    for what, terms in (("state * decay", kept), ("drive * B", added), ("sum", totals)):
        for extreme in (min(terms), max(terms)):
            int64(extreme, f"the new state's {what}")
    round_shift(max(totals), 31)
    moved = [(total + 2**30) >> 31 for total in totals]
    left = [(total - u * 2**31) >> 15 for total, u in zip(totals, moved, strict=True)]
    if -limit <= min(moved) and max(moved) <= limit:
        return moved, left, 0
    moved, saturated = saturate(moved, -limit, limit)
    return moved, left, saturated


def gate(a: Ints, b: Ints, multiplier: Ints, shift: Ints, n: int, lo: int, hi: int) -> Result:
    products = [int64(a[i] * b[i] * multiplier[i], "a * b * multiplier") for i in range(n)]
    out, saturated = saturate([round_shift(products[i], shift[i]) for i in range(n)], lo, hi)
    return {"out": out}, saturated


def frame_add(now: Ints, change: Ints, least: Ints, most: Ints, n: int) -> Result:
    return {"out": [clamp(now[i] + change[i], least[i], most[i]) for i in range(n)]}, 0


def frame_round(now: Ints, value: Ints, least: Ints, most: Ints, falling: Ints, n: int) -> Result:
    v = [clamp(round_shift(value[i], 16), least[i], most[i]) for i in range(n)]
    return {"out": [min(v[i], now[i]) if falling[i] == 1 else v[i] for i in range(n)]}, 0


def frame_sign(x: Ints, n: int) -> Result:
    return {"out": [1 if v > 0 else 0 for v in x]}, 0


def argmax(x: Ints, n: int, one: int) -> Result:
    return {"out": [x.index(max(x))]}, 0


def age(before: Ints, after: Ints, age: Ints, one: int, most: int) -> Result:
    return {"out": [0 if after[0] != before[0] else min(age[0] + 1, most)]}, 0


def copy(x: Ints, n: int) -> Result:
    return {"out": list(x)}, 0


def place(
    before: Ints, after: Ints, index: Ints, moved: Ints, table: Ints,
    one: int, n: int, entries: int, event: int,
) -> Result:  # fmt: skip
    if after[0] == event and before[0] != event:
        k = min(max(index[0], 0), entries - 1)
        return {"out": table[k * n : (k + 1) * n]}, 0
    return {"out": list(moved)}, 0


def hadamard(x: Ints, blocks: int, block: int, shift: int, lo: int, hi: int) -> Result:
    rounded = []
    for k in range(blocks):
        mine = x[k * block : (k + 1) * block]
        for i in range(block):
            total = sum(-v if (i & j).bit_count() % 2 else v for j, v in enumerate(mine))
            if not -INT32 <= total < INT32:
                raise ProgramError(f"sum {i} of block {k} is {total}, which does not fit int32")
            rounded.append(round_shift(total, shift))
    out, saturated = saturate(rounded, lo, hi)
    return {"out": out}, saturated


def sample(
    x: Ints, allowed: Ints, state: Ints, word: Ints, forced: Ints, table: Ints,
    n: int, one: int, classes: int, entries: int, multiplier: int, shift: int,
) -> Result:  # fmt: skip
    row = clamp(state[0], 0, classes - 1) * n
    taken = [i for i in range(n) if allowed[row + i] != 0]
    if not taken:
        raise ProgramError(f"row {row // n} of allowed has zeros only")
    if forced[0] >= 0:
        return {"out": [min(forced[0], n - 1)]}, 0
    most = max(x[i] for i in taken)
    if forced[0] < -1:
        return {"out": [next(i for i in taken if x[i] == most)]}, 0
    w = [0] * n
    for i in taken:
        distance = round_shift(int64((most - x[i]) * multiplier, "distance"), shift)
        q, r = distance >> 8, distance % 256
        if q < entries - 1:
            left, right = entry(table, q, "table"), entry(table, q + 1, "table")
            w[i] = round_shift(int64(left * 256 + (right - left) * r, "weight"), 8)
    t = int64(word[0] % 2**32 * sum(w), "word * sum of weights") >> 32
    for i, seen in enumerate(accumulate(w)):
        if seen > t:
            return {"out": [i]}, 0
    raise ProgramError(f"no class is drawn: the weights sum up to {sum(w)}")


def lookup(index: Ints, table: Ints, one: int, entries: int, n: int) -> Result:
    return embed(index, table, one, entries, n)


ORACLE: dict[str, Callable[..., Result]] = {
    function.__name__: function
    for function in (
        digits, embed, dot, dot_add, add, rms_norm, conv, silu, softplus, decay, drive, scan,
        scan_carry, gate, frame_add, frame_round, frame_sign, argmax, age, copy, rms_norm_digits,
        place, rms_norm_channels, hadamard, sample, lookup,
    )
}  # fmt: skip
ORACLE |= {f"requantize_{dtype}": _requantize for dtype in ("i8", "i16", "i32")}
ORACLE |= FRAME_ORACLE
