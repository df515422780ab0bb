"""Define the options that several commands share."""

from __future__ import annotations

import math

import click

from wmq.cli.progress import be_verbose
from wmq.memo.machine import cores
from wmq.rollout.limits import MOST_THREADS

KERNELS = ("auto", "vnni", "portable")  # cpu.CHOICES, which would import numba here


def counted(number: int, what: str) -> str:
    """Write a number and its noun, as in "1 frame" and "3,600 frames"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class CommandGroup(click.Group):
    """A group that lists its commands with whole sentences, which click would cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(limit=10_000)) for name, one in listed if one]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def finite(ctx: click.Context, option: click.Parameter, value: float) -> float:
    """Refuse NaN and infinity."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", ctx, option)
    return value


kernels_option = click.option(
    "--kernels",
    type=click.Choice(KERNELS),
    default="auto",
    show_default=True,
    help="Kernels of the integer engine, all with the same bits; vnni needs AVX-512 VNNI.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=cores,
    show_default="number of cores",
    help="Number of threads; it does not change the result.",
)


def verbose_option() -> click.Option:
    return click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=lambda ctx, option, count: be_verbose(count),
        help="Print more on stderr; -vv for debugging.",
    )


def echo_embedded(given: object) -> None:
    """Name the embedded model in the first line of a command's text if none was given."""
    if not given:
        from wmq.inference.model_files import EMBEDDED_NAMES

        click.echo(f"no MODEL given: this is the embedded {EMBEDDED_NAMES['world']}")
