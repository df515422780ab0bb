"""docs/SPEC.md is fresh, and its prose speaks of what the code has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

from wmq_kernels import tables
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.recipes import draw
from wmq_kernels.errors import REASONS
from wmq_kernels.isa import ROWS
from wmq_kernels.program import FORMAT_VERSION, MAGIC, PORTS
from wmq_kernels.rangecheck import certified

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "docs" / "SPEC.md").read_text("utf-8")


def make_spec(*arguments: str) -> int:
    command = [sys.executable, str(ROOT / "docs" / "make_spec.py"), *arguments]
    return subprocess.run(command, capture_output=True).returncode


def test_the_instructions_in_the_spec_are_those_of_the_table() -> None:
    assert make_spec("--check") == 0, "run python docs/make_spec.py"
    assert re.findall(r"^### I\d+ (\w+)$", SPEC, re.M) == [row.name for row in ROWS]


def test_the_spec_counts_saturations_where_the_table_does() -> None:
    section = SPEC.split("## 7. Saturations")[1].split("## 8.")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"\w+", line.split("|")[1])}
    assert {row.name for row in ROWS if row.saturates} == named & {row.name for row in ROWS}


def test_the_spec_s_constants_are_the_code_s() -> None:
    assert MAGIC.hex(" ").upper() in SPEC
    assert f"format version: {FORMAT_VERSION}" in SPEC
    assert SPEC.startswith(f"# The integer machine, version {FORMAT_VERSION}\n")
    assert all(f"`{port}`" in SPEC for port in PORTS)
    assert set(re.findall(r"^\| `(\w+)` \|", SPEC.split("**F6**")[1].split("**F7**")[0], re.M)) == {
        *REASONS
    }
    for make, entries in ((tables.sigmoid_table, "i = 0 .. 2048"),
                          (tables.softplus_table, "i = 0 .. 2049"),
                          (tables.decay_coarse, "i = 0 .. 5696"),
                          (tables.decay_fine, "j = 0 .. 255")):  # fmt: skip
        assert entries in SPEC
        assert len(make()) == int(entries.split()[-1]) + 1


def test_the_spec_s_example_of_a_certificate_is_what_the_proof_finds() -> None:
    example = re.search(r"`(\{\"out\":\[-127,127\],[^`]*)`", SPEC)
    assert example
    b = Builder(Random(0))
    x, out = b.read("x", "i32", 2, (-5, 3)), b.temp("out", "i8", 2, (-127, 127))
    b.step("requantize_i8", {"x": x, "multiplier": b.const("m", "i32", [7, -9]),
                             "shift": b.const("s", "i32", [0, 4]), "out": out},
           n=2, lo=-127, hi=127)  # fmt: skip
    b.show("out", out)
    entries = certified(b.program()).certificate
    assert json.loads(example[1]) in entries


def test_each_line_of_a_proof_is_in_the_certificate() -> None:
    """The names that the spec gives for an instruction are the keys of its entries."""
    for row in ROWS:
        program, _ = draw(row.name, 3)
        entry = next(entry for step, entry in zip(program.steps, program.certificate, strict=True)
                     if step.op == row.name)  # fmt: skip
        named = re.findall(r"(?:^|; )([a-z]+)(?:\[j\])? = \S", row.proof)
        named += re.findall(r"(?:^|; )(rows|sum) as in", row.proof)
        assert set(entry) == set(named) - {"entries", "fines"}, row.name
