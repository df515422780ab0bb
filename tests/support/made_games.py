"""Games that nobody played: a seed comes in, a `Recording` leaves, the same on every machine.

Two players of `tests.support.players` walk, jump, attack, shield, shoot, hit and launch each
other, lose stocks and respawn.  They keep the real game's rules as far as a replay shows them:
stocks fall on death alone, percent on rebirth alone, ground actions happen on the ground.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.support.players import CHARACTERS, STAGES, Player, attack, hit, pads_of, step
from tests.support.slp import FIRST_FRAME, ITEM, POST, PRE, Recording, Version, layout

LASER, LASER_SPEED, LASER_FRAMES = 54, 2.5, 90  # type of item, game units a frame, frames


@dataclass
class Laser:
    owner: int
    x: float
    y: float
    direction: int
    spawn: int
    left: int = LASER_FRAMES


def made_game(
    seed: int,
    frames: int = 1500,
    stage: int = 31,
    characters: tuple[int, int] = (2, 20),
    ports: tuple[int, int] = (0, 1),
    version: Version = (3, 14, 0),
    rollbacks: int = 8,
) -> Recording:
    """A game of `frames` frame ids, fewer only if a player loses the last stock before.

    `stage` and `characters` are external ids, of STAGES and CHARACTERS; `rollbacks` times three
    frames are recorded twice, and the first copy differs (not before version 2.2).
    """
    words = np.random.PCG64(seed)

    def pick(n: int) -> int:
        return int(words.random_raw() >> 11) % n

    players = [_entering(number, stage, characters[number]) for number in (0, 1)]
    both = ((players[0], players[1]), (players[1], players[0]))
    pre: list[list[dict]] = [[], []]
    post: list[list[dict]] = [[], []]
    lasers: list[Laser] = []
    items: list[list[Laser]] = []  # by frame
    spawned = 0
    while len(items) < frames and not any(p.stocks == 0 and p.age > 40 for p in players):
        for player in players:
            player.pads = pads_of(player, pick)
            pre[player.number].append(_pre(player, seed + len(items)))
        if items:
            for player, other in both:
                step(player, other, pick)
            for player, other in both:
                attack(player, other)
        lasers = _fly(lasers, players)
        for player in players:
            if player.action == 342 and player.age == 2 and not player.hitlag:
                x, y = player.x + 6 * player.facing, player.y + 7
                lasers.append(Laser(player.number, x, y, player.facing, spawned))
                spawned += 1
            post[player.number].append(_post(player, ports))
        items.append([replace(laser) for laser in lasers])
    order, taken_back = _with_rollbacks(len(items), rollbacks * (version >= (2, 2, 0)), pick)
    sides = [
        [_table(PRE, rows)[order] for rows in pre],
        [_table(POST, rows)[order] for rows in post],
    ]
    for events in (*sides[0], *sides[1]):  # what was guessed
        events["position.x"][taken_back] += 0.5
    shown = [(row, laser) for row, t in enumerate(order) for laser in items[t]]
    return Recording(
        version, stage, ports, characters, order.astype(np.int32) + FIRST_FRAME, *sides,
        items=_table(ITEM, [_item(laser, ports) for _, laser in shown]),
        item_rows=np.array([row for row, _ in shown], dtype=np.int64),
        random_seed=seed + 1, end_method=2 if len(items) < frames else 7,
    )  # fmt: skip


def _entering(number: int, stage: int, character: int) -> Player:
    internal, jumps = CHARACTERS[character]
    x, y = STAGES[stage].entry[number]
    return Player(number, STAGES[stage], internal, jumps, x, y, 1 - 2 * number, jumps=jumps - 1)


def _fly(lasers: list[Laser], players: list[Player]) -> list[Laser]:
    """Lasers a frame later, without those that hit somebody or faded."""
    for laser in lasers:
        laser.x += laser.direction * LASER_SPEED
        laser.left -= 1
        target = players[1 - laser.owner]
        near = abs(target.x - laser.x) < 4 and abs(target.y + 6 - laser.y) < 8
        if near and not target.hurtbox and not target.out and not target.stun:
            laser.left = 0
            hit(players[laser.owner], target, 2.0, 18, lag=False)
    return [laser for laser in lasers if laser.left > 0]


def _with_rollbacks(
    length: int, rollbacks: int, pick: Callable[[int], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Frames in the order of the file, and which rows are taken back by a later one."""
    order = list(range(length))
    for at in sorted({4 + pick(length - 8) for _ in range(rollbacks)}, reverse=True):
        order[at:at] = order[at - 3 : at]
    rows = np.array(order)
    last = len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1]
    return rows, np.setdiff1d(np.arange(len(rows)), last)


def _table(event: int, rows: list[dict]) -> np.ndarray:
    """Rows as columns; what a row does not name is zero."""
    table = np.zeros(len(rows), layout(event))
    for name in rows[0] if rows else ():
        table[name] = [row[name] for row in rows]
    return table


def _pre(player: Player, seed: int) -> dict[str, float]:
    pads = player.pads
    return pads | {
        "random_seed": seed, "state": player.action, "percent": player.percent,
        "position.x": player.x, "position.y": player.y, "direction": player.facing,
        "buttons": pads["buttons_physical"] | (1 << 31 if pads["triggers"] else 0),
        "triggers_physical.l": pads["triggers"],
        "raw_analog_x": int(pads["joystick.x"] * 80), "raw_analog_y": int(pads["joystick.y"] * 80),
        "raw_analog_cstick_x": int(pads["cstick.x"] * 80),
    }  # fmt: skip


def _post(player: Player, ports: tuple[int, int]) -> dict[str, float]:
    return {
        "character": player.character, "state": player.action, "position.x": player.x,
        "position.y": player.y, "direction": player.facing, "percent": player.percent,
        "shield": player.shield, "last_attack_landed": player.last_attack,
        "combo_count": player.combo, "stocks": player.stocks, "state_age": player.age,
        "last_hit_by": 6 if player.last_hit_by == 6 else ports[player.last_hit_by],
        "state_flags.3": 2 if player.stun else 0, "misc_as": player.stun,
        "airborne": player.airborne, "ground": player.ground, "jumps": player.jumps,
        "l_cancel": player.l_cancel, "hurtbox_state": player.hurtbox,
        "velocities.self_x_air": player.air_x, "velocities.self_y": player.speed_y,
        "velocities.knockback_x": player.knock_x, "velocities.knockback_y": player.knock_y,
        "velocities.self_x_ground": player.ground_x, "hitlag": player.hitlag,
        "animation_index": player.action, "instance_id": player.instance,
    }  # fmt: skip


def _item(laser: Laser, ports: tuple[int, int]) -> dict[str, float]:
    return {
        "type": LASER, "direction": laser.direction, "velocity.x": laser.direction * LASER_SPEED,
        "position.x": laser.x, "position.y": laser.y, "timer": laser.left,
        "spawn": laser.spawn, "owner": ports[laser.owner],
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Write one game: `python -m tests.support.made_games SEED FILE.slp`."""
    if len(arguments) != 2:
        raise SystemExit("usage: python -m tests.support.made_games SEED FILE.slp")
    Path(arguments[1]).write_bytes(made_game(int(arguments[0])).to_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
