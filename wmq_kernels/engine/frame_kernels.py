"""Compute the instructions that make the next frame of the network's outputs.

One function per row of `isa.py`, as in `kernels`: draw a class, then add, round, count and
replace as the rules of the frame say.  None of them counts saturations.
"""

from __future__ import annotations

import numpy as np

from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.kernels import assign, clamp, isqrt, round_shift

MIN_INT32 = -(1 << 31)
WORD = (1 << 32) - 1  # the bits of a random word
FULL = 1 << 16  # a stick that is full right


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
def frame_down(now, value, least, most, out):
    for i in range(len(now)):
        before, lo, hi = np.int64(now[i]), np.int64(least[i]), np.int64(most[i])
        v = clamp(round_shift(np.int64(value[i]), np.int64(16)), lo, hi)
        out[i] = v if v > before else clamp(before - 1, lo, hi)


@kernel
def frame_move(now, change, speed, push, still, least, most, out):
    moves = still[0] == 0
    for i in range(len(now)):
        v = np.int64(now[i]) + np.int64(change[i])
        if moves:
            v += np.int64(speed[i]) + np.int64(push[i])
        out[i] = clamp(v, np.int64(least[i]), np.int64(most[i]))


@kernel
def threshold(x, least, out):
    for i in range(len(x)):
        v = np.int64(x[i])
        out[i] = 0 if abs(v) < least[i] else v


@kernel
def blank(x, first, second, out):
    empty = first[0] != 0 and second[0] != 0
    for i in range(len(x)):
        out[i] = 0 if empty else x[i]


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
def place(before, after, index, moved, table, out, event):
    n = len(out)
    if after[0] == event and before[0] != event:
        k = clamp(np.int64(index[0]), 0, len(table) // n - 1)
        assign(out, table[k * n : (k + 1) * n])
    else:
        assign(out, moved)


@kernel
def greatest(x, allowed):
    """The greatest of the x that are allowed."""
    most = np.int64(MIN_INT32)
    for i in range(len(x)):
        if allowed[i] != 0:
            most = max(most, np.int64(x[i]))
    return most


@kernel
def weigh(x, allowed, most, table, multiplier, shift, weights):
    """The weight of each class by its distance from the greatest; returns their sum."""
    last = len(table) - 1
    total = np.int64(0)
    for i in range(len(x)):
        weight = np.int64(0)
        if allowed[i] != 0:
            distance = round_shift((most - np.int64(x[i])) * multiplier, shift)
            q, r = distance >> 8, distance & 255
            if q < last:
                left, right = np.int64(table[q]), np.int64(table[q + 1])
                weight = round_shift((left << 8) + (right - left) * r, np.int64(8))
        weights[i] = weight
        total += weight
    return total


@kernel
def sample(x, allowed, state, word, forced, table, weights, out, multiplier, shift):
    """weights (n,) int32 to work in."""
    n = len(x)
    if forced[0] >= 0:
        out[0] = min(np.int64(forced[0]), n - 1)
        return
    row = clamp(np.int64(state[0]), 0, len(allowed) // n - 1)
    mine = allowed[row * n : (row + 1) * n]
    most = greatest(x, mine)
    i = 0
    if forced[0] < -1:
        while mine[i] == 0 or x[i] != most:
            i += 1
    else:
        total = weigh(x, mine, most, table, multiplier, shift, weights)
        left = (np.int64(word[0]) & WORD) * total >> 32
        while left >= weights[i]:
            left -= weights[i]
            i += 1
    out[0] = i


@kernel
def timed(state, age, forced, last, following, out):
    k = clamp(np.int64(state[0]), 0, len(last) - 1)
    if forced[0] >= 0 or last[k] < 0:
        out[0] = forced[0]
    else:
        out[0] = following[k] if age[0] >= last[k] else k


@kernel
def cross(before, after, index, x, push, least, most, need, fate, out):
    axes, sides = len(x), len(need)
    k = clamp(np.int64(index[0]), 0, len(least) // axes - 1)
    b = clamp(np.int64(before[0]), 0, len(fate) // sides - 1)
    out[0] = after[0]
    for side in range(sides):
        v, at = x[side // 2], k * axes + side // 2
        beyond = v > most[at] if side % 2 == 1 else v < least[at]
        to = fate[b * sides + side]
        if beyond and push[0] >= need[side] and to >= 0:
            out[0] = to
            break


@kernel
def strike(state, present, x, at, out):
    k = clamp(np.int64(state[0]), 0, len(at) - 1)
    out[0] = max(np.int64(x[0]) - 1, 0) if present[0] == at[k] else x[0]


@kernel
def stand(x, flag, row, column, table, out, columns, reach):
    r = clamp(np.int64(row[0]), 0, len(table) // columns - 1)
    t = np.int64(table[r * columns + clamp(np.int64(column[0]), 0, columns - 1)])
    near = abs(np.int64(x[0]) - t) <= reach
    out[0] = t if flag[0] != 0 and t != MIN_INT32 and near else x[0]


@kernel
def inside(x, flag, row, column, least, most, out, columns):
    r = clamp(np.int64(row[0]), 0, len(least) // columns - 1)
    at = r * columns + clamp(np.int64(column[0]), 0, columns - 1)
    out[0] = flag[0] if least[at] <= x[0] and x[0] <= most[at] else 0


@kernel
def fall(x, still, flag, state, row, weighs, gravity, terminal, out):
    k = clamp(np.int64(row[0]), 0, len(gravity) - 1)
    a = clamp(np.int64(state[0]), 0, len(weighs) - 1)
    v, lowest = np.int64(x[0]), -np.int64(terminal[k])
    if still[0] == 0 and flag[0] == 0 and weighs[a] != 0 and v >= lowest:
        v = max(v - gravity[k], lowest)
    out[0] = v


@kernel
def fade(x, still, flag, out, amount):
    if still[0] != 0 or flag[0] != 0:
        assign(out, x)
        return
    squares = np.int64(0)
    for i in range(len(x)):
        squares += np.int64(x[i]) * np.int64(x[i])
    m = isqrt(squares)
    for i in range(len(x)):
        if m <= amount:
            out[i] = 0
        else:
            out[i] = (2 * np.int64(x[i]) * (m - amount) + m) // (2 * m)


@kernel
def hold_above(x, before, y, row, least, most, level, out):
    k = clamp(np.int64(row[0]), 0, len(level) - 1)
    inside_ends = least[k] <= x[0] and x[0] <= most[k]
    sinks = before[0] >= level[k] and level[k] > y[0] and inside_ends
    out[0] = level[k] if sinks else y[0]


@kernel
def override(state, flag, x, table, out):
    decided = table[clamp(np.int64(state[0]), 0, len(table) - 1)]
    out[0] = decided if flag[0] == 0 and decided >= 0 else x[0]


@kernel
def near(x, flag, row, column, table, out, columns, reach):
    r = clamp(np.int64(row[0]), 0, len(table) // columns - 1)
    t = np.int64(table[r * columns + clamp(np.int64(column[0]), 0, columns - 1)])
    holds = t == MIN_INT32 or abs(np.int64(x[0]) - t) <= reach
    out[0] = flag[0] if holds else 0


@kernel
def drift(
    x, still, flag, state, row, stick, loose, held, friction, walk, most, slope, base, out, modes
):
    a = clamp(np.int64(state[0]), 0, len(loose) - 1)
    m, v = np.int64(loose[a] if flag[0] == 0 else held[a]), np.int64(x[0])
    if still[0] != 0 or m < 0:
        out[0] = v
        return
    at = clamp(np.int64(row[0]), 0, len(most) // modes - 1) * modes + m
    s = clamp(2 * np.int64(stick[0]) - FULL, -FULL, FULL)
    asked = round_shift(np.int64(most[at]) * s, np.int64(16))
    lost = np.int64(friction[at])
    if abs(v) > walk[at]:
        lost *= 2
    slow = v - clamp(v, -lost, lost)
    pushed = v + round_shift(np.int64(slope[at]) * s, np.int64(16))
    if s > 0:
        out[0] = max(slow, asked) if v > asked else min(pushed + base[at], asked)
    elif s < 0:
        out[0] = min(slow, asked) if v < asked else max(pushed - base[at], asked)
    else:
        out[0] = slow
