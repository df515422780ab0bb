"""Read the match of a command line: its first frame and its controllers."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING

import click

from wmq.errors import WmqError
from wmq.game.names import CHARACTERS, STAGES
from wmq.rollout.limits import LARGEST_SEED, PLAYERS, STAGE

if TYPE_CHECKING:
    from wmq.game.schema import Schema
    from wmq.rollout.controllers import Source
    from wmq.rollout.starts import Start

# For the end of a command's help; click would break a name at its hyphen.
NAMES = "\n\n".join(
    "\b\n" + fill(f"{title}: {', '.join(sorted(names))}", 78, break_on_hyphens=False)
    for title, names in (("Stages", STAGES), ("Characters", CHARACTERS))
)

USUAL = "replay for a game; agent in a match, if MODEL draws; else random"


def match_options(command: Callable) -> Callable:
    """--stage, --p1-character, --p2-character; None where not given."""
    characters = click.Choice(sorted(CHARACTERS), case_sensitive=False)
    stages = click.Choice(sorted(STAGES), case_sensitive=False)
    for option in (
        click.option("--p2-character", type=characters, metavar="NAME", show_default=PLAYERS[1],
                     help="Character of player 2 in a match; names below."),
        click.option("--p1-character", type=characters, metavar="NAME", show_default=PLAYERS[0],
                     help="Character of player 1 in a match; names below."),
        click.option("--stage", type=stages, metavar="NAME", show_default=STAGE,
                     help="Stage of a match; names below."),
    ):  # fmt: skip
        command = option(command)
    return command


def controller_options(command: Callable) -> Callable:
    """--p1, --p2, None where not given, and --seed."""
    metavar = "agent[:FILE]|replay|idle|random|script:FILE"
    for option in (
        click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True,
                     help="Seed of what is drawn: random controllers, agents, a sampled world."),
        click.option("--p2", metavar=metavar, show_default=USUAL,
                     help="Controller of player 2."),
        click.option("--p1", metavar=metavar, show_default=USUAL,
                     help="Controller of player 1."),
    ):  # fmt: skip
        command = option(command)
    return command


def open_start(
    schema: Schema,
    text: str,
    stage: str | None,
    characters: tuple[str | None, str | None],
    warmup: int,
) -> Start:
    """Read --start and the options of a match.  Raises WmqError."""
    from wmq.rollout.starts import match_start, parse_replay_start, replay_start

    if text != "match":
        given = {"--stage": stage, "--p1-character": characters[0], "--p2-character": characters[1]}
        for option, value in given.items():
            if value:
                raise WmqError(f"{option} {value}: only for --start match; the game has its own")
        return replay_start(schema, *parse_replay_start(text), warmup)
    names = (characters[0] or PLAYERS[0], characters[1] or PLAYERS[1])
    return match_start(schema, stage or STAGE, names)


def controller_texts(
    start: Start, schema: Schema, p1: str | None, p2: str | None
) -> tuple[str, str]:
    """Fill in --p1 and --p2 with what is usual from the start in a world of this schema."""
    usual = start.usual_source(schema)
    return p1 or usual, p2 or usual


def parse_controllers(texts: tuple[str, str]) -> tuple[Source, Source]:
    """Read --p1 and --p2.  Raises WmqError."""
    from wmq.rollout.controllers import parse_source

    return parse_source(texts[0], "--p1"), parse_source(texts[1], "--p2")
