"""Define what the instructions of `frame_isa` mean: the part of the oracle for a game's rules."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from wmq_kernels.exact import INT32, Ints, Result, clamp, int64, round_shift


def timed(
    state: Ints, age: Ints, forced: Ints, last: Ints, next: Ints, one: int, entries: int
) -> Result:
    k = clamp(state[0], 0, entries - 1)
    if forced[0] >= 0 or last[k] < 0:
        return {"out": [forced[0]]}, 0
    return {"out": [next[k] if age[0] >= last[k] else k]}, 0


def cross(
    before: Ints, after: Ints, index: Ints, x: Ints, push: Ints, least: Ints, most: Ints,
    need: Ints, fate: Ints, one: int, entries: int, axes: int, sides: int, states: int,
) -> Result:  # fmt: skip
    k, b = clamp(index[0], 0, entries - 1), clamp(before[0], 0, states - 1)
    beyond = []  # of each side, whether the place is
    for a in range(axes):
        beyond += [x[a] < least[k * axes + a], x[a] > most[k * axes + a]]
    for s in range(sides):
        if beyond[s] and push[0] >= need[s] and fate[b * sides + s] >= 0:
            return {"out": [fate[b * sides + s]]}, 0
    return {"out": [after[0]]}, 0


def strike(state: Ints, age: Ints, x: Ints, at: Ints, one: int, entries: int) -> Result:
    k = clamp(state[0], 0, entries - 1)
    return {"out": [max(x[0] - 1, 0) if age[0] == at[k] else x[0]]}, 0


def frame_down(now: Ints, value: Ints, least: Ints, most: Ints, n: int) -> Result:
    out = []
    for i in range(n):
        v = clamp(round_shift(value[i], 16), least[i], most[i])
        out.append(v if v > now[i] else clamp(now[i] - 1, least[i], most[i]))
    return {"out": out}, 0


def frame_move(
    now: Ints, change: Ints, speed: Ints, push: Ints, still: Ints, least: Ints, most: Ints,
    n: int, one: int,
) -> Result:  # fmt: skip
    out = []
    for i in range(n):
        carried = speed[i] + push[i] if still[0] == 0 else 0
        out.append(clamp(now[i] + change[i] + carried, least[i], most[i]))
    return {"out": out}, 0


def threshold(x: Ints, least: Ints, n: int) -> Result:
    return {"out": [0 if -least[i] < x[i] < least[i] else x[i] for i in range(n)]}, 0


def blank(x: Ints, first: Ints, second: Ints, n: int, one: int) -> Result:
    return {"out": [0] * n if first[0] != 0 and second[0] != 0 else x[:n]}, 0


def stand(
    x: Ints, flag: Ints, row: Ints, column: Ints, table: Ints,
    one: int, rows: int, columns: int, reach: int,
) -> Result:  # fmt: skip
    t = table[clamp(row[0], 0, rows - 1) * columns + clamp(column[0], 0, columns - 1)]
    taken = flag[0] != 0 and t != -INT32 and abs(x[0] - t) <= reach
    return {"out": [t if taken else x[0]]}, 0


def inside(
    x: Ints, flag: Ints, row: Ints, column: Ints, least: Ints, most: Ints,
    one: int, rows: int, columns: int,
) -> Result:  # fmt: skip
    at = clamp(row[0], 0, rows - 1) * columns + clamp(column[0], 0, columns - 1)
    return {"out": [flag[0] if least[at] <= x[0] <= most[at] else 0]}, 0


def fall(
    x: Ints, still: Ints, flag: Ints, state: Ints, row: Ints, weighs: Ints, gravity: Ints,
    terminal: Ints, one: int, states: int, entries: int,
) -> Result:  # fmt: skip
    k, a = clamp(row[0], 0, entries - 1), clamp(state[0], 0, states - 1)
    free = still[0] == 0 and flag[0] == 0 and weighs[a] != 0
    if not free or x[0] < -terminal[k]:
        return {"out": [x[0]]}, 0
    return {"out": [max(x[0] - gravity[k], -terminal[k])]}, 0


def fade(x: Ints, still: Ints, flag: Ints, n: int, one: int, amount: int) -> Result:
    if still[0] != 0 or flag[0] != 0:
        return {"out": x[:n]}, 0
    m = isqrt(int64(sum(v * v for v in x), "sum x^2"))
    if m <= amount:
        return {"out": [0] * n}, 0
    doubled = [int64(2 * v * (m - amount) + m, "2 * x * (m - amount) + m") for v in x]
    return {"out": [v // (2 * m) for v in doubled]}, 0


def hold_above(
    x: Ints, before: Ints, y: Ints, row: Ints, least: Ints, most: Ints, level: Ints,
    one: int, entries: int,
) -> Result:  # fmt: skip
    k = clamp(row[0], 0, entries - 1)
    sinks = before[0] >= level[k] > y[0] and least[k] <= x[0] <= most[k]
    return {"out": [level[k] if sinks else y[0]]}, 0


def override(state: Ints, flag: Ints, x: Ints, table: Ints, one: int, entries: int) -> Result:
    decided = table[clamp(state[0], 0, entries - 1)]
    return {"out": [decided if flag[0] == 0 and decided >= 0 else x[0]]}, 0


def near(
    x: Ints, flag: Ints, row: Ints, column: Ints, table: Ints,
    one: int, rows: int, columns: int, reach: int,
) -> Result:  # fmt: skip
    t = table[clamp(row[0], 0, rows - 1) * columns + clamp(column[0], 0, columns - 1)]
    return {"out": [flag[0] if t == -INT32 or abs(x[0] - t) <= reach else 0]}, 0


def drift(
    x: Ints, still: Ints, flag: Ints, state: Ints, row: Ints, stick: Ints, loose: Ints, held: Ints,
    friction: Ints, walk: Ints, most: Ints, slope: Ints, base: Ints,
    one: int, states: int, rows: int, modes: int,
) -> Result:  # fmt: skip
    a, v = clamp(state[0], 0, states - 1), x[0]
    m = loose[a] if flag[0] == 0 else held[a]
    if still[0] != 0 or m < 0:
        return {"out": [v]}, 0
    at = clamp(row[0], 0, rows - 1) * modes + m
    s = clamp(2 * stick[0] - (1 << 16), -(1 << 16), 1 << 16)
    g = round_shift(most[at] * s, 16)
    d = friction[at] if abs(v) <= walk[at] else 2 * friction[at]
    slow = v - clamp(v, -d, d)
    if s == 0:
        return {"out": [slow]}, 0
    pushed = v + round_shift(slope[at] * s, 16)
    if s > 0:
        return {"out": [max(slow, g) if v > g else min(pushed + base[at], g)]}, 0
    return {"out": [min(slow, g) if v < g else max(pushed - base[at], g)]}, 0


FRAME_ORACLE: dict[str, Callable[..., Result]] = {
    function.__name__: function
    for function in (
        timed, cross, strike, frame_down, frame_move, threshold, blank, stand, inside, fall, fade,
        hold_above, override, near, drift,
    )
}  # fmt: skip
