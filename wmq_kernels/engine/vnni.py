"""Multiply int8 matrices and vectors with vpdpbusd, for processors with AVX-512 VNNI.

Same bits as `kernels.dots`: docs/performance.md says how the weights are laid out and why
nothing here can overflow.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.vectors import (
    add32,
    everywhere32,
    load32,
    prefetch,
    shift32,
    store32,
    vpdpbusd,
    word_everywhere,
)

BLOCK = 64  # rows of weights that are worked on together: four vectors of 16
VECTOR = 16  # rows
AHEAD = 2048  # bytes of weights between what is asked for and what is used


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
def put(a0, a1, a2, a3, base, at, out, to, rows, acc):
    """out = base + the sums of a block, of which the first `rows` count, modulo 2^32."""
    if rows == BLOCK:
        store32(out, to, add32(load32(base, at), a0))
        store32(out, to + 16, add32(load32(base, at + 16), a1))
        store32(out, to + 32, add32(load32(base, at + 32), a2))
        store32(out, to + 48, add32(load32(base, at + 48), a3))
        return
    store32(acc, 0, a0)
    store32(acc, 16, a1)
    store32(acc, 32, a2)
    store32(acc, 48, a3)
    for j in range(rows):
        out[to + j] = base[at + j] + acc[j]


@kernel
def block_1(weight, at, quads, x, x0, c0, by, base, base0, out, out0, rows, acc):
    """out = base + 2^by * (the products of a block's rows with the vector at x0, and c0)."""
    a0 = everywhere32(c0)
    a1, a2, a3 = a0, a0, a0
    for k in range(quads):
        word = word_everywhere(x, x0 + 4 * k)
        a0 = vpdpbusd(a0, load32(weight, at), word)
        a1 = vpdpbusd(a1, load32(weight, at + 64), word)
        a2 = vpdpbusd(a2, load32(weight, at + 128), word)
        a3 = vpdpbusd(a3, load32(weight, at + 192), word)
        prefetch(weight, at + AHEAD)
        prefetch(weight, at + AHEAD + 64)
        prefetch(weight, at + AHEAD + 128)
        prefetch(weight, at + AHEAD + 192)
        at += 256
    put(shift32(a0, by), shift32(a1, by), shift32(a2, by), shift32(a3, by), base, base0, out, out0,
        rows, acc)  # fmt: skip


@kernel
def block_2(weight, at, quads, x, x0, x1, c0, c1, by, base, base0, out, out0, rows, acc):
    """out = base + the same with x0 + 2^by * the same with x1."""
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
        prefetch(weight, at + AHEAD)
        prefetch(weight, at + AHEAD + 64)
        prefetch(weight, at + AHEAD + 128)
        prefetch(weight, at + AHEAD + 192)
        at += 256
    put(add32(a0, shift32(b0, by)), add32(a1, shift32(b1, by)), add32(a2, shift32(b2, by)),
        add32(a3, shift32(b3, by)), base, base0, out, out0, rows, acc)  # fmt: skip


@kernel
def block_2_2(weight, at, quads, x, x0, x1, step, taken, by, base, base0, base_step, out, out0,
              out_step, rows, acc):  # fmt: skip
    """As block_2 for two worlds, `step` elements of x from each other.

    taken (4,) int64: what is added to the products of x0 and x1 in either
    """
    a0, b0 = everywhere32(taken[0]), everywhere32(taken[1])
    d0, e0 = everywhere32(taken[2]), everywhere32(taken[3])
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
        word = word_everywhere(x, x0 + step + 4 * k)
        d0, d1 = vpdpbusd(d0, w0, word), vpdpbusd(d1, w1, word)
        d2, d3 = vpdpbusd(d2, w2, word), vpdpbusd(d3, w3, word)
        word = word_everywhere(x, x1 + step + 4 * k)
        e0, e1 = vpdpbusd(e0, w0, word), vpdpbusd(e1, w1, word)
        e2, e3 = vpdpbusd(e2, w2, word), vpdpbusd(e3, w3, word)
        prefetch(weight, at + AHEAD)
        prefetch(weight, at + AHEAD + 64)
        prefetch(weight, at + AHEAD + 128)
        prefetch(weight, at + AHEAD + 192)
        at += 256
    put(add32(a0, shift32(b0, by)), add32(a1, shift32(b1, by)), add32(a2, shift32(b2, by)),
        add32(a3, shift32(b3, by)), base, base0, out, out0, rows, acc)  # fmt: skip
    put(add32(d0, shift32(e0, by)), add32(d1, shift32(e1, by)), add32(d2, shift32(e2, by)),
        add32(d3, shift32(e3, by)), base, base0 + base_step, out, out0 + out_step, rows,
        acc)  # fmt: skip


@kernel
def block_4(weight, at, quads, x, x0, step, taken, by, base, base0, base_step, out, out0,
            out_step, rows, acc):  # fmt: skip
    """As block_1 for four worlds, `step` elements of x from each other.

    taken (8,) int64: what is added to the products, that of a world at every other place
    """
    a0, b0 = everywhere32(taken[0]), everywhere32(taken[2])
    d0, e0 = everywhere32(taken[4]), everywhere32(taken[6])
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
        word = word_everywhere(x, x0 + step + 4 * k)
        b0, b1 = vpdpbusd(b0, w0, word), vpdpbusd(b1, w1, word)
        b2, b3 = vpdpbusd(b2, w2, word), vpdpbusd(b3, w3, word)
        word = word_everywhere(x, x0 + 2 * step + 4 * k)
        d0, d1 = vpdpbusd(d0, w0, word), vpdpbusd(d1, w1, word)
        d2, d3 = vpdpbusd(d2, w2, word), vpdpbusd(d3, w3, word)
        word = word_everywhere(x, x0 + 3 * step + 4 * k)
        e0, e1 = vpdpbusd(e0, w0, word), vpdpbusd(e1, w1, word)
        e2, e3 = vpdpbusd(e2, w2, word), vpdpbusd(e3, w3, word)
        prefetch(weight, at + AHEAD)
        prefetch(weight, at + AHEAD + 64)
        prefetch(weight, at + AHEAD + 128)
        prefetch(weight, at + AHEAD + 192)
        at += 256
    put(shift32(a0, by), shift32(a1, by), shift32(a2, by), shift32(a3, by), base, base0, out,
        out0, rows, acc)  # fmt: skip
    put(shift32(b0, by), shift32(b1, by), shift32(b2, by), shift32(b3, by), base,
        base0 + base_step, out, out0 + out_step, rows, acc)  # fmt: skip
    put(shift32(d0, by), shift32(d1, by), shift32(d2, by), shift32(d3, by), base,
        base0 + 2 * base_step, out, out0 + 2 * out_step, rows, acc)  # fmt: skip
    put(shift32(e0, by), shift32(e1, by), shift32(e2, by), shift32(e3, by), base,
        base0 + 3 * base_step, out, out0 + 3 * out_step, rows, acc)  # fmt: skip


@kernel
def vector_1(weight, at, quads, x, x0, c0):
    """The products of 16 rows with the vector at x0, and c0; four sums hide the latency."""
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
    return add32(add32(a0, a1), add32(a2, a3))


@kernel
def dots(p, worlds, weight, c32, v8, v32, acc, taken):
    """`kernels.dots` with packed weights; p[2] is their place in `weight`.

    acc (64,) int32 and taken (2 * worlds,) int64 to work in.  A block of weights serves all
    worlds while it is in the first-level cache.
    """
    x, y, w, n, o, size8 = p[0], p[1], p[2], p[5], p[6], p[9]
    quads = (n + 3) // 4
    for world in range(worlds):
        taken[2 * world] = correction(v8, x + world * size8, n)
        if y >= 0:
            taken[2 * world + 1] = correction(v8, y + world * size8, n)
    base = c32 if p[8] else v32
    whole = (o + VECTOR - 1) // BLOCK * BLOCK
    for row in range(0, whole, BLOCK):
        block(p, row, worlds, weight, w + row * quads * 4, quads, base, v8, v32, acc, taken)
    for row in range(whole, o, VECTOR):
        vector(p, row, worlds, weight, w + row * quads * 4, quads, base, v8, v32, acc, taken)


@kernel
def vector(p, row, worlds, weight, at, quads, base, v8, v32, acc, taken):
    """16 rows, or the rest of them, from the first on, for all worlds."""
    x, y, size8, size32, rows = p[0], p[1], p[9], p[10], min(VECTOR, p[6] - row)
    by = everywhere32(p[7])
    for world in range(worlds):
        found = vector_1(weight, at, quads, v8, x + world * size8, taken[2 * world])
        if y >= 0:
            second = vector_1(weight, at, quads, v8, y + world * size8, taken[2 * world + 1])
            found = add32(found, shift32(second, by))
        else:
            found = shift32(found, by)
        store32(acc, 0, found)
        since = p[3] + row + (0 if p[8] else world * size32)
        for j in range(rows):
            v32[p[4] + row + world * size32 + j] = base[since + j] + acc[j]


@kernel
def block(p, row, worlds, weight, at, quads, base, v8, v32, acc, taken):
    """64 rows, from the first on, for all worlds, up to four vectors at a time."""
    x, y, size8, size32, rows = p[0], p[1], p[9], p[10], min(BLOCK, p[6] - row)
    by, base_step = everywhere32(p[7]), 0 if p[8] else size32
    world = np.int64(0)
    while world < worlds:
        a, b, mine = x + world * size8, y + world * size8, taken[2 * world :]
        since, to = p[3] + row + world * base_step, p[4] + row + world * size32
        if y >= 0 and worlds - world >= 2:
            block_2_2(weight, at, quads, v8, a, b, size8, mine, by, base, since, base_step, v32, to,
                      size32, rows, acc)  # fmt: skip
            world += 2
        elif y >= 0:
            block_2(weight, at, quads, v8, a, b, mine[0], mine[1], by, base, since, v32, to, rows,
                    acc)  # fmt: skip
            world += 1
        elif worlds - world >= 4:
            block_4(weight, at, quads, v8, a, size8, mine, by, base, since, base_step, v32, to,
                    size32, rows, acc)  # fmt: skip
            world += 4
        else:
            block_1(weight, at, quads, v8, a, mine[0], by, base, since, v32, to, rows, acc)
            world += 1
