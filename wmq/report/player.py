"""Build the player: its controls, and the data that `player.js` replays."""

from __future__ import annotations

from typing import Any

import numpy as np

from wmq.game.names import CHARACTERS
from wmq.game.schema import ACTIONS, FRAMES_PER_SECOND, category_of
from wmq.game.stages import stage_data
from wmq.report.compare import FLOAT, INT8, Comparison
from wmq.report.figures import table
from wmq.report.html import Html, details, tag
from wmq.report.viewer import columns
from wmq.rollout.summary import CATEGORIES, summarize

SPEEDS = (0.25, 0.5, 1, 2, 4)


def player_data(found: Comparison) -> dict[str, Any]:
    """Return the columns of both tracks, and what their numbers mean."""
    start = found.start.given[-1]
    return {
        "first": found.first,
        "rate": FRAMES_PER_SECOND,
        "stage": stage_data(int(start[found.schema.stage_index])),
        "categories": list(CATEGORIES),
        "category": category_of(np.arange(ACTIONS)).tolist(),
        "characters": {str(number): name for name, number in CHARACTERS.items()},
        **columns(found.schema, found.tracks),
    }


def player_section(found: Comparison) -> list[Html]:
    """Build the controls and the two empty stages, which the page's program fills."""
    count = len(found.rollouts[FLOAT].worlds[0].frames)
    return [
        tag("p", _intro(found, count)),
        tag("noscript", tag("p", "The player needs JavaScript; nothing else on this page does.")),
        tag(
            "div",
            tag("div", _world(found, FLOAT), _world(found, INT8), class_="worlds"),
            _timeline(count),
            _controls(found.first),
            id="player",
            tabindex="0",
            role="group",
            aria_label="Player: float and int8 side by side. Space plays, arrows step.",
        ),
        details("How it went", _summary(found)),
    ]


def _intro(found: Comparison, count: int) -> str:
    one, other = found.controllers
    begin = (f"{found.start.label}; player 1 {one}, player 2 {other}, seed "
             f"{found.rollouts[FLOAT].worlds[0].seed}; {count:,} frames. ")  # fmt: skip
    if found.first is None:
        return begin + "Both models choose the same actions in every frame."
    seconds = found.first / FRAMES_PER_SECOND
    return begin + f"The first other action comes at frame {found.first:,}, after {seconds:.2f} s."


def _world(found: Comparison, name: str) -> Html:
    rollout = found.rollouts[name]
    other = INT8 if name == FLOAT else FLOAT
    titles = [tag("th", text, scope="col") for text in ("player", "%", "stocks", "action")]
    rows = [
        tag("tr", tag("th", f"P{player}", scope="row", class_=f"p{player}"),
            *(tag("td", data_value=value) for value in ("percent", "stocks", "action")),
            data_player=player - 1)
        for player in (1, 2)
    ]  # fmt: skip
    return tag(
        "figure",
        tag("figcaption", tag("b", name), f" {rollout.model.name} ",
            tag("small", f"dashed: where {other} has them")),
        tag("svg", role="img", aria_label=f"The stage as {name} plays it", class_="stage"),
        tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *rows), class_="state"),
        class_="world", data_track=name,
    )  # fmt: skip


def _timeline(count: int) -> Html:
    return tag(
        "div",
        tag("svg", class_="distance", viewbox="0 0 1000 40", preserveAspectRatio="none",
            role="img", aria_label="Distance between the two worlds over time"),
        tag("input", type="range", id="scrub", min=0, max=count, value="0", step=1,
            aria_label="Frame"),
        class_="timeline",
    )  # fmt: skip


def _controls(first: int | None) -> Html:
    speeds = [tag("option", f"{speed:g}×", value=f"{speed:g}", selected=speed == 1)
              for speed in SPEEDS]  # fmt: skip
    jump = "no other action" if first is None else f"first other action: frame {first:,}"
    return tag(
        "div",
        tag("button", "◀", type="button", id="back", aria_label="One frame back"),
        tag("button", "Play", type="button", id="play"),
        tag("button", "▶", type="button", id="forth", aria_label="One frame forth"),
        tag("label", "speed ", tag("select", *speeds, id="speed")),
        tag("button", jump, type="button", id="jump", disabled=first is None),
        tag("output", "", id="clock", for_="scrub", aria_live="off"),
        tag("small", "space plays, arrows step a frame, with Shift a second"),
        class_="controls",
    )


def _summary(found: Comparison) -> Html:
    rows = []
    for name, rollout in found.rollouts.items():
        players = summarize(found.schema, found.start.given[-1], rollout.worlds[0].frames)
        for number, player in enumerate(players, 1):
            rows.append([
                f"{name}, player {number}", f"{player.damage:.1f} %", str(player.stocks_lost),
                str(sum(player.impossible.values())), rollout.worlds[0].sha256,
            ])  # fmt: skip
    titles = ["world", "damage taken", "stocks lost", "impossible events", "rollout_sha256"]
    return table("Both worlds, start to end", titles, rows)
