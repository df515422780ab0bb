"""The memory of a state: what is left of it, frame by frame, when the input stops.

One row of a head's state is followed through the compiled scan_carry and, to show what the
carry is for, through scan.  T is state + carry / 2^16, what an unrounded scan would hold.
"""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from wmq_kernels.engine import kernels
from wmq_kernels.oracle import ORACLE

ONE = 1 << 31  # of a decay in Q0.31
UNIT = 1 << 16  # of T in its own units
LIMIT = ONE - 1
LONGEST = 10_000  # frames of memory that the state is made for
MEMORIES = sorted({*range(1, 33), *np.geomspace(33, LONGEST, 48).astype(int).tolist()})
STARTS = np.array([s * v for v in (LIMIT, 1_000_003, 100, 3) for s in (1, -1)])
IDLE = np.zeros((1, len(STARTS)), np.int32)


def decay_of(memory: int) -> int:
    """1 - 1 / memory in Q0.31."""
    return ONE - round(ONE / memory)


@njit  # and no cache, which would not see that the kernels changed
def _follow(state, carry, carries, pushes, keep, b, limit, seen):
    total = np.zeros(len(state), np.int64)
    for t in range(len(seen)):
        push = pushes[t % len(pushes)]
        if carries:
            kernels.scan_carry_row(state, carry, push, total, keep, b, 0, limit)
        else:
            kernels.scan_row(state, push, total, keep, b, 0, limit)
        for p in range(len(state)):
            seen[t, p] = (np.int64(state[p]) << 16) + carry[p]


def follow(starts: np.ndarray, pushes: np.ndarray, memory: int, frames: int, carries: bool = True,
           b: int = 0, limit: int = LIMIT) -> np.ndarray:  # fmt: skip
    """T of every frame, (frames, columns) in units of 2^-16; pushes (rows, columns) recur."""
    seen = np.zeros((frames, len(starts)), np.int64)
    carry = np.zeros(len(starts), np.int16)
    _follow(starts.astype(np.int32), carry, carries, pushes.astype(np.int32), decay_of(memory), b,
            limit, seen)  # fmt: skip
    return seen


def states(seen: np.ndarray) -> np.ndarray:
    """The states behind T: the carry is the remainder nearest to 0."""
    return (seen + UNIT // 2) >> 16


def exponential(starts: np.ndarray, memory: int, frames: int) -> np.ndarray:
    """What an unrounded scan would hold, (frames, columns) float64."""
    t = np.arange(1, frames + 1)[:, None]
    return starts * (decay_of(memory) / ONE) ** t


def test_the_followed_row_is_the_oracle_s_scan_carry() -> None:
    starts, pushes, b = STARTS.tolist(), [5, -3, 100, -100, 7, 0, -1, 1], 12_345
    seen = follow(STARTS, np.array([pushes]), 777, 100, b=b)
    state, carry, one = starts, [0] * len(starts), {"heads": 1, "d_state": 1}
    for t in range(100):
        found, _ = ORACLE["scan_carry"](
            state=state, carry=carry, decay=[decay_of(777)], drive=pushes, B=[b], C=[0],
            x=[0] * len(starts), skip=[0], gain=[0], shift=[0], headdim=len(starts), limit=LIMIT,
            lo=-1, hi=1, **one,
        )  # fmt: skip
        state, carry = found["state"], found["carry"]
        assert seen[t].tolist() == [UNIT * s + c for s, c in zip(state, carry, strict=True)]


# --- no input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("memories", [MEMORIES[i::4] for i in range(4)], ids=str)
def test_a_state_without_input_follows_its_exponential_to_the_end(memories: list[int]) -> None:
    """Half a unit is the state's rounding, half that what it keeps from fading waits in the carry,
    and memory / 2^16 what the carry's own rounding loses; then the state is 0 and stays 0."""
    for memory in memories:
        frames = 24 * memory + 8  # log(2^31) is 21.5
        seen = follow(STARTS, IDLE, memory, frames)
        off = np.abs(states(seen) - exponential(STARTS, memory, frames)).max()
        assert off <= 1 + memory / UNIT < 4, memory
        assert (states(seen[-1]) == 0).all() and (seen[-1] == seen[-2]).all(), memory


@pytest.mark.soak
def test_at_every_memory_a_full_state_follows_its_exponential_to_the_end() -> None:
    for memory in range(1, LONGEST + 1):
        seen = follow(STARTS[:2], IDLE[:, :2], memory, 24 * memory + 8)
        off = np.abs(states(seen) - exponential(STARTS[:2], memory, len(seen))).max()
        assert off <= 1 + memory / UNIT, memory
        assert (states(seen[-1]) == 0).all() and (seen[-1] == seen[-2]).all(), memory


def one_step(state: np.ndarray, carry: np.ndarray, memory: int) -> tuple[np.ndarray, np.ndarray]:
    nothing, total = np.zeros(len(state), np.int32), np.zeros(len(state), np.int64)
    after, left = state.astype(np.int32), carry.astype(np.int16)
    kernels.scan_carry_row(after, left, nothing, total, decay_of(memory), 0, 0, LIMIT)
    return after.astype(np.int64), left.astype(np.int64)


SIZES = np.array([*range(1, 9), 100, 9999, 1 << 20, LIMIT])
PAIRS = np.array([(s, c) for s in (0, *SIZES, *-SIZES) for c in (-32768, -1, 0, 1, 32767)])


def moves(memory: int) -> tuple[np.ndarray, np.ndarray]:
    """T before and after a frame without input, of all PAIRS, in units of 2^-16."""
    state, carry = PAIRS.T
    after, left = one_step(state, carry, memory)
    return state * UNIT + carry, after * UNIT + left


def test_at_every_memory_no_cycle_and_no_dead_zone_is_possible() -> None:
    """T moves towards 0 in every frame unless the state is 0, and then it stays: so each run
    ends, and ends at 0.  The state cannot pass 0 on its way."""
    state = PAIRS[:, 0]
    for memory in range(1, LONGEST + 1):
        before, after = moves(memory)
        towards = np.sign(before - after) == np.sign(state)
        assert towards.all(), memory
        assert (states(after) * state >= 0).all(), memory


def test_at_every_memory_the_carry_loses_less_than_2_to_the_minus_16() -> None:
    for memory in range(1, LONGEST + 1):
        state, carry = PAIRS.T
        _, after = moves(memory)
        lost = state * decay_of(memory) + (carry << 15) - (after << 15)  # in units of 2^-31
        assert (lost >= 0).all() and (lost < 1 << 15).all(), memory


def test_beyond_65536_frames_a_negative_state_stops_a_few_units_short() -> None:
    """There a frame's loss may be below the carry's unit: ceil(memory / 2^16) - 1 are left."""
    for memory, left in ((65_536, 0), (131_072, -1), (262_144, -3)):
        starts = np.array([100_003, -100_003])
        seen = follow(starts, np.zeros((1, 2)), memory, 14 * memory)
        assert states(seen[-1]).tolist() == [0, left]
        assert (seen[-1] == seen[-2]).all()
        off = np.abs(states(seen) - exponential(starts, memory, len(seen))).max()
        assert 0.5 < off < 3  # 1 + memory / 2^16 would be possible


@pytest.mark.parametrize("memory", [1, 2, 10, 99, 1000, LONGEST])
def test_without_the_carry_half_a_memory_of_units_is_left(memory: int) -> None:
    """|s| (1 - d) <= 1/2 is rounded back to s, up to about memory / 2."""
    seen = follow(STARTS[:2], IDLE[:, :2], memory, 24 * memory, carries=False)
    loss = ONE - decay_of(memory)
    most, least = ONE // 2 // loss, -(-(ONE // 2) // loss) - 1
    assert states(seen[-1]).tolist() == [most, -least]
    assert (seen[-1] == seen[-2]).all()
    assert abs(most - memory / 2) <= 1


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_narrow_state_forgets_only_with_the_carry(bits: int) -> None:
    """8 bits and a memory of 10,000 frames: without the carry nothing ever fades."""
    limit = (1 << (bits - 1)) - 1
    starts, frames = np.array([limit, -limit]), 24 * LONGEST
    with_carry = follow(starts, IDLE[:, :2], LONGEST, frames, limit=limit)
    assert states(with_carry[-1]).tolist() == [0, 0]
    without = follow(starts, IDLE[:, :2], LONGEST, frames, carries=False, limit=limit)
    left = min(limit, 5000)
    assert states(without[-1])[0] == left
    assert states(without[-1])[1] in (-left, 1 - left)


# --- with input --------------------------------------------------------------------------------

WEIGHT = 12_345_677  # B * 2^gain


def exact_scan(pushes: np.ndarray, memory: int, frames: int) -> np.ndarray:
    """T without any rounding but at 2^-64, (frames, columns) in units, rounded to float64."""
    total = np.array([0] * pushes.shape[1], dtype=object)
    seen = np.empty((frames, pushes.shape[1]))
    for t in range(frames):
        push = pushes[t % len(pushes)].astype(object) * WEIGHT
        total = (total * decay_of(memory) + (push << 64)) >> 31
        seen[t] = [float(v >> 32) / 2**32 for v in total]
    return seen


def inputs(kind: str) -> np.ndarray:
    """(rows, 4): constant, or random with a mean of 0."""
    if kind == "constant":
        return np.array([[777, -777, 1, -1]])
    return np.random.default_rng(0).integers(-1000, 1001, (30_000, 4))


@pytest.mark.parametrize("kind", ["constant", "random"])
@pytest.mark.parametrize("memory", [3, 250, 3000, LONGEST])
def test_under_input_the_state_does_not_drift(kind: str, memory: int) -> None:
    pushes, frames = inputs(kind), 30_000
    exact = exact_scan(pushes, memory, frames)
    seen = follow(np.zeros(4), pushes, memory, frames, b=WEIGHT)
    lost = exact - seen / UNIT
    assert -0.5 <= lost.min() and lost.max() <= 0.5 + memory / UNIT
    assert np.abs(states(seen) - exact).max() <= 1 + memory / UNIT
    assert np.abs(exact).max() > 10


def test_without_the_carry_it_drifts_by_half_a_memory_of_units() -> None:
    memory, frames = 3000, 30_000
    for kind, least, most in (("constant", 0.49, 0.51), ("random", 0.005, 0.05)):
        plain = follow(np.zeros(4), inputs(kind), memory, frames, carries=False, b=WEIGHT)
        off = np.abs(states(plain) - exact_scan(inputs(kind), memory, frames)).max()
        assert least < off / memory < most, kind
