"""Replay files in, a complete dataset out, whatever the files hold.

Each file is hashed and then read in a worker process (`wmq.replays.sandbox`), so that a hostile one
costs itself alone.  The worker writes the shard; the parent keeps the books.  All state is in
finished files of the dataset: to resume a killed run, start it again.

Of several recordings of one match, one is kept: that of an earlier finished run if there is
one, else the longest of this run, else that of the lowest SHA-256.  So the dataset that one run
makes depends on the replays alone, not on their order, the workers or interruptions; a later
run leaves all games that are there, and their splits, as they are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wmq.dataset.splits import VAL_SHARE, check_share, split_of
from wmq.dataset.store import (
    BUSY,
    DamagedShardError,
    Dataset,
    DatasetError,
    GameInfo,
    Rejection,
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
from wmq.extras import require
from wmq.files.atomic import cannot_write
from wmq.files.folder_lock import folder_lock
from wmq.files.names import printable
from wmq.game.schema import FULL
from wmq.progress import Progress, silent
from wmq.replays.fingerprint import one_of_each
from wmq.replays.guarded import refusal
from wmq.replays.replay_file import broken_link, sha256_of
from wmq.replays.sandbox import Outcome, Task, WorkerPool
from wmq.replays.slippi import read_replay

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
    with _locked_dataset(root, warn), workers as pool:
        hashes, unread = _hash(files, pool, progress)
        first: dict[str, Path] = {}  # the first file of each content
        for file in files:
            if file in hashes:
                first.setdefault(hashes[file], file)
        infos, rejections = _state(root, seconds)
        before = Dataset.open(root, may_be_empty=True)
        copies = _copies(before, infos.keys() | first.keys())
        known = infos.keys() | rejections.keys() | copies.keys()
        new = [sha256 for sha256 in first if sha256 not in known]
        tasks = [Task(first[sha256], sha256, root) for sha256 in new]
        for done, (task, outcome) in enumerate(pool.run(tasks), 1):
            if outcome.reason:
                seconds_hit = seconds if outcome.timed_out else 0.0
                name = printable(task.file.name)
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
        after = _settle(before, infos, first, lambda match: _wanted(match, split, val_share))
        write_index(root, list(after.games), list(rejections.values()), after.copies)
        for sha256 in after.copies:
            shard_path(root, sha256).unlink(missing_ok=True)
        shards = {path.stem for path in _shards(root)}
        damaged = (shards | {info.sha256 for info in before.games}) - infos.keys()

    games = {info.sha256: info for info in after.games}
    kept = {info.fingerprint: info for info in after.games}
    shown = {
        s: kept[after.copies[s]] if s in after.copies else games[s]
        for s in first
        if s in after.copies or s in games
    }
    return Summary(
        files=len(files),
        added=sum(s in games for s in new),
        present=sum(s in games for s in first) - sum(s in games for s in new),
        games=after.games,
        rejected=tuple(
            replace(rejections[s], name=printable(f.name))
            for s, f in first.items()
            if s in rejections
        )
        + tuple(unread),
        duplicates=tuple(
            (printable(f.name), printable(first[hashes[f]].name))
            for f in files
            if f in hashes and first[hashes[f]] != f
        ),
        copies=tuple(
            (printable(first[s].name), info.sha256) for s, info in shown.items() if s not in games
        ),
        elsewhere=tuple(
            (printable(first[s].name), info.split)
            for s, info in shown.items()
            if split not in ("auto", info.split)
        ),
        damaged=tuple(sorted(damaged)),
        unfinished=len(infos.keys() - games.keys() - after.copies.keys()),
    )


def _wanted(match: str, split: str, val_share: float) -> str:
    return split_of(match, val_share) if split == "auto" else split


def _copies(dataset: Dataset, readable: Container[str]) -> dict[str, str]:
    """The copies whose game can still be read."""
    matches = {info.fingerprint for info in dataset.games if info.sha256 in readable}
    return {s: match for s, match in dataset.copies.items() if match in matches}


def _settle(
    before: Dataset,
    infos: dict[str, GameInfo],
    given: Container[str],
    wanted: Callable[[str], str],
) -> Dataset:
    """The dataset with the games of this run.

    before  the dataset of earlier finished runs
    infos   facts of all shards that can be read, by sha256
    given   the sha256 of this run's files
    wanted  the split of a new game, by the fingerprint of its match
    """
    splits = {info.sha256: info.split for info in before.games if info.sha256 in infos}
    stay = {infos[s].fingerprint: s for s in splits}
    found = ((s, i.fingerprint, i.frames) for s, i in infos.items() if s in given)
    kept, others = one_of_each(stay, found)
    games = [replace(infos[s], split=splits.get(s) or wanted(match)) for match, s in kept.items()]
    after = replace(before, games=tuple(sorted(games, key=lambda info: info.sha256)))
    earlier = {s: match for s, match in _copies(after, kept.values()).items() if kept[match] != s}
    return replace(after, copies=earlier | others)


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
            what = broken_link(path) or "no such file or folder"
            raise WmqError(f"{path}: {what}; give .slp files or folders of them")
        elif path.suffix.lower() != ".slp":
            raise WmqError(f"{path}: neither a .slp file nor a folder; give one of these")
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


@contextmanager
def _locked_dataset(root: Path, warn: Warn) -> Iterator[None]:
    """Make the folder ready, for one run at a time.  Raises DatasetError."""
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root}: is a file; give a folder with -o")
    if read_index(root) is None and root.is_dir() and any(root.iterdir()):
        raise DatasetError(f"{root}: holds other files; give a new folder with -o")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from None
    with folder_lock(root, BUSY, warn):
        _tidy(root)
        if (
            read_index(root) is None
        ):  # first, so that an interrupted run leaves a dataset, if an empty one
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
    """What earlier runs read, by sha256; damaged files count as not there and are redone.

    A file that took too long is tried again if it may take longer this time.  Raises
    DatasetError for a shard that may be whole, but cannot be read now.
    """
    infos, rejections = {}, {}
    for path in _shards(root):
        with suppress(DamagedShardError):
            info = read_info(path)
            if info.sha256 == path.stem:
                infos[path.stem] = info
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
            unread.append(Rejection(printable(task.file.name), "", outcome.reason))
        else:
            hashes[task.file] = outcome.sha256
        progress("hashing", done, len(files))
    return hashes, sorted(unread, key=lambda r: r.name)


def _perform(task: Task) -> Outcome:
    try:
        if not task.sha256:
            return Outcome(sha256=sha256_of(task.file))
        game = read_replay(task.file, FULL, task.sha256)
        write_game(task.root, game)
        return Outcome(sha256=task.sha256)
    except Exception as error:  # noqa: BLE001  (a hostile file must not end the run)
        return refusal(error)
