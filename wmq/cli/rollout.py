"""`wmq rollout`: a minute of Melee from a model."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from wmq.cli.options import (
    NAMES,
    controller_options,
    counted,
    echo_embedded,
    kernels_option,
    match_options,
    threads_option,
)
from wmq.cli.streams import say
from wmq.errors import WmqError
from wmq.files.names import printable

if TYPE_CHECKING:
    from wmq.game.schema import Schema
    from wmq.rollout.rollout import Rollout, RolloutModel
    from wmq.rollout.starts import Start
    from wmq.rollout.summary import PlayerSummary

MINUTE = 3600  # frames
LARGEST = 20_000_000  # frames in all worlds
SLOW_COMPILE = 1.0  # seconds after which we say what is going on

EPILOG = """\b
Examples:
  wmq rollout --int8 --frames 3600
  wmq rollout --stage dream-land --p1-character marth --seed 7 -o minute.npz
  wmq rollout --start game.slp@1200 --p1 replay --p2 random

\b
A script holds controls in ranges of frames, counted from the first new frame:
  0-9     main=1,0            # main stick right; -1..1 each
  10      main=1,0.5 X        # a button: A B X Y Z L R D_UP
  20-24   c=0,1 trigger=0.35  # c-stick up, a light press of the trigger
  repeat 60                   # frame 60 is frame 0 again
Where lines overlap, buttons add up and the later stick or trigger counts."""


@click.command(name="rollout", epilog=f"{EPILOG}\n\n{NAMES}")
@click.argument("model", required=False)
@click.option("--int8", "arithmetic", flag_value="int8", help="Integers only (a .wmq MODEL).")
@click.option("--float", "arithmetic", flag_value="float32", help="onnxruntime (a .onnx MODEL).")
@click.option(
    "--frames",
    type=click.IntRange(1, LARGEST),
    show_default="3600, one minute, or what a replay has",
    help="New frames.",
)
@click.option(
    "--start",
    default="match",
    show_default=True,
    metavar="match|GAME.slp@FRAME",
    help="First frame of a match, or a frame of a real game.",
)
@match_options
@click.option(
    "--warmup",
    type=click.IntRange(1, 100_000),
    default=240,
    show_default=True,
    help="Real frames, ending in FRAME, that warm the state up.",
)
@controller_options
@click.option(
    "--worlds",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Rollouts with the seeds SEED, SEED + 1, ..",
)
@threads_option
@kernels_option
@click.option(
    "-o",
    "out",
    metavar="FILE",
    help="Write the rollout: .npz (for wmq verify), or a table in natural units, .csv, .arrow or "
    ".parquet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rollout(
    model: str | None,
    arithmetic: str | None,
    frames: int | None,
    start: str,
    stage: str | None,
    p1_character: str | None,
    p2_character: str | None,
    warmup: int,
    p1: str | None,
    p2: str | None,
    seed: int,
    worlds: int,
    threads: int,
    kernels: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Roll a model out: frame after frame from its own frames.  Without MODEL, the embedded one."""
    from wmq.cli.progress import progress_bar
    from wmq.rollout.controllers import parse_source
    from wmq.rollout.files import check_output, write_rollout
    from wmq.rollout.rollout import both_controllers, roll

    target = check_output(out) if out else None
    opened = open_model(model, arithmetic, kernels)
    begin = open_start(opened.schema, start, stage, (p1_character, p2_character), warmup)
    usual = "random" if begin.following is None else "replay"
    texts = (p1 or usual, p2 or usual)
    sources = (parse_source(texts[0], "--p1"), parse_source(texts[1], "--p2"))
    if frames is None:
        left = None if begin.following is None else len(begin.following)
        follows = "replay" in texts and left is not None
        frames = min(MINUTE, max(left, 1)) if follows and left is not None else MINUTE
    if frames * worlds > LARGEST:
        raise WmqError(f"{counted(worlds, 'world')} of {counted(frames, 'frame')}: more than "
                       f"{LARGEST:,} frames in all")  # fmt: skip
    seeds = [seed + world for world in range(worlds)]
    pads = [both_controllers(sources, begin, frames, own) for own in seeds]
    compile_first(opened)
    with progress_bar() as progress:
        rolled = roll(opened, begin, pads, seeds, threads, progress)
    if target:
        write_rollout(target, rolled)
    if as_json:
        click.echo(json.dumps(_plain(rolled, texts), indent=1))
    else:
        echo_embedded(model)
        _print(rolled, texts)
        if target:
            click.echo(f"written         {target}")


def open_model(path: str | None, arithmetic: str | None, kernels: str = "auto") -> RolloutModel:
    """The model of a command line; the arithmetic follows from the file if it is not named."""
    from wmq.inference.float_predictor import OnnxPredictor
    from wmq.inference.integer_predictor import IntegerPredictor
    from wmq.inference.model_files import open_program

    if arithmetic is None:
        arithmetic = "float32" if path and path.lower().endswith(".onnx") else "int8"
    if arithmetic == "int8":
        with all_stays():
            return IntegerPredictor(open_program(path), kernels=kernels)
    if kernels != "auto":
        raise WmqError(f"--kernels {kernels}: only for integer programs; leave it out")
    return OnnxPredictor(path)


def compile_first(model: RolloutModel) -> None:
    """Have the engine compiled before the time is taken, and say so if it takes long."""
    if model.kernels is None:
        model.compile()
        return
    from wmq_kernels.engine.compiling import folder

    kept = "the first run compiles it, later ones reuse it" if folder() else "each run compiles it"
    with _told_if_slow(f"wmq: preparing the engine; {kept}"), all_stays():
        model.compile()


@contextmanager
def all_stays() -> Iterator[None]:
    """Keep Python from looking for garbage in what is made here, neither now nor later.

    numba makes a hundred thousand objects; the looking took a fifth of a short rollout's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _told_if_slow(message: str) -> Iterator[None]:
    """Say what takes long: a terminal shows the seconds as they pass, until it is done."""
    done = threading.Event()

    def tell() -> None:
        if done.wait(SLOW_COMPILE):
            return
        if not (sys.stderr and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
            say(message)
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        width = shutil.get_terminal_size().columns  # rich would take COLUMNS=0 at its word
        console = Console(stderr=True, width=width)
        with Progress(*columns, console=console, transient=True) as shown:
            shown.add_task(message)
            done.wait()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def open_start(
    schema: Schema,
    text: str,
    stage: str | None,
    characters: tuple[str | None, str | None],
    warmup: int,
) -> Start:
    """What a command line's --start means.  Raises WmqError."""
    from wmq.rollout.starts import match_start, parse_replay_start, replay_start

    if text != "match":
        given = {"--stage": stage, "--p1-character": characters[0], "--p2-character": characters[1]}
        for option, value in given.items():
            if value:
                raise WmqError(f"{option} {value}: only for --start match; the game has its own")
        return replay_start(schema, *parse_replay_start(text), warmup)
    names = (characters[0] or "fox", characters[1] or "falco")
    return match_start(schema, stage or "battlefield", names)


def _summaries(rolled: Rollout) -> list[tuple[PlayerSummary, ...]]:
    from wmq.rollout.summary import summarize

    last = rolled.start.given[-1]
    return [summarize(rolled.schema, last, world.frames) for world in rolled.worlds]


def _plain(rolled: Rollout, sources: tuple[str, str]) -> dict:
    from wmq.rollout.summary import impossible_rate

    frames = len(rolled.worlds[0].frames)
    summaries = _summaries(rolled)
    rates = [impossible_rate(players, frames) for players in summaries]
    return {
        "frames": frames,
        "frames_per_second": round(rolled.frames_per_second, 1),
        "model_sha256": rolled.model_sha256,
        "rollout_sha256": rolled.sha256,
        "saturations": rolled.saturations,
        "arithmetic": rolled.arithmetic,
        "kernels": rolled.kernels,
        "model": printable(rolled.model.name),
        "start": rolled.start.label,
        "given_frames": len(rolled.start.given),
        "first_frame": rolled.start.first,
        "p1": sources[0],
        "p2": sources[1],
        "impossible_per_1000": round(sum(rates) / len(rates), 4),
        "worlds": [
            {
                "seed": world.seed,
                "rollout_sha256": world.sha256,
                "saturations": world.saturations,
                "impossible_per_1000": round(rate, 4),
                "p1": asdict(players[0]),
                "p2": asdict(players[1]),
            }
            for world, players, rate in zip(rolled.worlds, summaries, rates, strict=True)
        ],
    }


def _print(rolled: Rollout, sources: tuple[str, str]) -> None:
    from wmq.rollout.summary import impossible_rate

    frames, worlds = len(rolled.worlds[0].frames), len(rolled.worlds)
    summaries = _summaries(rolled)
    click.echo(f"{rolled.start.label}; player 1 {sources[0]}, player 2 {sources[1]}")
    if worlds == 1:
        for player, summary in enumerate(summaries[0], 1):
            _print_player(player, summary)
    else:
        _print_worlds(rolled, summaries)
    events = sum(sum(p.impossible.values()) for players in summaries for p in players)
    rate = sum(impossible_rate(players, frames) for players in summaries) / worlds
    seen = f"{events:,} in {2 * frames * worlds:,} player-frames ({rate:.2f} in 1,000)"
    of_worlds = f" in {worlds} worlds" if worlds > 1 else ""
    click.echo(f"\nimpossible      {seen}")
    by = f"{rolled.arithmetic} {rolled.kernels}" if rolled.kernels else rolled.arithmetic
    speed = f"{rolled.frames_per_second:,.0f} frames/s"
    click.echo(f"frames          {frames * worlds:,}{of_worlds}, {by}, {speed}")
    if rolled.saturations is not None:
        click.echo(f"saturations     {rolled.saturations:,}")
    click.echo(f"model_sha256    {rolled.model_sha256}  {printable(rolled.model.name)}")
    click.echo(f"rollout_sha256  {rolled.sha256}")


def _print_player(player: int, summary: PlayerSummary) -> None:
    lost = counted(summary.stocks_lost, "stock")
    click.echo(
        f"\nplayer {player}: {lost} lost, {summary.damage:.1f} % taken\n"
        "    time  stocks  percent        x        y  action"
    )
    for m in summary.moments:
        click.echo(
            f"{m.seconds:6.1f} s  {m.stocks:6d} {m.percent:8.1f} {m.x:8.1f} {m.y:8.1f}  "
            f"{m.action} {m.category}"
        )
    shares = sorted(summary.actions.items(), key=lambda item: -item[1])
    click.echo("  frames: " + "; ".join(f"{name} {share:.0%}" for name, share in shares))
    if summary.out_after is not None:
        click.echo(f"  no stock left after {summary.out_after:.1f} s, where a real match ends")
    found = [f"{rule} {count}" for rule, count in summary.impossible.items() if count]
    click.echo("  impossible: " + (", ".join(found) or "nothing"))


def _print_worlds(rolled: Rollout, summaries: list[tuple[PlayerSummary, ...]]) -> None:
    click.echo("\n  seed  stocks   percent          impossible  rollout_sha256")
    for world, players in zip(rolled.worlds, summaries, strict=True):
        ends = [summary.moments[-1] for summary in players]
        events = sum(sum(summary.impossible.values()) for summary in players)
        click.echo(
            f"{world.seed:6d}  {ends[0].stocks} - {ends[1].stocks}  "
            f"{ends[0].percent:6.1f} - {ends[1].percent:6.1f}  {events:10d}  {world.sha256[:32]}.."
        )
