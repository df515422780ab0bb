"""`wmq rollout`: compute a minute of Melee with a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from wmq.cli.file_types import ANY_FILE, MODEL, TABLE
from wmq.cli.match import (
    NAMES,
    controller_options,
    controller_texts,
    match_options,
    open_start,
    parse_controllers,
)
from wmq.cli.models import compile_first, open_model
from wmq.cli.options import counted, echo_embedded, kernels_option, threads_option
from wmq.errors import WmqError
from wmq.files.names import printable
from wmq.rollout.limits import LARGEST, LONGEST_DELAY, LONGEST_WARMUP, MOST_WORLDS

if TYPE_CHECKING:
    from wmq.inference.draws import Decode
    from wmq.rollout.rollout import Rollout
    from wmq.rollout.summary import PlayerSummary

EPILOG = """\b
Examples:
  wmq rollout --int8 --frames 3600
  wmq rollout --stage dream-land --p1-character marth --seed 7 -o minute.npz
  wmq rollout --start game.slp@1200 --p1 replay --p2 random
  wmq rollout world.wmq --p1 agent:fox.wmq --p2 agent:fox.wmq --worlds 64
  wmq rollout world.wmq --p1 agent:fox.wmq --p2 replay --start game.slp@1200 --delay 12

\b
A script lists controls for ranges of frames, counted from the first new frame:
  0-9     main=1,0            # main stick right; -1..1 each
  10      main=1,0.5 X        # a button: A B X Y Z L R D_UP
  20-24   c=0,1 trigger=0.35  # c-stick up, a light press of the trigger
  repeat 60                   # frame 60 is frame 0 again
Where lines overlap, all buttons count, and the last stick or trigger."""


@click.command(name="rollout", epilog=f"{EPILOG}\n\n{NAMES}")
@click.argument("model", type=MODEL, required=False)
@click.option("--int8", "arithmetic", flag_value="int8", help="Use integers only (a .wmq MODEL).")
@click.option(
    "--float", "arithmetic", flag_value="float32", help="Use onnxruntime (a .onnx MODEL)."
)
@click.option(
    "--frames",
    type=click.IntRange(1, LARGEST),
    show_default="3600, one minute, or what a replay has",
    help="Number of frames to compute.",
)
@click.option(
    "--start",
    default="match",
    show_default=True,
    type=ANY_FILE,
    metavar="match|GAME.slp@FRAME",
    help="Start at the first frame of a match, or at a frame of a real game.",
)
@match_options
@click.option(
    "--warmup",
    type=click.IntRange(1, LONGEST_WARMUP),
    default=240,
    show_default=True,
    help="Real frames up to FRAME that warm up the recurrent state.",
)
@controller_options
@click.option(
    "--decode",
    type=click.Choice(["sample", "mode"]),
    default="sample",
    show_default=True,
    help="Draw hits, actions and agents' controllers, or take the likeliest always.",
)
@click.option(
    "--delay",
    type=int,
    default=0,
    show_default=True,
    metavar="FRAMES",
    help=f"Frames by which agents see the match late, up to {LONGEST_DELAY}.",
)
@click.option(
    "--worlds",
    type=click.IntRange(1, MOST_WORLDS),
    default=1,
    show_default=True,
    help="Number of rollouts, with the seeds SEED, SEED + 1, ..",
)
@threads_option
@kernels_option
@click.option(
    "-o",
    "out",
    type=TABLE,
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
    decode: Decode,
    delay: int,
    worlds: int,
    threads: int,
    kernels: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Roll out a model, each frame from the one before.  Without MODEL, the embedded one.

    A model that draws (schema version 2) is a world for two players: in a match, the embedded
    agent plays both if nobody else is named.
    """
    from wmq.cli.progress import progress_bar
    from wmq.rollout.files import check_output, write_rollout
    from wmq.rollout.match import open_agents
    from wmq.rollout.rollout import both_controllers, roll

    target = check_output(out) if out else None
    opened = open_model(model, arithmetic, kernels)
    begin = open_start(opened.schema, start, stage, (p1_character, p2_character), warmup)
    texts = controller_texts(begin, opened.schema, p1, p2)
    sources = parse_controllers(texts)
    frames = begin.usual_frames(texts) if frames is None else frames
    if frames * worlds > LARGEST:
        raise WmqError(f"{counted(worlds, 'world')} of {counted(frames, 'frame')}: more than "
                       f"{LARGEST:,} frames in all")  # fmt: skip
    agents = open_agents(sources, opened.arithmetic, kernels, opened.schema, delay)
    seeds = [seed + world for world in range(worlds)]
    pads = [both_controllers(sources, begin, frames, own) for own in seeds]
    compile_first(opened)
    with progress_bar() as progress:
        rolled = roll(opened, begin, pads, seeds, threads, progress, agents, decode, delay)
    if target:
        write_rollout(target, rolled)
    if as_json:
        click.echo(json.dumps(_plain(rolled, texts), indent=1))
    else:
        echo_embedded(model)
        _print(rolled, texts)
        if target:
            click.echo(f"written         {target}")


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
        **({"delay": rolled.delay} if rolled.delay else {}),
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
    late = f"; agents see {counted(rolled.delay, 'frame')} late" if rolled.delay else ""
    click.echo(f"{rolled.start.label}; player 1 {sources[0]}, player 2 {sources[1]}{late}")
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
