"""State the rules of Melee that the frame update keeps, whatever a network says.

Each was checked on all frames of 674 games before it was written down; `docs/frames.md` gives
the counts and the exceptions.
"""

from __future__ import annotations

from calib.step.rules import Blast, Clock, Rules, Strike
from calib.step.schema import Q16

FIRST_ALIVE = 14  # actions below it are deaths, entries and rebirths
REBIRTH = 12
DEAD_DOWN, DEAD_LEFT, DEAD_RIGHT, DEAD_UP_STAR, DEAD_UP_FALL, DEAD_UP_HIT = 0, 1, 2, 4, 6, 7
THROWN_UPWARDS = (87, 88, 89, 90, 91)  # flying from a hit: over the top only these die
DEADLY_SPEED = 2.35  # and only with so much speed_attack_y: alive are 2.30 at most, dead 2.40

# Rises of percent on a hit, Q15.16: the 32 centres nearest to those of the 59,290 hits of the
# training games (Lloyd's algorithm); the mean error of a hit is 0.11 %.
RISES = (
    0, 63481, 99709, 110650, 119395, 131389, 161688, 178569, 187953, 197592, 259543, 318155,
    365484, 401589, 455037, 486259, 522735, 547251, 590972, 658363, 714421, 744028, 786330,
    850083, 910590, 951981, 1004456, 1152330, 1318301, 1610470, 1821453, 1966080, 2308458,
)  # fmt: skip
# Fields that a rebirth sets besides the place, with their neighbours between.
REBIRTH_FIELDS = (
    *("percent", "x", "y", "shield", "speed_air_x", "speed_y", "speed_ground_x"),
    *("speed_attack_x", "speed_attack_y", "hitlag"),
)
STOPPED = REBIRTH_FIELDS[4:]  # 0 from the frame of death on
FULL_SHIELD = 60 * Q16


def rules(blast_zones: dict[int, tuple[float, float, float, float]], stages: int) -> Rules:
    """Make the rules for stages of so many classes; other stages have no ends."""
    endless = (-(1 << 30), 1 << 30, -(1 << 30), 1 << 30)
    ends = [tuple(round(end * Q16) for end in blast_zones[stage]) if stage in blast_zones
            else endless for stage in range(stages)]  # fmt: skip
    return Rules(
        rises=RISES,
        clocks=(
            Clock(DEAD_DOWN, 59, REBIRTH),
            Clock(DEAD_LEFT, 59, REBIRTH),
            Clock(DEAD_RIGHT, 59, REBIRTH),
            Clock(DEAD_UP_STAR, 175, REBIRTH),
            Clock(DEAD_UP_FALL, 50, DEAD_UP_HIT),
            Clock(DEAD_UP_HIT, 77, REBIRTH),
        ),
        strikes=(
            Strike(DEAD_DOWN, 0),
            Strike(DEAD_LEFT, 0),
            Strike(DEAD_RIGHT, 0),
            Strike(DEAD_UP_STAR, 131),
            Strike(DEAD_UP_HIT, 43),
        ),
        blast=Blast(
            ends=tuple(ends),  # type: ignore[arg-type]
            fates=(DEAD_LEFT, DEAD_RIGHT, DEAD_DOWN, DEAD_UP_STAR),
            immune=tuple(range(FIRST_ALIVE)),
            top=THROWN_UPWARDS,
            push=round(DEADLY_SPEED * Q16),
            stopped=STOPPED,
        ),
    )
