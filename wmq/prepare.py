"""Replay files in, a complete dataset out, whatever the files hold.

Each file is hashed and then read in a worker process (`wmq.sandbox`), so that a hostile one
costs itself alone.  The worker writes the shard; the parent keeps the books.  All state is in
finished files of the dataset: to resume a killed run, start it again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wmq.dataset import (
    FULL,
    DamagedShardError,
    DatasetError,
    GameInfo,
    Rejection,
    cannot_write,
    read_index,
    read_info,
    read_rejection,
    rejection_path,
    shard_path,
    write_game,
    write_index,
    write_rejection,
)
from wmq.errors import WmqError
from wmq.file_names import printable as _printable
from wmq.folder_lock import folder_lock
from wmq.guarded import refusal
from wmq.replay_file import broken_link, sha256_of
from wmq.replays import read_replay
from wmq.sandbox import Outcome, Task, WorkerPool

VAL_SHARE = 0.05  # of the games, with split "auto"
Progress = Callable[[str, int, int], None]  # (what is done, files done, files in all)
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Summary:
    """What a run found and did; names are base names.

    files       distinct paths looked at
    added       games written by this run
    present     games that were there already
    games       all games of the dataset now
    rejected    files of this run that are left out
    duplicates  (name, name of the file with the same content)
    elsewhere   (name, split) of games kept in another split than the one asked for
    damaged     sha256 of shards that cannot be read and whose replay was not in this run
    """

    files: int
    added: int
    present: int
    games: tuple[GameInfo, ...]
    rejected: tuple[Rejection, ...]
    duplicates: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]


def prepare_dataset(
    paths: Iterable[str | os.PathLike[str]],
    root: Path,
    split: str = "auto",
    jobs: int = 1,
    seconds: float = 60.0,
    progress: Progress = lambda what, done, total: None,
    warn: Warn = lambda text: None,
) -> Summary:
    """Add the replays at `paths` to the dataset at `root`, which is made if it is not there.

    seconds  time limit for one file
    warn     takes a line of text
    Raises WmqError for a wrong call or a full disk.
    """
    workers = WorkerPool(_perform, jobs, seconds)
    files = find_replays(paths, warn)
    with _locked_dataset(root, warn), workers as pool:
        hashes, unread = _hash(files, pool, progress)
        first: dict[str, Path] = {}  # the first file of each content
        for file in files:
            if file in hashes:
                first.setdefault(hashes[file], file)
        infos, rejections = _state(root, seconds)
        new = [sha256 for sha256 in first if sha256 not in infos and sha256 not in rejections]
        tasks = [Task(first[s], s, root, split_of(s) if split == "auto" else split) for s in new]
        for done, (task, outcome) in enumerate(pool.run(tasks), 1):
            if outcome.reason:
                seconds_hit = seconds if outcome.timed_out else 0.0
                name = _printable(task.file.name)
                rejection = Rejection(name, task.sha256, outcome.reason, seconds_hit)
                if outcome.final:
                    rejections[task.sha256] = rejection
                    write_rejection(root, rejection)
                else:
                    unread.append(rejection)
            else:
                infos[task.sha256] = read_info(shard_path(root, task.sha256))
                with suppress(OSError):  # one that stays counts for nothing beside a shard
                    rejection_path(root, task.sha256).unlink()
            progress("reading", done, len(tasks))
        games = tuple(sorted(infos.values(), key=lambda info: info.sha256))
        write_index(root, list(games), list(rejections.values()))
        damaged = tuple(sorted({p.stem for p in _shards(root)} - infos.keys()))

    wanted = {s: split_of(s) if split == "auto" else split for s in first}
    return Summary(
        files=len(files),
        added=sum(s in infos for s in new),
        present=sum(s in infos for s in first) - sum(s in infos for s in new),
        games=games,
        rejected=tuple(
            replace(rejections[s], name=_printable(f.name))
            for s, f in first.items()
            if s in rejections
        )
        + tuple(unread),
        duplicates=tuple(
            (_printable(f.name), _printable(first[hashes[f]].name))
            for f in files
            if f in hashes and first[hashes[f]] != f
        ),
        elsewhere=tuple(
            (_printable(f.name), infos[s].split)
            for s, f in first.items()
            if s in infos and infos[s].split != wanted[s]
        ),
        damaged=damaged,
    )


def find_replays(
    paths: Iterable[str | os.PathLike[str]], warn: Warn = lambda text: None
) -> list[Path]:
    """All `.slp` files at or below `paths`, each once, by name.  Raises WmqError."""
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            below = [file for file in _walk(path, warn) if file.suffix.lower() == ".slp"]
            if not below:
                raise WmqError(f"{path}: no .slp file in this folder; give a folder of replays")
        elif not path.exists():
            raise WmqError(f"{path}: {broken_link(path) or 'no such file or folder'}")
        elif path.suffix.lower() != ".slp":
            raise WmqError(f"{path}: neither a .slp file nor a folder")
        else:
            below = [path]
        for file in below:
            found.setdefault(os.path.realpath(file), file)
    return sorted(found.values(), key=lambda file: (file.name, str(file)))


def _walk(folder: Path, warn: Warn) -> Iterator[Path]:
    """Every file below, also through links to folders; each real folder once, so loops end.

    A link that leads nowhere counts as a file; unless it is named .slp, `warn` is told of it,
    as it may have led to a folder on a disk that is not mounted.
    """
    entered = {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        raise WmqError(f"{error.filename}: {error.strerror}; make it readable or leave it out")

    def is_new(path: str) -> bool:
        real = os.path.realpath(path)
        new = real not in entered
        entered.add(real)
        return new

    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in sorted(folders) if is_new(os.path.join(parent, name))]
        for file in (Path(parent, name) for name in sorted(names)):
            if file.suffix.lower() != ".slp" and (reason := broken_link(file)):
                warn(f"{file}: {reason}; skipped")
            yield file


def split_of(sha256: str) -> str:
    """The split of a game by its content, the same on every machine and in every dataset."""
    return "val" if int(sha256[:8], 16) < VAL_SHARE * 2**32 else "train"


@contextmanager
def _locked_dataset(root: Path, warn: Warn) -> Iterator[None]:
    """Make the folder ready, for one run at a time.  Raises DatasetError."""
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root}: is a file; give a folder with -o")
    known = read_index(root) is not None
    if not known and root.is_dir() and any(root.iterdir()):
        raise DatasetError(f"{root}: holds other files; give a new folder with -o")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from None
    with folder_lock(root, "another `wmq prepare` is writing it; wait for it", warn):
        _tidy(root)
        if not known:  # first, so that an interrupted run leaves a dataset, if an empty one
            write_index(root, [], [])
        yield


def _tidy(root: Path) -> None:
    """Remove what a killed run left half written, and make the folders."""
    try:
        for left_over in root.glob("**/.*.tmp"):
            left_over.unlink(missing_ok=True)
        for name in ("games", "rejected"):
            (root / name).mkdir(exist_ok=True)
            if not os.access(root / name, os.W_OK):  # before hours of reading
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(root, error) from None


def _shards(root: Path) -> list[Path]:
    return _files(root / "games", ".arrow")


def _files(folder: Path, suffix: str) -> list[Path]:
    """Those of a folder of the dataset.  Raises DatasetError: to see none would empty the index."""
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(suffix)]
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be read ({error.strerror}); see that the dataset is still there "
            "and run the same command again"
        ) from None


def _state(root: Path, seconds: float) -> tuple[dict[str, GameInfo], dict[str, Rejection]]:
    """What earlier runs left, by sha256; damaged files count as not there and are redone.

    A file that took too long is tried again if it may take longer this time.  Raises
    DatasetError for a shard that may be whole, but cannot be read now.
    """
    infos, rejections = {}, {}
    for path in _shards(root):
        with suppress(DamagedShardError):
            infos[path.stem] = read_info(path)
    for path in _files(root / "rejected", ".json"):
        rejection = read_rejection(path)
        if rejection and path.stem not in infos and not 0 < rejection.seconds < seconds:
            rejections[path.stem] = rejection
    return infos, rejections


def _hash(
    files: list[Path], pool: WorkerPool, progress: Progress
) -> tuple[dict[Path, str], list[Rejection]]:
    """SHA-256 of each file, and the files that could not be read."""
    hashes, unread = {}, []
    for done, (task, outcome) in enumerate(pool.run([Task(file) for file in files]), 1):
        if outcome.reason:
            unread.append(Rejection(_printable(task.file.name), "", outcome.reason))
        else:
            hashes[task.file] = outcome.sha256
        progress("hashing", done, len(files))
    return hashes, sorted(unread, key=lambda r: r.name)


def _perform(task: Task) -> Outcome:
    try:
        if not task.sha256:
            return Outcome(sha256=sha256_of(task.file))
        game = read_replay(task.file, FULL, task.sha256)
        write_game(task.root, replace(game, info=replace(game.info, split=task.split)))
        return Outcome(sha256=task.sha256)
    except Exception as error:  # noqa: BLE001  (a hostile file must not end the run)
        return refusal(error)
