"""Replay files below the folders of a command line, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wmq.errors import WmqError
from wmq.replays.replay_file import broken_link

Warn = Callable[[str], None]


def find_replays(
    paths: Iterable[str | os.PathLike[str]], warn: Warn = lambda text: None
) -> list[Path]:
    """List all `.slp` files at or below `paths`, each once, by name.  Raises WmqError."""
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
    """List every file below, also through links; each real folder once, so that loops end.

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
