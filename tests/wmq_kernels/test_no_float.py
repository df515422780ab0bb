"""Nothing that is compiled computes with floating point, or calls what might."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from tests.wmq_kernels.machine_code import (
    FLOAT_MNEMONICS,
    Code,
    code_of,
    floats_in_assembly,
    floats_in_llvm,
    foreign_calls,
)
from wmq_kernels.engine.cpu import obstacle
from wmq_kernels.isa import ROWS

ROOT = Path(__file__).parents[2]
MACHINE = platform.machine()
REPORT = """
import json
from tests.wmq_kernels.machine_code import report
print(json.dumps(report()))
"""
UNOPTIMIZED = """
import json
from tests.wmq_kernels.machine_code import floats_in_llvm
from tests.wmq_kernels.test_no_float import compared, compiled
print(json.dumps(floats_in_llvm(compiled(compared).llvm)))
"""
pytestmark = pytest.mark.skipif(
    MACHINE not in FLOAT_MNEMONICS,
    reason=f"no list of the floating-point instructions of {MACHINE}",
)
process_id = ctypes.CDLL(None).getpid
process_id.argtypes, process_id.restype = [], ctypes.c_int


def printed_by(script: str, **settings: str) -> Any:
    """What a process with an empty cache prints: the text of cached functions is lost."""
    usual = {name: text for name, text in os.environ.items() if not name.startswith("NUMBA_")}
    with tempfile.TemporaryDirectory() as cache:
        own = {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], env={**usual, **own, **settings},
                              cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return printed_by(REPORT)


def test_every_kernel_and_the_frame_loop_were_looked_at(found: dict[str, Any]) -> None:
    functions = found["functions"]
    kernels = {row.name.partition("_i")[0] for row in ROWS}  # one function for requantize_i8, ..
    kernels = kernels - {"dot", "dot_add", "lookup"} | {"dots", "embed"}
    assert kernels | {"run_step", "run_frame_step", "run_frames", "meet"} <= set(functions)
    assert functions.count("requantize") == 4  # conv's sums are int64
    assert functions.count("embed") == 2  # of int8, and lookup's of int32
    if not obstacle():
        named = {"vnni.block", "vnni.block_4", "vnni_scan.scan_rows", "vnni_scan.silu"}
        assert named <= set(functions)
        assert functions.count("run_frames") == 2
    for_vnni = ("vnni.", "vnni_scan.") if obstacle() else ()
    assert [name for name in found["not compiled"] if not name.startswith(for_vnni)] == []
    assert found["inlined"] == ["clamp", "round_shift"]


def test_no_float_is_in_the_llvm_code(found: dict[str, Any]) -> None:
    assert found["llvm"] == []


def test_no_float_is_in_the_assembly(found: dict[str, Any]) -> None:
    assert found["assembly"] == []


def test_nothing_foreign_is_called(found: dict[str, Any]) -> None:
    assert found["foreign"] == []


def quotient(a, b):
    return np.int64(a / b)


def root(a, b):
    return np.int64(math.sqrt(a)) + b


def exponential(a, b):
    return np.int64(np.exp(a)) + b


def halved(a, b):
    return np.int64(a * 0.5) + b


def narrow(a, b):
    return np.int64(np.float32(a) * np.float32(b))


def compared(a, b):
    return 1 if a < 1.5 else b


def of_the_system(a, b):
    return a + b + process_id()


def printed(a, b):
    print(a)
    return a + b


def of_integers(a, b):
    return min(a, b) // max(b, 1)


def compiled(function: Callable[..., Any]) -> Code:
    jitted = njit(function)
    jitted(7, 2)
    return next(code_of(function.__name__, jitted))


@pytest.mark.parametrize("function", [quotient, root, exponential, halved, narrow])
def test_a_float_would_be_found(function: Callable[..., Any]) -> None:
    code = compiled(function)
    assert floats_in_llvm(code.llvm)
    assert floats_in_assembly(code.assembly, MACHINE)


def test_what_the_optimizer_folds_away_is_found_without_it() -> None:
    """It compares with 2 instead; NUMBA_OPT=0 is one of the ways of tests/support/ways.py."""
    assert not floats_in_llvm(compiled(compared).llvm)
    assert printed_by(UNOPTIMIZED, NUMBA_OPT="0")


@pytest.mark.parametrize(
    ("function", "name"),
    [(root, "sqrt"), (exponential, "llvm.exp.f64"), (of_the_system, "call i32 %"),
     (printed, "PySys_FormatStdout")],
)  # fmt: skip
def test_a_foreign_call_would_be_found(function: Callable[..., Any], name: str) -> None:
    calls = foreign_calls(compiled(function).llvm, __name__)
    assert any(name in call for call in calls), calls


def test_integers_and_what_numba_needs_are_no_finding() -> None:
    code = compiled(of_integers)
    assert floats_in_llvm(code.llvm) == floats_in_assembly(code.assembly, MACHINE) == []
    assert foreign_calls(code.llvm, __name__) == []


@pytest.mark.parametrize(
    ("machine", "text"),
    [("x86_64", "addss mulsd vfmadd231ps cvtsi2sd vcvttpd2dq ucomisd sqrtsd vmaxps divps "
                "roundsd cmpltsd fld fmulp vrndscaleps vaddph vcmppd"),
     ("aarch64", "fadd fmul fmadd fcvtzs scvtf ucvtf fcmp fsqrt frintm bfdot")],
)  # fmt: skip
def test_floating_point_mnemonics_are_known(machine: str, text: str) -> None:
    names = text.split()
    assembly = "".join(f"\t{name}\t%xmm0, %xmm1\n" for name in names)
    assert floats_in_assembly(assembly, machine) == sorted(names)


@pytest.mark.parametrize(
    ("machine", "text"),
    [("x86_64", "movups vmovss xorps vpaddq pmaxsd vpmulld cmpq vpcmpgtd mfence vpdpbusd addq "
                "subq shufps imulq sarq cmpsb vpmovsxbw"),
     ("aarch64", "fmov add smull sqrdmulh bfi bfxil sdot smax")],
)  # fmt: skip
def test_moves_and_integer_mnemonics_are_no_finding(machine: str, text: str) -> None:
    assembly = "".join(f"\t{name}\t%xmm0, %xmm1\n" for name in text.split())
    assert floats_in_assembly(assembly, machine) == []
