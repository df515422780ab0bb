"""docs/SPEC.md is fresh, and its prose speaks of what the code has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from wmq_kernels import tables
from wmq_kernels.isa import ROWS
from wmq_kernels.program import FORMAT_VERSION, MAGIC, PORTS

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "docs" / "SPEC.md").read_text()


def make_spec(*arguments: str) -> int:
    command = [sys.executable, str(ROOT / "docs" / "make_spec.py"), *arguments]
    return subprocess.run(command, capture_output=True).returncode


def test_the_instructions_in_the_spec_are_those_of_the_table() -> None:
    assert make_spec("--check") == 0, "run python docs/make_spec.py"
    assert re.findall(r"^### (\w+)$", SPEC, re.M) == [row.name for row in ROWS]


def test_the_spec_counts_saturations_where_the_table_does() -> None:
    section = SPEC.split("## 7. Saturations")[1].split("## 8.")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"\w+", line.split("|")[1])}
    assert {row.name for row in ROWS if row.saturates} == named & {row.name for row in ROWS}


def test_the_spec_s_constants_are_the_code_s() -> None:
    assert MAGIC.hex(" ").upper() in SPEC
    assert f"format version: {FORMAT_VERSION}" in SPEC
    assert all(f"`{port}`" in SPEC for port in PORTS)
    for make, entries in ((tables.sigmoid_table, "i = 0 .. 2048"),
                          (tables.softplus_table, "i = 0 .. 2049"),
                          (tables.decay_coarse, "i = 0 .. 5631"),
                          (tables.decay_fine, "j = 0 .. 255")):  # fmt: skip
        assert entries in SPEC
        assert len(make()) == int(entries.split()[-1]) + 1
