"""What the recurrent state loses: integer scans against float64, and six kinds of state.

First the model as it is: its scans over a rollout, frame by frame, against float64 scans that are
fed the same integers.  Then the float step calibrated with a state of 8, 16 and 32 bits, with and
without error feedback: errors, dead zones, speed and, if asked for, quality on real games.

    python benchmarks/recurrence.py [--data DATASET [--quality]] [--frames N] [--repeats N] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from wmq.errors import WmqError
from wmq.inference.draws import DrawSource, Sampling
from wmq.inference.model_files import IntegerModel, embedded_model, open_program
from wmq.rollout.controllers import parse_source
from wmq.rollout.rollout import both_controllers
from wmq.rollout.starts import match_start
from wmq_kernels.engine import Engine, State, kernels
from wmq_kernels.isa import CARRY_BITS
from wmq_kernels.program import NUMPY, Draws, Program, Step

EVERY = 4  # frames between two comparisons of whole states
MEMORY = 10_000  # frames, at which it is told what a state leaves behind
ONE = 1 << 31  # of a decay in Q0.31


# --- one program ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerError:
    """Relative root-mean-square errors of a layer's state over a rollout.

    state, state_worst      of all heads together, and of the worst head
    carried, carried_worst  the same for state + carry / 2^16; None without a carry
    saturations             of the layer's scan, state and output
    reached                 largest |state| of the rollout, as a share of its limit
    memory                  longest 1 / (1 - decay), in frames
    """

    state: float
    state_worst: float
    carried: float | None
    carried_worst: float | None
    saturations: int
    reached: float
    memory: float


class Follower:
    """A float64 scan beside an integer one, fed the same decay, drive and B.

    float64 rounds at 2^-53 of the state a frame: 3e-11 of it over 264,000 frames of memory.
    """

    def __init__(self, program: Program, step: Step):
        self.step, self.heads = step, step.parameters["heads"]
        self.limit = step.parameters["limit"]
        self.gain = program.data[step.operands["gain"].value].reshape(-1, 1, 1)
        shape = self.heads, step.parameters["d_state"], step.parameters["headdim"]
        self.exact = np.zeros(shape)
        self.squares, self.missed, self.carried = (np.zeros(self.heads) for _ in range(3))
        self.reached = self.memory = 0.0

    def follow(self, engine: Engine, state: State) -> None:
        """One frame, after the engine made it."""
        decay = self._read(engine, state, "decay") / ONE
        drive = self._read(engine, state, "drive").reshape(self.heads, 1, -1) / ONE
        pushed = drive * self._read(engine, state, "B").reshape(1, -1, 1)
        self.exact *= decay.reshape(-1, 1, 1)
        self.exact += np.ldexp(pushed, self.gain)
        self.memory = max(self.memory, float(1 / (1 - decay.max())))

    def compare(self, engine: Engine, state: State) -> None:
        found = self._read(engine, state, "state").reshape(self.exact.shape)
        self.squares += (self.exact**2).sum((1, 2))
        self.missed += ((found - self.exact) ** 2).sum((1, 2))
        self.reached = max(self.reached, float(np.abs(found).max()) / self.limit)
        if "carry" in self.step.operands:
            left = np.ldexp(self._read(engine, state, "carry"), -CARRY_BITS)
            found = found + left.reshape(self.exact.shape)
            self.carried += ((found - self.exact) ** 2).sum((1, 2))

    def result(self, saturations: int) -> LayerError:
        def relative(missed: np.ndarray) -> tuple[float, float]:
            ratio = np.sqrt(missed.sum() / self.squares.sum())
            return float(ratio), float(np.sqrt((missed / self.squares).max()))

        carried = relative(self.carried) if "carry" in self.step.operands else (None, None)
        return LayerError(*relative(self.missed), *carried, saturations, self.reached, self.memory)

    def _read(self, engine: Engine, state: State, operand: str) -> np.ndarray:
        at = self.step.operands[operand]
        whole = engine.value(state, at.value).ravel()
        return whole[at.start : at.start + at.count].astype(np.float64)


def scans(program: Program) -> list[int]:
    """Places of the steps with a recurrent state, one a layer."""
    return [i for i, step in enumerate(program.steps) if step.op.startswith("scan")]


def match(model: IntegerModel, frames: int) -> tuple[np.ndarray, np.ndarray, Draws | None]:
    """The first frame of a match, frames + 1 rows of random controllers, and draws, of seed 0."""
    start = match_start(model.schema, "battlefield", ("fox", "falco"))
    random = parse_source("random", "--p1")
    new = both_controllers((random, random), start, frames, 0)
    draws = DrawSource(model.schema, 1, Sampling.of_worlds([0])).next(frames)
    drawn = draws and Draws(draws.words[0], draws.forced[0])
    return start.given, np.concatenate([start.controllers, new]), drawn


def layer_errors(program: Program, given: np.ndarray, pads: np.ndarray,
                 draws: Draws | None) -> list[LayerError]:  # fmt: skip
    """The scans of a run over len(pads) - 1 frames; the first are given, the rest its own."""
    engine, places = Engine(program), scans(program)
    followers = [Follower(program, program.steps[i]) for i in places]
    state, frames = engine.zero_state(), len(pads) - 1
    made = given[:1]
    for t in range(frames):
        now = given[t : t + 1] if t < len(given) else made
        by = draws and Draws(draws.words[t : t + 1], draws.forced[t : t + 1])
        made = engine.run(state, now, pads[t : t + 2], 1, draws=by).frames
        for follower in followers:
            follower.follow(engine, state)
            if t % EVERY == 0 or t == frames - 1:
                follower.compare(engine, state)
    return [follower.result(int(state.saturations[place]))
            for follower, place in zip(followers, places, strict=True)]  # fmt: skip


# --- without input ----------------------------------------------------------------------------


def rest(start: int, memory: int, limit: int, carry: bool) -> int:
    """Where a state ends that starts at `start` and has no input any more."""
    state, nothing = np.array([start], np.int32), np.zeros(1, np.int32)
    left, total = np.zeros(1, np.int16), np.zeros(1, np.int64)
    keep = ONE - round(ONE / memory)
    while True:
        before = int(state[0]), int(left[0])
        for _ in range(memory):
            if carry:
                kernels.scan_carry_row(state, left, nothing, total, keep, 0, 0, limit)
            else:
                kernels.scan_row(state, nothing, total, keep, 0, 0, limit)
        if before == (int(state[0]), int(left[0])):
            return before[0]


# --- six kinds of state -----------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A state's width, and whether the rounding's remainder is carried on."""

    bits: int
    carry: bool

    def __str__(self) -> str:
        return f"{self.bits} bits{', carry' if self.carry else ''}"

    @property
    def limit(self) -> int:
        return (1 << (self.bits - 1)) - 1


KINDS = tuple(Kind(bits, carry) for bits in (32, 16, 8) for carry in (True, False))


@dataclass(frozen=True)
class Study:
    """One kind of state.

    rest         where a full state ends with a memory of MEMORY frames, in its units
    state_bytes  of one world's state values
    speed        rollout frames a second over those of the first kind
    quality      figures of wmq evaluate, or none
    """

    kind: Kind
    layers: list[LayerError]
    rest: int
    state_bytes: int
    file_bytes: int
    speed: float
    quality: dict[str, float]


def calibrate_kinds(folder: Path, data: Path | None) -> list[Path]:
    """The embedded float step as programs with each kind of state."""
    from msgspec.structs import replace

    from calib.recipe import read_recipe
    from wmq.calibration.calibrate import calibrate

    recipe = read_recipe()
    paths = []
    for number, kind in enumerate(KINDS):
        say(f"calibrating {kind} ({number + 1} of {len(KINDS)})")
        path = folder / f"{kind.bits}-{'carry' if kind.carry else 'rounded'}.wmq"
        state = replace(recipe.state, bits=kind.bits, error_feedback=kind.carry)
        source = {"data": data} if data else {"set_name": "self-play"}
        calibrate(embedded_model(".onnx"), path, replace(recipe, state=state), **source,
                  progress=now_and_then())  # fmt: skip
        paths.append(path)
    return paths


def interleaved(runs: Sequence[Callable], repeats: int) -> list[float]:
    """Median seconds of each callable, in turn `repeats` times so that all meet one machine."""
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, found in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            found.append(time.perf_counter() - began)
    return [statistics.median(found) for found in seconds]


def rollout_seconds(models: Sequence[IntegerModel], frames: int, repeats: int) -> list[float]:
    def run_of(model: IntegerModel) -> Callable:
        engine, (given, pads, draws) = Engine(model.program), match(model, frames)
        return lambda: engine.run(engine.zero_state(), given, pads, frames, draws=draws)

    return interleaved([run_of(model) for model in models], repeats)


def scan_seconds(program: Program, repeats: int) -> list[float]:
    """Seconds of a frame's scan_carry and scan kernels, at the sizes of a program."""
    rng = np.random.default_rng(0)
    step = program.steps[scans(program)[0]]
    heads, n, p = (step.parameters[name] for name in ("heads", "d_state", "headdim"))
    layers = len(scans(program))
    state = rng.integers(-(1 << 28), 1 << 28, layers * heads * n * p).astype(np.int32)
    carry = np.zeros(len(state), np.int16)
    keep = rng.integers(1 << 30, ONE, layers * heads).astype(np.int32)
    push = rng.integers(-(1 << 20), 1 << 20, layers * heads * p).astype(np.int32)
    b, c = (rng.integers(-(1 << 14), 1 << 14, n).astype(np.int16) for _ in range(2))
    x = np.zeros(layers * heads * p, np.int16)
    zero, shift = np.zeros(layers * heads, np.int64), np.full(layers * heads, 24, np.int32)
    gain, out = np.full(layers * heads, 7, np.int32), x.copy()
    total = np.empty(p, np.int64)
    others = (keep, push, b, c, x, zero, gain, shift, total, out, ONE - 1, -32767, 32767)
    runs = lambda: kernels.scan_carry(state, carry, *others), lambda: kernels.scan(state, *others)
    return interleaved(runs, 200 * repeats)


def quality(paths: Sequence[Path], data: Path, games: int) -> list[dict[str, float]]:
    """Figures of wmq evaluate, less those of the float model."""
    from wmq.dataset.store import Dataset
    from wmq.evaluation.evaluate import EvaluationSettings, evaluate

    say(f"evaluating {len(paths)} programs on {games} validation games")
    report = evaluate(Dataset.open(data), [embedded_model(".onnx"), *paths],
                      EvaluationSettings("val", games, threads=1), now_and_then())  # fmt: skip
    base, *others = (model.figures for model in report.models)
    return [{"val_loss %": 100 * (f["val_loss"] / base["val_loss"] - 1),
             "pos_mae %": 100 * (f["pos_mae"] / base["pos_mae"] - 1),
             "change_acc": f["change_acc"] - base["change_acc"]} for f in others]  # fmt: skip


def study(options: argparse.Namespace) -> list[Study]:
    with tempfile.TemporaryDirectory() as folder:
        paths = calibrate_kinds(Path(folder), options.data)
        models = [open_program(path) for path in paths]
        say(f"timing {options.repeats} rollouts of each")
        seconds = rollout_seconds(models, options.frames, options.repeats)
        none: list[dict[str, float]] = [{}] * len(paths)
        figures = quality(paths, options.data, options.games) if options.quality else none
        found = []
        for i, (kind, model) in enumerate(zip(KINDS, models, strict=True)):
            say(f"following the states of {kind}")
            layers = layer_errors(model.program, *match(model, options.frames))
            size = sum(v.size * np.dtype(NUMPY[v.dtype]).itemsize
                       for v in model.program.values.values() if v.kind == "state")  # fmt: skip
            left = rest(kind.limit, MEMORY, kind.limit, kind.carry)
            found.append(Study(kind, layers, left, size, paths[i].stat().st_size,
                               seconds[0] / seconds[i], figures[i]))  # fmt: skip
        return found


# --- the tables -------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, file=sys.stderr)


def now_and_then(seconds: float = 15.0) -> Callable[[str, int, int], None]:
    """A progress that prints a line every so many seconds, with the time left."""
    began = last = time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds and done:
            last = now
            left = (now - began) / done * (total - done)
            say(f"  {what}: {done:,} of {total:,}, about {left:.0f} s left")

    return show


def print_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Markdown, with columns of even width."""
    widths = [max(len(line[i]) for line in (titles, *lines)) for i in range(len(titles))]
    rule = ["-" * width for width in widths]
    for line in (titles, rule, *lines):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")


def small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def print_layers(layers: Sequence[LayerError], frames: int) -> None:
    print(f"the embedded model, {frames:,} frames: relative rms error against float64\n")
    print_table(
        ("layer", "state", "worst head", "with carry", "worst head", "saturations", "largest state",
         "longest memory"),
        [[str(i), small(e.state), small(e.state_worst), small(e.carried), small(e.carried_worst),
          str(e.saturations), f"{e.reached:.1%} of the limit", f"{e.memory:,.0f} frames"]
         for i, e in enumerate(layers)],
    )  # fmt: skip


def print_studies(studies: Sequence[Study]) -> None:
    print(
        "\nkinds of state: relative rms error of the state by layer and of the worst head, and of\n"
        "state + carry in the worst layer; what a full state leaves behind, in its units\n"
    )
    layers = [f"layer {i}" for i in range(len(studies[0].layers))]
    titles = ["state", *layers, "worst head", "with carry", "saturations",
              f"left, {MEMORY:,} frames", "state bytes", "file bytes", "frames/s",
              *studies[0].quality]  # fmt: skip
    lines = []
    for s in studies:
        worst = max(e.state_worst for e in s.layers)
        carried = max(e.carried or 0.0 for e in s.layers) if s.kind.carry else None
        left = f"{s.rest:,} of {s.kind.limit:,}"
        lines.append([str(s.kind), *(small(e.state) for e in s.layers), small(worst),
                      small(carried), f"{sum(e.saturations for e in s.layers):,}", left,
                      f"{s.state_bytes:,}", f"{s.file_bytes:,}", f"{s.speed:.2f}",
                      *(f"{v:+.2f}" for v in s.quality.values())])  # fmt: skip
    print_table(titles, lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="dataset to calibrate on (default: the embedded "
                        "set self-play)")  # fmt: skip
    parser.add_argument("--quality", action="store_true", help="also wmq evaluate; needs --data")
    parser.add_argument("--games", type=int, default=12, help="of --quality (default 12)")
    parser.add_argument("--frames", type=int, default=3600, help="of a rollout (default 3600)")
    parser.add_argument("--repeats", type=int, default=7, help="of what is timed (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    too_few = min(options.games, options.frames, options.repeats) < 1
    if too_few or (options.quality and not options.data):
        say("recurrence: numbers must be 1 or more, and --quality needs --data DATASET")
        return 2
    try:
        embedded = open_program()
        studies = study(options)
        say("following the states of the embedded model")
        layers = layer_errors(embedded.program, *match(embedded, options.frames))
    except WmqError as error:
        say(f"recurrence: {error}")
        return 2
    with_carry, without = scan_seconds(embedded.program, options.repeats)
    if options.json:
        found = {"embedded": [asdict(e) for e in layers], "kinds": [asdict(s) for s in studies],
                 "scan_carry_seconds": with_carry, "scan_seconds": without}  # fmt: skip
        print(json.dumps(found, indent=1))
        return 0
    print_layers(layers, options.frames)
    print_studies(studies)
    print(f"\nscans of a frame: {1e6 * with_carry:.0f} us with carry, {1e6 * without:.0f} us "
          f"without, {with_carry / without - 1:+.0%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
