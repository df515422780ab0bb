"""`wmq conformance`: build and run the pack that checks any engine of docs/SPEC.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import FOLDER
from wmq.cli.options import CommandGroup
from wmq.errors import WmqError
from wmq.files.names import printable
from wmq.memo.machine import cores

if TYPE_CHECKING:
    from wmq_kernels.conformance.pack import Pack
    from wmq_kernels.conformance.running import Report

SHOWN = 10  # differences
# The rows of running.ENGINES, which would import numpy here.
ENGINES = ("numba", "vnni", "portable", "oracle")


EPILOG = """\b
Examples:
  wmq conformance build -o pack
  wmq conformance run pack"""


@click.group(name="conformance", cls=CommandGroup, epilog=EPILOG)
def conformance() -> None:
    """Build and run a pack of programs and vectors that checks an engine against the oracle.

    docs/conformance.md says how an engine in another language runs a pack.
    """


@conformance.command(name="build", epilog="Example: wmq conformance build -o pack")
@click.option(
    "-o", "out", required=True, type=FOLDER, metavar="DIR", help="New folder for the pack, 68 MB."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**30),
    default=0,
    show_default=True,
    help="Seed of the random graphs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def build(out: str, seed: int, as_json: bool) -> None:
    """Compute a pack with the oracle, on all cores; a seed gives the same bytes everywhere."""
    from wmq.cli.progress import progress_bar
    from wmq.files.atomic import cannot_write
    from wmq_kernels.conformance.building import build as build_pack

    try:
        with _told(), progress_bar() as progress:
            header = build_pack(Path(out), seed, cores(), progress)
    except OSError as error:
        raise cannot_write(Path(out), error) from None
    size = sum(size for size, _ in header.files.values())
    if as_json:
        facts = {"pack": printable(out), "seed": seed, "counts": header.counts, "bytes": size,
                 "pack_sha256": header.pack_sha256}  # fmt: skip
        click.echo(json.dumps(facts, indent=1))
        return
    for kind, count in header.counts.items():
        click.echo(f"{kind:<15} {count:,}")
    click.echo(f"bytes           {size:,}")
    click.echo(f"pack_sha256     {header.pack_sha256}")
    click.echo(f"written         {out}")


@conformance.command(name="run", epilog="Example: wmq conformance run pack --engine oracle")
@click.argument("pack", type=FOLDER, metavar="DIR")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="numba",
    show_default=True,
    help="Engine to check: the compiled one with this machine's best kernels (numba) or with one "
    "kind of kernels (vnni, portable), or the oracle itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(pack: str, engine: str, as_json: bool) -> None:
    """Run a pack on an engine; if a number differs, name the first and exit with 1."""
    from wmq.cli.progress import progress_bar
    from wmq_kernels.conformance.pack import read_pack
    from wmq_kernels.conformance.running import run_pack
    from wmq_kernels.engine.cpu import chosen

    with _told(), progress_bar() as progress:
        opened = read_pack(Path(pack))
        if engine == "vnni":
            chosen(engine)
        report = run_pack(opened, engine, cores(), progress)
    if as_json:
        click.echo(json.dumps(_plain(opened, report, engine), indent=1))
    else:
        _print(opened, report, engine)
    if report.differences:
        sys.exit(1)


@contextmanager
def _told() -> Iterator[None]:
    """A bad pack or lacking kernels become the one line that every command ends with."""
    from wmq_kernels.conformance.pack import PackError
    from wmq_kernels.errors import ProgramError

    try:
        yield
    except (PackError, ProgramError) as error:
        raise WmqError(str(error)) from None


def _plain(pack: Pack, report: Report, engine: str) -> dict:
    return {
        "same": not report.differences,
        "engine": engine,
        "seed": pack.header.seed,
        "pack_sha256": pack.header.pack_sha256,
        "counts": pack.header.counts,
        "passed": report.passed,
        "refused_with_another_class": report.other_class,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _print(pack: Pack, report: Report, engine: str) -> None:
    for kind, count in pack.header.counts.items():
        click.echo(f"{kind:<15} {report.passed[kind]:,} of {count:,}")
    if report.other_class:
        click.echo(
            f"classes         {report.other_class:,} refused for another reason, as F6 allows"
        )
    for difference in report.differences[:SHOWN]:
        click.echo(f"differs: {difference.kind}, {difference.case}: {difference.what}")
    if len(report.differences) > SHOWN:
        click.echo(f"differs: {len(report.differences) - SHOWN:,} more; --json lists them all")
    if not report.differences:
        click.echo(f"same: every number and every refusal, engine {engine}")
    click.echo(f"pack_sha256     {pack.header.pack_sha256}")
