"""The oracle: what each instruction means, in Python's unbounded integers.

One function a row of `isa.ROWS`, under the same name and written from its formula.  It
takes the row's operands and parameters by name, lists of ints in row-major order, and
returns what it writes by name, and how many clamps changed a value.  Every step towards a
result is checked to fit int64, and every result to lie in its value's declared interval,
so that agreement with the oracle also shows that nothing overflowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from operator import mul, ne

from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import TABLE
from wmq_kernels.program import Program, Slice, Step

Ints = list[int]
Result = tuple[dict[str, Ints], int]  # what is written, and saturations
INT64 = 1 << 63


# --- primitives -------------------------------------------------------------------------


def int64(value: int, what: str) -> int:
    """The value, if an engine can hold it in 64 bits."""
    if not -INT64 <= value < INT64:
        raise ProgramError(f"{what} = {value} does not fit int64")
    return value


def round_shift(value: int, shift: int) -> int:
    """floor(value / 2^shift + 1/2): to nearest, a half goes up.  The one rounding there is."""
    if not 0 <= shift <= 62:
        raise ProgramError(f"a shift by {shift} is not in [0, 62]")
    return int64(value + (1 << shift >> 1), "round_shift's sum") >> shift


def clamp(value: int, lo: int, hi: int) -> int:
    return min(max(value, lo), hi)


def saturate(values: Ints, lo: int, hi: int) -> tuple[Ints, int]:
    """Clamped values, and how many of them that changed."""
    if lo > hi:
        raise ProgramError(f"clamp to [{lo}, {hi}], an empty interval")
    clamped = [clamp(v, lo, hi) for v in values]
    return clamped, sum(map(ne, clamped, values))


def entry(table: Ints, index: int, what: str) -> int:
    if not 0 <= index < len(table):
        raise ProgramError(f"{what}[{index}] is outside of its {len(table)} entries")
    return table[index]


# --- instructions, in the order of the table ---------------------------------------------


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
    return sum(map(mul, weight[j * n : (j + 1) * n], x))


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
    t = eps + sum(v * v for v in x)
    if t >= 2**62:
        raise ProgramError(f"eps + sum x^2 = {t} is not below 2^62")
    e = 0
    while t * 4**e < 2**60:
        e += 1
    m = numerator // isqrt(t * 4**e)
    products = [int64(v * m, "x * m") for v in x]
    out, saturated = saturate([round_shift(p, shift - e) for p in products], lo, hi)
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
        k = v >> 24
        if k >= entries:
            out.append(0)
            continue
        steps = entry(coarse, k, "coarse"), entry(fine, (v >> 16) % 256, "fine")
        e = round_shift(int64(steps[0] * steps[1], "coarse * fine"), 31)
        less = round_shift(int64(e * (v % 65536), "e * (v mod 65536)"), 32)
        out.append(min(int64(e - less, "e - rest"), 2**31 - 1))
    return {"out": out}, 0


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
    new: Ints = []
    rounded: Ints = []
    saturated = 0
    for h in range(heads):
        mine = slice(h * headdim, (h + 1) * headdim)
        first = len(new)
        for n in range(d_state):
            row = state[first + n * headdim : first + (n + 1) * headdim]
            moved, clamped = _scan_row(row, decay[h], drive[mine], B[n], gain[h], limit)
            new += moved
            saturated += clamped
        for p, value in enumerate(x[mine]):
            seen = sum(map(mul, new[first + p :: headdim], C))
            total = int64(int64(skip[h] * value, "skip * x") + seen, "skip * x + sum")
            rounded.append(round_shift(total, shift[h]))
    out, clamped = saturate(rounded, lo, hi)
    return {"state": new, "out": out}, saturated + clamped


def _scan_row(
    row: Ints, decay: int, drive: Ints, b: int, gain: int, limit: int
) -> tuple[Ints, int]:
    """state[h, n, :] of the next frame; checks are on the row's extremes, for speed."""
    if not 0 <= gain <= 62:
        raise ProgramError(f"a gain of {gain} is not in [0, 62]")
    weight = b * 2**gain
    totals = [s * decay + d * weight for s, d in zip(row, drive, strict=True)]
    for what, terms in (("state", row), ("drive * B", drive), ("sum", totals)):
        factor = {"state": decay, "drive * B": weight, "sum": 1}[what]
        for extreme in (min(terms), max(terms)):
            int64(extreme * factor, f"the new state's {what}")
    round_shift(max(totals), 31)
    moved = [(total + 2**30) >> 31 for total in totals]
    if -limit <= min(moved) and max(moved) <= limit:
        return moved, 0
    return saturate(moved, -limit, limit)


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


ORACLE: dict[str, Callable[..., Result]] = {
    function.__name__: function
    for function in (
        digits, embed, dot, dot_add, add, rms_norm, conv, silu, softplus, decay, drive, scan,
        gate, frame_add, frame_round, frame_sign, argmax, age, copy, rms_norm_digits, place,
    )
}  # fmt: skip
ORACLE |= {f"requantize_{dtype}": _requantize for dtype in ("i8", "i16", "i32")}


# --- programs ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Rollout:
    """frames: next_frame of each step; heads likewise, or None if not asked for."""

    frames: list[Ints]
    heads: list[Ints] | None
    saturations: Ints  # per step of the program, since the Reference was made


class Reference:
    """Runs a program; consecutive runs go on from the state that the last one left."""

    def __init__(self, program: Program) -> None:
        _check_order(program)
        self.program = program
        self.values = {name: [0] * value.size for name, value in program.values.items()}
        for name, array in program.data.items():
            self.values[name] = array.tolist()
        self.saturations = [0] * len(program.steps)

    @property
    def state(self) -> dict[str, Ints]:
        """The values that live from frame to frame."""
        kinds = self.program.values
        return {name: list(v) for name, v in self.values.items() if kinds[name].kind == "state"}

    def run(
        self,
        given: Sequence[Sequence[int]],
        controllers: Sequence[Sequence[int]],
        frames: int,
        heads: bool = False,
    ) -> Rollout:
        """Frames 0..frames-1; row t of controllers is the present, t + 1 the next.

        The present frame is given[t] while there is one, then the last next_frame.
        """
        if not 1 <= len(given) <= frames or len(controllers) != frames + 1:
            raise ProgramError("wanted 1..frames given frames and frames + 1 rows of controllers")
        made: list[Ints] = []
        seen: list[Ints] = []
        for t in range(frames):
            self._set("frame", list(given[t]) if t < len(given) else made[-1])
            self._set("controllers", list(controllers[t]))
            self._set("next_controllers", list(controllers[t + 1]))
            for number, step in enumerate(self.program.steps):
                self._execute(number, step)
            made.append(list(self.values["next_frame"]))
            seen.append(list(self.values["heads"]))
        return Rollout(made, seen if heads else None, list(self.saturations))

    def _set(self, name: str, numbers: Ints) -> None:
        value = self.program.values[name]
        if len(numbers) != value.size:
            raise ProgramError(f"{name}: {len(numbers)} numbers, wanted {value.size}")
        self._check(name, numbers, name)
        self.values[name] = list(numbers)

    def _check(self, name: str, numbers: Ints, where: str) -> None:
        value = self.program.values[name]
        if not value.lo <= min(numbers) <= max(numbers) <= value.hi:
            raise ProgramError(f"{where}: [{min(numbers)}, {max(numbers)}] leaves the interval "
                               f"[{value.lo}, {value.hi}] of {name}")  # fmt: skip

    def _execute(self, number: int, step: Step) -> None:
        rule = TABLE[step.op]
        where = f"steps[{number}] ({step.op})"
        operands = {o.name: self._read(step.operands[o.name])
                    for o in rule.operands if o.access != "write"}  # fmt: skip
        try:
            written, saturated = ORACLE[step.op](**operands, **step.parameters)
        except ProgramError as error:
            raise ProgramError(f"{where}: {error}") from None
        for name, numbers in written.items():
            at = step.operands[name]
            if len(numbers) != at.count:
                raise ProgramError(f"{where}.{name}: {len(numbers)} elements, not {at.count}")
            self._check(at.value, numbers, f"{where}.{name}")
            self.values[at.value][at.start : at.start + at.count] = numbers
        self.saturations[number] += saturated

    def _read(self, at: Slice) -> Ints:
        whole = self.values[at.value]
        return whole if at.count == len(whole) else whole[at.start : at.start + at.count]


def _check_order(program: Program) -> None:
    """Within a frame, a temp is written before it is read, each element of it."""
    fresh = {name: bytearray(v.size) for name, v in program.values.items() if v.kind == "temp"}
    for name in ("frame", "controllers", "next_controllers"):
        fresh[name] = bytearray(b"\1" * len(fresh[name]))
    for number, step in enumerate(program.steps):
        for operand in sorted(TABLE[step.op].operands, key=lambda o: o.access == "write"):
            at = step.operands[operand.name]
            if at.value not in fresh:
                continue
            place = slice(at.start, at.start + at.count)
            if operand.access == "write":
                fresh[at.value][place] = b"\1" * at.count
            elif not all(fresh[at.value][place]):
                raise ProgramError(f"steps[{number}] ({step.op}).{operand.name}: "
                                   f"{at.value} is read before it is written")  # fmt: skip
    for name in ("next_frame", "heads"):
        if not all(fresh[name]):
            raise ProgramError(f"{name}: not written in whole")
