"""Count on how many frames of real games each rule of the frame update holds.

    python -m wmq.dataset.rule_census DATASET

prints the tables of docs/frames.md, "Rules".  Games come in one after the other, counts leave.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

from wmq.dataset.store import Dataset, Game
from wmq.errors import WmqError
from wmq.game.motion import KNOCKBACK, carried, ground_speed, travelled
from wmq.game.rules import (
    DEADLY_SPEED,
    FIRST_ALIVE,
    FULL_SHIELD,
    REBIRTH,
    RISES,
    STOPPED,
    THROWN_UPWARDS,
)
from wmq.game.schema import BLAST_ZONES, Q16, REBIRTH_SPEED_Y, SAMPLED, Schema
from wmq.game.targets import drawn_classes
from wmq.game.transitions import drawable_actions

SCHEMA = Schema(version=SAMPLED)
DEATHS = range(11)  # the first of them below, left, right; the others above
SIDES = ("left", "right", "below")
NEAR = round(0.01 * Q16)  # of a place
ROUNDING, STEERED, FADED = 3, 16, round(0.001 * Q16)  # of a speed, by a stick, and of knockback

Counts = Counter[str]


def count_rules(game: Game) -> Counts:
    """Count what both players of a game do: "<rule>" where it holds, "<rule>, of" where it may.

    A rule of a field that the replay lacks is left out.
    """
    counts: Counts = Counter({"games": 1, "player-frames": 2 * len(game.frames)})
    for player in (0, 1):
        counts.update(_Seat(game, player).counts)
    return counts


class _Seat:
    """One player of a game: his present values and those of the next frame, by field."""

    def __init__(self, game: Game, player: int):
        self.counts: Counts = Counter()
        frames = game.frames
        self.now = {f.name: frames[:-1, SCHEMA.index(f.name, player)] for f in SCHEMA.fields}
        self.after = {f.name: frames[1:, SCHEMA.index(f.name, player)] for f in SCHEMA.fields}
        self.before, self.action = self.now["action"], self.after["action"]
        self.frames, self.player = frames[1:], player
        self.way = travelled(SCHEMA, frames[1:], player)
        self.carried = carried(SCHEMA, frames[:-1], frames[1:], game.controllers[1:], player)
        self.stage = game.info.stage
        has_speeds, has_hitlag = (name not in game.info.missing for name in ("speed_y", "hitlag"))
        self.place = SCHEMA.rebirth_places[self.stage, player]
        self._percent()
        self._deaths()
        if has_speeds:
            self._top()
        self._clocks()
        self._stocks()
        self._rebirths()
        if has_hitlag:  # which came after the speeds
            self._stops()
            self._moves_as_reborn()
            self._hitlag()
            self._places()
            self._speeds()
            self._footing()
        self._draws(frames, player)

    def holds(self, rule: str, where: np.ndarray, right: np.ndarray) -> None:
        self.counts[f"{rule}, of"] += int(where.sum())
        self.counts[rule] += int((where & right).sum())

    def _percent(self) -> None:
        change = self.after["percent"] - self.now["percent"]
        self.holds("percent falls at a rebirth alone", change < 0, self._reborn)
        self.holds("percent is 0 at a rebirth", self._reborn, self.after["percent"] == 0)
        rises = np.array(RISES)
        hits = change[change > 0]
        off = np.abs(hits[:, None] - rises[1:]).min(1)
        self.counts["hits"] += len(hits)
        self.counts["hits, error in 2^-16 %"] += int(off.sum())

    def _beyond(self) -> dict[str, np.ndarray]:
        left, right, bottom, top = (round(end * Q16) for end in BLAST_ZONES[self.stage])
        x, y = self.after["x"], self.after["y"]
        return {"left": x < left, "right": x > right, "below": y < bottom, "above": y > top}

    @property
    def _died(self) -> np.ndarray:
        return np.isin(self.action, DEATHS) & ~np.isin(self.before, DEATHS)

    def _deaths(self) -> None:
        beyond, mortal = self._beyond(), self.before >= FIRST_ALIVE
        for side, action in zip(SIDES, (1, 2, 0), strict=True):
            self.holds(f"a death {side} is beyond that end", self._died & (self.action == action),
                       beyond[side])  # fmt: skip
        above = self._died & (self.action > 2)
        self.holds("a death above is beyond the top", above, beyond["above"])
        self.holds("a death above is of the star kind", above, self.action == 4)
        out = np.any([beyond[side] for side in SIDES], axis=0)
        self.holds("beyond a side or the bottom everybody dies", mortal & out,
                   self.action < FIRST_ALIVE)  # fmt: skip

    def _top(self) -> None:
        beyond, mortal = self._beyond(), self.before >= FIRST_ALIVE
        above = self._died & (self.action > 2)
        thrown = np.isin(self.before, THROWN_UPWARDS)
        fast = thrown & (self.now["speed_attack_y"] >= round(DEADLY_SPEED * Q16))
        self.holds("a death above is of one thrown upwards, fast enough", above, fast)
        over = mortal & beyond["above"] & ~np.any([beyond[side] for side in SIDES], axis=0)
        self.holds("over the top such a one dies", over & fast, self.action < FIRST_ALIVE)
        self.holds("over the top anybody else lives", over & ~fast, self.action >= FIRST_ALIVE)

    def _stops(self) -> None:
        still = np.all([self.after[name] == 0 for name in STOPPED], axis=0)
        self.holds("speeds and hitlag are 0 from a death on", self._died, still)

    def _clocks(self) -> None:
        starts = np.flatnonzero(np.diff(self.action, prepend=-1))
        ends = np.append(starts[1:], len(self.action))
        assert SCHEMA.rules is not None
        clocks = {clock.action: clock for clock in SCHEMA.rules.clocks}
        names = {action: f"action {action} lasts {clock.last + 1} frames, then {clock.following}"
                 for action, clock in clocks.items()}  # fmt: skip
        for name in names.values():
            self.counts[f"{name}, of"] += 0
        for first, end in zip(starts[1:], ends[1:], strict=True):
            clock = clocks.get(int(self.action[first]))
            if clock is None or end == len(self.action):  # the game ended before
                continue
            name = names[clock.action]
            self.counts[f"{name}, of"] += 1
            self.counts[name] += int(
                end - first == clock.last + 1 and self.action[end] == clock.following
            )

    def _stocks(self) -> None:
        assert SCHEMA.rules is not None
        fell = self.after["stocks"] - self.now["stocks"]
        self.holds("stocks fall by one", fell != 0, fell == -1)
        at = np.zeros(len(fell), bool)
        for strike in SCHEMA.rules.strikes:
            here = (self.action == strike.action) & (self.after["state_age"] == strike.age)
            at |= here
            self.holds(f"action {strike.action} takes a stock at its age {strike.age}", here,
                       fell == -1)  # fmt: skip
        self.holds("stocks fall at such an age alone", fell != 0, at)

    @property
    def _reborn(self) -> np.ndarray:
        return (self.action == REBIRTH) & (self.before != REBIRTH)

    def _rebirths(self) -> None:
        x, y = self.place[[SCHEMA.rebirth_fields.index(name) for name in ("x", "y")]]
        self.holds("a rebirth is at the stage's place", self._reborn,
                   (self.after["x"] == x) & (self.after["y"] == y))  # fmt: skip
        self.holds("a rebirth has a full shield", self._reborn,
                   self.after["shield"] == FULL_SHIELD)  # fmt: skip

    def _moves_as_reborn(self) -> None:
        still = np.all([self.after[name] == 0 for name in STOPPED if name != "speed_y"], axis=0)
        falls = self.after["speed_y"] == REBIRTH_SPEED_Y[self.stage]
        self.holds("a rebirth has the platform's speed alone, and no hitlag", self._reborn,
                   still & falls)  # fmt: skip

    def _hitlag(self) -> None:
        before, after = self.now["hitlag"], self.after["hitlag"]
        lag = (before > 0) & (after <= before) & (self.action >= FIRST_ALIVE)
        self.holds("hitlag that does not rise falls by one", lag, after == before - 1)
        self.counts["hitlag stays"] += int((lag & (after == before)).sum())
        self.counts["hitlag falls faster"] += int((lag & (after < before - 1)).sum())

    def _places(self) -> None:
        alive = (self.action >= FIRST_ALIVE) & (self.before >= FIRST_ALIVE)
        lag, ground = self.after["hitlag"] > 0, self.after["on_ground"] == 1
        landed = self.after["on_ground"] != self.now["on_ground"]
        kinds = {
            "on the first frame of hitlag": lag & (self.now["hitlag"] == 0),
            "in hitlag": lag & (self.now["hitlag"] > 0),
            "on the ground": ~lag & ground & ~landed,
            "in the air": ~lag & ~ground & ~landed,
            "landing or leaving the ground": ~lag & landed,
        }
        residual = [self.after[name] - self.now[name] - self.way[:, axis]
                    for axis, name in enumerate(("x", "y"))]  # fmt: skip
        near = np.all([np.abs(part) <= NEAR for part in residual], axis=0)
        for kind, where in kinds.items():
            self.holds(f"a place follows from the speeds, {kind}", alive & where, near)

    def _speeds(self) -> None:
        """What speeds do by themselves (`wmq.game.motion`), on frames on which nothing hits."""
        assert SCHEMA.rules is not None
        alive = (self.action >= FIRST_ALIVE) & (self.before >= FIRST_ALIVE)
        moves = alive & (self.after["hitlag"] == 0) & (self.now["on_ground"] == 0)
        moves &= self.after["on_ground"] == 0
        for name, least in SCHEMA.rules.motion.steady.items():
            carried = self.carried.get(name, self.now[name])
            change = np.abs(self.after[name] - carried)
            self.holds(f"{name} changes by {least / Q16:.3f} or not", alive,
                       (change <= ROUNDING) | (change >= least))  # fmt: skip
        light = np.isin(self.action, SCHEMA.rules.motion.weightless)
        off = np.abs(self.after["speed_air_x"] - self.carried["speed_air_x"])
        stays = self.after["on_ground"] == self.now["on_ground"]
        grounded = alive & stays & (self.now["on_ground"] == 1) & (self.after["hitlag"] == 0)
        self.holds("on the ground stick and friction alone change speed_air_x", grounded,
                   off <= STEERED)  # fmt: skip
        self.holds("in the air stick and friction alone change speed_air_x", moves,
                   off <= STEERED)  # fmt: skip
        own = ground_speed(SCHEMA, self.frames, self.player)
        self.holds("speed_ground_x is speed_air_x on the ground, else 0", alive,
                   np.abs(self.after["speed_ground_x"] - own) <= ROUNDING)  # fmt: skip
        off = np.abs(self.after["speed_y"] - self.carried["speed_y"])
        self.holds("in the air gravity alone changes speed_y", moves & ~light, off <= ROUNDING)
        self.holds("nothing pulls in a weightless action", moves & light, off <= ROUNDING)
        free = moves & (self.now["hitlag"] == 0)
        free &= self.after["percent"] == self.now["percent"]
        push = [self.after[name] - self.carried[name] for name in KNOCKBACK]
        self.holds("in the air knockback fades alone", free,
                   np.all([np.abs(part) <= FADED for part in push], axis=0))  # fmt: skip

    def _footing(self) -> None:
        """Which actions are on the ground, and where the ground is."""
        rules = SCHEMA.rules
        assert rules is not None
        grounded = self.after["on_ground"] == 1
        kinds = (("on the ground", rules.footing.grounded, grounded),
                 ("in the air", rules.footing.airborne, ~grounded))  # fmt: skip
        for name, actions, right in kinds:
            where = np.isin(self.action, actions)
            self.holds(f"an action that is always {name} is so", where, right)
        stays = grounded & (self.now["on_ground"] == 1)
        self.holds("who stays on the ground has no speed_y", stays, self.after["speed_y"] == 0)
        x, y, ground = (self.after[name] for name in ("x", "y", "ground"))
        overhang, reach = rules.standing.overhang, rules.standing.reach
        for row in rules.standing.grounds:
            if row.stage == self.stage:
                stands = grounded & (ground == row.ground)
                inside = (row.left - overhang <= x) & (x <= row.right + overhang)
                self.holds("who stands is at most 2 units beyond his ground", stands, inside)
                if row.height is not None:
                    near = np.abs(y - row.height) <= reach
                    self.holds("who stands is within 12 units of his ground", stands, near)
        floor = rules.footing.floors[self.stage]
        over = (
            (self.action >= FIRST_ALIVE)
            & (floor.left <= x)
            & (x <= floor.right)
            & (self.now["y"] >= floor.level)
        )
        self.holds("who was above a main floor does not come 8 units below it", over,
                   y >= floor.level)  # fmt: skip

    def _draws(self, frames: np.ndarray, player: int) -> None:
        rules = SCHEMA.rules
        assert rules is not None
        column = [draw.name for draw in SCHEMA.draws].index(f"p{player + 1}.action")
        drawn = drawn_classes(SCHEMA, frames[:-1], frames[1:])
        free = drawn.counted[:, column] & (self.action != self.before)
        allowed = drawable_actions(rules)[self.before, self.action] > 0
        self.holds("a change of action is one that a draw may give", free, allowed)


def lines_of(counts: Counts) -> list[str]:
    """List the counts as rows of a table: the rule, on how many it holds, of how many."""
    found = ["| rule | holds | of | |", "|---|---|---|---|"]
    for name in counts:
        if name.endswith(", of"):
            rule, total = name.removesuffix(", of"), counts[name]
            share = f"{100 * counts[rule] / total:.2f} %" if total else ""
            found.append(f"| {rule} | {counts[rule]:,} | {total:,} | {share} |")
    hits = counts["hits"]
    error = counts["hits, error in 2^-16 %"] / max(hits, 1) / Q16
    return [
        *found,
        "",
        f"{counts['games']:,} games, {counts['player-frames']:,} player-frames; {hits:,} hits, "
        f"whose nearest rise is {error:.3f} % off in the mean; hitlag stays on "
        f"{counts['hitlag stays']:,} frames and falls faster on {counts['hitlag falls faster']:,}",
    ]


def main(arguments: list[str]) -> None:
    """Print the counts of all games."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m wmq.dataset.rule_census DATASET")
    try:
        dataset = Dataset.open(arguments[0])
        counts: Counts = Counter()
        for info in dataset.games:
            counts.update(count_rules(dataset.load(info, SCHEMA)))
    except WmqError as error:
        raise SystemExit(f"wmq.dataset.rule_census: {error}") from None
    print("\n".join(lines_of(counts)))


if __name__ == "__main__":
    main(sys.argv[1:])
