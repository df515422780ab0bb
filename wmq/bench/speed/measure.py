"""Measure every contender in turn, repetition after repetition, one at a time.

`SpeedSettings` come in; a `SpeedReport` leaves, which is plain data: `text` prints it, `chart`
draws it.  A row that cannot be measured has a reason instead of a figure.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from wmq.bench.speed.contenders import EMBEDDED, THREADS, WAYS, Contender
from wmq.bench.speed.hardware_limit import Limit, between, limit
from wmq.bench.worker.messages import Answer, Request, Setup
from wmq.bench.worker.process import Worker, command
from wmq.errors import WmqError
from wmq.game.schema import Schema
from wmq.inference.model_facts import FrameCost, frame_cost
from wmq.inference.model_files import IntegerModel, float_step_of, open_program
from wmq.progress import Progress

BATCHES = (1, 8, 64, 512)
SIZES = tuple(1 << bits for bits in (18, 20, 22, 23, 24, 25, 27))  # bytes that are read
MACHINE_SECONDS = 0.1  # of a reading or of products, at most
PROFILE_SECONDS = 3.0
PAUSE = 0.05  # seconds in which a library's threads go to sleep
OURS, MATCH = "wmq", "match"


@dataclass(frozen=True)
class SpeedSettings:
    """What to measure.

    program, onnx  paths, or None for the embedded models; no onnx: the one beside the program
    match          path of the agent of the rows of a match, or None for no such rows
    seconds        of a measurement
    """

    rows: tuple[Contender, ...]
    batches: tuple[int, ...] = BATCHES
    seconds: float = 0.5
    repeats: int = 7
    profile: bool = False
    program: str | None = None
    onnx: str | None = None
    match: str | None = None


@dataclass(frozen=True)
class Rates:
    """Rates of all repetitions, a second, in their order."""

    median: float
    lowest: float
    highest: float
    repetitions: tuple[float, ...]


@dataclass(frozen=True)
class ContenderSpeed:
    """World-frames a second of a contender, or the reason why there are none.

    way    "session", the model's call alone, or "frame", with encoding, argmax and update
    share  of the limit; None if one of the two is not known
    """

    row: str
    library: str
    threads: int
    batch: int
    way: str
    figure: Rates | None
    reason: str
    share: float | None


@dataclass(frozen=True)
class Ratio:
    """The median of one of our rows / that of another library's, with the same threads.

    Or of a row of a match / that of the embedded program beside it.
    """

    ours: str
    row: str
    threads: int
    batch: int
    way: str
    ratio: float


@dataclass(frozen=True)
class Peak:
    """Bytes a second at a working set of `size` bytes, or int8 products where it is 0."""

    threads: int
    size: int
    figure: Rates | None
    reason: str


@dataclass(frozen=True)
class SpeedReport:
    """All that was measured.

    program, onnx, agent  names of the files, "" for none
    profile               path -> instruction -> microseconds of a frame
    """

    program: str
    onnx: str
    seconds: float
    repeats: int
    work: FrameCost
    cells: tuple[ContenderSpeed, ...]
    ratios: tuple[Ratio, ...]
    limits: tuple[Limit, ...]
    peaks: tuple[Peak, ...]
    profile: dict[str, dict[str, float]]
    agent: str = ""


@dataclass(frozen=True)
class _Task:
    """One measurement of a worker, repeated."""

    setup: Setup
    request: Request
    name: str


class _Crew:
    """Workers by what they are, started when they are first asked.

    A worker that cannot begin is not tried again; one that has ended is restarted, but what
    it ended with is not asked again.
    """

    def __init__(self, stack: ExitStack, folder: Path):
        self._stack, self._folder = stack, folder
        self._workers: dict[Setup, Worker] = {}
        self._hopeless: dict[Setup | _Task, str] = {}
        self._numbers = count()

    def ask(self, task: _Task) -> Answer:
        for hopeless in (task.setup, task):
            if hopeless in self._hopeless:
                return Answer(reason=self._hopeless[hopeless])
        worker = self._workers.get(task.setup)
        if worker is None or not worker.alive:
            worker = self._begun(task.setup)
            if worker.started.reason:
                self._hopeless[task.setup] = worker.started.reason
                return worker.started
        answer = worker.ask(task.request)
        if answer.reason:
            self._hopeless[task] = answer.reason
        time.sleep(PAUSE)
        return answer

    def _begun(self, setup: Setup) -> Worker:
        errors = self._folder / f"{next(self._numbers)}.err"
        worker = Worker(command(setup), errors, setup.threads)
        self._workers[setup] = self._stack.enter_context(worker)
        return worker


def measure(settings: SpeedSettings, progress: Progress) -> SpeedReport:
    """Measure all contenders; the workers end with it, whatever happens.

    Raises WmqError or ProgramError for the models.
    """
    program = open_program(settings.program, None)
    agent = _agent_of(program, settings)
    others = any(row.library not in (OURS, MATCH) for row in settings.rows)
    onnx = None
    if settings.onnx or settings.program is None or others:
        onnx = float_step_of(settings.program, settings.onnx)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wmq-bench-"))
        crew = _Crew(stack, Path(folder))

        def setup(kind: str, variant: str, threads: int) -> Setup:
            return Setup(kind, variant, threads, str(program.path), str(onnx or ""), folder,
                         str(agent.path) if agent else "")  # fmt: skip

        brief = min(settings.seconds, MACHINE_SECONDS)
        peaks = {
            (threads, size): _Task(
                setup("machine", "", threads),
                Request("read" if size else "products", brief, size=size),
                f"machine, {threads} threads",
            )
            for threads in sorted({row.threads for row in settings.rows})
            for size in (*SIZES, 0)
        }
        tasks = {
            (row, batch, way): _Task(
                setup(row.library, row.variant, row.threads),
                Request(way, settings.seconds, batch),
                row.name,
            )
            for batch in settings.batches
            for row in settings.rows
            for way in WAYS[row.library]
            if row.takes(batch)
        }
        answers = _rounds(crew, [*peaks.values(), *tasks.values()], settings.repeats, progress)
        profiles = {}
        if settings.profile:
            for variant in dict.fromkeys(r.variant for r in settings.rows if r.library == OURS):
                request = Request("profile", PROFILE_SECONDS)
                found = crew.ask(_Task(setup(OURS, variant, 1), request, variant))
                if not found.reason:
                    profiles[variant] = found.table
    found_peaks = tuple(Peak(*at, *_figure(answers[task])) for at, task in peaks.items())
    work = frame_cost(program.program)
    tops = _limits(work, settings, found_peaks)
    # Measured batch by batch, and told row by row.
    cells = tuple(_cell(row, batch, way, answers[tasks[row, batch, way]], tops)
                  for row in settings.rows for batch in settings.batches
                  for way in WAYS[row.library] if (row, batch, way) in tasks)  # fmt: skip
    return SpeedReport(
        program.path.name, onnx.name if onnx else "", settings.seconds, settings.repeats, work,
        cells, (*ratios(cells), *match_ratios(cells)), tuple(tops.values()), found_peaks, profiles,
        agent.path.name if agent else "",
    )  # fmt: skip


def _agent_of(world: IntegerModel, settings: SpeedSettings) -> IntegerModel | None:
    """Open what plays the match.  Raises WmqError if it does not fit the world."""
    if settings.match is None:
        return None
    agent, schema = open_program(settings.match, "agent"), world.schema
    if world.schema.agent:
        raise WmqError(f"{world.path}: is an agent, not a world; leave --match out")
    if agent.schema != Schema(schema.projectiles, schema.version, True):
        raise WmqError(f"--match {agent.path}: sees other fields than {world.path.name} has; give "
                       "an agent of the world's schema")  # fmt: skip
    return agent


def _rounds(crew: _Crew, tasks: Sequence[_Task], repeats: int,
            progress: Progress) -> dict[_Task, list[Answer]]:  # fmt: skip
    answers: dict[_Task, list[Answer]] = defaultdict(list)
    for repetition in range(repeats):
        for number, task in enumerate(tasks):
            done = repetition * len(tasks) + number
            progress("measuring", done, repeats * len(tasks), task.name)
            answers[task].append(crew.ask(task))
    return answers


def _figure(answers: Sequence[Answer]) -> tuple[Rates | None, str]:
    """Summarize all repetitions, or give the reason of the first that failed."""
    for answer in answers:
        if answer.reason:
            return None, answer.reason
    rates = tuple(answer.amount / answer.seconds for answer in answers)
    return Rates(median(rates), min(rates), max(rates), rates), ""


def _limits(work: FrameCost, settings: SpeedSettings,
            peaks: Sequence[Peak]) -> dict[tuple[int, int], Limit]:  # fmt: skip
    """Find the hardware limits by batch and threads; of the threads of which readings are known."""
    found = {}
    for threads in THREADS:
        mine = {peak.size: peak.figure.median for peak in peaks
                if peak.threads == threads and peak.figure}  # fmt: skip
        products = mine.pop(0, None)
        if not mine:
            continue
        read = between(mine)
        for batch in settings.batches:
            found[batch, threads] = limit(work, batch, threads, read, products)
    return found


def _cell(row: Contender, batch: int, way: str, answers: Sequence[Answer],
          tops: dict[tuple[int, int], Limit]) -> ContenderSpeed:  # fmt: skip
    figure, reason = _figure(answers)
    top = tops.get((batch, row.threads)) if row.library != MATCH else None
    share = figure.median / top.frames_per_second if figure and top else None
    return ContenderSpeed(row.name, row.library, row.threads, batch, way, figure, reason, share)


def ratios(cells: Sequence[ContenderSpeed]) -> Iterable[Ratio]:
    """Divide every row of ours by every other with as many worlds and threads."""
    for ours in cells:
        for other in cells:
            alike = (ours.batch, ours.threads) == (other.batch, other.threads)
            if not (alike and ours.library == OURS and other.library not in (OURS, MATCH)):
                continue
            if ours.figure and other.figure:
                ratio = ours.figure.median / other.figure.median
                yield Ratio(ours.row, other.row, other.threads, other.batch, other.way, ratio)


def match_ratios(cells: Sequence[ContenderSpeed]) -> Iterable[Ratio]:
    """Divide the rows of a match by that of the embedded program."""
    played = [cell for cell in cells if cell.library == MATCH and cell.figure]
    for other in played:
        for ours in played:
            if EMBEDDED in other.row and ours is not other and ours.figure and other.figure:
                ratio = ours.figure.median / other.figure.median
                yield Ratio(ours.row, other.row, other.threads, other.batch, other.way, ratio)
