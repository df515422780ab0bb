"""The engine compiled for other processors, with bounds checked, or not compiled at all:
the same bits, and no floating point anywhere in what is compiled.

Each case is a process of its own with an empty numba cache, as the choice is made at import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMES = 300
ROLLOUT = f"""
from wmq.controllers import parse_source
from wmq.opening import open_program
from wmq.rollout import IntegerWorlds, both_controllers, roll
from wmq.starts import match_start
worlds = IntegerWorlds(open_program())
start = match_start(worlds.schema, "battlefield", ("fox", "falco"))
random = parse_source("random", "--p1")
pads = both_controllers((random, random), start, {FRAMES}, 0)
print(roll(worlds, start, [pads], [0]).sha256)
"""
NETWORK = """
import numpy as np
from tests.wmq_kernels.test_networks import START, network, pads, rows
from wmq_kernels.engine import Engine
from wmq_kernels.reference import Reference
wanted = Reference(network(0)).run([START], pads(0)[:4], 3, heads=True)
engine = Engine(network(0))
found = engine.run(engine.zero_state(), rows([START]), rows(pads(0)[:4]), 3, heads=True)
assert found.frames.tolist() == wanted.frames and found.heads.tolist() == wanted.heads
print("equal")
"""
FLOATS = r"""
import re
from wmq_kernels.engine import Engine, kernels
from tests.wmq_kernels.test_networks import START, network, pads, rows
engine = Engine(network(0))
engine.run(engine.zero_state(), rows([START]), rows(pads(0)[:2]), 1)
names = [n for n in dir(kernels) if hasattr(getattr(kernels, n), "inspect_llvm")]
texts = [text for n in names for text in getattr(kernels, n).inspect_llvm().values()]
assert any("run_frames" in text for text in texts)
operation = re.compile(
    r"= (f(add|sub|mul|div|rem|neg|cmp|ptoui|ptosi|pext|ptrunc)|uitofp|sitofp)\b"
    r"|\b(load|store) (volatile )?(double|float|half)\b"
    r"|@(llvm\.(sqrt|exp|log|pow|sin|cos|fma|floor|rint)|exp|log|pow|sqrt)\b"
)
assert operation.search("%3 = fmul double %1, %2") and operation.search("%a = sitofp i64 %b to x")
found = [line for text in texts for line in text.splitlines() if operation.search(line)]
assert not found, found[:5]
print(len(texts), "functions")
"""


def run(script: str, cache: Path, **settings: str) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)} | settings
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(ROLLOUT, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    "settings",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_OPT": "0"},
    ],
    ids=lambda settings: " ".join(settings.values()).strip() or "none",
)
def test_another_way_of_compiling_gives_the_same_rollout(
    settings: dict[str, str], usual: str, tmp_path: Path
) -> None:
    assert run(ROLLOUT, tmp_path, **settings) == usual


def test_interpreted_kernels_equal_the_oracle(tmp_path: Path) -> None:
    assert run(NETWORK, tmp_path, NUMBA_DISABLE_JIT="1") == "equal"


def test_nothing_that_is_compiled_computes_with_floats(tmp_path: Path) -> None:
    assert run(FLOATS, tmp_path).endswith("functions")
