"""How values of a kind lie in a file: what is written is what is read, or it is damaged."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import numpy as np

from wmq.errors import WmqError

LARGEST_JSON = 1 << 28  # bytes
LARGEST_ARRAYS = 1 << 32  # bytes, in a file and in memory
Arrays = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]
Value = TypeVar("Value")


class Damaged(WmqError):
    """A file that does not hold what its name says."""


@dataclass(frozen=True)
class Form(Generic[Value]):
    """suffix   of the files
    encode   a value to bytes
    decode   bytes and the file's name to the value; raises Damaged, naming the file
    largest  bytes that are read
    """

    suffix: str
    encode: Callable[[Value], bytes]
    decode: Callable[[bytes, str], Value]
    largest: int = LARGEST_JSON


def json_form(kind: type[Value]) -> Form[Value]:
    """Return a struct as JSON, for people too."""

    def decode(content: bytes, where: str) -> Value:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Damaged(f"{where}: {error}") from None

    def encode(value: Value) -> bytes:
        return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"

    return Form(".json", encode, decode)


def arrays_form(shapes: Shapes) -> Form[Arrays]:
    """Arrays of these names, shapes and types, compressed."""

    def decode(content: bytes, where: str) -> Arrays:
        found = _arrays(content, where)
        if {name: (array.shape, array.dtype) for name, array in found.items()} != dict(shapes):
            raise Damaged(f"{where}: not these arrays")
        return found

    return Form(".npz", _npz, decode, LARGEST_ARRAYS)


def _npz(arrays: Arrays) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **arrays)
    return sink.getvalue()


def _arrays(content: bytes, where: str) -> Arrays:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_ARRAYS:
                raise Damaged(f"{where}: larger than {LARGEST_ARRAYS} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
            NotImplementedError, RuntimeError) as error:  # fmt: skip
        raise Damaged(f"{where}: {error}") from None
