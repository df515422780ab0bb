"""The compiled machine: one function per row of `isa.py` and the loop that runs a program.

All is integers; arrays come as slices of flat arenas, one a type, constants apart from
what changes.  Kernels return the number of values that their clamp changed.  Those that
the time goes into take `packed`: None for plain loops, else the weights as `vnni` reads
them.  numba compiles a function for each type of `packed`, and only the branch that is
taken, so that the plain path holds no instruction of AVX-512 of ours.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine import vnni
from wmq_kernels.engine.compiling import inlined, kernel
from wmq_kernels.engine.meeting import meet

# Copies of what isa.py says, held to it by a test: this package imports no other.
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

OP_DOTS, OP_MEET = 25, 26  # of the engine alone: see `dots` and `meeting`

MAX_INT32 = (1 << 31) - 1
ROWS = 32  # of weights that all worlds use in turn, while they are near
OPERANDS = 2  # place of the first operand in an instruction's code
PARAMETERS = 24  # and of the first parameter


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
def widen(v8, x, y, shift, out):
    """x as int16, or x + 2^shift * y if there is a y."""
    for i in range(len(out)):
        out[i] = v8[x + i]
    if y >= 0:
        for i in range(len(out)):
            out[i] += np.int16(v8[y + i]) << shift


@kernel
def dots(p, worlds, c8, c32, v8, v32, wide, acc):
    """dot and dot_add of some worlds: out = base + 2^s * W x, or base + W (x + 2^s * y).

    p     what `plan` makes of them: starts of x, y (-1 if there is none), W, base and out;
          n, o; s; 1 if base is constant; the sizes of a world in v8 and in v32
    wide  (worlds * n,) int16 and acc (ROWS,) int32 to work in
    """
    x, y, w, base, out, n, o = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    shift, constant, size8, size32 = p[7], p[8], p[9], p[10]
    for world in range(worlds):
        second = y + world * size8 if y >= 0 else y
        widen(v8, x + world * size8, second, shift, wide[world * n : (world + 1) * n])
    left = np.int64(0) if y >= 0 else shift
    for first in range(0, o, ROWS):
        rows = min(ROWS, o - first)
        row = w + first * n
        for world in range(worlds):
            to = out + world * size32 + first
            mine = v32[to : to + rows]
            products(c8[row : row + rows * n], wide[world * n : (world + 1) * n], acc[:rows])
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
        for p in range(headdim):
            total[p] = skip[h] * np.int64(x[at + p])
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
def scan_carry(
    state, carry, keep, push, B, C, x, skip, gain, shift, total, narrow, out, limit, lo, hi, packed
):
    """total (3 * headdim,) int64 and narrow (2 * d_state,) int32 to work in."""
    heads, d_state = len(keep), len(B)
    headdim = len(x) // heads
    count = 0
    for h in range(heads):
        at = h * headdim
        drive, mine, size = push[at : at + headdim], total[:headdim], d_state * headdim
        for p in range(headdim):
            mine[p] = skip[h] * np.int64(x[at + p])
        done = False
        if packed is not None:
            done = vnni.scan_head(state[h * size : (h + 1) * size],
                                  carry[h * size : (h + 1) * size], np.int64(keep[h]), drive, B, C,
                                  np.int64(gain[h]), total, narrow, limit)  # fmt: skip
        if not done:
            for n in range(d_state):
                row = (h * d_state + n) * headdim
                count += scan_carry_row(state[row : row + headdim], carry[row : row + headdim],
                                        drive, mine, np.int64(keep[h]),
                                        np.int64(B[n]) << np.int64(gain[h]), np.int64(C[n]),
                                        limit)  # fmt: skip
        count += read_out(mine, np.int64(shift[h]), out[at : at + headdim], lo, hi)
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
def frame_add(now, change, least, most, out):
    for i in range(len(now)):
        out[i] = clamp(np.int64(now[i]) + np.int64(change[i]), np.int64(least[i]), most[i])


@kernel
def frame_round(now, value, least, most, falling, out):
    for i in range(len(now)):
        v = clamp(round_shift(np.int64(value[i]), np.int64(16)), np.int64(least[i]), most[i])
        out[i] = min(v, np.int64(now[i])) if falling[i] == 1 else v


@kernel
def frame_sign(x, out):
    for i in range(len(x)):
        out[i] = x[i] > 0


@kernel
def argmax(x, out):
    best = 0
    for i in range(1, len(x)):
        if x[i] > x[best]:
            best = i
    out[0] = best


@kernel
def age(before, after, present, out, most):
    out[0] = 0 if after[0] != before[0] else min(np.int64(present[0]) + 1, most)


@kernel
def copy(x, out):
    assign(out, x)


@kernel
def place(before, after, index, moved, table, out, event):
    n = len(out)
    if after[0] == event and before[0] != event:
        k = clamp(np.int64(index[0]), 0, len(table) // n - 1)
        assign(out, table[k * n : (k + 1) * n])
    else:
        assign(out, moved)


@inlined
def part(arena, code, k):
    """Operand k of an instruction: code holds (start, count) of each."""
    start = code[OPERANDS + 2 * k]
    return arena[start : start + code[OPERANDS + 2 * k + 1]]


@kernel
def run_step(code, c8, c16, c32, c64, v8, v16, v32, s32, s64, packed):
    """One instruction but dot and dot_add.

    code (36,) int64: opcode, place in the program, operands (start, count), parameters;
    s32, s64 to work in
    """
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
            s64,
            part(v16, code, 7),
            p[2],
            p[3],
        )
    elif op == OP_SILU:
        half = len(s32) // 2
        return silu(
            part(v16, code, 0),
            part(c32, code, 1),
            s32[:half],
            s32[half:],
            part(v16, code, 2),
            p[2],
            p[3],
            p[4],
            p[5],
            p[6],
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
            s64,
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
            s64,
            s32,
            part(v16, code, 10),
            p[3],
            p[4],
            p[5],
            packed,
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


@kernel
def run_frames(
    steps, sizes, c8, c16, c32, c64, packed, v8, v16, v32, ports, given, controllers, frames,
    heads, saturations, s16, s32, s64, rank, team, shared
):  # fmt: skip
    """The frame loop of some worlds side by side, or of one of the threads that share it.

    steps  (n, 36) int64; c*, v* arenas of constants and of what changes, world after world
    sizes  (3,) int64: elements of a world in v8, v16, v32
    packed the weights for `vnni`, or None
    ports  (5,) int64: starts in v32 of frame, controllers, next_controllers, next_frame, heads
    given  (worlds, g, frame_size) int32: present frames of the first steps; then its own
    controllers (worlds, frames + 1, pads) int32
    frames (worlds, frames, frame_size), heads (worlds, frames, n) int32, written, n may be 0
    saturations (worlds, instructions) int64, added to
    s16, s32, s64  to work in; shared: of `team` threads that meet, this one is `rank`
    False if a thread of the team gave up
    """
    worlds = len(frames)
    turn = 0
    for t in range(frames.shape[1]):
        if rank == 0:
            take_in(v32, sizes[2], ports, given, controllers, frames, t)
        if team > 1:
            turn += 1
            if not meet(shared, team, turn):
                return False
        for i in range(len(steps)):
            code = steps[i]
            if code[0] == OP_DOTS:
                if packed is None:
                    dots(code[OPERANDS:], worlds, c8, c32, v8, v32, s16, s32)
                else:
                    vnni.dots(code[OPERANDS:], worlds, packed, c32, v8, v32, s32, s64)
            elif code[0] == OP_MEET:
                turn += 1
                if not meet(shared, team, turn):
                    return False
            else:
                for w in range(worlds):
                    saturations[w, code[1]] += run_step(
                        code,
                        c8,
                        c16,
                        c32,
                        c64,
                        v8[w * sizes[0] : (w + 1) * sizes[0]],
                        v16[w * sizes[1] : (w + 1) * sizes[1]],
                        v32[w * sizes[2] : (w + 1) * sizes[2]],
                        s32,
                        s64,
                        packed,
                    )
        if team > 1:
            turn += 1
            if not meet(shared, team, turn):
                return False
        if rank == 0:
            hand_out(v32, sizes[2], ports, frames, heads, t)
    return True


@kernel
def take_in(v32, size, ports, given, controllers, frames, t):
    """The present frame and the controllers of step t."""
    frame_size, pads = frames.shape[2], controllers.shape[2]
    for w in range(len(frames)):
        mine = v32[w * size : (w + 1) * size]
        frame = mine[ports[0] : ports[0] + frame_size]
        if t < given.shape[1]:
            assign(frame, given[w, t])
        else:
            assign(frame, frames[w, t - 1])
        assign(mine[ports[1] : ports[1] + pads], controllers[w, t])
        assign(mine[ports[2] : ports[2] + pads], controllers[w, t + 1])


@kernel
def hand_out(v32, size, ports, frames, heads, t):
    frame_size, width = frames.shape[2], heads.shape[2]
    for w in range(len(frames)):
        mine = v32[w * size : (w + 1) * size]
        assign(frames[w, t], mine[ports[3] : ports[3] + frame_size])
        assign(heads[w, t], mine[ports[4] : ports[4] + width])
