"""The compiled frame loop: a program's rows of numbers, one instruction after the other.

What a program works on are flat arenas, one a type, constants apart from what changes; a
row says where an instruction's operands start (`plan` makes the rows).  `packed` is None
for plain kernels, else the weights as `vnni` reads them: numba compiles a function for each
type of it, and only the branch that is taken, so that the plain path holds no instruction
of AVX-512 of ours.

`run_step` is one long chain of branches, because numba compiles neither a table of functions of
different types nor a loop over such a table.  The chain ends in `frame_steps`.
"""

from __future__ import annotations

from wmq_kernels.engine import frame_kernels, kernels, vnni, vnni_scan
from wmq_kernels.engine.barrier import meet
from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.frame_steps import run_frame_step
from wmq_kernels.engine.operands import OPERANDS, PARAMETERS, part

# As isa.py numbers them, held to it by a test: this package imports no other.
(
    OP_DIGITS, OP_EMBED, OP_DOT, OP_DOT_ADD, OP_REQUANTIZE_I8, OP_REQUANTIZE_I16,
    OP_REQUANTIZE_I32, OP_ADD, OP_RMS_NORM, OP_CONV, OP_SILU, OP_SOFTPLUS, OP_DECAY, OP_DRIVE,
    OP_SCAN, OP_SCAN_CARRY, OP_GATE, OP_FRAME_ADD, OP_FRAME_ROUND, OP_FRAME_SIGN, OP_ARGMAX,
    OP_AGE, OP_COPY, OP_RMS_NORM_DIGITS, OP_PLACE, OP_RMS_NORM_CHANNELS, OP_HADAMARD,
    OP_SAMPLE, OP_LOOKUP,
) = range(29)  # fmt: skip

OP_DOTS, OP_MEET = 44, 45  # of the engine alone: see `dots` and `barrier.meet`

# Places in `ports`, by what a port is for: see `program.Roles`.
FED, MADE, NOW, NEXT, WORDS, FORCED, HEADS = range(7)

BOUNDS = PARAMETERS + 6  # of scan_carry: place of its heads' bounds, and 1 if they last


@kernel
def run_step(code, c8, c16, c32, c64, v8, v16, v32, s32, s64, packed, bounds):
    """One instruction but dot and dot_add.

    code (42,) int64: opcode, place in the program, operands (start, count), parameters;
    s32, s64 to work in; bounds (n,) int64 what `vnni_scan.scan_head` knows of the states
    """
    p = code[PARAMETERS:]
    op = code[0]
    if op == OP_DIGITS:
        return kernels.digits(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v8, code, 4),
            part(v8, code, 5),
        )
    elif op == OP_EMBED:
        kernels.embed(part(v32, code, 0), part(c8, code, 1), part(v8, code, 2))
    elif op == OP_REQUANTIZE_I8:
        return kernels.requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v8, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_REQUANTIZE_I16:
        return kernels.requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v16, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_REQUANTIZE_I32:
        return kernels.requantize(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c32, code, 2),
            part(v32, code, 3),
            p[1],
            p[2],
        )
    elif op == OP_ADD:
        return kernels.add(part(v32, code, 0), part(v32, code, 1), part(v32, code, 2), p[1], p[2])
    elif op == OP_RMS_NORM:
        return kernels.rms_norm(part(v32, code, 0), part(v8, code, 1), p[1], p[2], p[3], p[4], p[5])
    elif op == OP_CONV:
        return kernels.conv(
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
        if packed is not None:
            return vnni_scan.silu_step(code, p, c32, v16, s32, s64)
        half = len(s32) // 2
        return kernels.silu(
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
        kernels.softplus(part(v32, code, 0), part(c32, code, 1), part(v32, code, 2))
    elif op == OP_DECAY:
        kernels.decay(
            part(v32, code, 0),
            part(c32, code, 1),
            part(c64, code, 2),
            part(c64, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_DRIVE:
        return kernels.drive(
            part(v16, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(v32, code, 3),
            p[2],
            p[3],
        )
    elif op == OP_SCAN:
        return kernels.scan(
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
        if packed is not None:
            mine = bounds[code[BOUNDS] :]
            return vnni_scan.scan_carry_step(code, p, c32, c64, v16, v32, s32, s64, mine)
        return kernels.scan_carry(
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
            part(v16, code, 10),
            p[3],
            p[4],
            p[5],
        )
    elif op == OP_GATE:
        return kernels.gate(
            part(v16, code, 0),
            part(v16, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
            p[1],
            p[2],
        )
    elif op == OP_FRAME_ADD:
        frame_kernels.frame_add(
            part(v32, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_FRAME_ROUND:
        frame_kernels.frame_round(
            part(v32, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
        )
    elif op == OP_FRAME_SIGN:
        frame_kernels.frame_sign(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_ARGMAX:
        frame_kernels.argmax(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_AGE:
        frame_kernels.age(
            part(v32, code, 0), part(v32, code, 1), part(v32, code, 2), part(v32, code, 3), p[1]
        )
    elif op == OP_COPY:
        kernels.copy(part(v32, code, 0), part(v32, code, 1))
    elif op == OP_RMS_NORM_DIGITS:
        return kernels.rms_norm_digits(
            part(v32, code, 0), part(v8, code, 1), part(v8, code, 2), p[1], p[2], p[3]
        )
    elif op == OP_PLACE:
        frame_kernels.place(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
            p[3],
        )
    elif op == OP_RMS_NORM_CHANNELS:
        return kernels.rms_norm_channels(
            part(v32, code, 0), part(c32, code, 1), part(v8, code, 2), p[1], p[2], p[3], p[4]
        )
    elif op == OP_HADAMARD:
        return kernels.hadamard(part(v32, code, 0), s32, part(v32, code, 1), p[1], p[2], p[3], p[4])
    elif op == OP_SAMPLE:
        frame_kernels.sample(
            part(v32, code, 0),
            part(c8, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v32, code, 4),
            part(c32, code, 5),
            s32,
            part(v32, code, 6),
            p[4],
            p[5],
        )
    elif op == OP_LOOKUP:
        kernels.embed(part(v32, code, 0), part(c32, code, 1), part(v32, code, 2))
    else:
        run_frame_step(code, c32, v32)
    return 0


@kernel
def run_frames(
    steps, sizes, c8, c16, c32, c64, packed, v8, v16, v32, ports, given, inputs, words, forced,
    made, heads, saturations, s16, s32, s64, bounds, rank, team, shared
):  # fmt: skip
    """The frame loop of some worlds side by side, or of one of the threads that share it.

    steps  (n, 36) int64; c*, v* arenas of constants and of what changes, world after world
    sizes  (3,) int64: elements of a world in v8, v16, v32
    packed the weights for `vnni`, or None
    ports  (7,) int64: starts in v32, as FED .. HEADS number them, -1 for a port that it lacks
    given  (worlds, g, n) int32: for FED in the first steps; then what the step before made
    inputs (worlds, frames or frames + 1, n) int32: row t for NOW, row t + 1 for NEXT
    words, forced (worlds, frames, D) int32, of any shape if it has no such ports
    made   (worlds, frames, n), heads (worlds, frames, n) int32, written, the latter's n may be 0
    saturations (worlds, instructions) int64, added to
    s16, s32, s64  to work in; bounds (worlds, n) int64, zeros where they are not known
    shared: of `team` threads that meet, this one is `rank`
    False if a thread of the team gave up
    """
    worlds = len(made)
    turn = 0
    for t in range(made.shape[1]):
        if rank == 0:
            take_in(v32, sizes[2], ports, given, inputs, words, forced, made, t)
        if team > 1:
            turn += 1
            if not meet(shared, team, turn):
                return False
        for i in range(len(steps)):
            code = steps[i]
            if code[0] == OP_DOTS:
                if packed is None:
                    kernels.dots(code[OPERANDS:], worlds, c8, c32, v8, v32, s16, s32)
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
                        v8[w * sizes[0] :],
                        v16[w * sizes[1] :],
                        v32[w * sizes[2] :],
                        s32,
                        s64,
                        packed,
                        bounds[w],
                    )
        if team > 1:
            turn += 1
            if not meet(shared, team, turn):
                return False
        if rank == 0:
            hand_out(v32, sizes[2], ports, made, heads, t)
    return True


@kernel
def take_in(v32, size, ports, given, inputs, words, forced, made, t):
    """What the ports hold at the beginning of step t."""
    for w in range(len(made)):
        mine = v32[w * size :]
        if t < given.shape[1]:
            fill(mine, ports[FED], given[w, t])
        else:
            fill(mine, ports[FED], made[w, t - 1])
        fill(mine, ports[NOW], inputs[w, t])
        if ports[NEXT] >= 0:
            fill(mine, ports[NEXT], inputs[w, t + 1])
        if ports[WORDS] >= 0:
            fill(mine, ports[WORDS], words[w, t])
            fill(mine, ports[FORCED], forced[w, t])


@kernel
def fill(arena, start, numbers):
    """Put numbers into an arena from `start` on."""
    kernels.assign(arena[start : start + len(numbers)], numbers)


@kernel
def hand_out(v32, size, ports, made, heads, t):
    for w in range(len(made)):
        mine = v32[w * size :]
        kernels.assign(made[w, t], mine[ports[MADE] :])
        kernels.assign(heads[w, t], mine[ports[HEADS] :])


@kernel
def leaves(rows, lo, hi):
    """Whether a number of rows (worlds, n, size) int32 is outside of [lo, hi]."""
    found = False
    for w in range(rows.shape[0]):
        for t in range(rows.shape[1]):
            row = rows[w, t]
            for i in range(len(row)):
                found |= (row[i] < lo) | (row[i] > hi)
    return found
