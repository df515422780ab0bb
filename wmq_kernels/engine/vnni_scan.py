"""Compute the scan and silu in 512-bit vectors, for the processors that `vnni` is for.

Same bits as the plain kernels in `kernels`, which go on serving whatever does not suit these.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine import kernels
from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.operands import part
from wmq_kernels.engine.vectors import (
    add64,
    as64,
    carry_even,
    carry_odd,
    carry_of,
    differ,
    evens,
    everywhere32,
    everywhere64,
    high,
    in_turn_high,
    in_turn_low,
    left64,
    load16,
    load32,
    load64,
    load_widened,
    low_product,
    max64,
    min64,
    mul64,
    odds,
    pair_at,
    right64,
    store16,
    store32,
    store64,
    store_narrowed,
    sub64,
    total_of,
    where_negative,
    with_odd,
    word_everywhere,
)

VECTOR = 16  # int32, of which the even and the odd ones are multiplied apart
MAX_INT32 = (1 << 31) - 1


@kernel
def _scan_vector(state, carry, at, by, b, c, n, even, odd, s, t):
    """16 states of row n a frame on; s and t, the sums at even and odd places, grow.

    Twice the exact value and 2^31, so that the new state is the upper half of a lane and
    the new carry, biased by 2^15, the word below.
    """
    before, left = as64(load32(state, at)), load16(carry, at)
    push, weight = as64(word_everywhere(b, n)), as64(word_everywhere(c, n))
    u = add64(low_product(before, by), low_product(even, push))
    v = add64(low_product(high(before), by), low_product(odd, push))
    u = add64(add64(u, u), carry_even(left))
    v = add64(add64(v, v), carry_odd(left))
    now = high(u)
    store32(state, at, with_odd(now, v))
    store16(carry, at, carry_of(u, v))
    return add64(s, low_product(now, weight)), add64(t, low_product(high(v), weight))


@kernel
def scan_rows(state, carry, d_state, keep, b, c, push, total):
    """A head's states (d_state, headdim) a frame on, where no clamp can act.

    b, c (d_state,) int32: B * 2^gain and C; push (headdim,); total (headdim,) int64 grows by
    state * C.  64 columns at a time, so that their sums stay in registers and memory is read
    in order; then 16.
    """
    headdim = len(push)
    by = as64(everywhere32(keep))
    p = 0
    while p + 64 <= headdim:
        d0, d1 = as64(load32(push, p)), as64(load32(push, p + 16))
        d2, d3 = as64(load32(push, p + 32)), as64(load32(push, p + 48))
        e0, e1, e2, e3 = high(d0), high(d1), high(d2), high(d3)
        s0, t0 = _sums(total, p)
        s1, t1 = _sums(total, p + 16)
        s2, t2 = _sums(total, p + 32)
        s3, t3 = _sums(total, p + 48)
        for n in range(d_state):
            at = n * headdim + p
            s0, t0 = _scan_vector(state, carry, at, by, b, c, n, d0, e0, s0, t0)
            s1, t1 = _scan_vector(state, carry, at + 16, by, b, c, n, d1, e1, s1, t1)
            s2, t2 = _scan_vector(state, carry, at + 32, by, b, c, n, d2, e2, s2, t2)
            s3, t3 = _scan_vector(state, carry, at + 48, by, b, c, n, d3, e3, s3, t3)
        _put_sums(total, p, s0, t0)
        _put_sums(total, p + 16, s1, t1)
        _put_sums(total, p + 32, s2, t2)
        _put_sums(total, p + 48, s3, t3)
        p += 64
    while p < headdim:
        even = as64(load32(push, p))
        odd = high(even)
        s, t = _sums(total, p)
        for n in range(d_state):
            s, t = _scan_vector(state, carry, n * headdim + p, by, b, c, n, even, odd, s, t)
        _put_sums(total, p, s, t)
        p += VECTOR


@kernel
def _sums(total, p):
    """16 sums, those at even places and those at odd ones."""
    s, t = load64(total, p), load64(total, p + 8)
    return evens(s, t), odds(s, t)


@kernel
def _put_sums(total, p, s, t):
    store64(total, p, in_turn_low(s, t))
    store64(total, p + 8, in_turn_high(s, t))


@kernel
def largest(values):
    """The largest absolute value of int32 or int16, as int64."""
    least = np.int32(0)
    most = np.int32(0)
    for i in range(len(values)):
        least = min(least, values[i])
        most = max(most, values[i])
    return max(-np.int64(least), np.int64(most))


@kernel
def scan_head(state, carry, keep, push, B, C, factor, gain, total, narrow, limit, bound):
    """A head's states a frame on; False, with nothing done, where the plain loop must.

    That is where 2^gain * B is no int32, where a clamp might act, or where headdim is no
    multiple of 16.  state, carry (d_state * headdim,), push (headdim,); factor: the largest
    absolute value of B; total (headdim,) grows by state * C; narrow (2 * d_state,) int32 to
    work in.  bound (1,) int64 is one more than what no |state| exceeds, or 0 if that has to
    be looked up; it is brought up to date.
    """
    d_state = len(B)
    factor <<= gain
    known, bound[0] = bound[0] - 1, 0
    if len(push) % VECTOR != 0 or factor > MAX_INT32:
        return False
    growth, most = largest(push) * factor, limit << 31
    if known < 0 or known * abs(keep) + growth > most:
        known = largest(state)
        if known * abs(keep) + growth > most:
            return False
    bound[0] = (known * abs(keep) + growth >> 31) + 2
    scale = np.int32(1 << gain)
    for n in range(d_state):
        narrow[n] = B[n] * scale
        narrow[d_state + n] = C[n]
    scan_rows(state, carry, d_state, keep, narrow[:d_state], narrow[d_state:], push, total)
    return True


@kernel
def silu(x, table, pairs, near, far, out, fraction, multiplier, shift, lo, hi):
    """near, far (n,) int32 and pairs (n,) int64 to work in: the table on both sides of x."""
    b = fraction - kernels.SIGMOID_STEP_BITS
    whole = len(x) // 8 * 8 if b <= 30 else 0
    one = np.int64(1) << (kernels.SIGMOID_BITS + b)
    count = silu_vectors(x[:whole], table, pairs, out[:whole], b, one, multiplier, shift, lo, hi)
    return count + kernels.silu(x[whole:], table, near, far, out[whole:], fraction, multiplier,
                                shift, lo, hi)  # fmt: skip


@kernel
def silu_vectors(x, table, pairs, out, b, one, multiplier, shift, lo, hi):
    """Some 8 elements.

    pairs (n,) int64 to work in: the table on both sides of each x.  They are looked up one by
    one, which takes less time than a gather, and not before all k are there.
    """
    by, last, zero = everywhere64(b), everywhere64(len(table) - 2), everywhere64(0)
    for i in range(0, len(x), 8):
        v = load_widened(x, i)
        store64(pairs, i, min64(right64(max64(v, sub64(zero, v)), by), last))
    for i in range(len(x)):
        pairs[i] = pair_at(table, pairs[i])
    step, whole = everywhere64(np.int64(1) << b), everywhere64(one)
    factor, half = everywhere64(multiplier), everywhere64((np.int64(1) << shift) >> 1)
    down, least, most = everywhere64(shift), everywhere64(lo), everywhere64(hi)
    count = zero
    for i in range(0, len(x), 8):
        v, near = load_widened(x, i), load64(pairs, i)
        a = max64(v, sub64(zero, v))
        r = min64(sub64(a, left64(min64(right64(a, by), last), by)), step)
        g = add64(low_product(near, step), low_product(sub64(high(near), near), r))
        g = where_negative(v, sub64(whole, g), g)
        exact = right64(add64(mul64(mul64(v, g), factor), half), down)
        y = max64(min64(exact, most), least)
        count = add64(count, differ(exact, y))
        store_narrowed(out, i, y)
    return total_of(count)


@kernel
def scan_carry(
    state, carry, keep, push, B, C, x, skip, gain, shift, total, narrow, out, limit, lo, hi,
    bounds, alone,
):  # fmt: skip
    """total (headdim,) int64 and narrow (2 * d_state,) int32 to work in; bounds (heads,)
    int64: see `scan_head`; alone: 1 if nothing else writes the state."""
    heads = len(keep)
    headdim, size = len(x) // heads, len(state) // heads
    total = total[:headdim]
    factor = largest(B)
    count = 0
    for h in range(heads):
        at, first = h * headdim, h * size
        states, carries = state[first : first + size], carry[first : first + size]
        drive, decay, by = push[at : at + headdim], np.int64(keep[h]), np.int64(gain[h])
        kernels.pass_by(x[at : at + headdim], skip[h], total)
        bounds[h] *= alone
        if not scan_head(states, carries, decay, drive, B, C, factor, by, total, narrow, limit,
                         bounds[h : h + 1]):  # fmt: skip
            count += kernels.scan_carry_rows(states, carries, drive, total, decay, B, C, by, limit)
        count += kernels.read_out(total, np.int64(shift[h]), out[at : at + headdim], lo, hi)
    return count


@kernel
def silu_step(code, p, c32, v16, s32, s64):
    """The instruction of a row whose parameters are p; s32, s64 to work in."""
    half = len(s32) // 2
    return silu(part(v16, code, 0), part(c32, code, 1), s64, s32[:half], s32[half:],
                part(v16, code, 2), p[2], p[3], p[4], p[5], p[6])  # fmt: skip


@kernel
def scan_carry_step(code, p, c32, c64, v16, v32, s32, s64, bounds):
    """The instruction of a row whose parameters are p; s32, s64 to work in."""
    return scan_carry(part(v32, code, 0), part(v16, code, 1), part(v32, code, 2),
                      part(v32, code, 3), part(v16, code, 4), part(v16, code, 5),
                      part(v16, code, 6), part(c64, code, 7), part(c32, code, 8),
                      part(c32, code, 9), s64, s32, part(v16, code, 10), p[3], p[4], p[5],
                      bounds, p[7])  # fmt: skip
