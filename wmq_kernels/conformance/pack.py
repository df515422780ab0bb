"""Write and read the conformance pack: a folder that an engine in any language can run.

    pack.json      header: format, spec version, seed, counts, size and hash of each other file
    cases.json     runs: a program, what it is given, and every number that must come out
    refusals.json  files that a reader must refuse, and why
    programs.bin   pieces of `.wmq` files; pieces that many share stand there once
    vectors.bin    arrays of numbers, little-endian, each in the narrowest type that holds it

`Writer` fills a folder beside the wanted one and renames it; `read_pack` trusts nothing.
docs/conformance.md describes each field.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, TypeVar

import msgspec
import numpy as np

from wmq_kernels import tables
from wmq_kernels.program import ALIGN, FORMAT_VERSION, NUMPY

FORMAT, VERSION = "wmq-conformance", 2
HEADER, CASES, REFUSALS = "pack.json", "cases.json", "refusals.json"
PROGRAMS, VECTORS = "programs.bin", "vectors.bin"
FILES = (CASES, PROGRAMS, REFUSALS, VECTORS)  # in the order of pack_sha256
KINDS = ("exhaustive", "boundaries", "graphs", "ports", "networks")
LARGEST = 1 << 30  # bytes of a file
MOST_FRAMES = 1 << 24  # of a case

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
T = TypeVar("T")
Piece = tuple[Count, Count]  # offset in programs.bin, bytes


class PackError(Exception):
    """A pack that cannot be read or written: missing, damaged, or of another version."""


class Array(msgspec.Struct, frozen=True, array_like=True):
    """(rows, columns) numbers from byte `at` of vectors.bin on, row-major."""

    dtype: Literal["i8", "i16", "i32", "i64"]
    at: Count
    rows: Positive
    columns: Positive

    @property
    def bytes(self) -> int:
        return self.rows * self.columns * int(self.dtype[1:]) // 8


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run from zero states, and what it gives.

    program      pieces of programs.bin that make the file
    given        (g, size of what is fed back); inputs (rows, size), as `Roles` says
    words        (frames, D), with forced, if the program has these ports
    made         (frames, size of what is fed back); heads (frames, size of heads)
    saturations  (1, steps): after the last frame; states likewise, (1, size) each
    """

    kind: Literal["exhaustive", "boundaries", "graphs", "ports", "networks"]
    name: str
    program: tuple[Piece, ...]
    frames: Annotated[int, msgspec.Meta(ge=1, le=MOST_FRAMES)]
    given: Array
    inputs: Array
    made: Array
    heads: Array
    saturations: Array
    states: dict[str, Array]
    words: Array | None = None
    forced: Array | None = None

    @property
    def draws(self) -> tuple[Array, Array] | None:
        return None if self.words is None or self.forced is None else (self.words, self.forced)

    @property
    def arrays(self) -> tuple[Array, ...]:
        return (self.given, self.inputs, self.made, self.heads, self.saturations,
                *self.states.values(), *(self.draws or ()))  # fmt: skip


class Refusal(msgspec.Struct, frozen=True):
    """A file that must be refused; the class of docs/SPEC.md F6 is advice."""

    name: str
    reason: str
    program: tuple[Piece, ...]


class Header(msgspec.Struct, frozen=True):
    """files: name -> (bytes, SHA-256 in hexadecimal)."""

    format: str
    version: int
    spec: int
    seed: int
    counts: dict[str, Count]
    files: dict[str, tuple[Count, str]]
    pack_sha256: str


@dataclass(frozen=True)
class Pack:
    header: Header
    cases: tuple[Case, ...]
    refusals: tuple[Refusal, ...]
    programs: bytes = field(repr=False)
    vectors: bytes = field(repr=False)

    def file(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(self.programs[at : at + length] for at, length in pieces)

    def array(self, array: Array) -> np.ndarray:
        """(rows, columns) int64."""
        flat = np.frombuffer(self.vectors, NUMPY[array.dtype], array.rows * array.columns, array.at)
        return flat.reshape(array.rows, array.columns).astype(np.int64)


def pack_sha256(files: Mapping[str, tuple[int, str]]) -> str:
    """The pack's name: SHA-256 of what `sha256sum` prints for its files, in their order."""
    return hashlib.sha256(
        "".join(f"{files[name][1]}  {name}\n" for name in FILES).encode()
    ).hexdigest()


# --- writing ----------------------------------------------------------------------------


class Writer:
    """Takes cases and refusals one after the other, and stores equal content once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: BinaryIO = open(folder / PROGRAMS, "wb")
        self._vectors: BinaryIO = open(folder / VECTORS, "wb")
        self._pieces: dict[bytes, Piece] = {}
        self._arrays: dict[tuple[str, bytes], int] = {}
        self._cases: list[Case] = []
        self._refusals: list[Refusal] = []
        self._tables = [np.array(numbers, dtype).tobytes() for numbers, dtype in (
            (tables.decay_coarse(), "<i8"), (tables.decay_fine(), "<i8"),
            (tables.softplus_table(), "<i4"), (tables.sigmoid_table(), "<i4"))]  # fmt: skip

    def case(
        self, kind: str, name: str, content: bytes, frames: int,
        numbers: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray],
    ) -> None:  # fmt: skip
        stored = {key: self._array(array) for key, array in numbers.items()}
        kept = {key: self._array(array) for key, array in states.items()}
        self._cases.append(
            Case(kind=kind, name=name, program=self._file(content), frames=frames,  # type: ignore[arg-type]
                 states=kept, **stored))  # fmt: skip

    def refusal(self, name: str, reason: str, content: bytes) -> None:
        self._refusals.append(Refusal(name, reason, self._file(content)))

    def close(self) -> None:
        self._programs.close()
        self._vectors.close()

    def finish(self, seed: int) -> Header:
        self.close()
        for name, rows in ((CASES, self._cases), (REFUSALS, self._refusals)):
            lines = b",\n".join(msgspec.json.encode(row) for row in rows)
            (self._folder / name).write_bytes(b"[\n" + lines + b"\n]\n")
        files = {}
        for name in FILES:
            content = (self._folder / name).read_bytes()
            files[name] = (len(content), hashlib.sha256(content).hexdigest())
        header = Header(FORMAT, VERSION, FORMAT_VERSION, seed,
                        counts(self._cases, self._refusals), files,
                        pack_sha256(files))  # fmt: skip
        text = msgspec.json.format(msgspec.json.encode(header), indent=1)
        (self._folder / HEADER).write_bytes(text + b"\n")
        return header

    def _file(self, content: bytes) -> tuple[Piece, ...]:
        ends = [*self._cuts(content), len(content)]
        return tuple(self._piece(content[at:end])
                     for at, end in zip([0, *ends], ends, strict=False) if at < end)  # fmt: skip

    def _cuts(self, content: bytes) -> list[int]:
        """Where to cut: around the tables, before parts of the header and before the data."""
        cuts = {content.find(key) for key in (b',"data_sha256":', b',"steps":', b',"values":')}
        header_end = 16 + int.from_bytes(content[12:16], "little")
        cuts.add(header_end + -header_end % ALIGN)
        for table in self._tables:
            at = content.find(table)
            cuts |= {at, at + len(table)} if at >= 0 else set()
        return sorted(at for at in cuts if 0 < at < len(content))

    def _piece(self, content: bytes) -> Piece:
        key = hashlib.sha256(content).digest()
        if key not in self._pieces:
            self._pieces[key] = (self._programs.tell(), len(content))
            self._programs.write(content)
        return self._pieces[key]

    def _array(self, array: np.ndarray) -> Array:
        rows, columns = array.shape
        least, most = int(array.min()), int(array.max())
        dtype = next(name for name, width in (("i8", 7), ("i16", 15), ("i32", 31), ("i64", 63))
                     if -(1 << width) <= least <= most < 1 << width)  # fmt: skip
        content = np.ascontiguousarray(array, NUMPY[dtype]).tobytes()
        key = (dtype, hashlib.sha256(content).digest())
        if key not in self._arrays:
            here = self._vectors.tell()
            self._vectors.write(bytes(-here % (int(dtype[1:]) // 8)))
            self._arrays[key] = self._vectors.tell()
            self._vectors.write(content)
        return Array(dtype, self._arrays[key], rows, columns)  # type: ignore[arg-type]


def counts(cases: Sequence[Case], refusals: Sequence[Refusal]) -> dict[str, int]:
    kinds = [case.kind for case in cases]
    return {kind: kinds.count(kind) for kind in KINDS} | {"refusals": len(refusals)}  # type: ignore[arg-type]


def check_target(folder: Path) -> None:
    """A pack is written where nothing is yet.  Raises PackError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PackError(f"{folder}: exists; remove it or name another folder")
    if not folder.absolute().parent.is_dir():
        raise PackError(f"{folder.parent}: no such folder; make it first")


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """A new folder that takes the wanted name when all went well, and else leaves no trace."""
    check_target(folder)
    beside = folder.absolute().parent / f".{folder.name}.{os.getpid()}.partial"
    beside.mkdir()
    try:
        yield beside
        os.rename(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


# --- reading ----------------------------------------------------------------------------


def read_pack(folder: Path) -> Pack:
    """Everything in memory, hashes and offsets checked.  Raises PackError naming the file."""
    header = _parsed(folder / HEADER, _content(folder / HEADER), Header)
    if header.format != FORMAT:
        raise PackError(f"{folder / HEADER}: not a conformance pack")
    if (header.version, header.spec) != (VERSION, FORMAT_VERSION):
        raise PackError(f"{folder / HEADER}: pack version {header.version} of spec version "
                        f"{header.spec}, this wmq runs {VERSION} of {FORMAT_VERSION}; build it "
                        "again with `wmq conformance build`")  # fmt: skip
    if set(header.files) != set(FILES):
        raise PackError(f"{folder / HEADER}: files must be {', '.join(FILES)}")
    content = {name: _checked(folder / name, *header.files[name]) for name in FILES}
    if header.pack_sha256 != pack_sha256(header.files):
        raise PackError(f"{folder / HEADER}: pack_sha256 is not that of its files")
    cases = _parsed(folder / CASES, content[CASES], tuple[Case, ...])
    refusals = _parsed(folder / REFUSALS, content[REFUSALS], tuple[Refusal, ...])
    if header.counts != counts(cases, refusals):
        raise PackError(f"{folder / HEADER}: counts are not those of the cases")
    for case in cases:
        _check_case(f"{folder / CASES}: {case.name!r}", case, len(content[VECTORS]))
    for name, rows in ((CASES, cases), (REFUSALS, refusals)):
        for row in rows:
            _check_pieces(f"{folder / name}: {row.name!r}", row.program, len(content[PROGRAMS]))
    return Pack(header, cases, refusals, content[PROGRAMS], content[VECTORS])


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise PackError(f"{path}: larger than {LARGEST} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}; build a pack with "
                        "`wmq conformance build -o DIR`") from None  # fmt: skip


def _checked(path: Path, size: int, sha256: str) -> bytes:
    content = _content(path)
    if (len(content), hashlib.sha256(content).hexdigest()) != (size, sha256):
        raise PackError(f"{path}: damaged, size or SHA-256 differ from pack.json; build it again "
                        "with `wmq conformance build`")  # fmt: skip
    return content


def _parsed(path: Path, content: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PackError(f"{path}: {error}") from None


def _check_pieces(where: str, pieces: Iterable[Piece], size: int) -> None:
    if any(at + length > size for at, length in pieces):
        raise PackError(f"{where}: a piece ends beyond {PROGRAMS}")
    if sum(length for _, length in pieces) > LARGEST:
        raise PackError(f"{where}: a program of more than {LARGEST} bytes")


def _check_case(where: str, case: Case, size: int) -> None:
    if any(array.at + array.bytes > size for array in case.arrays):
        raise PackError(f"{where}: an array ends beyond {VECTORS}")
    rows = {"given": (case.given.rows, min(case.given.rows, case.frames)),
            "inputs": (case.inputs.rows, min(max(case.inputs.rows, case.frames), case.frames + 1)),
            "made": (case.made.rows, case.frames),
            "heads": (case.heads.rows, case.frames),
            "saturations": (case.saturations.rows, 1)}  # fmt: skip
    rows |= {f"states.{name!r}": (array.rows, 1) for name, array in case.states.items()}
    if (case.words is None) != (case.forced is None):
        raise PackError(f"{where}: words without forced, or forced without words")
    if case.draws:
        rows |= {name: (array.rows, case.frames)
                 for name, array in zip(("words", "forced"), case.draws, strict=True)}  # fmt: skip
    for name, (found, wanted) in rows.items():
        if found != wanted:
            raise PackError(f"{where}: {name} has {found} rows, not {wanted}")
