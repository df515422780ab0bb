"""Files on disk: a whole program is loaded with its name, any other is refused by name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wmq_kernels.conformance.recipes import draw
from wmq_kernels.errors import ProgramError
from wmq_kernels.loading import load
from wmq_kernels.program import encode

CONTENT = encode(draw("conv", 3)[0])


def test_load_returns_the_program_and_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.wmq"
    path.write_bytes(CONTENT)
    program, sha256 = load(path)
    assert encode(program) == CONTENT
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_load_names_the_file_that_it_refuses(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("cut", CONTENT[:-64]), ("text", b"hello\n" * 99)):
        path = tmp_path / f"{name}.wmq"
        path.write_bytes(content)
        with pytest.raises(ProgramError, match=f"{name}.wmq"):
            load(path)
    with pytest.raises(ProgramError, match="absent.wmq"):
        load(tmp_path / "absent.wmq")
    with pytest.raises(ProgramError):
        load(tmp_path)
