"""Compute the SHA-256 of files."""

from __future__ import annotations

import hashlib
import os

from wmq.files.atomic import FileError


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, hex.  Raises FileError."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(
            f"{os.fspath(path)}: cannot be read ({error.strerror}); give another file"
        ) from None
