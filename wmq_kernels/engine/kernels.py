"""Compute the instructions in compiled integers: one function per row of `isa.py`.

All is integers, and arrays come as slices of the arenas of `loop`.  Kernels return the
number of values that their clamp changed.  What makes the next frame of the network's
outputs is in `frame_kernels`.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine.compiling import inlined, kernel

# Copies of what isa.py says, held to it by a test: this package imports no other.
DIGITS_LIMIT = 127 << 7
SIGMOID_BITS = 22
SIGMOID_STEP_BITS = 7
SOFTPLUS_REACH = 1 << 20

MAX_INT32 = (1 << 31) - 1
ROWS = 32  # of weights that all worlds use in turn, while they are near


@inlined
def round_shift(v, s):
    """v / 2^s to the nearest integer, half up; exact int64, s >= 0."""
    return (v + ((np.int64(1) << s) >> 1)) >> s


@inlined
def clamp(v, lo, hi):
    return min(max(v, lo), hi)


@kernel
def assign(target, source):
    """target = source from the lowest element on; numba's own slice assignment brings
    floating point along, for the text of its error."""
    for i in range(len(target)):
        target[i] = source[i]


@kernel
def isqrt(t):
    """floor(sqrt(t)) for 0 <= t < 2^63, digit by digit."""
    root = np.int64(0)
    bit = np.int64(1) << 62
    while bit > 0:
        if t >= root + bit:
            t -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return root


@kernel
def digits(x, offset, multiplier, shift, high, low):
    count = 0
    for i in range(len(x)):
        exact = round_shift((np.int64(x[i]) - offset[i]) * multiplier[i], np.int64(shift[i]))
        u = clamp(exact, -DIGITS_LIMIT, DIGITS_LIMIT)
        count += u != exact
        h = round_shift(u, np.int64(7))
        high[i] = h
        low[i] = u - 128 * h
    return count


@kernel
def embed(index, table, out):
    dim = len(out)
    row = clamp(np.int64(index[0]), 0, len(table) // dim - 1)
    assign(out, table[row * dim : (row + 1) * dim])


@kernel
def products(weight, x, out):
    """weight (o * n,) int8 times x (n,) int16, modulo 2^32, in one loop that LLVM
    vectorizes: a function for each row would take twice the time."""
    n = len(x)
    for j in range(len(out)):
        acc = np.int32(0)
        for i in range(n):
            acc += np.int32(weight[j * n + i]) * np.int32(x[i])
        out[j] = acc


@kernel
def widen(x, out):
    for i in range(len(out)):
        out[i] = x[i]


@kernel
def add_digit(y, shift, out):
    """out + 2^shift * y, which fits int16 where out was the low digit."""
    for i in range(len(out)):
        out[i] += np.int16(y[i]) << shift


@kernel
def dots(p, worlds, c8, c32, v8, v32, widened, acc):
    """dot and dot_add of some worlds: out = base + 2^s * W x, or base + W (x + 2^s * y).

    p     what `plan` makes of them: starts of x, y (-1 if there is none), W, base and out;
          n, o; s; 1 if base is constant; the sizes of a world in v8 and in v32
    widened  (worlds * n,) int16 and acc (ROWS,) int32 to work in
    """
    x, y, w, base, out, n, o = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    shift, constant, size8, size32 = p[7], p[8], p[9], p[10]
    for world in range(worlds):
        mine, at = widened[world * n : (world + 1) * n], world * size8
        widen(v8[x + at :], mine)
        if y >= 0:
            add_digit(v8[y + at :], shift, mine)
    left = np.int64(0) if y >= 0 else shift
    for first in range(0, o, ROWS):
        rows = min(ROWS, o - first)
        row = w + first * n
        for world in range(worlds):
            to = out + world * size32 + first
            mine = v32[to : to + rows]
            products(c8[row : row + rows * n], widened[world * n : (world + 1) * n], acc[:rows])
            if constant:
                accumulate(c32[base + first : base + first + rows], acc, left, mine)
            else:
                before = base + world * size32 + first
                accumulate(v32[before : before + rows], acc, left, mine)


@kernel
def accumulate(base, acc, shift, out):
    """base + acc * 2^shift, which fits int32 where acc, modulo 2^32, need not."""
    for j in range(len(out)):
        out[j] = base[j] + (np.int64(acc[j]) << shift)


@kernel
def requantize(x, multiplier, shift, out, lo, hi):
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * np.int64(multiplier[i]), np.int64(shift[i]))
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@kernel
def add(a, b, out, lo, hi):
    count = 0
    for i in range(len(a)):
        exact = np.int64(a[i]) + np.int64(b[i])
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@kernel
def norm_factor(x, eps, numerator):
    """m and e of rms_norm: 1 / sqrt(eps + sum x^2) is m * 2^e over a power of two."""
    t = np.int64(eps)
    for i in range(len(x)):
        t += np.int64(x[i]) * np.int64(x[i])
    e = np.int64(0)
    while t < np.int64(1) << 60:
        t <<= 2
        e += 1
    return numerator // isqrt(t), e


@kernel
def rms_norm(x, out, eps, numerator, shift, lo, hi):
    m, e = norm_factor(x, eps, numerator)
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * m, shift - e)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@kernel
def rms_norm_digits(x, high, low, eps, numerator, shift):
    m, e = norm_factor(x, eps, numerator)
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * m, shift - e)
        u = clamp(exact, -DIGITS_LIMIT, DIGITS_LIMIT)
        count += u != exact
        h = round_shift(u, np.int64(7))
        high[i] = h
        low[i] = u - 128 * h
    return count


@kernel
def rms_norm_channels(x, shift, out, eps, numerator, lo, hi):
    m, e = norm_factor(x, eps, numerator)
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * m, np.int64(shift[i]) - e)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@kernel
def conv(x, history, weight, weight_now, bias, multiplier, shift, sums, out, lo, hi):
    """sums (n,) int64 to work in."""
    n = len(x)
    past = len(history) // n
    for i in range(n):
        sums[i] = np.int64(bias[i]) + np.int64(weight_now[i]) * np.int64(x[i])
    for k in range(past):
        convolve_row(weight[k * n : (k + 1) * n], history[k * n : (k + 1) * n], sums)
    count = requantize(sums[:n], multiplier, shift, out, lo, hi)
    for k in range(past - 1):
        assign(history[k * n : (k + 1) * n], history[(k + 1) * n : (k + 2) * n])
    assign(history[(past - 1) * n :], x)
    return count


@kernel
def convolve_row(weight, history, sums):
    for i in range(len(history)):
        sums[i] += np.int64(weight[i]) * np.int64(history[i])


@kernel
def silu(x, table, near, far, out, fraction, multiplier, shift, lo, hi):
    """near, far (n,) int32 to work in: the table on both sides of each x."""
    b = fraction - SIGMOID_STEP_BITS
    one = np.int64(1) << (SIGMOID_BITS + b)
    step = np.int64(1) << b
    last = np.int64(len(table) - 2)
    for i in range(len(x)):
        k = min(abs(np.int64(x[i])) >> b, last)
        near[i] = table[k]
        far[i] = table[k + 1]
    count = 0
    for i in range(len(x)):
        v = np.int64(x[i])
        a = abs(v)
        r = min(a - (min(a >> b, last) << b), step)
        g = np.int64(near[i]) * step + (np.int64(far[i]) - np.int64(near[i])) * r
        g = one - g if v < 0 else g
        exact = round_shift(v * g * multiplier, shift)
        y = clamp(exact, lo, hi)
        count += y != exact
        out[i] = y
    return count


@kernel
def softplus(x, table, out):
    for i in range(len(x)):
        a = np.int64(x[i]) + SOFTPLUS_REACH
        k = a >> 10
        r = a - (k << 10)
        left, middle, right = np.int64(table[k]), np.int64(table[k + 1]), np.int64(table[k + 2])
        curve = (right - 2 * middle + left) * r * (r - 1024)
        out[i] = round_shift((left << 21) + ((middle - left) * r << 11) + curve, np.int64(21))


@kernel
def decay(dt, rate, coarse, fine, out):
    for i in range(len(dt)):
        v = round_shift(np.int64(dt[i]) * np.int64(rate[i]), np.int64(18))
        k = v >> 24
        if k >= len(coarse) - 1:
            out[i] = 0
            continue
        j = (v >> 16) & 255
        r = v & 65535
        near = coarse[k] - ((coarse[k] >> 14) * fine[j] >> 24)
        far = coarse[k + 1]
        if j < 255:
            far = coarse[k] - ((coarse[k] >> 14) * fine[j + 1] >> 24)
        exact = round_shift(near * (65536 - r) + far * r, np.int64(31))
        out[i] = min(exact, MAX_INT32)


@kernel
def drive(x, dt, shift, out, lo, hi):
    headdim = len(x) // len(dt)
    count = 0
    for h in range(len(dt)):
        for p in range(headdim):
            at = h * headdim + p
            exact = round_shift(np.int64(x[at]) * np.int64(dt[h]), np.int64(shift[h]))
            v = clamp(exact, lo, hi)
            count += v != exact
            out[at] = v
    return count


@kernel
def scan_row(state, push, total, keep, b, c, limit):
    """One row of a head's state: state (headdim,), total += state * c."""
    count = 0
    for p in range(len(state)):
        exact = round_shift(np.int64(state[p]) * keep + np.int64(push[p]) * b, np.int64(31))
        v = clamp(exact, -limit, limit)
        count += v != exact
        state[p] = v
        total[p] += v * c
    return count


@kernel
def pass_by(x, skip, total):
    """What goes past a head's state: where its sums begin."""
    for p in range(len(x)):
        total[p] = skip * np.int64(x[p])


@kernel
def read_out(total, shift, out, lo, hi):
    """out (headdim,) of one head from its sums."""
    count = 0
    for p in range(len(total)):
        exact = round_shift(total[p], shift)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[p] = v
    return count


@kernel
def scan(state, keep, push, B, C, x, skip, gain, shift, total, out, limit, lo, hi):
    """total (headdim,) int64 to work in."""
    heads, d_state = len(keep), len(B)
    headdim = len(x) // heads
    total = total[:headdim]
    count = 0
    for h in range(heads):
        at = h * headdim
        pass_by(x[at : at + headdim], skip[h], total)
        for n in range(d_state):
            row = (h * d_state + n) * headdim
            count += scan_row(state[row : row + headdim], push[at : at + headdim], total,
                              np.int64(keep[h]), np.int64(B[n]) << np.int64(gain[h]),
                              np.int64(C[n]), limit)  # fmt: skip
        count += read_out(total, np.int64(shift[h]), out[at : at + headdim], lo, hi)
    return count


@kernel
def scan_carry_row(state, carry, push, total, keep, b, c, limit):
    """As scan_row, with what was rounded off carried on, in units of 2^-16."""
    count = 0
    for p in range(len(state)):
        t = np.int64(state[p]) * keep + np.int64(push[p]) * b + (np.int64(carry[p]) << 15)
        exact = round_shift(t, np.int64(31))
        v = clamp(exact, -limit, limit)
        count += v != exact
        state[p] = v
        carry[p] = (t - (exact << 31)) >> 15
        total[p] += v * c
    return count


@kernel
def scan_carry_rows(state, carry, push, total, keep, B, C, gain, limit):
    """All rows of a head."""
    headdim = len(push)
    count = 0
    for n in range(len(B)):
        row = n * headdim
        count += scan_carry_row(state[row : row + headdim], carry[row : row + headdim], push,
                                total, keep, np.int64(B[n]) << gain, np.int64(C[n]),
                                limit)  # fmt: skip
    return count


@kernel
def scan_carry(
    state, carry, keep, push, B, C, x, skip, gain, shift, total, out, limit, lo, hi
):  # fmt: skip
    """total (headdim,) int64 to work in."""
    heads = len(keep)
    headdim, size = len(x) // heads, len(state) // heads
    total = total[:headdim]
    count = 0
    for h in range(heads):
        at, mine = h * headdim, h * size
        pass_by(x[at : at + headdim], skip[h], total)
        count += scan_carry_rows(state[mine : mine + size], carry[mine : mine + size],
                                 push[at : at + headdim], total, np.int64(keep[h]), B, C,
                                 np.int64(gain[h]), limit)  # fmt: skip
        count += read_out(total, np.int64(shift[h]), out[at : at + headdim], lo, hi)
    return count


@kernel
def gate(a, b, multiplier, shift, out, lo, hi):
    count = 0
    for i in range(len(a)):
        product = np.int64(a[i]) * np.int64(b[i]) * np.int64(multiplier[i])
        exact = round_shift(product, np.int64(shift[i]))
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@kernel
def copy(x, out):
    assign(out, x)


@kernel
def butterflies(x, out):
    """Sums and differences of x's halves, in turn: one of log2(len(x)) passes of `hadamard`.

    The uppermost bit of an element's place becomes the lowest, so that all passes read and
    write alike, in long runs, and after the last of them every element stands in its place.
    """
    half = len(x) // 2
    for i in range(half):
        out[2 * i] = x[i] + x[half + i]
        out[2 * i + 1] = x[i] - x[half + i]


@kernel
def hadamard(x, spare, out, block, shift, lo, hi):
    """spare (block,) int32 to work in."""
    passes = 0
    while 1 << passes < block:
        passes += 1
    spare = spare[:block]
    for first in range(0, len(x), block):
        given, mine = x[first : first + block], out[first : first + block]
        if passes % 2 == 1:
            butterflies(given, mine)
        else:
            butterflies(given, spare)
            butterflies(spare, mine)
        for _ in range((passes - 1) // 2):
            butterflies(mine, spare)
            butterflies(spare, mine)
    count = 0
    for i in range(len(out)):
        exact = round_shift(np.int64(out[i]), shift)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count
