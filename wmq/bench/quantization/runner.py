"""The suite: one row after the other, each kept as soon as it is there.

    record/     what float32 says, `wmq.bench.quantization.record`
    models/     files that the methods are made of
    rows/       a `wmq.memo.store` of rows, by all that a row depends on; where it failed for a
                reason that is no tool's absence, the traceback
    suite.json  the table so far, `wmq.evaluation.results.Suite`

A row is taken from its file where there is one with its key, so that an interrupted suite
resumes where it stopped, and after a quick one the whole one repeats the record alone.  A row
without figures stands in the table of the run that tried it, and nowhere else.
"""

from __future__ import annotations

import errno
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from calib.recipe import DEFAULT
from wmq.bench.quantization import measuring, record, wmq_methods
from wmq.bench.quantization.measuring import compared_row, library_of, record_row
from wmq.bench.quantization.play import Extent, Play, read_play
from wmq.bench.quantization.record import Record, is_kept, make_record, seconds_of
from wmq.dataset.store import DatasetError
from wmq.errors import WmqError
from wmq.evaluation.results import Row, Suite, shown_name, write_result
from wmq.evaluation.rollout_error import LONGEST
from wmq.files.atomic import FileError
from wmq.files.digest import file_sha256
from wmq.inference.model_files import model_path
from wmq.memo.forms import json_form
from wmq.memo.provenance import digest, sources, versions
from wmq.memo.store import Store, file_name
from wmq.progress import Progress
from wmq.toolkits import backends
from wmq.toolkits.methods import Lacking, Method, MethodContext

FULL = Extent(games=0, frames=0, starts=300, calibration=64_000)
QUICK = Extent(games=3, frames=600, starts=12, calibration=1024)
MEASURING = (measuring.__name__, record.__name__)  # with all that they import
QUICK_ROWS = (
    wmq_methods.EMBEDDED, f"wmq {DEFAULT}", "wmq static-minmax", "wmq state 8 bits",
    "onnxruntime dynamic",
)  # fmt: skip
FAULTS_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
LONGEST_REASON = 200


@dataclass(frozen=True)
class SuiteSettings:
    """onnx  the float step, or None for the embedded one; only: texts in the names of rows
    command  as a person would run it again
    """

    onnx: Path | None
    data: Path
    folder: Path
    only: tuple[str, ...] = ()
    quick: bool = False
    threads: int = 1
    command: str = ""


class KeptRow(msgspec.Struct, frozen=True):
    """A row on the disk, `_identity` of its method, and how long it took."""

    row: Row
    identity: str = ""
    seconds: float = 0.0


ROW = json_form(KeptRow)


@dataclass(frozen=True)
class _Job:
    """A row to measure, or one that is there.

    failure  file for the traceback
    """

    name: str
    what: str
    key: str
    store: Store
    failure: Path
    kept: KeptRow | None


def measure(settings: SuiteSettings, progress: Progress) -> Suite:
    """Measure the chosen rows, in order; the first is float32, the record.

    suite.json also has those of the others that are there.
    Raises WmqError, CalibrationError or ProgramError for what concerns all rows; a row's own
    failure is its reason.
    """
    began = time.monotonic()
    onnx = model_path(settings.onnx, ".onnx")
    onnx_sha256 = file_sha256(onnx)
    names = all_rows(onnx_sha256)
    chosen = choose(names, settings.only, settings.quick)
    extent = _extent(settings)
    play = read_play(settings.data, onnx, extent)
    context = open_context(settings)
    games = [game.info.sha256 for game in play.games]
    played = [(g.frames, g.controllers, sorted(g.info.missing)) for g in play.games], play.starts
    common = digest(onnx_sha256, played, extent, settings.threads,
                    sources(*MEASURING), backends.inputs(next(iter(names))),
                    versions())  # fmt: skip
    jobs = [_job(name, what, common, context, settings.folder / "rows")
            for name, what in names.items()]  # fmt: skip
    path = settings.folder / "suite.json"
    about = Suite(shown_name(onnx), onnx_sha256, games, len(play.starts), settings.quick, [], 0.0,
                  settings.command)  # fmt: skip
    rows = {job.name: job.kept.row for job in jobs if job.kept}
    measured = {job.kept.identity: job.kept.row for job in reversed(jobs) if job.kept}
    folder = settings.folder / "record"
    recorded = is_kept(folder, common)
    before = sum(job.kept.seconds for job in jobs if job.kept)
    before += seconds_of(folder, common)

    def write() -> Suite:
        listed = [rows[name] for name in names if name in rows]
        suite = replace(about, rows=listed, seconds=before + time.monotonic() - began)
        write_result(path, suite)
        return replace(suite, rows=[row for row in listed if row.name in chosen])

    left = [job for job in jobs if job.name in chosen and not job.kept]
    if not left:
        return write()
    pieces = sum(job is not jobs[0] for job in left) + (not recorded)
    bar = _Bar(progress, play, pieces)
    true, first = _record(jobs[0], common, context, play, folder, bar)
    for job in left:
        if job is jobs[0]:
            start = time.monotonic()
            row = record_row(job.name, job.what, first(), true)
            rows[job.name] = _keep(job, row, "", start)
        else:
            bar.begin(job.name)
            rows[job.name] = _attempt(job, context, true, bar, progress, measured)
        suite = write()
    return suite


def _extent(settings: SuiteSettings) -> Extent:
    return QUICK if settings.quick else FULL


def all_rows(onnx_sha256: str) -> dict[str, str]:
    """List all rows, name -> what it is; first the record, then other libraries, then wmq."""
    return backends.NAMES | wmq_methods.rows(onnx_sha256)


def choose(names: dict[str, str], only: Sequence[str], quick: bool) -> dict[str, str]:
    """Choose the record, and the rows with one of these texts in their name.  Raises WmqError."""
    record = next(iter(names))
    for text in only:
        if not any(text in name for name in names):
            raise WmqError(f"--only {text}: in no row's name; the rows are {', '.join(names)}")
    if only:
        return {name: what for name, what in names.items()
                if name == record or any(text in name for text in only)}  # fmt: skip
    return {name: what for name, what in names.items()
            if not quick or name == record or name in QUICK_ROWS}  # fmt: skip


def open_context(settings: SuiteSettings) -> MethodContext:
    """Gather what the methods are made from, and make its folders.  Raises WmqError."""
    models = settings.folder / "models"
    for folder in (models, settings.folder / "rows"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WmqError(f"{folder}: {error.strerror}; choose another folder with -o") from None
    return MethodContext(model_path(settings.onnx, ".onnx"), settings.data, models,
                         settings.threads, _extent(settings).calibration)  # fmt: skip


def _job(name: str, what: str, common: str, context: MethodContext, folder: Path) -> _Job:
    own = backends.inputs(name) if name in backends.NAMES else wmq_methods.inputs(name, context)
    key = digest(common, name, own)
    store = Store(folder)
    failure = folder / file_name(name, key, ".txt")
    return _Job(name, what, key, store, failure, store.read(name, key, ROW))


def _keep(job: _Job, row: Row, identity: str, began: float) -> Row:
    """Keep a row that was begun at `began`, by `time.monotonic`."""
    kept = KeptRow(row, identity, time.monotonic() - began)
    job.store.write(job.name, job.key, ROW, kept)
    return row


def _record(
    job: _Job, common: str, context: MethodContext, play: Play, folder: Path, bar: _Bar
) -> tuple[Record, Callable[[], Method]]:
    """Open the record, made where it isn't kept; and what makes its method."""

    def make() -> Method:
        try:
            return backends.make(job.name, context)
        except Lacking as lacking:
            raise WmqError(f"{job.name}: {lacking}; without it there is no record") from None

    if is_kept(folder, common):
        return Record(folder, play), make
    bar.begin(f"{job.name}, the record")
    method = make_record(folder, common, play, make, bar.add)
    return Record(folder, play), lambda: method


def _attempt(
    job: _Job, context: MethodContext, record: Record, bar: _Bar, progress: Progress,
    measured: dict[str, Row],
) -> Row:  # fmt: skip
    """Measure the row, or give one with the reason why that could not be.

    measured  by SHA-256, what was already measured; the new row is added
    Raises MemoryError, DatasetError, FileError, and OSError of a disk: they are the machine's, and
    no property of a method.
    """
    began = time.monotonic()
    job.failure.unlink(missing_ok=True)
    try:
        method = (backends.make(job.name, context) if job.name in backends.NAMES
                  else wmq_methods.make(job.name, context, progress))  # fmt: skip
        identity = _identity(method)
        twin = measured.get(identity) if identity else None
        if twin:
            notes = [*twin.notes, f"the same program as {twin.name}"]
            row = replace(twin, name=job.name, what=job.what, notes=notes)
            return _keep(job, row, identity, began)
        row = compared_row(job.name, job.what, method, record, bar.add)
        measured[identity] = row
    except Lacking as lacking:
        reason = str(lacking)
    except (MemoryError, DatasetError, FileError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FAULTS_OF_DISKS:
            raise
        job.failure.write_text(traceback.format_exc(), "utf-8")
        kind = "" if isinstance(error, WmqError) else f"{type(error).__name__}: "
        reason = f"{kind}{error}"
    else:
        return _keep(job, row, identity, began)
    return Row(job.name, library_of(job.name), job.what,
               reason=" ".join(reason.split())[:LONGEST_REASON])  # fmt: skip


def _identity(method: Method) -> str:
    """Name what methods with the same row have in common; "" for one like no other."""
    return f"{method.sha256} {method.share}" if method.sha256 else ""


class _Bar:
    """Frames done of what is not there yet; one that fails counts as done with the next."""

    def __init__(self, progress: Progress, play: Play, pieces: int):
        self.progress, self.pieces = progress, pieces
        self.each = sum(play.steps) + len(play.starts) * LONGEST
        self.begun, self.done, self.note = 0, 0, ""
        self.lock = threading.Lock()

    def begin(self, note: str) -> None:
        self.begun, self.done, self.note = self.begun + 1, 0, note
        self.add(0)

    def add(self, frames: int) -> None:
        """Count frames, from any thread."""
        with self.lock:
            self.done += frames
            self.progress("rows", (self.begun - 1) * self.each + self.done,
                          self.pieces * self.each, self.note)  # fmt: skip
