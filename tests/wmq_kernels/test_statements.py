"""Statements of docs/SPEC.md that no other test here holds: L6, R3, F7 and I19 at their edges."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.wmq_kernels.programs import Case
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.engine import Engine
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import INT32
from wmq_kernels.program import Program, Value, encode
from wmq_kernels.rangecheck import certified
from wmq_kernels.reference import Reference

ROOT = Path(__file__).parents[2]


def counting() -> Program:
    """Its state counts frames, which shows whether a run began; one port is narrower."""
    b = Builder(Random(0))
    x, state = b.part(1, (-9, 9)), b.state("count", "i32", 1, (-100, 100))
    one = b.read("one", "i32", 1, (1, 1))
    more = b.temp("more", "i32", 1, (-100, 100))
    b.step("add", {"a": state, "b": one, "out": more}, n=1, lo=-100, hi=100)
    b.step("copy", {"x": more, "out": state}, n=1)
    b.show("count", state)
    assert x.count == 1
    program = b.program(frame_interval=(-9, 9), controllers=(-9, 9))
    narrower = replace(program.values["next_controllers"], lo=-3, hi=5)
    return certified(replace(program, values={**program.values, "next_controllers": narrower}))


GOOD = [[0, 1]], [[0, 0], [-3, 5], [1, 1]], 2


@pytest.mark.parametrize(
    ("given", "controllers", "frames"),
    [
        ([], [[0, 0]], 0),
        ([], GOOD[1], 2),
        ([[0, 1]] * 3, GOOD[1], 2),
        (GOOD[0], GOOD[1][:2], 2),
        (GOOD[0], [*GOOD[1], [0, 0]], 2),
        ([[0]], GOOD[1], 2),
        ([[0, 1, 0]], GOOD[1], 2),
        (GOOD[0], [[0]] * 3, 2),
        ([[10, 1]], GOOD[1], 2),
        ([[0, 1], [0, -10]], GOOD[1], 2),
        (GOOD[0], [[6, 0], [0, 0], [0, 0]], 2),
        (GOOD[0], [[0, 0], [-4, 0], [0, 0]], 2),
        (GOOD[0], [[0, 0], [0, 0], [0, 6]], 2),
    ],
    ids=["no frame", "none given", "more given than frames", "a row short", "a row over",
         "a short frame", "a long frame", "short rows", "first frame out", "second frame out",
         "row 0 out", "row 1 out", "last row out"],
)  # fmt: skip
def test_a_malformed_run_is_refused_before_its_first_frame(
    given: list, controllers: list, frames: int
) -> None:
    program = counting()
    reference, engine = Reference(program), Engine(program, "portable")
    with pytest.raises(ProgramError):
        reference.run(given, controllers, frames)
    state = engine.zero_state()
    width = len(given[0]) if given else 2
    with pytest.raises(ProgramError):
        engine.run(state, np.array(given, np.int32).reshape(-1, width),
                   np.array(controllers, np.int32), frames)  # fmt: skip
    wanted = reference.run(*GOOD, heads=True).heads
    run = engine.run(state, *(np.array(rows, np.int32) for rows in GOOD[:2]), GOOD[2], heads=True)
    assert wanted is not None and run.heads is not None
    assert [row[0] for row in wanted] == [1, 2] == run.heads[:, 0].tolist()


def test_an_updated_temp_is_one_that_was_written_before() -> None:
    """R3: conv's history is what a step of the same frame put there."""
    b = Builder(Random(3))
    history = b.temp("history", "i16", 4, (-50, 50))
    b.requantize(b.part(4, (-50, 50)), history, (-50, 50))
    x, out = b.read("x", "i16", 2, (-50, 50)), b.temp("out", "i16", 2, (-30_000, 30_000))
    ones = b.const("ones", "i16", [1, 1])
    b.step("conv", {"x": x, "history": history, "weight": b.const("w", "i16", [1, 2, 3, 4]),
                    "weight_now": ones, "bias": b.const("bias", "i32", [0, 0]),
                    "multiplier": b.const("m", "i32", [1, 1]),
                    "shift": b.const("s", "i32", [0, 0]), "out": out},
           past=2, n=2, lo=-30_000, hi=30_000)  # fmt: skip
    b.show("out", out)
    b.show("history", history)
    program = certified(b.program())
    case = Case(program, b.frames(3), 3)
    assert not case.difference()
    frame, heads = case.given[0], case.heads
    (w0, w1), (w2, w3), now = (1, 2), (3, 4), frame[4:6]
    assert heads is not None
    assert heads[0] == [
        now[0] + w0 * frame[0] + w2 * frame[2], now[1] + w1 * frame[1] + w3 * frame[3],
        frame[2], frame[3], *now,
    ]  # fmt: skip
    without = [step for step in program.steps if step.operands.get("out") != history]
    with pytest.raises(ProgramError, match="history") as caught:
        certified(replace(program, steps=tuple(without)))
    assert caught.value.reason == "order"


def test_a_falling_other_than_1_leaves_the_value_but_lowers_the_bound() -> None:
    """I19's formula asks for 1, its proof for anything but 0."""
    b = Builder(Random(0))
    now, value = b.read("now", "i32", 3, (-7, 4)), b.part(3, INT32)
    out = b.temp("out", "i32", 3, INT32)
    constants = {"least": [0] * 3, "most": [9] * 3, "falling": [0, 1, 2]}
    b.step("frame_round", {"now": now, "value": value, "out": out,
                           **{name: b.const(name, "i32", data)
                              for name, data in constants.items()}}, n=3)  # fmt: skip
    b.show("out", out)
    program = certified(b.program())
    case = Case(program, [[-2] * 3 + [5 << 16] * 3], 1)
    assert not case.difference()
    assert case.heads == [[5, -2, 5]]
    entry = next(found for step, found in zip(program.steps, program.certificate, strict=True)
                 if step.op == "frame_round")  # fmt: skip
    assert entry == {"out": [-7, 9]}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_too_little_memory_is_no_refusal(tmp_path: Path) -> None:
    """F7: a file may ask for a GiB and be sound."""
    program = counting()
    large = Value("large", "i8", (1 << 30,), "temp", 0, 0)
    path = tmp_path / "large.wmq"
    path.write_bytes(encode(replace(program, values={**program.values, "large": large})))
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from wmq_kernels.loading import load\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try: load(Path(sys.argv[1]))\n"
        "except MemoryError: print('no memory')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, text=True,
                          capture_output=True, timeout=60)  # fmt: skip
    assert done.stdout == "no memory\n", done.stderr[-500:]
