"""Count what a dataset holds, and what it lacks of the replays.

Facts of games and rejected files come in; plain data for JSON and lines for people leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wmq.dataset.select import usable
from wmq.dataset.splits import games_of_split
from wmq.dataset.store import GameInfo, Rejection
from wmq.game.schema import FULL
from wmq.replays.refusals import count_kinds


def census(games: Sequence[GameInfo], rejected: Sequence[Rejection]) -> dict:
    """Count games, frames, and what is refused, missing or clamped; plain data.

    games     by split
    frames    of all games; a frame is two player-frames
    clamped   by field: its interval, the player-frames outside, and in how many games
    missing   by field: games whose version lacks it
    unused    games that `wmq train` and `wmq calibrate` leave out, see `wmq.dataset.select.usable`
    rejected_by_reason  files by kind of reason
    """
    beyond, in_games = Counter[str](), Counter[str]()
    for info in games:
        beyond.update(dict(info.clamped))
        in_games.update(name for name, _ in info.clamped)
    missing = Counter(name for info in games for name in info.missing)
    return {
        "games": games_of_split(games),
        "frames": sum(info.frames for info in games),
        "clamped": {
            name: {
                "interval": _interval(name),
                "player_frames": beyond[name],
                "games": in_games[name],
            }
            for name in sorted(beyond, key=lambda name: (-beyond[name], name))
        },
        "missing": {
            field.name: missing[field.name] for field in FULL.fields if field.name in missing
        },
        "unused": len(games) - len(usable(games)),
        "rejected_by_reason": count_kinds(rejection.reason for rejection in rejected),
    }


def _interval(name: str) -> list[int]:
    """Return the ends of a field, or of a control."""
    return next(([f.lo, f.hi] for f in FULL.fields if f.name == name), [0, 1])


def census_lines(facts: dict) -> list[str]:
    """List for people what was refused, is missing or was clamped."""
    lines = [f"{count:,} rejected: {kind}" for kind, count in facts["rejected_by_reason"].items()]
    by_count: dict[int, list[str]] = {}
    for name, count in facts["missing"].items():
        by_count.setdefault(count, []).append(name)
    lines += [
        f"missing in {_games(count)} of older versions: {', '.join(names)}"
        for count, names in by_count.items()
    ]
    if facts["unused"]:
        lines.append(
            f"not trained on: {_games(facts['unused'])} without velocities, or with a player idle "
            "on over half of the frames"
        )
    lines += [
        f"clamped to {found['interval'][0]}..{found['interval'][1]}: {name} of "
        f"{found['player_frames']:,} of {2 * facts['frames']:,} player-frames, in "
        f"{_games(found['games'])}"
        for name, found in facts["clamped"].items()
    ]
    return lines


def _games(count: int) -> str:
    return f"{count:,} game{'s' * (count != 1)}"
