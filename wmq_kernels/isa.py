"""Define the instructions: one row is all that a program file may say about an operation.

A row gives operands, integer parameters and the formula.  Three functions of the same
name stand beside it: the oracle in `oracle.py`, the kernel in `engine/kernels.py`,
and the range rule in `rangecheck.py`; documentation and fuzzers read the rows.

Shapes are written in parameter names, row-major.  Access is

    const   data of the program file
    read    a value that an earlier instruction, the caller or the last frame wrote
    write   every element is set
    update  read, then set: state that lives from frame to frame
"""

from __future__ import annotations

from dataclasses import dataclass

from wmq_kernels.frame_isa import FRAME_ROWS

DTYPES = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
COUNT = (1, 1 << 20)  # of a length parameter
INT32 = (-(1 << 31), (1 << 31) - 1)
SIGMOID_STEP_BITS = 7  # silu's table has a point every 2^-7
SIGMOID_BITS = 22  # and 22 fraction bits
SOFTPLUS_REACH = 1 << 20  # softplus takes Q.16 in [-16, 16)
COARSE_BITS = 46  # fraction bits of decay's table exp(-i / 2^8)
FINE_BITS = 38  # and of 1 - exp(-j / 2^16)
CARRY_BITS = 16  # of a rounding's remainder that scan_carry keeps
DIGIT_BITS = 7
DIGITS_LIMIT = 127 << DIGIT_BITS  # largest size that two digits hold
HADAMARD_BLOCKS = (2, 1 << 10)  # least and greatest length of hadamard's blocks


@dataclass(frozen=True)
class Operand:
    name: str
    dtype: str
    access: str
    shape: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """An integer in the instruction, lo and hi included."""

    name: str
    lo: int
    hi: int


@dataclass(frozen=True)
class Instruction:
    """A row.

    proof      what the range rule shows and what it puts into the certificate, in the
               notation of docs/SPEC.md section 8
    note       edge cases and reasons that the formula does not show
    saturates  clamps of this instruction are counted in `saturations`
    """

    name: str
    operands: tuple[Operand, ...]
    parameters: tuple[Parameter, ...]
    formula: str
    proof: str
    note: str
    saturates: bool


def _operands(text: str) -> tuple[Operand, ...]:
    """From "x:i8:read:n, weight:i8:const:o*n"."""
    found = []
    for item in text.split(","):
        name, dtype, access, shape = item.strip().split(":")
        found.append(Operand(name, dtype, access, tuple(shape.split("*"))))
    return tuple(found)


def _row(
    name: str, operands: str, parameters: str, formula: str, proof: str, note: str = ""
) -> Instruction:
    ranges = {"lo": (-(1 << 62), 1 << 62), "hi": (-(1 << 62), 1 << 62), "shift": (0, 62)}
    ranges |= {"eps": (1, 1 << 61), "numerator": (1 << 60, (1 << 61) - 1)}
    ranges |= {
        "event": (0, (1 << 31) - 1),
        "limit": (1, (1 << 31) - 1),
        "multiplier": (0, (1 << 31) - 1),
        "reach": (0, (1 << 31) - 1),
        "amount": (0, (1 << 31) - 1),
    }
    ranges |= {"fraction": (SIGMOID_STEP_BITS, 15), "one": (1, 1), "block": HADAMARD_BLOCKS}
    named = tuple(Parameter(p, *ranges.get(p, COUNT)) for p in parameters.split())
    clamps = "clamp(" in formula
    return Instruction(name, _operands(operands), named, formula, proof, note, clamps)


def _requantize(dtype: str) -> Instruction:
    return _row(
        f"requantize_{dtype}",
        f"x:i32:read:n, multiplier:i32:const:n, shift:i32:const:n, out:{dtype}:write:n",
        "n lo hi",
        "out[i] = clamp(round_shift(x[i] * multiplier[i], shift[i]), lo, hi)",
        "product = size(x) * big(multiplier) + half(shift) <= 2^63 - 1; out = [lo, hi]",
        "A multiplier may be negative or 0. With shift 0 nothing is rounded.",
    )


ROWS: tuple[Instruction, ...] = (
    _row("digits",
         "x:i32:read:n, offset:i32:const:n, multiplier:i32:const:n, shift:i32:const:n, "
         "high:i8:write:n, low:i8:write:n",
         "n",
         "u = clamp(round_shift((x[i] - offset[i]) * multiplier[i], shift[i]), -16256, 16256); "
         "high[i] = round_shift(u, 7); low[i] = u - 128 * high[i]",
         "product = max(hi(x) - min(offset), max(offset) - lo(x)) * big(multiplier) + "
         "half(shift) <= 2^63 - 1; high = [-127, 127]; low = [-64, 63]",
         "Splits a number into two signed digits, u = 128 * high + low, so that int8 products "
         "keep 15 bits of it. u = 16256 gives 127 and 0, u = 64 gives 1 and -64, u = 63 gives 0 "
         "and 63."),
    _row("embed",
         "index:i32:read:one, table:i8:const:classes*dim, out:i8:write:dim",
         "one classes dim",
         "out[i] = table[min(max(index[0], 0), classes - 1), i]",
         "out = [min(table), max(table)]",
         "An index below 0 takes row 0, one beyond the last row takes the last; neither counts "
         "as a saturation."),
    _row("dot",
         "x:i8:read:n, weight:i8:const:o*n, bias:i32:const:o, out:i32:write:o",
         "n o",
         "out[j] = bias[j] + sum_i weight[j, i] * x[i]",
         "rows[j] = (sum_i |weight[j, i]|) * size(x) <= 2^31 - 1 for each j; out = "
         "[min_j(bias[j] + sum_i min(w * lo(x), w * hi(x))), max_j(bias[j] + sum_i max(w * "
         "lo(x), w * hi(x)))] with w = weight[j, i]",
         "The sum without the bias fits int32 in any order of its terms, and so does the result."),
    _row("dot_add",
         "x:i8:read:n, weight:i8:const:o*n, acc:i32:read:o, out:i32:write:o",
         "n o shift",
         "out[j] = acc[j] + 2^shift * sum_i weight[j, i] * x[i]",
         "rows as in dot; shift <= 30; out = [lo(acc) + 2^shift * min_j(sum_i min(w * lo(x), w * "
         "hi(x))), hi(acc) + 2^shift * max_j(sum_i max(w * lo(x), w * hi(x)))] with w = "
         "weight[j, i]",
         "The second digit of an input: the first went through dot. 2^shift times the sum may "
         "exceed int32 on the way; the result does not."),
    _requantize("i8"),
    _requantize("i16"),
    _requantize("i32"),
    _row("add",
         "a:i32:read:n, b:i32:read:n, out:i32:write:n",
         "n lo hi",
         "out[i] = clamp(a[i] + b[i], lo, hi)",
         "out = [lo, hi]",
         "The sum of two int32 is exact in int64."),
    _row("rms_norm",
         "x:i32:read:n, out:i8:write:n",
         "n eps numerator shift lo hi",
         "t = eps + sum_i x[i]^2; e >= 0 such that 2^60 <= t * 4^e < 2^62; m = floor(numerator / "
         "isqrt(t * 4^e)); out[i] = clamp(round_shift(x[i] * m, shift - e), lo, hi)",
         "squares = eps + n * size(x)^2 <= 2^62 - 1; shift >= the least e with eps * 4^e >= "
         "2^60; product = size(x) * 2^31 + half(shift) <= 2^63 - 1; out = [lo, hi]",
         "m is the same for all elements; there is no division of one element by another. e is "
         "the one exponent that brings t into [2^60, 2^62), so that the root has 31 bits "
         "whatever the size of x; for x = 0 it is that of eps. m * 2^e never rises with t if "
         "2^31 divides the numerator."),
    _row("conv",
         "x:i16:read:n, history:i16:update:past*n, weight:i16:const:past*n, "
         "weight_now:i16:const:n, bias:i32:const:n, multiplier:i32:const:n, shift:i32:const:n, "
         "out:i16:write:n",
         "past n lo hi",
         "a = bias[i] + weight_now[i] * x[i] + sum_k weight[k, i] * history[k, i]; out[i] = "
         "clamp(round_shift(a * multiplier[i], shift[i]), lo, hi); then history[k] = history[k + "
         "1] for k < past - 1, history[past - 1] = x",
         "sum = max_i(sum_k |weight[k, i]|) * size(history) + big(weight_now) * size(x) + "
         "big(bias) <= 2^63 - 1; product = sum * big(multiplier) + half(shift) <= 2^63 - 1; out "
         "= [lo, hi]; history = [lo(x), hi(x)]",
         "Row past - 1 of the history is the frame before the present one, row 0 the oldest. out "
         "is computed with the history as it was, which then moves up by a row. Nothing is "
         "counted for the history."),
    _row("silu",
         "x:i16:read:n, table:i32:const:entries, out:i16:write:n",
         "n entries fraction multiplier shift lo hi",
         "b = fraction - 7; a = |x[i]|; k = min(a >> b, entries - 2); r = min(a - k * 2^b, 2^b); "
         "g = table[k] * 2^b + (table[k + 1] - table[k]) * r; if x[i] < 0: g = 2^(22 + b) - g; "
         "out[i] = clamp(round_shift(x[i] * g * multiplier, shift), lo, hi)",
         "entries >= 2; 0 <= table <= 2^22; product = size(x) * 2^(15 + fraction) * multiplier + "
         "half(shift) <= 2^63 - 1; out = [lo, hi]",
         "x has `fraction` fraction bits; the table is the sigmoid with 22 fraction bits, a "
         "point every 2^-7. g is the sigmoid of x with 22 + b fraction bits. Beyond its last "
         "point it stays at the last entry. x = -32768 has a = 32768. With fraction 7, b = 0 and "
         "r is 0 or 1."),
    _row("softplus",
         "x:i32:read:n, table:i32:const:entries, out:i32:write:n",
         "n entries",
         "a = x[i] + 2^20; k = a >> 10; r = a - k * 2^10; d = table[k + 1] - table[k]; c = "
         "table[k + 2] - 2 * table[k + 1] + table[k]; out[i] = round_shift(table[k] * 2^21 + d * "
         "r * 2^11 + c * r * (r - 1024), 21)",
         "-2^20 <= lo(x) and hi(x) <= 2^20 - 1; entries = 2050; out = [min_k(min(table[k], "
         "table[k + 1]) - bend), max_k(max(table[k], table[k + 1]) + bend)] with bend = "
         "floor(|c| / 8) + 1, over k = 0 .. 2047",
         "x has 16 fraction bits and lies in [-16, 16); the table has a point every 2^-6. The "
         "result is on the parabola through three of them (Newton's forward differences)."),
    _row("decay",
         "dt:i32:read:n, rate:i32:const:n, coarse:i64:const:entries, fine:i64:const:fines, "
         "out:i32:write:n",
         "n entries fines",
         "v = round_shift(dt[i] * rate[i], 18); k = v >> 24; j = (v >> 16) mod 256; r = v mod "
         "65536; e(j) = coarse[k] - ((coarse[k] >> 14) * fine[j] >> 24), e(256) = coarse[k + 1]; "
         "out[i] = 0 if k >= entries - 1, else min(round_shift(e(j) * (65536 - r) + e(j + 1) * "
         "r, 31), 2^31 - 1)",
         "0 <= lo(dt); 0 <= rate; product = size(dt) * big(rate) + half(18) <= 2^63 - 1; entries "
         ">= 2; fines = 256; 0 <= coarse <= 2^46; 0 <= fine <= 2^30; out = [0, 2^31 - 1]",
         "dt has 26 fraction bits and rate 24. v is the exponent with 32 fraction bits, rounded "
         "half up. e(j) is exp(-(k / 2^8 + j / 2^16)) with 46 fraction bits, and the result, "
         "which never rises with v, is on the line through two of them, with 31 fraction bits. "
         "The two `>>` inside e are parts of its definition, not further roundings. exp(0) would "
         "be 2^31 and gives 2^31 - 1."),
    _row("drive",
         "x:i16:read:heads*headdim, dt:i32:read:heads, shift:i32:const:heads, "
         "out:i32:write:heads*headdim",
         "heads headdim lo hi",
         "out[h, p] = clamp(round_shift(x[h, p] * dt[h], shift[h]), lo, hi)",
         "product = size(x) * size(dt) + half(shift) <= 2^63 - 1; out = [lo, hi]"),
    _row("scan",
         "state:i32:update:heads*d_state*headdim, decay:i32:read:heads, "
         "drive:i32:read:heads*headdim, B:i16:read:d_state, C:i16:read:d_state, "
         "x:i16:read:heads*headdim, skip:i64:const:heads, gain:i32:const:heads, "
         "shift:i32:const:heads, out:i16:write:heads*headdim",
         "heads d_state headdim limit lo hi",
         "state[h, n, p] = clamp(round_shift(state[h, n, p] * decay[h] + drive[h, p] * B[n] * "
         "2^gain[h], 31), -limit, limit); out[h, p] = clamp(round_shift(skip[h] * x[h, p] + "
         "sum_n state[h, n, p] * C[n], shift[h]), lo, hi), with the new state",
         "0 <= gain <= 40; update = max(size(state), limit) * size(decay) + size(drive) * "
         "size(B) * 2^max(gain) + 2^30 <= 2^63 - 1; sum = max(size(state), limit) * size(C) * "
         "d_state + big(skip) * size(x) + half(shift) <= 2^63 - 1; out = [lo, hi]; state = "
         "[-limit, limit]",
         "All of state is updated before out is read from it, so out sees the clamped new state. "
         "skip has the unit of state * C. Elements of state and of out that were clamped are "
         "counted each. Rounding to nearest stops a state that only decays at about 1 / (2 * (1 "
         "- decay / 2^31)) units."),
    _row("scan_carry",
         "state:i32:update:heads*d_state*headdim, carry:i16:update:heads*d_state*headdim, "
         "decay:i32:read:heads, drive:i32:read:heads*headdim, B:i16:read:d_state, "
         "C:i16:read:d_state, x:i16:read:heads*headdim, skip:i64:const:heads, "
         "gain:i32:const:heads, shift:i32:const:heads, out:i16:write:heads*headdim",
         "heads d_state headdim limit lo hi",
         "t = state[h, n, p] * decay[h] + drive[h, p] * B[n] * 2^gain[h] + carry[h, n, p] * "
         "2^15; u = round_shift(t, 31); state[h, n, p] = clamp(u, -limit, limit); carry[h, n, p] "
         "= (t - u * 2^31) >> 15; out[h, p] = clamp(round_shift(skip[h] * x[h, p] + sum_n "
         "state[h, n, p] * C[n], shift[h]), lo, hi), with the new state",
         "0 <= gain <= 40; update = max(size(state), limit) * size(decay) + size(drive) * "
         "size(B) * 2^max(gain) + size(carry) * 2^15 + 2^30 <= 2^63 - 1; sum as in scan; out = "
         "[lo, hi]; state = [-limit, limit]; carry = [-2^15, 2^15 - 1]",
         "As scan, but what the rounding leaves is kept, in units of 2^-16 of the state's "
         "(rounded down), and added on the next frame, so that a decaying state reaches 0. carry "
         "is what u leaves, also where the state was clamped. out sees the state without its "
         "carry."),
    _row("gate",
         "a:i16:read:n, b:i16:read:n, multiplier:i32:const:n, shift:i32:const:n, out:i32:write:n",
         "n lo hi",
         "out[i] = clamp(round_shift(a[i] * b[i] * multiplier[i], shift[i]), lo, hi)",
         "product = size(a) * size(b) * big(multiplier) + half(shift) <= 2^63 - 1; out = [lo, hi]"),
    _row("frame_add",
         "now:i32:read:n, change:i32:read:n, least:i32:const:n, most:i32:const:n, "
         "out:i32:write:n",
         "n",
         "out[i] = min(max(now[i] + change[i], least[i]), most[i])",
         "least[i] <= most[i] for each i; out = [min(least), max(most)]"),
    _row("frame_round",
         "now:i32:read:n, value:i32:read:n, least:i32:const:n, most:i32:const:n, "
         "falling:i32:const:n, out:i32:write:n",
         "n",
         "v = min(max(round_shift(value[i], 16), least[i]), most[i]); out[i] = min(v, now[i]) if "
         "falling[i] = 1, else v",
         "least[i] <= most[i] for each i; out = [min(least), max(most)] if every falling is 0, "
         "else [min(min(least), lo(now)), max(most)]",
         "value has 16 fraction bits. Where falling is 1 the result never exceeds now. Any other "
         "falling, 2 as well as 0, leaves v; the proof lowers its bound for any that is not 0."),
    _row("frame_sign",
         "x:i32:read:n, out:i32:write:n",
         "n",
         "out[i] = 1 if x[i] > 0, else 0",
         "out = [0, 1]",
         "0 gives 0."),
    _row("argmax",
         "x:i32:read:n, out:i32:write:one",
         "n one",
         "out[0] = the lowest i with x[i] = max(x)",
         "out = [0, n - 1]",
         "Among equals the lowest index wins."),
    _row("age",
         "before:i32:read:one, after:i32:read:one, age:i32:read:one, out:i32:write:one",
         "one most",
         "out[0] = 0 if after[0] != before[0], else min(age[0] + 1, most)",
         "out = [min(0, lo(age) + 1), most]"),
    _row("copy",
         "x:i32:read:n, out:i32:write:n",
         "n",
         "out[i] = x[i]",
         "out = [lo(x), hi(x)]"),
    _row("rms_norm_digits",
         "x:i32:read:n, high:i8:write:n, low:i8:write:n",
         "n eps numerator shift",
         "t = eps + sum_i x[i]^2; e >= 0 such that 2^60 <= t * 4^e < 2^62; m = floor(numerator / "
         "isqrt(t * 4^e)); u = clamp(round_shift(x[i] * m, shift - e), -16256, 16256); high[i] = "
         "round_shift(u, 7); low[i] = u - 128 * high[i]",
         "squares = eps + n * size(x)^2 <= 2^62 - 1; shift >= the least e with eps * 4^e >= "
         "2^60; product = size(x) * 2^31 + half(shift) <= 2^63 - 1; high = [-127, 127]; low = "
         "[-64, 63]",
         "rms_norm with 15 bits, handed on as two digits as in digits."),
    _row("place",
         "before:i32:read:one, after:i32:read:one, index:i32:read:one, moved:i32:read:n, "
         "table:i32:const:entries*n, out:i32:write:n",
         "one n entries event",
         "k = min(max(index[0], 0), entries - 1); out[i] = table[k, i] if after[0] = event and "
         "before[0] != event, else moved[i]",
         "out = [min(min(table), lo(moved)), max(max(table), hi(moved))]",
         "The event happens on the frame on which after becomes it, not on those that follow."),
    _row("rms_norm_channels",
         "x:i32:read:n, shift:i32:const:n, out:i8:write:n",
         "n eps numerator lo hi",
         "t = eps + sum_i x[i]^2; e >= 0 such that 2^60 <= t * 4^e < 2^62; m = floor(numerator / "
         "isqrt(t * 4^e)); out[i] = clamp(round_shift(x[i] * m, shift[i] - e), lo, hi)",
         "squares = eps + n * size(x)^2 <= 2^62 - 1; min(shift) >= the least e with eps * 4^e >= "
         "2^60; product = size(x) * 2^31 + half(shift) <= 2^63 - 1; out = [lo, hi]",
         "rms_norm with a power of two for each channel, so that channels of unlike size fill "
         "int8 alike; the columns of the projection that follows carry the inverse."),
    _row("hadamard",
         "x:i32:read:blocks*block, out:i32:write:blocks*block",
         "blocks block shift lo hi",
         "out[k, i] = clamp(round_shift(sum_j (-1)^ones(i & j) * x[k, j], shift), lo, hi)",
         "block is a power of two; sum = block * size(x) + half(shift) <= 2^31 - 1; out = [lo, hi]",
         "Each block of neighbours is multiplied by the Sylvester-Hadamard matrix H(block), where "
         "H(1) = 1 and H(2 * b) is [H(b), H(b)] above [H(b), -H(b)]. Sums and differences of any "
         "elements of a block, taken in any order, fit int32, and so does what round_shift adds "
         "up: log2(block) passes of additions in int32 are exact. H(block) is symmetric, and "
         "H(block) * H(block) is block times the identity."),
    _row("sample",
         "x:i32:read:n, allowed:i8:const:classes*n, state:i32:read:one, word:i32:read:one, "
         "forced:i32:read:one, table:i32:const:entries, out:i32:write:one",
         "n one classes entries multiplier shift",
         "k = min(max(state[0], 0), classes - 1); A = all i with allowed[k, i] != 0; M = the "
         "greatest x[i] of all i in A; u[i] = round_shift((M - x[i]) * multiplier, shift); q = "
         "u[i] >> 8; r = u[i] mod 256; w[i] = round_shift(table[q] * 256 + (table[q + 1] - "
         "table[q]) * r, 8) if i is in A and q < entries - 1, else 0; t = (word[0] mod 2^32) * "
         "(sum_i w[i]) >> 32; out[0] = min(forced[0], n - 1) if forced[0] >= 0, else the lowest "
         "i in A with x[i] = M if forced[0] < -1, else the lowest i with w[0] + .. + w[i] > t",
         "each row of allowed has an element that is not 0; entries >= 2; 0 <= table; table[0] >= "
         "1; product = (hi(x) - lo(x)) * multiplier + half(shift) <= 2^63 - 1; draw = n * "
         "max(table) * 2^32 <= 2^63 - 1; out = [0, n - 1]",
         "forced is what happens: -1 draws, anything below takes the mode, and a class from 0 on "
         "is taken whether it is allowed or not. u is a distance from the greatest logit in nats, "
         "with 16 fraction bits; u, q, r and w matter for the i in A alone. Weights are on the "
         "lines through the points of the table, a point every 2^-8 nats, and 0 from its last "
         "point on. An index is always found: that of M has the weight table[0], so the sum S of "
         "all weights is at least 1, and t <= (2^32 - 1) * S / 2^32 < S."),
    _row("lookup",
         "index:i32:read:one, table:i32:const:entries*n, out:i32:write:n",
         "one entries n",
         "out[i] = table[min(max(index[0], 0), entries - 1), i]",
         "out = [min(table), max(table)]",
         "As embed, with numbers of 32 bits."),
    *(_row(*text) for text in FRAME_ROWS),
)  # fmt: skip

TABLE: dict[str, Instruction] = {row.name: row for row in ROWS}
OPCODE: dict[str, int] = {row.name: number for number, row in enumerate(ROWS)}
