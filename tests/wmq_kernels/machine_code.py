"""The engine as numba compiled it, searched for floating point and for foreign calls.

`report` compiles every kernel for the present processor and says what it found, as plain
data; a process that loads kernels from numba's cache can't, as the cache keeps no text.
LLVM code is the optimized one, from which the assembly and the machine code come.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

PACKAGE = "wmq_kernels.engine"
NUMBA_NAMES = re.compile(  # min, max and np.empty of integers, where nothing is optimized
    r"_ZN5numba(7cpython8builtins6ol_(max|min)|2np8arrayobj(11ol_np_empty|15_call_allocator"
    r"|18_ol_array_allocate))\w+"
)
# What numba's wrappers and arrays need; none takes or returns a floating-point number.
RUNTIME = frozenset(
    "numba_adapt_ndarray PyBool_FromLong sched_yield NRT_incref NRT_decref NRT_Free "
    "NRT_MemInfo_alloc_aligned NRT_MemInfo_call_dtor NRT_MemInfo_data_fast "
    "NRT_adapt_ndarray_from_python nrt_atomic_add nrt_atomic_sub "
    "numba_do_raise numba_gil_ensure numba_gil_release "
    "numba_runtime_build_excinfo_struct numba_unpickle "
    "PyArg_UnpackTuple PyBytes_FromStringAndSize PyErr_Clear PyErr_Occurred PyErr_SetNone "
    "PyErr_SetString PyErr_WriteUnraisable PyEval_RestoreThread PyEval_SaveThread "
    "PyLong_AsLongLong PyLong_FromLongLong PyNumber_Long PyTuple_New PyTuple_SetItem "
    "PyUnicode_FromString Py_DecRef Py_IncRef".split()
)

AVX512 = re.compile(r"\b(vpdpbusd|zmm)(?=\d*\b)")
POINTER_CALL = re.compile(r"%\S+ = call (ptr|i8\*) %[\w.]+\((ptr|i8\*) %[\w.]+\)")
NO_CODE = re.compile(r'"[^"]*"|[@%!$#][-\w.$]+|;.*')  # strings, names and comments of LLVM code
FLOAT_TYPE = re.compile(r"\b(half|bfloat|float|double|x86_fp80|fp128|ppc_fp128)\b")
MNEMONIC = re.compile(r"^\s+([a-z][a-z0-9.]*)\b", re.M)
# Arithmetic, comparison and conversion.  Moves, shuffles and bitwise logic are left out:
# movups, xorps and their like serve integers just as well, and compilers use them so.
FLOAT_MNEMONICS = {
    "x86_64": re.compile(
        r"v?((add|addsub|sub|mul|div|sqrt|min|max|cmp\w*|u?comi|round|rndscale|rcp\w*|rsqrt\w*"
        r"|hadd|hsub|dp|scalef|getexp|getmant|range|reduce|exp2)[sp][sdh]|cvt\w+|dpbf16ps)"
        r"|vf\w+|f\w+"
    ),
    "aarch64": re.compile(r"f(?!mov)\w+|[su]cvtf|bf(cvt\w*|dot|mmla|mlal\w*)"),
}


@dataclass(frozen=True)
class Code:
    """One compiled specialization of a function: `requantize` has three."""

    name: str
    llvm: str
    assembly: str


def code_of(name: str, function: Any) -> Iterator[Code]:
    """Every specialization that this process compiled."""
    assemblies = function.inspect_asm()
    for signature, llvm in function.inspect_llvm().items():
        assert "define" in llvm, f"{name}: came from numba's cache, whose text is lost"
        yield Code(name, llvm, assemblies[signature])


def floats_in_llvm(llvm: str) -> list[str]:
    """The lines that name a floating-point type.

    LLVM code states the type of each operand, so no instruction, conversion, constant,
    variable or function signature can do with floating point and name none.
    """
    return [line.strip() for line in llvm.splitlines()
            if FLOAT_TYPE.search(NO_CODE.sub("", line))]  # fmt: skip


def floats_in_assembly(assembly: str, machine: str) -> list[str]:
    """The mnemonics that compute with floating point, each once.  machine: of FLOAT_MNEMONICS."""
    pattern = FLOAT_MNEMONICS[machine]
    return sorted({name for name in MNEMONIC.findall(assembly) if pattern.fullmatch(name)})


def foreign_calls(llvm: str, module: str) -> list[str]:
    """What is neither of `module`, nor of numba's runtime, nor an integer intrinsic of LLVM.

    Everything that code could call directly is a function of its LLVM module, so each of
    those must be known.  Calls through a pointer are foreign, but for one: a wrapper that turns
    an error into a Python exception calls what numba left in the error, pointer to pointer.
    """
    from llvmlite import binding

    mangled = "".join(f"{len(part)}{part}" for part in module.split("."))
    wrapper = re.compile(rf"(_ZN7cpython{mangled}|cfunc\._ZN{mangled})\w+")
    ours = re.compile(rf"_ZN{mangled}\w+|{wrapper.pattern}")
    found = []
    for function in binding.parse_assembly(llvm).functions:
        if not ours.fullmatch(function.name) and not _is_known(function):
            found.append(function.name)
        for block in function.blocks:
            for instruction in block.instructions:
                if instruction.opcode not in ("call", "invoke", "callbr"):
                    continue
                *_, callee = instruction.operands
                text = str(instruction).strip()
                if callee.value_kind == binding.ValueKind.function:
                    continue
                if not (wrapper.fullmatch(function.name) and POINTER_CALL.fullmatch(text)):
                    found.append(f"{function.name}: {text}")
    return found


def _is_known(function: Any) -> bool:
    name = function.name
    if name.startswith("llvm."):
        return not floats_in_llvm(str(function))
    return name in RUNTIME or NUMBA_NAMES.fullmatch(name) is not None


def compile_everything() -> None:
    """Have the frame loops and all kernels compiled, by a frame of a program that uses all."""
    from wmq_kernels.conformance.network import network
    from wmq_kernels.engine import Engine

    program = network(0)
    sizes = {name: program.values[name].size for name in ("frame", "controllers")}
    frame = np.zeros((1, sizes["frame"]), np.int32)
    for kernels in ("auto", "portable"):
        engine = Engine(program, kernels)
        engine.run(engine.zero_state(), frame, np.zeros((2, sizes["controllers"]), np.int32), 1)


def compiled_functions() -> dict[str, Any]:
    """What numba compiles of the engine, by name: "silu", but "vnni.block" and "vnni_scan.silu"."""
    from numba.extending import is_jitted

    from wmq_kernels.engine import (
        barrier,
        frame_kernels,
        frame_steps,
        kernels,
        loop,
        vnni,
        vnni_scan,
    )

    found = {}
    for module in (kernels, frame_kernels, frame_steps, loop, barrier, vnni, vnni_scan):
        prefix = {vnni: "vnni.", vnni_scan: "vnni_scan."}.get(module, "")
        found |= {prefix + name: one for name, one in sorted(vars(module).items())
                  if is_jitted(one) and one.py_func.__module__ == module.__name__}  # fmt: skip
    return found


def report(of: Collection[str] | None = None) -> dict[str, Any]:
    """What there is in the compiled engine, or in the functions `of` these names.

    The frame loop's code holds that of all kernels once more, as it calls them.

    functions    names of functions, one for each specialization
    inlined      those that numba merges into their callers before LLVM sees them
    llvm         lines with floating point; assembly: such mnemonics; foreign: such calls
    avx512       which of zmm registers and vpdpbusd there are
    code_sha256  over all mnemonics in order: other code has another one
    """
    compile_everything()
    functions = compiled_functions()
    inlined = [n for n, one in functions.items() if one.targetoptions.get("inline") == "always"]
    wanted = functions.keys() if of is None else of
    codes = [code for name in wanted for code in code_of(name, functions[name])]
    machine = platform.machine()
    mnemonics = " ".join(m for code in codes for m in MNEMONIC.findall(code.assembly))
    return {
        "functions": [code.name for code in codes],
        "not compiled": sorted(
            n for n, one in functions.items() if not one.signatures and n not in inlined
        ),
        "inlined": inlined,
        "llvm": [line for code in codes for line in floats_in_llvm(code.llvm)],
        "assembly": [m for code in codes for m in floats_in_assembly(code.assembly, machine)],
        "foreign": [call for code in codes for call in foreign_calls(code.llvm, PACKAGE)],
        "avx512": sorted({found for code in codes for found in AVX512.findall(code.assembly)}),
        "code_sha256": hashlib.sha256(mnemonics.encode()).hexdigest(),
    }
