"""Check where a file will be written, before the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from wmq.errors import WmqError

# Suffix -> bytes that every such file of ours has near its beginning or its end.
MARKS = {
    ".arrow": b"wmq.rollout_sha256",
    ".csv": b"world,frame,p1.",
    ".html": b"<td>wmq report</td>",
    ".npz": b"world_sha256.npy",
    ".parquet": b"wmq.rollout_sha256",
    ".png": b"\x89PNG\r\n",
    ".svg": b"<svg",
    ".wmq": b"\x89WMQ\r\n",
}
NEAR = 1 << 18  # bytes


def output_path(
    name: str | os.PathLike[str], option: str, suffixes: Sequence[str], mark: bytes = b""
) -> Path:
    """Check a path to write to: no file is there, or an older one of its kind.

    option    what the user gave it with, as "-o"
    suffixes  one of which the name has to end in, small letters here
    mark      bytes that an older file has if it is of the kind, where MARKS does not say it
    Raises WmqError.
    """
    path = Path(name)
    folder = path.absolute().parent
    wrong = None
    if path.is_dir():
        wrong = "is a folder; name a file in it"
    elif path.suffix.lower() not in suffixes:
        wrong = f"unknown form; end the name with {' or '.join(suffixes)}"
    elif not folder.is_dir():
        wrong = "its folder does not exist; make it or choose another"
    elif not os.access(folder, os.W_OK):
        wrong = "its folder cannot be written; choose another"
    elif path.exists() and not path.is_file():
        wrong = "is no regular file; choose another name"
    elif not _replaceable(path, mark or MARKS.get(path.suffix.lower(), b"")):
        wrong = "is there, and is nothing that this command wrote; remove it or choose another name"
    if wrong:
        raise WmqError(f"{option} {path}: {wrong}")
    return path


def _replaceable(path: Path, mark: bytes) -> bool:
    """Tell whether there is no file, an empty one, or one with the mark."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            ends = file.read(NEAR)
            file.seek(max(0, size - NEAR))
            return not size or mark in ends + file.read()
    except OSError:
        return not path.exists()
