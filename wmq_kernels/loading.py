"""Load a `.wmq` file as a program that is safe to run."""

from __future__ import annotations

from pathlib import Path

from wmq_kernels.decoding import decode
from wmq_kernels.errors import ProgramError
from wmq_kernels.program import LARGEST, Program, model_sha256
from wmq_kernels.rangecheck import prove


def load(path: Path) -> tuple[Program, str]:
    """Decode and prove a program; returns it and its model_sha256.  Raises ProgramError."""
    try:
        if path.stat().st_size > LARGEST:
            raise ProgramError(f"{path}: larger than {LARGEST} bytes", "length")
        content = path.read_bytes()
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror}") from None
    try:
        program = decode(content)
        prove(program)
    except ProgramError as error:
        way_out = "make it again with `wmq calibrate`"
        raise ProgramError(f"{path}: {error}; {way_out}", error.reason) from None
    return program, model_sha256(content)
