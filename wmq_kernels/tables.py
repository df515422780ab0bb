"""Make the tables that instructions interpolate in, from integers alone.

Each entry is an elementary function at a grid point, times a power of two, rounded half
up.  The functions are series in fixed point with 128 fraction bits; what is cut off is
below 2^-110, far smaller than the distance of any entry from a half (tests compare every
entry with mpmath).  The same lists come out on every machine.
"""

from __future__ import annotations

from wmq_kernels.isa import COARSE_BITS, FINE_BITS, SIGMOID_BITS, SIGMOID_STEP_BITS

WORK_BITS = 128  # fraction bits while computing
ONE = 1 << WORK_BITS
SOFTPLUS_BITS = 26  # fraction bits of softplus's table
SOFTPLUS_STEP_BITS = 6  # its step is 2^-6
WEIGHT_BITS = 21  # fraction bits of sample's table: 1023 classes at most
WEIGHT_STEP_BITS = 8  # its step is 2^-8
DISTANCE_BITS = 16  # fraction bits of sample's distances, in nats


def sigmoid_table() -> list[int]:
    """Compute round(2^22 * sigmoid(i / 128)) for i = 0..2048, that is up to 16."""
    powers = _powers_of_exp(SIGMOID_STEP_BITS, 2049)
    return [_rounded(ONE * ONE // (ONE + power), SIGMOID_BITS) for power in powers]


def softplus_table() -> list[int]:
    """Compute round(2^26 * softplus(-16 + i / 64)) for i = 0..2049."""
    powers = _powers_of_exp(SOFTPLUS_STEP_BITS, 1026)
    tail = [_log_of_one_plus(power) for power in powers]  # softplus(-i / 64)
    rising = [(i << WORK_BITS - SOFTPLUS_STEP_BITS) + tail[i] for i in range(1, 1026)]
    return [_rounded(value, SOFTPLUS_BITS) for value in tail[1024::-1] + rising]


def decay_coarse() -> list[int]:
    """round(2^46 * exp(-i / 2^8)) for i = 0..5696, up to 22.25, where 2^31 * exp is below 1/2."""
    return [_rounded(power, COARSE_BITS) for power in _powers_of_exp(8, 5697)]


def decay_fine() -> list[int]:
    """Compute round(2^38 * (1 - exp(-j / 2^16))) for j = 0..255."""
    return [_rounded(ONE - power, FINE_BITS) for power in _powers_of_exp(16, 256)]


def weights_table(entries: int) -> list[int]:
    """Compute round(2^21 * exp(-i / 2^8)) for i = 0..entries - 1.

    `sample` gives no weight from the last point on, (entries - 1) / 2^8 nats below the
    likeliest class: exp(-(entries - 1) / 2^8) is its min-p.
    """
    return [_rounded(power, WEIGHT_BITS) for power in _powers_of_exp(WEIGHT_STEP_BITS, entries)]


def _rounded(value: int, bits: int) -> int:
    """A number with WORK_BITS fraction bits, to `bits` of them, half up."""
    shift = WORK_BITS - bits
    return (value + (1 << (shift - 1))) >> shift


def _powers_of_exp(step_bits: int, count: int) -> list[int]:
    """exp(-i / 2^step_bits) for i = 0..count - 1: a Taylor series, then its powers."""
    base, term, k = 0, ONE, 0
    while term:
        base += -term if k % 2 else term
        k += 1
        term = (term >> step_bits) // k
    powers = [ONE]
    while len(powers) < count:
        powers.append(powers[-1] * base >> WORK_BITS)
    return powers


def _log_of_one_plus(u: int) -> int:
    """log(1 + u) for u in (0, 1], as 2 * atanh(u / (2 + u))."""
    z = (u << WORK_BITS) // (2 * ONE + u)
    square = z * z >> WORK_BITS
    total, power, k = 0, z, 1
    while power:
        total += power // k
        power = power * square >> WORK_BITS
        k += 2
    return 2 * total
