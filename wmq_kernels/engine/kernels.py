"""The compiled machine: one function per row of `isa.py` and the loop that runs a program.

All is integers; arrays come as slices of flat arenas, one a type, constants apart from
what changes.  Everything compiled stands in this one file, because numba's cache looks
at no other file when it decides whether a compiled function is still fresh.
Kernels return the number of values that their clamp changed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Copies of what isa.py says, held to it by a test: constants are compiled in, and numba's
# cache would not notice a change in another file.
DIGITS_LIMIT = 127 << 7
SIGMOID_BITS = 22
SIGMOID_STEP_BITS = 7
SOFTPLUS_REACH = 1 << 20
(
    OP_DIGITS, OP_EMBED, OP_DOT, OP_DOT_ADD, OP_REQUANTIZE_I8, OP_REQUANTIZE_I16,
    OP_REQUANTIZE_I32, OP_ADD, OP_RMS_NORM, OP_CONV, OP_SILU, OP_SOFTPLUS, OP_DECAY, OP_DRIVE,
    OP_SCAN, OP_SCAN_CARRY, OP_GATE, OP_FRAME_ADD, OP_FRAME_ROUND, OP_FRAME_SIGN, OP_ARGMAX,
    OP_AGE, OP_COPY, OP_RMS_NORM_DIGITS, OP_PLACE,
) = range(25)  # fmt: skip

MAX_INT32 = (1 << 31) - 1
PARAMETERS = 23  # place of the first parameter in an instruction's code
INLINE = {"inline": "always", "cache": True}
KERNEL = {"cache": True, "nogil": True, "boundscheck": False}


@njit(**INLINE)
def round_shift(v, s):
    """v / 2^s to the nearest integer, half up; exact int64, s >= 0."""
    return (v + ((np.int64(1) << s) >> 1)) >> s


@njit(**INLINE)
def clamp(v, lo, hi):
    return min(max(v, lo), hi)


@njit(**KERNEL)
def assign(target, source):
    """target = source from the lowest element on; numba's own slice assignment brings
    floating point along, for the text of its error."""
    for i in range(len(target)):
        target[i] = source[i]


@njit(**KERNEL)
def isqrt(t):
    """floor(sqrt(t)) for 0 <= t < 2^62, digit by digit."""
    root = np.int64(0)
    bit = np.int64(1) << 60
    while bit > 0:
        if t >= root + bit:
            t -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return root


@njit(**KERNEL)
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


@njit(**KERNEL)
def embed(index, table, out):
    dim = len(out)
    row = clamp(np.int64(index[0]), 0, len(table) // dim - 1)
    assign(out, table[row * dim : (row + 1) * dim])


@njit(**KERNEL)
def dot_row(weight, x):
    acc = np.int32(0)
    for i in range(len(x)):
        acc += np.int32(weight[i]) * np.int32(x[i])
    return acc


@njit(**KERNEL)
def dot(x, weight, bias, out):
    n = len(x)
    for j in range(len(out)):
        out[j] = bias[j] + dot_row(weight[j * n : (j + 1) * n], x)


@njit(**KERNEL)
def dot_add(x, weight, acc, out, shift):
    n = len(x)
    for j in range(len(out)):
        out[j] = acc[j] + (np.int64(dot_row(weight[j * n : (j + 1) * n], x)) << shift)


@njit(**KERNEL)
def requantize(x, multiplier, shift, out, lo, hi):
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * np.int64(multiplier[i]), np.int64(shift[i]))
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@njit(**KERNEL)
def add(a, b, out, lo, hi):
    count = 0
    for i in range(len(a)):
        exact = np.int64(a[i]) + np.int64(b[i])
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@njit(**KERNEL)
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


@njit(**KERNEL)
def rms_norm(x, out, eps, numerator, shift, lo, hi):
    m, e = norm_factor(x, eps, numerator)
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * m, shift - e)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@njit(**KERNEL)
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


@njit(**KERNEL)
def conv(x, history, weight, weight_now, bias, multiplier, shift, out, lo, hi):
    n = len(x)
    past = len(history) // n
    count = 0
    for i in range(n):
        acc = np.int64(bias[i]) + np.int64(weight_now[i]) * np.int64(x[i])
        for k in range(past):
            acc += np.int64(weight[k * n + i]) * np.int64(history[k * n + i])
        exact = round_shift(acc * np.int64(multiplier[i]), np.int64(shift[i]))
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    assign(history[: (past - 1) * n], history[n:])
    assign(history[(past - 1) * n :], x)
    return count


@njit(**KERNEL)
def silu(x, table, out, fraction, multiplier, shift, lo, hi):
    b = fraction - SIGMOID_STEP_BITS
    one = np.int64(1) << (SIGMOID_BITS + b)
    step = np.int64(1) << b
    last = np.int64(len(table) - 2)
    count = 0
    for i in range(len(x)):
        v = np.int64(x[i])
        a = abs(v)
        k = min(a >> b, last)
        r = min(a - (k << b), step)
        g = np.int64(table[k]) * step + (np.int64(table[k + 1]) - np.int64(table[k])) * r
        if v < 0:
            g = one - g
        exact = round_shift(v * g * multiplier, shift)
        y = clamp(exact, lo, hi)
        count += y != exact
        out[i] = y
    return count


@njit(**KERNEL)
def softplus(x, table, out):
    for i in range(len(x)):
        a = np.int64(x[i]) + SOFTPLUS_REACH
        k = a >> 10
        r = a - (k << 10)
        left, middle, right = np.int64(table[k]), np.int64(table[k + 1]), np.int64(table[k + 2])
        curve = (right - 2 * middle + left) * r * (r - 1024)
        out[i] = round_shift((left << 21) + ((middle - left) * r << 11) + curve, np.int64(21))


@njit(**KERNEL)
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


@njit(**KERNEL)
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


@njit(**KERNEL)
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


@njit(**KERNEL)
def read_out(total, shift, out, lo, hi):
    """out (headdim,) of one head from its sums."""
    count = 0
    for p in range(len(total)):
        exact = round_shift(total[p], shift)
        v = clamp(exact, lo, hi)
        count += v != exact
        out[p] = v
    return count


@njit(**KERNEL)
def scan(state, keep, push, B, C, x, skip, gain, shift, out, limit, lo, hi):
    heads, d_state = len(keep), len(B)
    headdim = len(x) // heads
    total = np.empty(headdim, np.int64)
    count = 0
    for h in range(heads):
        at = h * headdim
        for p in range(headdim):
            total[p] = skip[h] * np.int64(x[at + p])
        for n in range(d_state):
            row = (h * d_state + n) * headdim
            count += scan_row(state[row : row + headdim], push[at : at + headdim], total,
                              np.int64(keep[h]), np.int64(B[n]) << np.int64(gain[h]),
                              np.int64(C[n]), limit)  # fmt: skip
        count += read_out(total, np.int64(shift[h]), out[at : at + headdim], lo, hi)
    return count


@njit(**KERNEL)
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


@njit(**KERNEL)
def scan_carry(state, carry, keep, push, B, C, x, skip, gain, shift, out, limit, lo, hi):
    heads, d_state = len(keep), len(B)
    headdim = len(x) // heads
    total = np.empty(headdim, np.int64)
    count = 0
    for h in range(heads):
        at = h * headdim
        for p in range(headdim):
            total[p] = skip[h] * np.int64(x[at + p])
        for n in range(d_state):
            row = (h * d_state + n) * headdim
            count += scan_carry_row(state[row : row + headdim], carry[row : row + headdim],
                                    push[at : at + headdim], total, np.int64(keep[h]),
                                    np.int64(B[n]) << np.int64(gain[h]), np.int64(C[n]),
                                    limit)  # fmt: skip
        count += read_out(total, np.int64(shift[h]), out[at : at + headdim], lo, hi)
    return count


@njit(**KERNEL)
def gate(a, b, multiplier, shift, out, lo, hi):
    count = 0
    for i in range(len(a)):
        product = np.int64(a[i]) * np.int64(b[i]) * np.int64(multiplier[i])
        exact = round_shift(product, np.int64(shift[i]))
        v = clamp(exact, lo, hi)
        count += v != exact
        out[i] = v
    return count


@njit(**KERNEL)
def frame_add(now, change, least, most, out):
    for i in range(len(now)):
        out[i] = clamp(np.int64(now[i]) + np.int64(change[i]), np.int64(least[i]), most[i])


@njit(**KERNEL)
def frame_round(now, value, least, most, falling, out):
    for i in range(len(now)):
        v = clamp(round_shift(np.int64(value[i]), np.int64(16)), np.int64(least[i]), most[i])
        out[i] = min(v, np.int64(now[i])) if falling[i] == 1 else v


@njit(**KERNEL)
def frame_sign(x, out):
    for i in range(len(x)):
        out[i] = x[i] > 0


@njit(**KERNEL)
def argmax(x, out):
    best = 0
    for i in range(1, len(x)):
        if x[i] > x[best]:
            best = i
    out[0] = best


@njit(**KERNEL)
def age(before, after, present, out, most):
    out[0] = 0 if after[0] != before[0] else min(np.int64(present[0]) + 1, most)


@njit(**KERNEL)
def copy(x, out):
    assign(out, x)


@njit(**KERNEL)
def place(before, after, index, moved, table, out, event):
    n = len(out)
    if after[0] == event and before[0] != event:
        k = clamp(np.int64(index[0]), 0, len(table) // n - 1)
        assign(out, table[k * n : (k + 1) * n])
    else:
        assign(out, moved)


@njit(**INLINE)
def part(arena, code, k):
    """Operand k of an instruction: code holds (start, count) of each from place 1 on."""
    return arena[code[1 + 2 * k] : code[1 + 2 * k] + code[2 + 2 * k]]


@njit(**KERNEL)
def run_step(code, c8, c16, c32, c64, v8, v16, v32):
    """One instruction.  code (35,) int64: opcode, operands (start, count), parameters."""
    p = code[PARAMETERS:]
    op = code[0]
    if op == OP_DIGITS:
        return digits(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v8, code, 4),
            part(v8, code, 5),
        )
    elif op == OP_EMBED:
        embed(part(v32, code, 0), part(c8, code, 1), part(v8, code, 2))
    elif op == OP_DOT:
        dot(part(v8, code, 0), part(c8, code, 1), part(c32, code, 2), part(v32, code, 3))
    elif op == OP_DOT_ADD:
        dot_add(part(v8, code, 0), part(c8, code, 1), part(v32, code, 2), part(v32, code, 3), p[2])
    elif op == OP_REQUANTIZE_I8:
        return requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v8, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_REQUANTIZE_I16:
        return requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v16, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_REQUANTIZE_I32:
        return requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v32, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_ADD:
        return add(part(v32, code, 0), part(v32, code, 1), part(v32, code, 2), p[1], p[2])
    elif op == OP_RMS_NORM:
        return rms_norm(part(v32, code, 0), part(v8, code, 1), p[1], p[2], p[3], p[4], p[5])
    elif op == OP_CONV:
        return conv(
            part(v16, code, 0),
            part(v16, code, 1),
            part(c16, code, 2),
            part(c16, code, 3),
            part(c32, code, 4),
            part(c32, code, 5),
            part(c32, code, 6),
            part(v16, code, 7),
            p[2],
            p[3],
        )
    elif op == OP_SILU:
        return silu(
            part(v16, code, 0), part(c32, code, 1), part(v16, code, 2), p[2], p[3], p[4], p[5], p[6]
        )
    elif op == OP_SOFTPLUS:
        softplus(part(v32, code, 0), part(c32, code, 1), part(v32, code, 2))
    elif op == OP_DECAY:
        decay(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c64, code, 2),
            part(c64, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_DRIVE:
        return drive(
            part(v16, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(v32, code, 3),
            p[2],
            p[3],
        )
    elif op == OP_SCAN:
        return scan(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v16, code, 3),
            part(v16, code, 4),
            part(v16, code, 5),
            part(c64, code, 6),
            part(c32, code, 7),
            part(c32, code, 8),
            part(v16, code, 9),
            p[3],
            p[4],
            p[5],
        )
    elif op == OP_SCAN_CARRY:
        return scan_carry(
            part(v32, code, 0),
            part(v16, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v16, code, 4),
            part(v16, code, 5),
            part(v16, code, 6),
            part(c64, code, 7),
            part(c32, code, 8),
            part(c32, code, 9),
            part(v16, code, 10),
            p[3],
            p[4],
            p[5],
        )
    elif op == OP_GATE:
        return gate(
            part(v16, code, 0),
            part(v16, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
            p[1],
            p[2],
        )
    elif op == OP_FRAME_ADD:
        frame_add(
            part(v32, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_FRAME_ROUND:
        frame_round(
            part(v32, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
        )
    elif op == OP_FRAME_SIGN:
        frame_sign(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_ARGMAX:
        argmax(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_AGE:
        age(part(v32, code, 0), part(v32, code, 1), part(v32, code, 2), part(v32, code, 3), p[1])
    elif op == OP_COPY:
        copy(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_RMS_NORM_DIGITS:
        return rms_norm_digits(
            part(v32, code, 0), part(v8, code, 1), part(v8, code, 2), p[1], p[2], p[3]
        )
    elif op == OP_PLACE:
        place(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
            p[3],
        )
    return 0


@njit(**KERNEL)
def run_frames(
    steps, c8, c16, c32, c64, v8, v16, v32, ports, given, controllers, frames, heads, saturations
):
    """The frame loop.

    steps (instructions, 35) int64; c*, v* arenas of constants and of what changes
    ports  (5,) int64: starts in v32 of frame, controllers, next_controllers, next_frame, heads
    given  (g, frame_size) int32: present frames of the first steps; then its own are taken
    controllers (frames + 1, pads) int32; frames (frames, frame_size) int32, written
    heads (frames, n) int32, written, n may be 0; saturations (instructions,) int64, added to
    """
    size, pads, width = frames.shape[1], controllers.shape[1], heads.shape[1]
    for t in range(len(frames)):
        frame = v32[ports[0] : ports[0] + size]
        if t < len(given):
            assign(frame, given[t])
        else:
            assign(frame, frames[t - 1])
        assign(v32[ports[1] : ports[1] + pads], controllers[t])
        assign(v32[ports[2] : ports[2] + pads], controllers[t + 1])
        for i in range(len(steps)):
            saturations[i] += run_step(steps[i], c8, c16, c32, c64, v8, v16, v32)
        assign(frames[t], v32[ports[3] : ports[3] + size])
        assign(heads[t], v32[ports[4] : ports[4] + width])
