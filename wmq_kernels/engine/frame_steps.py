"""Take a step of the frame loop that holds the frame to the game's rules.

The end of `loop.run_step`'s chain of branches.  None of these counts saturations.
"""

from __future__ import annotations

from wmq_kernels.engine import frame_kernels
from wmq_kernels.engine.compiling import kernel
from wmq_kernels.engine.operands import PARAMETERS, part

# As isa.py numbers them, held to it by a test.
(
    OP_TIMED, OP_CROSS, OP_STRIKE, OP_FRAME_DOWN, OP_FRAME_MOVE, OP_THRESHOLD, OP_BLANK,
    OP_STAND, OP_INSIDE, OP_FALL, OP_FADE, OP_HOLD_ABOVE, OP_OVERRIDE, OP_NEAR, OP_DRIFT,
) = range(29, 44)  # fmt: skip


@kernel
def run_frame_step(code, c32, v32):
    """One of these instructions; arguments as in `loop.run_step`."""
    p = code[PARAMETERS:]
    op = code[0]
    if op == OP_TIMED:
        frame_kernels.timed(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(c32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
        )
    elif op == OP_CROSS:
        frame_kernels.cross(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v32, code, 4),
            part(c32, code, 5),
            part(c32, code, 6),
            part(c32, code, 7),
            part(c32, code, 8),
            part(v32, code, 9),
        )
    elif op == OP_STRIKE:
        frame_kernels.strike(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_FRAME_DOWN:
        frame_kernels.frame_down(
            part(v32, code, 0),
            part(v32, code, 1),
            part(c32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_FRAME_MOVE:
        frame_kernels.frame_move(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v32, code, 4),
            part(c32, code, 5),
            part(c32, code, 6),
            part(v32, code, 7),
        )
    elif op == OP_THRESHOLD:
        frame_kernels.threshold(part(v32, code, 0), part(c32, code, 1), part(v32, code, 2))
    elif op == OP_BLANK:
        frame_kernels.blank(
            part(v32, code, 0), part(v32, code, 1), part(v32, code, 2), part(v32, code, 3)
        )
    elif op == OP_STAND:
        frame_kernels.stand(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
            p[2],
            p[3],
        )
    elif op == OP_INSIDE:
        frame_kernels.inside(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(c32, code, 5),
            part(v32, code, 6),
            p[2],
        )
    elif op == OP_FALL:
        frame_kernels.fall(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v32, code, 4),
            part(c32, code, 5),
            part(c32, code, 6),
            part(c32, code, 7),
            part(v32, code, 8),
        )
    elif op == OP_FADE:
        frame_kernels.fade(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            p[2],
        )
    elif op == OP_HOLD_ABOVE:
        frame_kernels.hold_above(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(c32, code, 5),
            part(c32, code, 6),
            part(v32, code, 7),
        )
    elif op == OP_OVERRIDE:
        frame_kernels.override(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(c32, code, 3),
            part(v32, code, 4),
        )
    elif op == OP_NEAR:
        frame_kernels.near(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(c32, code, 4),
            part(v32, code, 5),
            p[2],
            p[3],
        )
    elif op == OP_DRIFT:
        frame_kernels.drift(
            part(v32, code, 0),
            part(v32, code, 1),
            part(v32, code, 2),
            part(v32, code, 3),
            part(v32, code, 4),
            part(v32, code, 5),
            part(c32, code, 6),
            part(c32, code, 7),
            part(c32, code, 8),
            part(c32, code, 9),
            part(c32, code, 10),
            part(c32, code, 11),
            part(c32, code, 12),
            part(v32, code, 13),
            p[3],
        )
