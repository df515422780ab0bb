"""The kernels that a frame's time is spent in, for processors with AVX-512 VNNI.

Same bits as the plain ones in `kernels`, which go on serving whatever does not suit these:
docs/performance.md says how the weights are laid out and why nothing here can overflow.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.lanes import (
    add32,
    add64,
    as64,
    carry_even,
    carry_odd,
    carry_of,
    everywhere32,
    high,
    load16,
    load32,
    load64,
    low_product,
    shift32,
    store16,
    store32,
    store64,
    vpdpbusd,
    with_odd,
    word_everywhere,
)

BLOCK = 64  # rows of weights that are worked on together: four vectors of 16
VECTOR = 16  # rows
MAX_INT32 = (1 << 31) - 1


def packed(weight: np.ndarray) -> np.ndarray:
    """Weights (o, n) int8 in the order in which they are read, flat uint8 as int8.

    Four columns of 16 rows make a vector; a block of 64 rows has four such vectors side by
    side for each four columns.  Rows that do not fill a block stand in vectors of their
    own.  A weight w stands as w + 128, since vpdpbusd wants one side unsigned; columns
    beyond n are 0, so that whatever x has there does not count.
    """
    o, n = weight.shape
    rows, quads = -(-o // VECTOR) * VECTOR, -(-n // 4)
    whole = np.zeros((rows, quads * 4), np.uint8)
    whole[:o, :n] = weight.view(np.uint8) ^ np.uint8(128)
    blocks = rows // BLOCK * BLOCK
    first = whole[:blocks].reshape(-1, 4, VECTOR, quads, 4).transpose(0, 3, 1, 2, 4)
    rest = whole[blocks:].reshape(-1, VECTOR, quads, 4).transpose(0, 2, 1, 3)
    return np.concatenate([first.ravel(), rest.ravel()]).view(np.int8)


@kernel
def correction(x, at, n):
    """-128 * sum of x[at : at + n]: what the weights' 128 adds, taken back."""
    mine = x[at : at + n]
    total = np.int32(0)
    for i in range(n):
        total += mine[i]
    return -128 * np.int64(total)


@kernel
def block_1(weight, at, quads, x, x0, c0, acc):
    """acc[0:64] = the products of a block's rows with the vector at x0, and c0."""
    a0 = everywhere32(c0)
    a1, a2, a3 = a0, a0, a0
    for k in range(quads):
        word = word_everywhere(x, x0 + 4 * k)
        a0 = vpdpbusd(a0, load32(weight, at), word)
        a1 = vpdpbusd(a1, load32(weight, at + 64), word)
        a2 = vpdpbusd(a2, load32(weight, at + 128), word)
        a3 = vpdpbusd(a3, load32(weight, at + 192), word)
        at += 256
    _keep(acc, 0, a0, a1, a2, a3)


@kernel
def _keep(acc, at, a0, a1, a2, a3):
    store32(acc, at, a0)
    store32(acc, at + 16, a1)
    store32(acc, at + 32, a2)
    store32(acc, at + 48, a3)


@kernel
def block_2(weight, at, quads, x, x0, x1, c0, c1, acc):
    """As block_1 for two vectors, whose results stand in acc one after the other."""
    a0, b0 = everywhere32(c0), everywhere32(c1)
    a1, a2, a3 = a0, a0, a0
    b1, b2, b3 = b0, b0, b0
    for k in range(quads):
        w0, w1 = load32(weight, at), load32(weight, at + 64)
        w2, w3 = load32(weight, at + 128), load32(weight, at + 192)
        word = word_everywhere(x, x0 + 4 * k)
        a0, a1 = vpdpbusd(a0, w0, word), vpdpbusd(a1, w1, word)
        a2, a3 = vpdpbusd(a2, w2, word), vpdpbusd(a3, w3, word)
        word = word_everywhere(x, x1 + 4 * k)
        b0, b1 = vpdpbusd(b0, w0, word), vpdpbusd(b1, w1, word)
        b2, b3 = vpdpbusd(b2, w2, word), vpdpbusd(b3, w3, word)
        at += 256
    _keep(acc, 0, a0, a1, a2, a3)
    _keep(acc, 64, b0, b1, b2, b3)


@kernel
def block_4(weight, at, quads, x, x0, x1, x2, x3, c0, c1, c2, c3, acc):
    """As block_1 for four vectors."""
    a0, b0, d0, e0 = everywhere32(c0), everywhere32(c1), everywhere32(c2), everywhere32(c3)
    a1, a2, a3 = a0, a0, a0
    b1, b2, b3 = b0, b0, b0
    d1, d2, d3 = d0, d0, d0
    e1, e2, e3 = e0, e0, e0
    for k in range(quads):
        w0, w1 = load32(weight, at), load32(weight, at + 64)
        w2, w3 = load32(weight, at + 128), load32(weight, at + 192)
        word = word_everywhere(x, x0 + 4 * k)
        a0, a1 = vpdpbusd(a0, w0, word), vpdpbusd(a1, w1, word)
        a2, a3 = vpdpbusd(a2, w2, word), vpdpbusd(a3, w3, word)
        word = word_everywhere(x, x1 + 4 * k)
        b0, b1 = vpdpbusd(b0, w0, word), vpdpbusd(b1, w1, word)
        b2, b3 = vpdpbusd(b2, w2, word), vpdpbusd(b3, w3, word)
        word = word_everywhere(x, x2 + 4 * k)
        d0, d1 = vpdpbusd(d0, w0, word), vpdpbusd(d1, w1, word)
        d2, d3 = vpdpbusd(d2, w2, word), vpdpbusd(d3, w3, word)
        word = word_everywhere(x, x3 + 4 * k)
        e0, e1 = vpdpbusd(e0, w0, word), vpdpbusd(e1, w1, word)
        e2, e3 = vpdpbusd(e2, w2, word), vpdpbusd(e3, w3, word)
        at += 256
    _keep(acc, 0, a0, a1, a2, a3)
    _keep(acc, 64, b0, b1, b2, b3)
    _keep(acc, 128, d0, d1, d2, d3)
    _keep(acc, 192, e0, e1, e2, e3)


@kernel
def vector_1(weight, at, quads, x, x0, c0, acc, place):
    """acc[place : place + 16] = the products of 16 rows; four sums hide the latency."""
    a0 = everywhere32(c0)
    a1 = everywhere32(0)
    a2, a3 = a1, a1
    for k in range(0, quads - 3, 4):
        a0 = vpdpbusd(a0, load32(weight, at), word_everywhere(x, x0 + 4 * k))
        a1 = vpdpbusd(a1, load32(weight, at + 64), word_everywhere(x, x0 + 4 * k + 4))
        a2 = vpdpbusd(a2, load32(weight, at + 128), word_everywhere(x, x0 + 4 * k + 8))
        a3 = vpdpbusd(a3, load32(weight, at + 192), word_everywhere(x, x0 + 4 * k + 12))
        at += 256
    for k in range(quads // 4 * 4, quads):
        a0 = vpdpbusd(a0, load32(weight, at), word_everywhere(x, x0 + 4 * k))
        at += 64
    store32(acc, place, add32(add32(a0, a1), add32(a2, a3)))


@kernel
def accumulate(base, at, acc, place, shift, out, to, rows):
    """out = base + acc * 2^shift for some rows of a block, modulo 2^32."""
    by = everywhere32(shift)
    for j in range(0, rows - VECTOR + 1, VECTOR):
        store32(out, to + j, add32(load32(base, at + j), shift32(load32(acc, place + j), by)))
    for j in range(rows // VECTOR * VECTOR, rows):
        out[to + j] = base[at + j] + (np.int64(acc[place + j]) << shift)


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
def scan_rows(state, carry, headdim, d_state, keep, b, c, drive, sums):
    """A head's states (d_state, headdim) a frame on, where no clamp can act.

    b, c (d_state,) int32: B * 2^gain and C
    drive, sums   (headdim,) int64, each the even places and then the odd ones;
                  sums grows by state * C
    """
    half = headdim // 2
    by = as64(everywhere32(keep))
    for n in range(0, d_state - 3, 4):
        for p in range(0, half, 8):
            s, t = load64(sums, p), load64(sums, half + p)
            d, e = load64(drive, p), load64(drive, half + p)
            place = n * headdim + 2 * p
            s, t = _scan_vector(state, carry, place, by, b, c, n, d, e, s, t)
            s, t = _scan_vector(state, carry, place + headdim, by, b, c, n + 1, d, e, s, t)
            s, t = _scan_vector(state, carry, place + 2 * headdim, by, b, c, n + 2, d, e, s, t)
            s, t = _scan_vector(state, carry, place + 3 * headdim, by, b, c, n + 3, d, e, s, t)
            store64(sums, p, s)
            store64(sums, half + p, t)
    for n in range(d_state // 4 * 4, d_state):
        for p in range(0, half, 8):
            s, t = load64(sums, p), load64(sums, half + p)
            d, e = load64(drive, p), load64(drive, half + p)
            place = n * headdim + 2 * p
            s, t = _scan_vector(state, carry, place, by, b, c, n, d, e, s, t)
            store64(sums, p, s)
            store64(sums, half + p, t)


@kernel
def largest(values):
    """The largest absolute value of int32, as int64."""
    least = np.int32(0)
    most = np.int32(0)
    for i in range(len(values)):
        least = min(least, values[i])
        most = max(most, values[i])
    return max(-np.int64(least), np.int64(most))


@kernel
def scan_head(state, carry, keep, push, B, C, gain, total, narrow, limit):
    """A head's states a frame on; False, with nothing done, where the plain loop must.

    That is where 2^gain * B is no int32, where a clamp might act, or where headdim is no
    multiple of 16.  state, carry (d_state * headdim,), push (headdim,); total[:headdim]
    grows by state * C; the rest of total (2 * headdim,) and narrow (2 * d_state,) int32 are
    to work in.
    """
    headdim, d_state = len(push), len(B)
    half = headdim // 2
    factor = np.int64(0)
    for n in range(d_state):
        factor = max(factor, abs(np.int64(B[n])))
    factor <<= gain
    if headdim % 16 != 0 or factor > MAX_INT32:
        return False
    if largest(state) * abs(keep) + largest(push) * factor > limit << 31:
        return False
    drive, sums = total[headdim : 2 * headdim], total[2 * headdim : 3 * headdim]
    for p in range(half):
        drive[p], drive[half + p] = push[2 * p], push[2 * p + 1]
        sums[p], sums[half + p] = total[2 * p], total[2 * p + 1]
    for n in range(d_state):
        narrow[n] = np.int64(B[n]) << gain
        narrow[d_state + n] = C[n]
    scan_rows(state, carry, headdim, d_state, keep, narrow[:d_state], narrow[d_state:], drive, sums)
    for p in range(half):
        total[2 * p], total[2 * p + 1] = sums[p], sums[half + p]
    return True


@kernel
def dots(p, worlds, weight, c32, v8, v32, acc, taken):
    """`kernels.dots` with packed weights; p[2] is their place in `weight`.

    acc (256,) int32 and taken (2 * worlds,) int64 to work in.  A block of weights serves
    all worlds while it is in the first-level cache.
    """
    x, y, w, n, o, size8 = p[0], p[1], p[2], p[5], p[6], p[9]
    quads = (n + 3) // 4
    for world in range(worlds):
        taken[2 * world] = correction(v8, x + world * size8, n)
        if y >= 0:
            taken[2 * world + 1] = correction(v8, y + world * size8, n)
    whole = (o + VECTOR - 1) // BLOCK * BLOCK
    for row in range(0, whole, BLOCK):
        block(p, row, worlds, weight, w + row * quads * 4, quads, c32, v8, v32, acc, taken)
    for row in range(whole, o, VECTOR):
        vector(p, row, worlds, weight, w + row * quads * 4, quads, c32, v8, v32, acc, taken)


@kernel
def vector(p, row, worlds, weight, at, quads, c32, v8, v32, acc, taken):
    """16 rows, from the first on, for all worlds."""
    x, y, size8, rows = p[0], p[1], p[9], min(VECTOR, p[6] - row)
    first, second = np.int64(0), np.int64(BLOCK)
    for world in range(worlds):
        vector_1(weight, at, quads, v8, x + world * size8, taken[2 * world], acc, first)
        if y >= 0:
            vector_1(weight, at, quads, v8, y + world * size8, taken[2 * world + 1], acc, second)
        finish(p, row, rows, world, c32, v32, acc, first)


@kernel
def block(p, row, worlds, weight, at, quads, c32, v8, v32, acc, taken):
    """64 rows, from the first on, for all worlds, up to four vectors at a time."""
    x, y, size8, rows = p[0], p[1], p[9], min(BLOCK, p[6] - row)
    vectors = 2 if y >= 0 else 1  # of a world
    world = np.int64(0)
    while world < worlds:
        a, b = x + world * size8, y + world * size8
        mine = taken[2 * world :]
        if y >= 0 and worlds - world >= 2:
            block_4(weight, at, quads, v8, a, b, a + size8, b + size8, mine[0], mine[1], mine[2],
                    mine[3], acc)  # fmt: skip
            done = 2
        elif y >= 0:
            block_2(weight, at, quads, v8, a, b, mine[0], mine[1], acc)
            done = 1
        elif worlds - world >= 4:
            block_4(weight, at, quads, v8, a, a + size8, a + 2 * size8, a + 3 * size8, mine[0],
                    mine[2], mine[4], mine[6], acc)  # fmt: skip
            done = 4
        else:
            block_1(weight, at, quads, v8, a, mine[0], acc)
            done = 1
        for k in range(done):
            finish(p, row, rows, world + k, c32, v32, acc, k * vectors * BLOCK)
        world += done


@kernel
def finish(p, row, rows, world, c32, v32, acc, at):
    """What a world gets of some rows: base, and the products at `at` of acc and after them
    those with a second digit."""
    y, base, out, shift, constant, size32 = p[1], p[3], p[4], p[7], p[8], p[10]
    to = out + world * size32 + row
    left = np.int64(0) if y >= 0 else shift
    if constant:
        accumulate(c32, base + row, acc, at, left, v32, to, rows)
    else:
        accumulate(v32, base + world * size32 + row, acc, at, left, v32, to, rows)
    if y >= 0:
        accumulate(v32, to, acc, at + BLOCK, shift, v32, to, rows)
