"""Options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from wmq.cli.progress import be_verbose

STAGES = (
    "battlefield", "dream-land", "final-destination",
    "fountain-of-dreams", "pokemon-stadium", "yoshis-story",
)  # fmt: skip
KERNELS = ("auto", "vnni", "portable")  # paths.CHOICES, which would import numba here


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


kernels_option = click.option(
    "--kernels",
    type=click.Choice(KERNELS),
    default="auto",
    show_default=True,
    help="What computes the integers: vnni needs AVX-512 VNNI; the bits are the same.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=cores,
    show_default="number of cores",
    help="Of the computation; the result does not depend on it.",
)


def verbose_option() -> click.Option:
    return click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=lambda ctx, option, count: be_verbose(count),
        help="Say more on stderr; -vv for what helps to find a bug.",
    )


def match_options(command: Callable) -> Callable:
    """--stage, --p1-character, --p2-character; None where not given."""
    for option in (
        click.option("--p2-character", metavar="NAME", show_default="falco", help="Of a match."),
        click.option("--p1-character", metavar="NAME", show_default="fox", help="Of a match."),
        click.option("--stage", type=click.Choice(STAGES), show_default="battlefield",
                     help="Of a match."),
    ):  # fmt: skip
        command = option(command)
    return command


def controller_options(command: Callable) -> Callable:
    """--p1, --p2, None where not given, and --seed."""
    metavar = "replay|idle|random|script:FILE"
    for option in (
        click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True,
                     help="Of random controllers."),
        click.option("--p2", metavar=metavar, show_default="replay for a game, else random",
                     help="Controller of player 2."),
        click.option("--p1", metavar=metavar, show_default="replay for a game, else random",
                     help="Controller of player 1."),
    ):  # fmt: skip
        command = option(command)
    return command
