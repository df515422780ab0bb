"""A second engine, in JavaScript and from docs/SPEC.md, gets the same bits: if the page were
wrong or short of a sentence, these tests would say so."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.support.rollout_models import wmq
from tests.support.ruled_frames import RULED
from wmq.inference.model_files import embedded_model, ships_agent
from wmq.rollout.starts import match_start
from wmq_kernels.conformance.builder import Builder
from wmq_kernels.conformance.building import build
from wmq_kernels.conformance.recipes import draw
from wmq_kernels.isa import INT32
from wmq_kernels.program import Slice, encode
from wmq_kernels.rangecheck import certified

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engines/javascript"
SPEC = ROOT / "docs/SPEC.md"
EVERY = 10  # of the pack's cases
NODE = shutil.which("node")
AGENT = [embedded_model(".wmq", "agent")] if ships_agent() else []

pytest_plugins = ("tests.support.match_models",)
pytestmark = pytest.mark.needs("node", "" if NODE else "it is not installed")


def node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(NODE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def roll(frames: int, *agent: Path) -> None:
    done = node(ENGINE / "rollout.mjs", embedded_model(".wmq"), SPEC, frames, *agent)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-1000:]
    assert [line.split()[0] for line in lines] == [
        str(count) for count in (1, 60, 600, 3600) if count <= frames
    ]
    assert all("as in the page" in line for line in lines), done.stdout


def test_the_first_frames_of_the_standard_rollout_are_those_of_the_page() -> None:
    roll(60)
    if AGENT:
        roll(60, *AGENT)


@pytest.mark.soak
def test_a_minute_of_the_standard_rollout_is_that_of_the_page() -> None:
    roll(3600, *AGENT)


def test_a_match_has_the_hash_that_the_engine_gives_it(match_models: Path, tmp_path: Path) -> None:
    """Sections 10 and 11 with small models: agents in a world that draws, and random play in it."""
    world, agent = match_models / "world.wmq", match_models / "agent.wmq"
    given = match_start(RULED, "battlefield", ("fox", "falco")).given[0].tolist()
    for source, players in ((f"agent:{agent}", [agent]), ("random", [])):
        made = wmq("rollout", world, "--p1", source, "--p2", source, "--frames", 60, "--json")
        page = tmp_path / "page.md"
        page.write_text(f"The given frame:\n```\n{given}\n```\n{json.loads(made.stdout)}")
        done = node(ENGINE / "rollout.mjs", world, page, 60, *players)
        assert done.returncode == 0, done.stderr[-1000:]
        short, whole = done.stdout.splitlines()
        assert short.startswith("1 ") and "as in the page" in whole, done.stdout


def test_it_passes_a_sample_of_the_conformance_pack(tmp_path: Path) -> None:
    build(tmp_path / "pack", 0, 1, lambda what, done, total: None, EVERY)
    done = node(ENGINE / "pack.mjs", tmp_path / "pack")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-1000:]
    assert "cases the same" in done.stdout


def test_another_rounding_fails_it(tmp_path: Path) -> None:
    """The pack tells a floor from a half up."""
    build(tmp_path / "pack", 0, 1, lambda what, done, total: None, 100)
    source, rounding = (ENGINE / "machine.mjs").read_text("utf-8"), "(v + (1n << (s - 1n))) >> s"
    assert rounding in source
    (tmp_path / "machine.mjs").write_text(source.replace(rounding, "v >> s"), "utf-8")
    shutil.copy(ENGINE / "pack.mjs", tmp_path / "pack.mjs")
    done = node(tmp_path / "pack.mjs", tmp_path / "pack")
    assert done.returncode == 1 and "expected" in done.stdout


RUN = """
import { readFileSync } from "node:fs";
const { Machine } = await import(process.argv[1]);
const machine = new Machine(readFileSync(process.argv[2]));
for (const rows of JSON.parse(process.argv[3])) {
  try { console.log(machine.frame(...rows).join()); }
  catch (error) { console.log(error.message); }
}
"""


def frames(path: Path, runs: list) -> list[str]:
    """What each frame of a program gives, or why it is refused."""
    done = node("--input-type=module", "-e", RUN, ENGINE / "machine.mjs", path, json.dumps(runs))
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout.split("\n")[:-1]


def test_it_refuses_a_malformed_frame(tmp_path: Path) -> None:
    """SPEC L6: a size or a number that its port has not; controllers are for both their ports."""
    program = draw("copy", 3)[0]
    narrow = {name: replace(program.values[name], lo=-9, hi=9)
              for name in ("frame", "next_frame", "controllers")}  # fmt: skip
    narrow["next_controllers"] = replace(program.values["next_controllers"], lo=-3, hi=3)
    path = tmp_path / "model.wmq"
    path.write_bytes(encode(replace(program, values={**program.values, **narrow})))
    frame = [0] * program.values["frame"].size
    still = [0, 0]
    found = frames(path, [
        [frame, still, still], [frame[1:], still, still], [[10, *frame[1:]], still, still],
        [frame, [4, 0], still], [frame, still, [0, -4]], [frame, [0], still], [frame, still, still],
    ])  # fmt: skip
    good = ",".join(map(str, frame))
    assert found == [good, "run: frame", "run: frame", "run: next_controllers",
                     "run: next_controllers", "run: controllers", good]  # fmt: skip


def test_it_runs_an_agent_and_refuses_malformed_draws(tmp_path: Path) -> None:
    """SPEC L3 and L6: own controllers, what it sees, words and forced, a row of each a frame."""
    b = Builder(Random(0))
    b.part(2, INT32)
    words, forced = b.draws(2, (-2, 99))
    total = Slice("controllers", 0, 2)
    for other in (Slice("frame", 0, 2), words, forced):
        more = b.temp("more", "i32", 2, INT32)
        b.step("add", {"a": total, "b": other, "out": more}, n=2, lo=INT32[0], hi=INT32[1])
        total = more
    path = tmp_path / "agent.wmq"
    path.write_bytes(encode(certified(b.program(total, kind="agent"))))
    own, seen, word, force = [1, 2], [30, 40], [500, -600], [-2, 99]
    good = [own, seen, word, force]
    found = frames(path, [
        good, [own, seen, word, [-3, 0]], [own, seen, word, [0, 100]],
        [own, seen, [1 << 31, 0], force], [own, seen, word[:1], force], [own, seen], good,
    ])  # fmt: skip
    assert found == ["529,-459", "run: forced", "run: forced", "run: words", "run: words",
                     "run: 4 rows", "529,-459"]  # fmt: skip


def test_it_reads_names_and_numbers_that_look_like_each_other(tmp_path: Path) -> None:
    """SPEC F4: integers beyond 2^53 stand in the header, and strings may hold anything."""
    program = draw("requantize_i32", 3)[0]
    names = {name: "#12345678901234567" for name in program.values if name.startswith("out")}
    assert len(names) == 1
    values = {names.get(name, name): replace(value, name=names.get(name, name))
              for name, value in program.values.items()}  # fmt: skip
    data = {names.get(name, name): array for name, array in program.data.items()}
    steps = [replace(step, operands={k: replace(at, value=names.get(at.value, at.value))
                                     for k, at in step.operands.items()})
             for step in program.steps]  # fmt: skip
    meta = {"note": 'a,1234567890123456789,"\\', "long": 0.12345678901234567, "far": 1e300}
    path = tmp_path / "model.wmq"
    path.write_bytes(encode(replace(program, values=values, data=data, steps=tuple(steps),
                                    meta=meta)))  # fmt: skip
    frame = [0] * program.values["frame"].size
    assert frames(path, [[frame, [0, 0], [0, 0]]]) == [",".join(map(str, frame))]
