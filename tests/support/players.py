"""Two made-up players on a flat tournament stage: what their hands do, and what that does.

A player of the frame before comes in, with a source of whole numbers; the same player a frame
later leaves.  Numbers are sums and products of fractions of two or exact comparisons, so that
every machine computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Pick = Callable[[int], int]  # a whole number below the given one
A, B, X, Z, L, D_UP = 0x0100, 0x0200, 0x0400, 0x0010, 0x0040, 0x0008
GRAVITY, FALL, JUMP, AIR, DASH = 0.125, 2.5, 2.75, 0.875, 1.75  # game units a frame
HITSTUN_PER_UNIT = 8  # frames for a unit of knockback
ENTRY = {322: 60, 323: 20, 324: 4}  # action -> frames, before the first fall


@dataclass(frozen=True)
class Stage:
    """Half the width of its ground, where both players enter, and how far is too far."""

    half: float
    entry: tuple[tuple[float, float], tuple[float, float]]
    side: float
    bottom: float
    top: float
    rebirth: tuple[tuple[float, float], tuple[float, float]]


STAGES = {
    2: Stage(63.0, ((-41.25, 21.0), (41.25, 27.0)), 198.0, -146.0, 202.0,
             ((0.0, 111.6875), (0.0, 111.6875))),
    3: Stage(87.0, ((-40.0, 32.0), (40.0, 32.0)), 230.0, -111.0, 180.0,
             ((0.0, 119.0), (0.0, 119.0))),
    8: Stage(56.0, ((-42.0, 26.6), (42.0, 28.0)), 175.0, -91.0, 168.0,
             ((0.0, 117.2), (0.0, 117.2))),
    28: Stage(77.0, ((-46.6, 37.2), (47.387, 37.3)), 255.0, -123.0, 250.0,
              ((0.0, 188.2), (0.0, 188.2))),
    31: Stage(68.0, ((-38.8, 35.2), (38.8, 35.2)), 224.0, -108.0, 200.0,
              ((12.8, 135.0664), (-40.0, 135.0664))),
    32: Stage(85.0, ((-60.0, 10.0), (60.0, 10.0)), 246.0, -140.0, 188.0,
              ((16.0, 112.85), (-50.0, 112.85))),
}  # fmt: skip
# External id -> internal id and jumps in all.
CHARACTERS = {0: (2, 2), 2: (1, 2), 4: (4, 6), 9: (18, 2), 12: (9, 2), 15: (15, 6), 16: (13, 2),
              19: (7, 2), 20: (22, 2)}  # fmt: skip


@dataclass(frozen=True)
class Move:
    """One action state: how long it lasts, what follows, and what the hands do.

    buttons  pressed in its first six frames
    stick    main stick, x towards where the player looks
    hits     (first frame, last frame, percent) or nothing
    speed    along the ground, towards where the player looks
    """

    frames: int
    then: int
    buttons: int = 0
    stick: tuple[float, float] = (0.0, 0.0)
    cstick: tuple[float, float] = (0.0, 0.0)
    trigger: float = 0.0
    hits: tuple[int, int, float] | None = None
    attack: int = 0
    speed: float = 0.0
    intangible: bool = False


WAIT, JUMPING, FALLING, LANDING = 14, 25, 29, 42
GROUND = {
    WAIT: Move(9, WAIT),
    15: Move(22, WAIT, stick=(0.45, 0.0), speed=0.75),
    18: Move(11, WAIT, stick=(-0.5, 0.0)),
    20: Move(14, 21, stick=(1.0, 0.0), speed=DASH),
    21: Move(16, 23, stick=(1.0, 0.0), speed=DASH),
    23: Move(12, WAIT, speed=0.5),
    24: Move(4, JUMPING, X, (0.6, 0.3)),
    39: Move(8, 40, stick=(0.0, -0.8)),
    40: Move(20, 41, stick=(0.0, -0.8)),
    41: Move(8, WAIT),
    LANDING: Move(4, WAIT),
    43: Move(20, WAIT),
    44: Move(18, WAIT, A, hits=(2, 4, 3.0), attack=2),
    50: Move(35, WAIT, A, (1.0, 0.0), hits=(4, 9, 7.0), attack=6, speed=1.0),
    53: Move(27, WAIT, A, (0.5, 0.0), hits=(5, 8, 9.0), attack=7),
    57: Move(28, WAIT, A, (0.0, -0.5), hits=(6, 8, 10.0), attack=9),
    60: Move(40, WAIT, cstick=(1.0, 0.0), hits=(11, 16, 15.0), attack=10, speed=0.25),
    **{70 + k: Move(15, WAIT, stick=(0.5, 0.0)) for k in range(5)},
    178: Move(4, 179, L, trigger=1.0),
    179: Move(24, 180, trigger=0.85),
    180: Move(15, WAIT),
    183: Move(26, 186),
    186: Move(30, WAIT, stick=(0.0, 0.9), intangible=True),
    199: Move(26, WAIT, L, trigger=1.0, intangible=True),
    212: Move(30, WAIT, Z),
    233: Move(31, WAIT, L, (1.0, 0.0), trigger=1.0, speed=1.25, intangible=True),
    234: Move(31, WAIT, L, (-1.0, 0.0), trigger=1.0, speed=-1.25, intangible=True),
    235: Move(22, WAIT, L, (0.0, -1.0), trigger=1.0, intangible=True),
    341: Move(8, 342, B),
    342: Move(12, 343, B),
    343: Move(9, WAIT),
}
AIRBORNE = {
    JUMPING: Move(40, FALLING, X, (0.7, 0.2)),
    27: Move(40, FALLING, X, (0.8, 0.6)),
    FALLING: Move(400, FALLING, stick=(0.9, 0.0)),
    35: Move(400, 35, stick=(0.8, 0.0)),
    **{65 + k: Move(38, FALLING, A, (0.6, 0.0), hits=(4, 14, 8.0 + 2 * k), attack=12 + k)
       for k in range(5)},
    38: Move(400, 38, stick=(0.7, 0.3)),
    75: Move(20, WAIT), 84: Move(24, FALLING), 88: Move(400, 38, stick=(0.5, 0.9)),
    236: Move(30, 35, L, (0.7, -0.7), trigger=1.0, intangible=True),
}  # fmt: skip
MOVES = GROUND | AIRBORNE
CHOICES = (WAIT, 15, 15, 18, 20, 20, 20, 24, 24, 24, 24, 39, 44, 50, 53, 57, 60, 60, 178, 212,
           233, 234, 235, 341, 341, 341, 341)  # fmt: skip
AERIALS = range(65, 70)


@dataclass
class Player:
    """One player's state; numbers are what the post-frame event shows."""

    number: int
    stage: Stage
    character: int
    jumps_in_all: int
    x: float
    y: float
    facing: int
    action: int = 322
    age: int = 0
    percent: float = 0.0
    shield: float = 60.0
    stocks: int = 4
    hitlag: int = 0
    combo: int = 0
    last_attack: int = 0
    last_hit_by: int = 6
    invulnerable: int = 0
    air_x: float = 0.0
    speed_y: float = 0.0
    ground_x: float = 0.0
    knock_x: float = 0.0
    knock_y: float = 0.0
    ground: int = 0xFFFF
    jumps: int = 1
    l_cancel: int = 0
    stun: int = 0
    landed_hit: bool = False
    instance: int = 0
    hurtbox: int = 0
    pads: dict[str, float] = field(default_factory=dict)

    def enter(self, action: int) -> None:
        self.action, self.age, self.landed_hit = action, 0, False
        self.instance += 1

    @property
    def airborne(self) -> bool:
        return self.action not in GROUND and self.action != 75

    @property
    def out(self) -> bool:
        return self.action <= 13


def pads_of(player: Player, pick: Pick) -> dict[str, float]:
    """What the hands do, with a little tremor of the sticks."""
    move = MOVES.get(player.action, Move(0, 0))
    facing = player.facing
    if player.action in AIRBORNE and abs(player.x) > player.stage.half:
        facing = -1 if player.x > 0 else 1  # back to the stage
    tremor = (pick(5) - 2) / 80 if move.stick != (0.0, 0.0) else 0.0
    pads = {
        "joystick.x": max(-1.0, min(1.0, move.stick[0] * facing + tremor)),
        "joystick.y": move.stick[1],
        "cstick.x": move.cstick[0] * facing if player.age < 6 else 0.0,
        "cstick.y": move.cstick[1],
        "triggers": move.trigger,
        "buttons_physical": move.buttons if player.age < 6 else 0,
    }
    if player.action == WAIT and player.number and pick(300) == 0:
        pads["buttons_physical"] = D_UP
    return pads


def _choose(player: Player, other: Player, pick: Pick) -> None:
    """A new action for a player who may act."""
    if player.action in (FALLING, JUMPING) and player.age > 5:
        away = abs(player.x) > player.stage.half
        if player.jumps > 0 and (away or player.age > 22) and pick(12) == 0:
            player.jumps -= 1
            player.speed_y = JUMP
            player.enter(27)
        elif away and player.y < -10 and pick(9) == 0:
            player.enter(236)
            player.speed_y = JUMP
        elif pick(10) == 0:
            player.enter(65 + pick(5))
    elif player.action == WAIT and player.age > pick(9):
        near = abs(player.x - other.x)
        player.facing = 1 if other.x > player.x else -1
        if abs(player.x) > player.stage.half - 15:
            player.facing = -1 if player.x > 0 else 1
        chosen = CHOICES[pick(len(CHOICES))]
        if near < 14 and not other.out and pick(2):
            chosen = (44, 53, 57, 60)[pick(4)]
        if chosen != WAIT:
            player.enter(chosen)


def _move(player: Player) -> None:
    """Physics of one frame, landing and falling off."""
    stage = player.stage
    if not player.airborne:
        move = GROUND.get(player.action)
        target = player.facing * move.speed if move else 0.0
        player.ground_x += (target - player.ground_x) / 4
        player.x += player.ground_x + player.knock_x
        player.knock_x *= 0.75
        player.air_x = player.speed_y = player.knock_y = 0.0
        if abs(player.x) > stage.half:
            if player.action in (20, 21) or abs(player.knock_x) > 0.5:
                player.air_x, player.jumps = player.ground_x, player.jumps_in_all - 1
                player.enter(FALLING)
            else:
                player.x = stage.half if player.x > 0 else -stage.half
        return
    player.ground_x = 0.0
    hold = player.pads["joystick.x"]
    player.air_x += max(-0.0625, min(0.0625, hold * AIR - player.air_x))
    player.speed_y = max(player.speed_y - GRAVITY, -FALL)
    before = player.y
    player.x += player.air_x + player.knock_x
    player.y += player.speed_y + player.knock_y
    player.knock_x *= 0.953125
    player.knock_y *= 0.953125
    if before >= 0 > player.y and abs(player.x) <= stage.half:
        player.y, player.ground = 0.0, 1
        player.jumps = player.jumps_in_all
        player.speed_y = player.air_x = player.knock_y = 0.0
        if player.action in AERIALS:
            player.l_cancel = 1 + player.instance % 2
            player.enter(player.action + 5)
        elif player.action in (38, 88):
            player.enter(183 if player.instance % 2 else 199)
        else:
            player.enter(43 if player.action in (35, 236) else LANDING)


def _die(player: Player) -> bool:
    stage = player.stage
    if player.y < stage.bottom:
        player.enter(0)
    elif abs(player.x) > stage.side:
        player.enter(1 if player.x < 0 else 2)
    elif player.y > stage.top and player.knock_y > 0:
        player.enter(4)
    else:
        return False
    player.stocks -= 1
    player.air_x = player.speed_y = player.knock_x = player.knock_y = 0.0
    player.combo = player.stun = 0
    return True


def _away(player: Player, pick: Pick) -> None:
    """Entry, death and rebirth: nobody steers."""
    if player.action in ENTRY:
        if player.age >= ENTRY[player.action]:
            player.enter(player.action + 1 if player.action < 324 else FALLING)
    elif player.action < 12 and player.age >= 60 and player.stocks:
        player.enter(12)
        player.percent = 0.0
        player.x, player.y = player.stage.rebirth[player.number]
        player.facing = -1 if player.x > 0 else 1
        player.instance, player.ground, player.jumps = 0, 0xFFFF, player.jumps_in_all - 1
    elif player.action == 12:
        player.y -= 0.5
        if player.age >= 90:
            player.enter(13)
    elif player.action == 13 and player.age > 20 + pick(60):
        player.enter(FALLING)
        player.invulnerable = 120


def step(player: Player, other: Player, pick: Pick) -> None:
    player.age += 1
    player.l_cancel = 0
    if player.hitlag:
        player.hitlag -= 1
        player.age -= 1
        return
    player.invulnerable = max(0, player.invulnerable - 1)
    move = MOVES.get(player.action)
    if move is None:
        _away(player, pick)
    else:
        if player.stun:
            player.stun -= 1
            if not player.stun and player.action == 88:
                player.enter(38)
        elif player.age >= move.frames and move.then != player.action:
            if player.action == 24:
                player.speed_y, player.air_x = JUMP, player.ground_x
                player.jumps = player.jumps_in_all - 1
            player.enter(move.then)
        else:
            _choose(player, other, pick)
        _move(player)
        _die(player)
    if player.action in (178, 179):
        player.shield = max(1.0, player.shield - 0.28125)
    else:
        player.shield = min(60.0, player.shield + 0.0703125)
    safe = (move is not None and MOVES.get(player.action, move).intangible) or player.out
    player.hurtbox = 2 if safe else int(player.invulnerable > 0)


def hit(player: Player, other: Player, percent: float, move: int, lag: bool = True) -> None:
    """`player` hits `other`."""
    other.percent = min(999.0, other.percent + percent)
    player.combo = player.combo + 1 if other.stun else 1
    player.last_attack, player.landed_hit = move, True
    other.last_hit_by = player.number
    other.hitlag = 3 + int(percent / 3)
    player.hitlag = other.hitlag if lag else player.hitlag
    knockback = 0.5 + percent / 16 + other.percent * percent / 64
    away = 1 if other.x >= player.x else -1
    other.facing = -away
    other.knock_x = away * min(knockback, 8.0)
    if knockback > 1.25:
        other.knock_y, other.speed_y = min(knockback * 0.875, 6.0), 0.0
        other.jumps = min(other.jumps, other.jumps_in_all - 1)
        other.y += 0.0625
        other.enter(88)
        other.stun = int(knockback * HITSTUN_PER_UNIT)
    else:
        other.enter(84 if other.airborne else 75)
        other.stun = 12


def attack(player: Player, other: Player) -> None:
    move = MOVES.get(player.action)
    if move is None or move.hits is None or player.landed_hit or player.hitlag:
        return
    first, last, percent = move.hits
    reach = abs(player.x - other.x) < 15 and abs(player.y - other.y) < 14
    if first <= player.age <= last and reach and not other.hurtbox and not other.out:
        if other.action in (178, 179):
            other.shield = max(1.0, other.shield - percent / 2)
            player.landed_hit = True
        else:
            hit(player, other, percent, move.attack)
