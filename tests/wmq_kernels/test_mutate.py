"""A sample of the mutation test; `make mutate` does all of it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.wmq_kernels.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
SOURCES = [(ROOT / "wmq_kernels" / "engine" / name).read_text("utf-8")
           for name in ("kernels.py", "frame_kernels.py", "frame_steps.py", "loop.py")]  # fmt: skip
KINDS = {"connective", "arithmetic", "comparison", "condition", "constant", "loop", "min or max",
         "result", "rounding", "saturation", "sign", "update", "width"}  # fmt: skip
SAMPLE = 40
EXAMPLE = """
def f(x, out):
    count = 0
    for i in range(len(x)):
        exact = round_shift(np.int64(x[i]) * np.int64(3), 4)
        v = clamp(exact, -7, 7)
        count += v != exact
        out[i] = v
    return count
"""


def changed(mutant: Mutant) -> str:
    return ast.unparse(mutant.tree(EXAMPLE))


def test_the_changes_are_those_that_a_reader_would_think_of() -> None:
    texts = {changed(m) for m in mutants(EXAMPLE)}
    whole = ast.unparse(ast.parse(EXAMPLE))
    for old, new in [
        ("clamp(exact, -7, 7)", "exact"),
        ("clamp(exact, -7, 7)", "max(exact, -7)"),
        ("clamp(exact, -7, 7)", "min(exact, 7)"),
        ("round_shift(np.int64(x[i]) * np.int64(3), 4)", "np.int64(x[i]) * np.int64(3) >> 4"),
        ("np.int64(x[i]) * np.int64(3)", "np.int32(x[i]) * np.int32(3)"),
        ("count += v != exact", "pass"),
        ("v != exact", "v == exact"),
        ("range(len(x))", "range(len(x) - 1)"),
        ("return count", "return 0"),
        ("4)", "5)"),
    ]:
        assert old in whole
        assert whole.replace(old, new) in texts, new


def test_each_mutant_is_another_program() -> None:
    kinds = set()
    for source in SOURCES:
        found = mutants(source)
        original = ast.unparse(ast.parse(source))
        kinds |= {m.kind for m in found}
        assert all(ast.unparse(m.tree(source)) != original for m in found[::25])
        assert {m.function for m in found} == {
            node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
        } - {"copy"}  # which only calls assign
    assert kinds == KINDS


def test_the_comparisons_notice_nearly_all_of_a_sample() -> None:
    """In a process of its own, where the kernels run interpreted."""
    command = [sys.executable, "-m", "tests.wmq_kernels.mutate", "--sample", str(SAMPLE), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    result = json.loads(done.stdout)
    assert len(result["mutants"]) == SAMPLE
    assert result["score"] >= 0.95
