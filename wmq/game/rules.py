"""State the rules of Melee that the frame update keeps, whatever a network says.

Each was checked on all frames of 674 games before it was written down; `docs/frames.md` gives
the counts and the exceptions.
"""

from __future__ import annotations

from calib.step.rules import (
    Blast,
    Clock,
    Floor,
    Footing,
    Ground,
    Mode,
    Motion,
    Rules,
    Standing,
    Steering,
    Strike,
)
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
# Stage, ground, leftmost and rightmost x, and height where it is one, Q15.16.  The ends hold 99.9 %
# of the player-frames on the ground in the training games; the heights are those of 95 % or more.
GROUNDS = (
    (2, 1, -3249990, -1369985, None), (2, 2, 1370119, 3249627, None),
    (2, 3, -940025, 939689, 2801671), (2, 4, -4586231, -2463812, 40886),
    (2, 5, -4757193, -2931089, None), (2, 6, -3355672, 3359230, 188),
    (2, 7, 2317521, 4240824, None), (2, 8, 2948547, 4644113, 40886),
    (3, 4, -3250508, -2655757, None), (3, 5, -2646325, -2458554, None),
    (3, 9, -1376256, -670237, None), (3, 10, -833764, 317393, -262137),
    (3, 11, 334296, 802596, None), (3, 12, 501499, 3525161, None),
    (3, 13, 805175, 3391297, None), (3, 16, 3478332, 4415085, None),
    (3, 18, -5118348, -4083070, None), (3, 21, -4585413, -1640620, None),
    (3, 22, -2210907, -245440, None), (3, 23, -1633618, -965636, None),
    (3, 24, -1304863, -660077, None), (3, 25, -1026866, 920483, 1916935),
    (3, 27, -486578, 1308274, 7), (3, 29, 241250, 4571494, None),
    (3, 35, -4584194, 4582949, 7), (3, 36, -3610469, -1632442, 1638407),
    (3, 37, 1632442, 3609676, 1638407), (3, 39, -4440064, -3674092, None),
    (3, 42, -2276218, -1289938, None), (3, 43, -1951747, -977952, None),
    (3, 44, -1703936, -1656221, None), (3, 45, -1650285, -416282, 7),
    (3, 46, -262144, 1385065, None), (3, 48, 49152, 1254979, None),
    (3, 49, -64020, 1479992, 1818631), (3, 50, 1266593, 4538040, 7),
    (3, 51, 3521918, 4556451, None), (3, 52, -5769442, -4573851, 7),
    (3, 53, -6283015, -4520694, 7), (3, 54, 4395835, 5077381, 7),
    (3, 55, 3907914, 5757338, 7), (3, 57, -4421600, -3459072, None),
    (3, 58, -3455750, -1427973, None), (3, 59, -1424383, -366959, None),
    (3, 60, -985493, 1093856, None), (3, 61, 491520, 2133478, None),
    (3, 65, 1528033, 3391475, -294905), (8, 1, -6778294, 6664531, None),
    (8, 2, -3904233, -1829126, 1536826), (8, 3, -3676432, -1968141, None),
    (8, 4, -2567653, 2568560, 7), (8, 5, -1038150, 1037574, 2752519),
    (8, 6, 1829124, 3904635, 1536826), (8, 7, 2157933, 3676024, None),
    (28, 1, -4028191, -2074727, 1975399), (28, 2, 2071769, 4139609, 1981979),
    (28, 3, -1251211, 1252263, 3370215), (28, 4, -5069748, -4426828, 583),
    (28, 5, -4425564, 4428378, 583), (28, 6, 4004176, 5797067, 583),
    (31, 1, -4489216, -2956504, 7), (31, 2, -3928186, 3929111, 7),
    (31, 3, -3781146, -1304762, 1782586), (31, 4, -1238572, 1237830, 3565165),
    (31, 5, 1305282, 3781278, 1782586), (31, 6, 3775198, 4489208, 7),
    (32, 1, -5613562, -4113069, 7), (32, 2, -4908679, 4909103, 7),
    (32, 3, 4834053, 5614187, 7),
)  # fmt: skip
REACH = 12 * Q16  # of a height: who is predicted farther from it does not stand
OVERHANG = 2 * Q16  # beyond the end of a ground, on which a player still stands
KNOCKBACK, OWN = Q16 // 50, Q16 // 200  # least speeds: 0.02 and 0.005 units a frame
DRIFT = Q16 // 50  # 0.02 units
# Character, gravity and terminal speed, Q15.16 units a frame: the commonest steps of speed_y of
# those in the air, and the slower of the two commonest speeds at which it stays.
GRAVITIES = {
    0: (6226, 111411), 1: (15073, 183501), 2: (8520, 190054), 7: (7864, 139592),
    8: (5898, 119931), 9: (5243, 98304), 12: (7209, 124518), 13: (4325, 91750),
    14: (6095, 126484), 15: (4194, 85197), 16: (5374, 98304), 17: (4522, 104858),
    18: (5571, 144179), 20: (7209, 139592), 21: (6226, 111411), 22: (11141, 203162),
    24: (6226, 111411), 25: (8520, 131072), 26: (7471, 157286),
}  # fmt: skip
CHARACTERS, FAST = 33, 40 * Q16  # and a speed that nobody reaches, where none is known
# Character, and units a frame: air friction, greatest air speed, its slope and base by the stick;
# traction, and the walking speed above which it is double; greatest running speed, its slope and
# base.  The commonest steps of speed_air_x in the training games, and what all steps lie on.
SPEEDS = {
    0: (0.016, 0.86, 0.025, 0.02, 0.06, 1.1, 1.5, 0.06, 0.02),
    1: (0.02, 0.83, 0.06, 0.02, 0.08, 1.6, 2.2, 0.1, 0.02),
    2: (0.01, 1.12, 0.04, 0.02, 0.08, 0.85, 2.3, 0.15, 0.01),
    7: (0.04, 0.8, 0.04, 0.02, 0.08, 1.2, 1.8, 0.1, 0.02),
    8: (0.03, 0.93, 0.04, 0.02, 0.06, 0.84, 1.4, 0.04, 0.02),
    9: (0.005, 1.1, 0.06, 0.01, 0.1, 0.85, 1.3, 0.06, 0.06),
    12: (0.01, 0.85, 0.03, 0.02, 0.09, 1.24, 1.8, 0.08, 0.02),
    13: (0.01, 0.89, 0.0125, 0.02, 0.06, 1.0, 1.4, 0.1, 0.02),
    14: (0.013, 1.2, 0.028, 0.02, 0.06, 1.15, 1.6, 0.08, 0.02),
    15: (0.05, 1.35, 0.09, 0.19, 0.09, 0.7, 1.1, 0.1, 0.02),
    16: (0.016, 1.2, 0.03, 0.02, 0.04, 1.0, 1.4, 0.08, 0.02),
    17: (0.01, 0.68, 0.025, 0.015, 0.025, 0.55, 1.34, 0.06, 0.02),
    18: (0.005, 0.9, 0.03, 0.02, 0.06, 1.6, 1.8, 0.06, 0.0),
    20: (0.005, 1.0, 0.04, 0.02, 0.08, 1.2, 1.6, 0.1, 0.02),
    21: (0.016, 0.9, 0.024, 0.02, 0.06, 1.1, 1.5, 0.06, 0.02),
    22: (0.02, 0.83, 0.05, 0.02, 0.08, 1.4, 1.5, 0.1, 0.02),
    24: (0.016, 1.0, 0.03, 0.02, 0.06, 1.1, 1.5, 0.06, 0.02),
    25: (0.02, 0.78, 0.04, 0.02, 0.07, 0.73, 1.35, 0.08, 0.02),
    26: (0.005, 0.9, 0.03, 0.02, 0.06, 1.2, 1.61, 0.07, 0.0),
}
# Kinds of actions: what a stick steers in the air, what air friction alone slows, what traction
# slows, and what runs.
LOOSE = (
    (*range(25, 30), 32, 35, 38, *range(65, 70), *range(112, 116), 244, 247, 251, 261, 263,
     *range(344, 348), 353),
    (203, 361, 365, 366, 370, 372), (), (),
)  # fmt: skip
HELD = (
    (), (),
    (14, 18, 23, 24, *range(39, 46), 53, 55, 56, 57, 60, 63, 64, *range(70, 75), 76, 79, 82,
     *range(178, 184), 191, 199, 212, 213, 214, 220, 226, 235, 238, 264, *range(341, 347), 351, 352,
     360, 361, 364, 369, 371),
    (19, 20, 21),
)  # fmt: skip
# Death and rebirth, lying after a fall that began in the air, being held, what is done at a ledge
# but jumps off it, entries, and three specials: actions in which speed_y stays on most frames.
WEIGHTLESS = (
    *range(14), 183, 191, 224, 225, 239, 240, 241, 242, *range(252, 261), 262, 322, 323, 324, 350,
    351, 365,
)  # fmt: skip
FADE = round(0.051 * Q16)
STEADY = {name: round(0.004 * Q16) for name in ("speed_air_x", "speed_y", "speed_ground_x")}
STEADY |= {name: round(0.01 * Q16) for name in ("speed_attack_x", "speed_attack_y")}
# Actions of which 99.9 % of the frames are on the ground, and in the air.
GROUNDED = (
    *range(14, 22), 23, 24, *range(39, 52), 53, 55, 56, 57, 58, 60, 62, 63, 64, *range(70, 75),
    96, 98, 108, 109, 110, *range(178, 183), 184, *range(186, 190), 192, *range(194, 198),
    *range(199, 202), *range(212, 219), 222, 226, 227, 228, 233, 234, 235, 237, 238, 245, 246, 264,
    373, 379, 381,
)  # fmt: skip
AIRBORNE = (
    0, 1, 2, 4, 6, 7, 12, 13, *range(25, 30), 32, 35, 38, *range(65, 70), *range(87, 92),
    *range(112, 116), 202, 203, 223, 225, 230, 236, 244, 247, *range(250, 254), *range(260, 264),
    276, 322, 323, 324, 354, 365, 368, 372, 374, 378, 382,
)  # fmt: skip
FALL = 29
# Stage, and half the width of its main floor where it is level, game units.  It is at height 0;
# players who land on it come some units below it first.
FLOORS = {2: 51.2, 3: 87.8, 8: 39.2, 28: 77.3, 31: 68.4, 32: 85.6}
DIP, NO_LEVEL = -8.0, -(1 << 14)  # units; nobody is above so low a level and then below it
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
        standing=Standing(
            grounds=tuple(Ground(*row) for row in GROUNDS),
            reach=REACH,
            overhang=OVERHANG,
            least={
                "speed_air_x": OWN,
                "speed_y": OWN,
                "speed_ground_x": OWN,
                "speed_attack_x": KNOCKBACK,
                "speed_attack_y": KNOCKBACK,
            },
            drift=DRIFT,
        ),  # fmt: skip
        motion=Motion(
            drift=Steering(
                modes=tuple(_modes(c) for c in range(CHARACTERS)), loose=LOOSE, held=HELD
            ),
            gravity=tuple(GRAVITIES.get(c, (0, 0))[0] for c in range(CHARACTERS)),
            terminal=tuple(GRAVITIES.get(c, (0, FAST))[1] for c in range(CHARACTERS)),
            weightless=WEIGHTLESS,
            fade=FADE,
            steady=STEADY,
        ),
        footing=Footing(
            grounded=GROUNDED,
            airborne=AIRBORNE,
            fall=FALL,
            floors=tuple(_floor(stage) for stage in range(stages)),
        ),
    )


def _modes(character: int) -> tuple[Mode, ...]:
    """The kinds of LOOSE and HELD; a character of no known speeds goes on as he does."""
    if character not in SPEEDS:
        return (Mode(0, FAST, FAST, 0, 0),) * len(LOOSE)
    air, most, slope, base, traction, walk, run, gain, start = (
        round(speed * Q16) for speed in SPEEDS[character]
    )
    return (
        Mode(air, FAST, most, slope, base),
        Mode(air, FAST, 0, 0, 0),
        Mode(traction, walk, 0, 0, 0),
        Mode(traction, FAST, run, gain, start),
    )


def _floor(stage: int) -> Floor:
    half, level = (FLOORS[stage], DIP) if stage in FLOORS else (0.0, NO_LEVEL)
    return Floor(round(-half * Q16), round(half * Q16), round(level * Q16))
