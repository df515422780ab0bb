"""Files whose names or sizes do not suit a store, listed in a manifest once they are whole.

A manifest lies beside its files and names their key and sizes.  It is gone while they are
made and written last, so that files of another key, or of a run that was interrupted, are
none.  Nothing is read but sizes: such files may have gigabytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from wmq.files.atomic import cannot_write, write_atomically
from wmq.files.limited import read_limited
from wmq.memo.forms import LARGEST_JSON, Damaged, json_form
from wmq.memo.provenance import digest


class Manifest(msgspec.Struct, frozen=True):
    """key      SHA-256 of all that the files follow from
    sizes    bytes by name, of files beside the manifest
    seconds  that making them took
    """

    key: str
    sizes: dict[str, int]
    seconds: float = 0.0


FORM = json_form(Manifest)


def read_manifest(path: Path, key: Any) -> Manifest | None:
    """None unless the files of this key are there, with their sizes."""
    try:
        found = FORM.decode(read_limited(path, LARGEST_JSON), str(path))
        sizes = {name: path.with_name(name).stat().st_size for name in found.sizes}
    except (OSError, ValueError, Damaged):  # ValueError: a name that can be no file's
        return None
    return found if found.key == digest(key) and sizes == found.sizes else None


def make_files(path: Path, key: Any, make: Callable[[], Iterable[Path]]) -> None:
    """Make the files anew and list them.

    make  writes files beside the manifest, and names them
    Raises FileError, and what `make` raises.
    """
    began = time.monotonic()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        sizes = {made.name: made.stat().st_size for made in make()}
    except OSError as error:
        raise cannot_write(path.parent, error) from None
    found = Manifest(digest(key), sizes, time.monotonic() - began)
    write_atomically(path, FORM.encode(found))
