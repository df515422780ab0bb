"""numba keeps compiled functions on disk; what it keeps never outlives a change of ours.

It looks at the file of a function, and at no other, to see whether what it kept is fresh:
so the folder that it keeps them in has a name that changes with every file of the engine.
"""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from tests.wmq_kernels.a_kernel import TOTALS
from tests.wmq_kernels.machine_code import compiled_functions
from wmq_kernels import isa
from wmq_kernels.engine import compiling, frame_steps, kernels, loop
from wmq_kernels.engine.user_cache import user_cache

ROOT = Path(__file__).parents[2]
ENGINE = Path(kernels.__file__).parent
LARGEST_DIGITS = """
import numpy as np
from wmq_kernels.engine.kernels import digits
zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
high, low = np.empty(1, np.int8), np.empty(1, np.int8)
digits(np.array([1 << 20], np.int32), zero, one, zero, high, low)
print(128 * int(high[0]) + int(low[0]), sum(digits.stats.cache_hits.values()))
"""


def imported(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_what_is_compiled_comes_from_the_files_that_the_folder_is_named_after() -> None:
    compiled = {Path(f.py_func.__code__.co_filename) for f in compiled_functions().values()}
    assert {file.parent for file in compiled} == {ENGINE}
    for file in [*compiled, ENGINE / "vectors.py", ENGINE / "compiling.py"]:
        ours = {name for name in imported(file) if name.partition(".")[0] in ("wmq", "wmq_kernels")}
        assert all(name.startswith("wmq_kernels.engine") for name in ours), file


def test_its_constants_are_those_of_the_instruction_table() -> None:
    numbers = {name[3:].lower(): value for module in (loop, frame_steps)
               for name, value in vars(module).items() if name[:3] == "OP_"}  # fmt: skip
    assert numbers == isa.OPCODE | {"dots": len(isa.ROWS), "meet": len(isa.ROWS) + 1}
    for name in ("DIGITS_LIMIT", "SIGMOID_BITS", "SIGMOID_STEP_BITS", "SOFTPLUS_REACH"):
        assert getattr(kernels, name) == getattr(isa, name)


@pytest.fixture
def largest_digits(tmp_path: Path) -> Callable[[], list[str]]:
    """A copy of the engine under tmp_path, and a process that prints what its kernels clamp
    to and how many of them it found in the cache."""
    shutil.copytree(ROOT / "wmq_kernels", tmp_path / "wmq_kernels",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def run() -> list[str]:
        done = subprocess.run([sys.executable, "-c", LARGEST_DIGITS], env=os.environ | settings,
                              cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.split()

    return run


def test_a_changed_constant_is_compiled_anew(
    tmp_path: Path, largest_digits: Callable[[], list[str]]
) -> None:
    limit = str(isa.DIGITS_LIMIT)
    assert largest_digits() == [limit, "0"]
    assert largest_digits() == [limit, "1"]  # from the cache
    other = tmp_path / "wmq_kernels" / "engine" / "vectors.py"
    other.write_text(other.read_text("utf-8") + "\n")
    assert largest_digits() == [limit, "0"]  # any file counts
    file = tmp_path / "wmq_kernels" / "engine" / "kernels.py"
    file.write_text(file.read_text("utf-8").replace("DIGITS_LIMIT = 127", "DIGITS_LIMIT = 100"))
    assert largest_digits() == [str(100 << isa.DIGIT_BITS), "0"]


def test_what_is_kept_of_files_that_are_cut_short_is_compiled_anew(
    tmp_path: Path, largest_digits: Callable[[], list[str]]
) -> None:
    limit = str(isa.DIGITS_LIMIT)
    for suffix in ("nbi", "nbc"):
        assert largest_digits() == [limit, "0"]
        files = list((tmp_path / "cache").rglob(f"*.{suffix}"))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert largest_digits() == [limit, "0"]
        assert largest_digits() == [limit, "1"]  # it is whole again
        shutil.rmtree(tmp_path / "cache")


def test_code_of_another_signature_is_not_taken(tmp_path: Path) -> None:
    """Two processes at once can leave it under the name that the index has for ours."""
    script = tmp_path / "totals.py"
    script.write_text(TOTALS)
    assert _printed(script) == ["-15", "-15", "0"]
    one, two = sorted((tmp_path / "cache").rglob("*.nbc"))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    assert _printed(script) == ["-15", "-15", "0"]
    assert _printed(script) == ["-15", "-15", "2"]


def test_two_processes_may_fill_the_folder_at_once(tmp_path: Path) -> None:
    script = tmp_path / "totals.py"
    script.write_text(TOTALS)
    running = [_started(script) for _ in range(4)]
    assert [process.communicate()[0].split()[:2] for process in running] == [["-15", "-15"]] * 4
    assert _printed(script)[:2] == ["-15", "-15"]


def test_a_full_disk_costs_no_more_than_compiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compiling, "folder", lambda: tmp_path)
    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    made = compiling.kernel(lambda x: x[0] + x[1])
    assert made(np.array([3, 4], np.int32)) == 7


def _started(script: Path) -> subprocess.Popen[str]:
    settings = {"NUMBA_CACHE_DIR": str(script.parent / "cache"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, script], env=os.environ | settings, text=True,
                            stdout=subprocess.PIPE)  # fmt: skip


def _printed(script: Path) -> list[str]:
    process = _started(script)
    printed = process.communicate()[0]
    assert process.returncode == 0
    return printed.split()


def test_without_a_place_to_write_it_compiles_and_keeps_nothing(
    tmp_path: Path, largest_digits: Callable[[], list[str]]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert largest_digits() == [str(isa.DIGITS_LIMIT), "0"]


def test_the_folder_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    if sys.platform.startswith("linux"):
        assert user_cache() == Path("/somewhere/wmq")
