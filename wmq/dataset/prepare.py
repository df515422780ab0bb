"""Replay files in, a complete dataset out, whatever the files hold.

Each file is hashed and then read in a worker process (`wmq.replays.worker_pool`), so that a
hostile one costs itself alone.  The worker writes the shard; the parent keeps the books.  All
state is in finished files of the dataset: to resume a killed run, start it again.

Of several recordings of one match, one is kept: that of an earlier finished run if there is
one, else the longest of this run, else that of the lowest SHA-256.  So the dataset that one run
makes depends on the replays alone, not on their order, the workers or interruptions; a later
run leaves all games that are there, and their splits, as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wmq.dataset.earlier_runs import earlier_results, locked_dataset, shard_paths
from wmq.dataset.recordings import keep_one_of_each, readable_copies
from wmq.dataset.splits import VAL_SHARE, check_share, split_of
from wmq.dataset.store import (
    Dataset,
    GameInfo,
    Rejection,
    read_info,
    rejection_path,
    shard_path,
    write_game,
    write_index,
    write_rejection,
)
from wmq.extras import require
from wmq.files.names import printable
from wmq.game.schema import FULL
from wmq.progress import Progress, silent
from wmq.replays.find import Warn, find_replays
from wmq.replays.replay_file import sha256_of
from wmq.replays.sandbox import refusal
from wmq.replays.slippi import read_replay
from wmq.replays.worker_pool import Task, TaskOutcome, WorkerPool


@dataclass(frozen=True)
class Summary:
    """What a run found and did; names are base names.

    files       distinct paths looked at
    added       games written by this run
    present     games that were there already
    games       all games of the dataset now
    rejected    files of this run that are left out
    duplicates  (name, name of the file with the same content)
    copies      (name, sha256 of the game kept) of other recordings of a game's match
    elsewhere   (name, split) of games kept in another split than the one asked for
    damaged     sha256 of games whose shard cannot be read and whose replay was not in this run
    unfinished  games of an interrupted run that are read, but not in the dataset before that
                run is resumed
    """

    files: int
    added: int
    present: int
    games: tuple[GameInfo, ...]
    rejected: tuple[Rejection, ...]
    duplicates: tuple[tuple[str, str], ...]
    copies: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]
    unfinished: int


def prepare_dataset(
    paths: Iterable[str | os.PathLike[str]],
    root: Path,
    split: str = "auto",
    jobs: int = 1,
    seconds: float = 60.0,
    progress: Progress = silent,
    warn: Warn = lambda text: None,
    val_share: float = VAL_SHARE,
) -> Summary:
    """Add the replays at `paths` to the dataset at `root`, which is made if it is not there.

    split      of new games: "train", "val", or "auto", which goes by the game's match
    seconds    time limit for one file
    warn       takes a line of text
    val_share  of the games, for split "auto"
    Raises WmqError for a wrong call or a full disk.
    """
    check_share(val_share)
    require("reading replays", ["peppi_py", "pyarrow"])
    workers = WorkerPool(_perform, jobs, seconds)
    files = find_replays(paths, warn)
    with locked_dataset(root, warn), workers as pool:
        hashes, unread = _hash(files, pool, progress)
        first: dict[str, Path] = {}  # the first file of each content
        for file in files:
            if file in hashes:
                first.setdefault(hashes[file], file)
        infos, rejections = earlier_results(root, seconds)
        before = Dataset.open(root, may_be_empty=True)
        copies = readable_copies(before, infos.keys() | first.keys())
        known = infos.keys() | rejections.keys() | copies.keys()
        new = {sha256: file for sha256, file in first.items() if sha256 not in known}
        unread += _read(new, root, pool, infos, rejections, progress)
        after = keep_one_of_each(before, infos, first, lambda match: (
            split_of(match, val_share) if split == "auto" else split))  # fmt: skip
        write_index(root, list(after.games), list(rejections.values()), after.copies)
        for sha256 in after.copies:
            shard_path(root, sha256).unlink(missing_ok=True)
        shards = {path.stem for path in shard_paths(root)}
        damaged = (shards | {info.sha256 for info in before.games}) - infos.keys()

    games = {info.sha256: info for info in after.games}
    kept = {info.fingerprint: info for info in after.games}
    shown = {s: kept[after.copies[s]] if s in after.copies else games[s]
             for s in first if s in after.copies or s in games}  # fmt: skip
    name = {sha256: printable(file.name) for sha256, file in first.items()}
    return Summary(
        files=len(files),
        added=sum(s in games for s in new),
        present=sum(s in games for s in first if s not in new),
        games=after.games,
        rejected=(*(replace(rejections[s], name=name[s]) for s in first if s in rejections),
                  *unread),
        duplicates=tuple((printable(f.name), name[hashes[f]]) for f in files
                         if f in hashes and first[hashes[f]] != f),
        copies=tuple((name[s], info.sha256) for s, info in shown.items() if s not in games),
        elsewhere=tuple((name[s], info.split) for s, info in shown.items()
                        if split not in ("auto", info.split)),
        damaged=tuple(sorted(damaged)),
        unfinished=len(infos.keys() - games.keys() - after.copies.keys()),
    )  # fmt: skip


def _hash(
    files: list[Path], pool: WorkerPool, progress: Progress
) -> tuple[dict[Path, str], list[Rejection]]:
    """Hash each file; the second part are those that could not be read."""
    hashes, unread = {}, []
    for done, (task, outcome) in enumerate(pool.run([Task(file) for file in files]), 1):
        if outcome.reason:
            unread.append(Rejection(printable(task.file.name), "", outcome.reason))
        else:
            hashes[task.file] = outcome.sha256
        progress("hashing", done, len(files))
    return hashes, sorted(unread, key=lambda r: r.name)


def _read(
    files: dict[str, Path], root: Path, pool: WorkerPool, infos: dict[str, GameInfo],
    rejections: dict[str, Rejection], progress: Progress,
) -> list[Rejection]:  # fmt: skip
    """Read files, by sha256, into shards; adds to `infos` and `rejections` what is final.

    Returns the rejections that are not: those files are tried again another time.
    """
    passing = []
    tasks = [Task(file, sha256, root) for sha256, file in files.items()]
    for done, (task, outcome) in enumerate(pool.run(tasks), 1):
        if outcome.reason:
            limit = pool.seconds if outcome.timed_out else 0.0
            name = printable(task.file.name)
            rejection = Rejection(name, task.sha256, outcome.reason, limit)
            if outcome.final:
                rejections[task.sha256] = rejection
                write_rejection(root, rejection)
            else:
                passing.append(rejection)
        else:
            infos[task.sha256] = read_info(shard_path(root, task.sha256))
            with suppress(OSError):  # one that stays counts for nothing beside a shard
                rejection_path(root, task.sha256).unlink()
        progress("reading", done, len(tasks))
    return passing


def _perform(task: Task) -> TaskOutcome:
    """Hash a file, or write its shard, in a worker."""
    try:
        if not task.sha256:
            return TaskOutcome(sha256=sha256_of(task.file))
        game = read_replay(task.file, FULL, task.sha256)
        write_game(task.root, game)
        return TaskOutcome(sha256=task.sha256)
    except Exception as error:  # noqa: BLE001  (a hostile file must not end the run)
        return refusal(error)
