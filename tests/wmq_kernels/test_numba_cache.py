"""numba keeps compiled functions on disk; what it keeps never outlives a change of ours.

It looks at the file of a function, and at no other, to see whether what it kept is fresh.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from numba.extending import is_jitted

from wmq_kernels import isa
from wmq_kernels.engine import kernels

ROOT = Path(__file__).parents[2]
LARGEST_DIGITS = """
import numpy as np
from wmq_kernels.engine.kernels import digits
zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
high, low = np.empty(1, np.int8), np.empty(1, np.int8)
digits(np.array([1 << 20], np.int32), zero, one, zero, high, low)
print(128 * int(high[0]) + int(low[0]), sum(digits.stats.cache_hits.values()))
"""


def imported(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_one_file_is_compiled_and_it_imports_nothing_of_ours() -> None:
    files = [
        file for room in ("wmq", "wmq_kernels", "calib") for file in (ROOT / room).rglob("*.py")
    ]
    here = Path(kernels.__file__)
    assert [file for file in files if "numba" in imported(file)] == [here]
    assert imported(here) == {"__future__", "numba", "numpy"}


def test_each_compiled_function_stands_in_that_file() -> None:
    functions = [one for one in vars(kernels).values() if is_jitted(one)]
    assert len(functions) > len({row.name.partition("_i")[0] for row in isa.ROWS})
    for function in functions:
        assert function.py_func.__code__.co_filename == kernels.__file__


def test_its_constants_are_those_of_the_instruction_table() -> None:
    numbers = {
        name[3:].lower(): value for name, value in vars(kernels).items() if name[:3] == "OP_"
    }
    assert numbers == isa.OPCODE
    for name in ("DIGITS_LIMIT", "SIGMOID_BITS", "SIGMOID_STEP_BITS", "SOFTPLUS_REACH"):
        assert getattr(kernels, name) == getattr(isa, name)


def test_a_changed_constant_is_compiled_anew(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "wmq_kernels", tmp_path / "wmq_kernels",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def run() -> list[str]:
        done = subprocess.run([sys.executable, "-c", LARGEST_DIGITS], env=os.environ | settings,
                              cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.split()

    limit = str(isa.DIGITS_LIMIT)
    assert run() == [limit, "0"]
    assert run() == [limit, "1"]  # from the cache
    file = tmp_path / "wmq_kernels" / "engine" / "kernels.py"
    file.write_text(file.read_text("utf-8").replace("DIGITS_LIMIT = 127", "DIGITS_LIMIT = 100"))
    assert run() == [str(100 << isa.DIGIT_BITS), "0"]
