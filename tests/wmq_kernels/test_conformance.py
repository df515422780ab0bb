"""The pack: what it holds, what passes it, and that each kind of fault is found in it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.wmq_kernels.programs import needs_vnni
from wmq.cli import main
from wmq.cli.conformance import ENGINES as offered
from wmq_kernels.conformance import running
from wmq_kernels.conformance.building import build, plan
from wmq_kernels.conformance.pack import FILES, Case, PackError, pack_sha256, read_pack
from wmq_kernels.conformance.ports import KINDS_OF_PORTS
from wmq_kernels.conformance.refusals.damage import made, refusals
from wmq_kernels.conformance.running import ENGINES, Report, by_oracle, run_pack
from wmq_kernels.conformance.trials import boundaries, exhaustive, remembering, rules, sampling
from wmq_kernels.conformance.trials.trial import Trial
from wmq_kernels.decoding import decode
from wmq_kernels.errors import REASONS
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.program import FORMAT_VERSION, encode
from wmq_kernels.rangecheck import prove

each_engine = pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=needs_vnni) if name == "vnni" else name for name in ENGINES],
)
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text("utf-8")
EVERY = 60  # the small pack has each 60th case


def silent(what: str, done: int, total: int) -> None:
    pass


def report(folder: Path, engine: str = "numba") -> Report:
    return run_pack(read_pack(folder), engine, 1, silent)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["conformance", *map(str, arguments)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "small"
    build(folder, 0, 1, silent, EVERY)
    return folder


@pytest.fixture
def pack(small: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return copytree(small, tmp_path / "pack")


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def seal(folder: Path, **changes: Any) -> None:
    """Make sizes and hashes in pack.json those of the files, as an attacker would."""
    header = load(folder, "pack.json")
    for name in FILES:
        content = (folder / name).read_bytes()
        header["files"][name] = [len(content), hashlib.sha256(content).hexdigest()]
    header["pack_sha256"] = pack_sha256(header["files"])
    (folder / "pack.json").write_text(json.dumps(header | changes))


def edit(folder: Path, name: str, change: Callable[[Any], object]) -> None:
    rows = load(folder, name)
    change(rows)
    (folder / name).write_text(json.dumps(rows))
    seal(folder)


# --- what it holds ----------------------------------------------------------------------


def test_the_plan_has_the_sizes_that_were_asked_for() -> None:
    jobs, refused = plan(0), refusals()
    kinds = Counter(job.kind for job in jobs)
    assert kinds["graphs"] >= 5000
    assert kinds["networks"] >= 4
    assert {job.name.rsplit(maxsplit=1)[0] for job in jobs if job.kind == "ports"} == {
        *KINDS_OF_PORTS
    }
    assert len(refused) >= 1000
    assert {one.reason for one in refused} == set(REASONS)
    for names in ([(job.kind, job.name) for job in jobs], [one.name for one in refused]):
        assert len(set(names)) == len(names)


def test_the_docs_give_the_counts() -> None:
    kinds, classes = (Counter(job.kind for job in plan(0)), Counter(r.reason for r in refusals()))
    for kind, count in kinds.items():
        assert f"| `{kind}` | {count:,} |" in DOCS
    for reason, count in classes.items():
        assert f"| `{reason}` | {count} |" in DOCS
    assert f"| refusals | {classes.total():,} |" in DOCS


def test_every_instruction_is_drawn_and_every_rounding_one_has_boundaries() -> None:
    drawn = {job.name.split()[0] for job in plan(0) if job.kind == "graphs"}
    assert set(TABLE) <= drawn
    names = [*boundaries.TRIALS, *remembering.TRIALS, *rules.TRIALS, *sampling.TRIALS]
    tried = {op for op in TABLE for name in names if name.startswith((f"{op} ", f"{op},"))}
    rounds = {row.name for row in TABLE.values() if "round_shift" in row.formula or row.saturates}
    assert rounds - tried == {"silu", "softplus", "decay"}  # in the exhaustive trials


def test_another_seed_has_other_graphs() -> None:
    first, second = ({encode(job.make().program) for job in plan(seed)[-700:-600:20]}
                     for seed in (0, 1))  # fmt: skip
    assert len(first) == 5 and not first & second


@cache
def tried(name: str) -> tuple[Trial, np.ndarray]:
    """A trial and its heads by the oracle."""
    trial = (exhaustive.TRIALS | boundaries.TRIALS | remembering.TRIALS)[name]()
    outcome = by_oracle(trial.program, np.array(trial.given), np.array(trial.inputs),
                        trial.frames)  # fmt: skip
    return trial, outcome.heads


@pytest.mark.parametrize("op", ["dot", "dot_add"])
def test_all_pairs_of_int8_are_multiplied(op: str) -> None:
    name, bias = {"dot": ("dot, bias 0", 0), "dot_add": ("dot_add, shift 7", None)}[op]
    trial, heads = tried(name)
    x, weight = np.array(trial.given)[:, :1], np.arange(-128, 128)[None]
    assert set(x.ravel().tolist()) == set(range(-128, 128))
    if bias is not None:
        np.testing.assert_array_equal(heads, x * weight + bias)
    else:
        sums = heads - 128 * x * weight
        assert len(np.unique(sums, axis=0)) == 1 and len(np.unique(sums)) == 5


def test_embed_meets_every_class_and_both_sides() -> None:
    trial, heads = tried("embed, 7 x 3")
    indices = [row[0] for row in trial.given]
    assert {*range(-3, 10), *INT32} <= set(indices)
    rows = dict(zip(indices, heads.tolist(), strict=True))
    assert len({tuple(rows[k]) for k in range(7)}) == 7
    assert rows[-1] == rows[INT32[0]] == rows[0] and rows[7] == rows[INT32[1]] == rows[6]


@pytest.mark.parametrize("fraction", range(7, 16))
def test_silu_meets_all_int16(fraction: int) -> None:
    names = [name for name in exhaustive.TRIALS if name.startswith(f"silu, fraction {fraction},")]
    assert len(names) == 2
    for name in names:
        given = np.array(exhaustive.TRIALS[name]().given)[:, : exhaustive.LANES]
        assert len(np.unique(given)) == 1 << 16


def test_tables_are_met_at_both_sides_of_their_points() -> None:
    x = set(np.array(tried("softplus")[0].given).ravel().tolist())
    points = [k << 10 for k in range(-1024, 1024)]
    assert {p + d for p in points for d in (-1, 0, 1)} - {-(1 << 20) - 1} <= x
    dt = set(np.array(tried("decay, every coarse point")[0].given).ravel().tolist())
    assert {(k << 18) + d for k in range(1, 5698) for d in (-1, 0, 1)} <= dt
    fine = set(np.array(tried("decay, fine points")[0].given).ravel().tolist())
    assert {j for j in range(256) if {(v << 16) for v in range(j, 1 << 15, 256)} & fine} == {
        *range(256)
    }


def sides(inputs: list[int], outputs: list[int]) -> set[int]:
    """Outputs that neighbouring inputs pass: y where x gives y and x - 1 or x + 1 gives less."""
    of = dict(zip(inputs, outputs, strict=True))
    return {y for x, y in of.items() for beside in (x - 1, x + 1) if of.get(beside, y) < y}


@pytest.mark.parametrize("lane", [4, 5, 6, 7, 8, 9])
def test_requantize_i8_passes_each_step_and_both_clamps(lane: int) -> None:
    trial, heads = tried("requantize_i8 in [-128, 127]")
    m, s = boundaries.SCALES[lane]
    x = [row[lane] for row in trial.given]
    assert sides(x, heads[:, lane].tolist()) == set(range(-127, 128))
    exact = {v: (v * m + (1 << s >> 1)) >> s for v in x}
    passed = sides(list(exact), list(exact.values()))
    assert {-128, 128} <= passed  # where the clamp begins and ends


def test_all_steps_of_a_16_bit_output_are_passed() -> None:
    name = next(n for n in boundaries.TRIALS if "all steps of -123" in n)
    trial, heads = tried(name)
    x = np.array(trial.given)[:, : boundaries.LANES]
    assert sides(x.ravel().tolist(), heads.ravel().tolist()) == set(range(-32_767, 32_768))


def test_all_steps_of_the_digits_are_passed() -> None:
    name = next(n for n in boundaries.TRIALS if "digits, all steps of (x - -777)" in n)
    trial, heads = tried(name)
    x = np.array(trial.given)[:, : boundaries.LANES]
    u = 128 * heads[:, : boundaries.LANES] + heads[:, boundaries.LANES :]
    assert sides(x.ravel().tolist(), u.ravel().tolist()) == set(range(-16_255, 16_257))


def test_a_norm_passes_each_step() -> None:
    name = next(n for n in boundaries.TRIALS if n.startswith("rms_norm, eps 1, x[1] = 99999"))
    trial, heads = tried(name)
    assert sides([row[0] for row in trial.given], heads[:, 0].tolist()) == set(range(-127, 128))


@pytest.mark.parametrize("op", ["scan", "scan_carry"])
def test_a_scan_meets_each_state_and_clamps_it(op: str) -> None:
    trial, heads = tried(f"{op}, limit 100, out in [-127, 127]")
    n = 8
    for head in range(n):
        state = heads[:, n + head]
        assert set(state.tolist()) == set(range(-100, 101))
    assert len(np.unique(heads[:, :n])) == 255


@pytest.mark.parametrize("past", [1, 3])
def test_a_convolution_meets_each_output(past: int) -> None:
    """In the lanes where one more unit of x moves it by at most one."""
    _, heads = tried(f"conv in [0, 99], past {past}")
    for lane in (0, 1, 4, 5, 7):
        assert set(heads[:, lane].tolist()) == set(range(100))


def test_refusals_are_refused_as_planned() -> None:
    """Every one is made, by `made`, which compares the class."""
    files = [made(one) for one in refusals()]
    assert len(set(files)) > len(files) * 0.97  # hardly any file is there twice


# --- what passes ------------------------------------------------------------------------


def test_the_command_offers_every_engine() -> None:
    assert set(offered) == set(ENGINES)


@each_engine
def test_every_engine_passes(small: Path, engine: str) -> None:
    found = report(small, engine)
    assert not found.differences
    assert found.passed == read_pack(small).header.counts
    assert min(found.passed[kind] for kind in ("exhaustive", "boundaries", "graphs")) > 0
    assert found.other_class == 0


def test_the_build_is_the_same_on_any_number_of_cores(small: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", 0, 2, silent, EVERY)
    for name in ("pack.json", *FILES):
        assert (tmp_path / "again" / name).read_bytes() == (small / name).read_bytes()


def test_workers_report_as_one_process_does(small: Path) -> None:
    opened = read_pack(small)
    assert run_pack(opened, "numba", 2, silent) == run_pack(opened, "numba", 1, silent)


def test_json_and_file_reads_suffice(small: Path) -> None:
    """A reader written from docs/conformance.md, with nothing of ours."""
    header, cases = load(small, "pack.json"), load(small, "cases.json")
    listed = ""
    for name in ("cases.json", "programs.bin", "refusals.json", "vectors.bin"):
        content = (small / name).read_bytes()
        assert header["files"][name] == [len(content), hashlib.sha256(content).hexdigest()]
        listed += f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    assert header["pack_sha256"] == hashlib.sha256(listed.encode()).hexdigest()
    assert (header["format"], header["spec"]) == ("wmq-conformance", FORMAT_VERSION)
    programs, vectors = ((small / name).read_bytes() for name in ("programs.bin", "vectors.bin"))
    opened = read_pack(small)
    for case, ours in zip(cases, opened.cases, strict=True):
        content = b"".join(programs[at : at + length] for at, length in case["program"])
        prove(decode(content))
        assert content == opened.file(ours.program)
        for key in ("given", "inputs", "made", "heads", "saturations"):
            dtype, at, rows, columns = case[key]
            letter = {"i8": "b", "i16": "h", "i32": "i", "i64": "q"}[dtype]
            numbers = struct.unpack_from(f"<{rows * columns}{letter}", vectors, at)
            assert opened.array(getattr(ours, key)).ravel().tolist() == list(numbers)


# --- what is found ----------------------------------------------------------------------


def put_array(folder: Path, case: dict, key: str, array: np.ndarray) -> None:
    """Point the case to a new array."""
    content = (folder / "vectors.bin").read_bytes()
    content += bytes(-len(content) % 8)
    (folder / "vectors.bin").write_bytes(content + array.astype("<i8").tobytes())
    place = case["states"] if key not in case else case
    place[key] = ["i64", len(content), *array.shape]


def stateful(folder: Path) -> tuple[int, Case]:
    """A case with states and some frames."""
    cases = enumerate(read_pack(folder).cases)
    return next((i, c) for i, c in cases if c.states and c.frames > 1 and c.kind == "graphs")


@each_engine
@pytest.mark.parametrize("key", ["made", "heads", "saturations", "state"])
def test_a_changed_expectation_is_found_and_located(pack: Path, key: str, engine: str) -> None:
    number, case = stateful(pack)
    name = sorted(case.states)[-1] if key == "state" else key
    array = read_pack(pack).array(case.states[name] if key == "state" else getattr(case, key))
    row, column = len(array) - 1, array.shape[1] // 2
    array[row, column] += 1
    edit(pack, "cases.json", lambda cases: put_array(pack, cases[number], name, array))
    (difference,) = report(pack, engine).differences
    value = {"made": "next_frame", "state": f"state {name!r}"}.get(key, key)
    assert (difference.kind, difference.case) == (case.kind, case.name)
    assert (difference.frame, difference.value) == (case.frames - 1, value)
    assert (difference.element, difference.expected) == (column, array[row, column])
    assert difference.found == array[row, column] - 1
    assert f"frame {case.frames - 1}, {value}[{column}]: expected" in difference.what


def test_the_first_frame_that_differs_is_named(pack: Path) -> None:
    number, case = stateful(pack)
    opened = read_pack(pack)

    def spoil(cases: list) -> None:
        for key, row in (("made", 1), ("heads", 0)):
            array = opened.array(getattr(case, key))
            array[row:] += 5
            put_array(pack, cases[number], key, array)

    edit(pack, "cases.json", spoil)
    (difference,) = report(pack).differences
    assert (difference.frame, difference.value, difference.element) == (0, "heads", 0)


def test_a_changed_byte_of_the_vectors_is_found(pack: Path) -> None:
    heads = stateful(pack)[1].heads
    content = bytearray((pack / "vectors.bin").read_bytes())
    content[heads.at] ^= 1
    (pack / "vectors.bin").write_bytes(content)
    with pytest.raises(PackError, match="damaged"):
        read_pack(pack)
    seal(pack)
    assert len(report(pack).differences) >= 1


def test_a_wrong_program_is_found(pack: Path) -> None:
    number, case = stateful(pack)
    others = [c for c in read_pack(pack).cases if c.kind == "graphs" and c.name != case.name]
    changed = [list(piece) for piece in others[0].program]
    edit(pack, "cases.json", lambda cases: cases[number].update(program=changed))
    (difference,) = report(pack).differences
    assert difference.case == case.name


def test_a_refused_program_is_a_difference(pack: Path) -> None:
    number, case = stateful(pack)
    edit(pack, "cases.json", lambda cases: cases[number]["program"].pop())
    (difference,) = report(pack).differences
    assert difference.case == case.name and "is refused" in difference.what


def test_a_file_that_is_not_refused_is_found(pack: Path) -> None:
    sound = [list(piece) for piece in read_pack(pack).cases[-1].program]
    edit(pack, "refusals.json", lambda rows: rows[3].update(program=sound))
    (difference,) = report(pack).differences
    assert (difference.kind, difference.case) == (
        "refusals",
        load(pack, "refusals.json")[3]["name"],
    )
    assert "is accepted" in difference.what


def test_a_reader_that_fails_in_another_way_is_found(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_pack(small).file(read_pack(small).refusals[0].program)

    def careless(content: bytes) -> Any:
        return {}["key"] if content == first else decode(content)

    monkeypatch.setattr(running, "decode", careless)
    (difference,) = report(small).differences
    assert "fails with KeyError" in difference.what


def test_another_class_is_told_but_no_difference(pack: Path) -> None:
    edit(pack, "refusals.json", lambda rows: rows[0].update(reason="port"))
    found = report(pack)
    assert (found.differences, found.other_class) == ([], 1)


# --- bad packs --------------------------------------------------------------------------


def of_case(key: str, value: Any) -> Callable[[list], object]:
    return lambda rows: rows[0].update({key: value})


BAD_CASES: dict[str, Callable[[list], object]] = {
    "no name": lambda rows: rows[0].pop("name"),
    "kind unknown": of_case("kind", "other"),
    "frames zero": of_case("frames", 0),
    "frames too many": of_case("frames", 1 << 40),
    "frames a bool": of_case("frames", True),
    "frames do not match": lambda rows: rows[0].update(frames=rows[0]["frames"] + 1),
    "more given than frames": lambda rows: rows[0]["given"].__setitem__(2, 1 << 20),
    "array of three": lambda rows: rows[0]["heads"].pop(),
    "array a number": of_case("heads", 7),
    "type unknown": lambda rows: rows[0]["heads"].__setitem__(0, "f32"),
    "offset negative": lambda rows: rows[0]["heads"].__setitem__(1, -1),
    "offset a fraction": lambda rows: rows[0]["heads"].__setitem__(1, 0.5),
    "offset beyond the file": lambda rows: rows[0]["heads"].__setitem__(1, 1 << 29),
    "offset beyond int64": lambda rows: rows[0]["heads"].__setitem__(1, 1 << 70),
    "columns zero": lambda rows: rows[0]["heads"].__setitem__(3, 0),
    "columns beyond the file": lambda rows: rows[0]["heads"].__setitem__(3, 1 << 28),
    "state of two rows": lambda rows: rows[0].update(states={"a": ["i8", 0, 2, 1]}),
    "states a list": of_case("states", []),
    "words alone": lambda rows: rows[0].update(words=rows[0]["given"]),
    "draws for other frames": lambda rows: rows[0].update(
        words=["i8", 0, 1 << 20, 1], forced=["i8", 0, 1 << 20, 1]
    ),
    "program a number": of_case("program", 3),
    "piece of one": of_case("program", [[0]]),
    "piece beyond the file": of_case("program", [[0, 1 << 29]]),
    "piece negative": of_case("program", [[-1, 8]]),
    "program beyond all bounds": of_case("program", [[0, 1_000_000]] * 2000),
    "not a list": lambda rows: rows.__setitem__(0, 3),
    "a case less": lambda rows: rows.pop(),
}


@pytest.mark.parametrize("name", BAD_CASES)
def test_cases_that_do_not_hold_are_refused(pack: Path, name: str) -> None:
    edit(pack, "cases.json", BAD_CASES[name])
    with pytest.raises(PackError, match="pack"):
        read_pack(pack)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"format":"other"}'],
)
@pytest.mark.parametrize("name", ["pack.json", "cases.json", "refusals.json"])
def test_what_is_no_pack_is_refused(pack: Path, name: str, content: bytes) -> None:
    (pack / name).write_bytes(content)
    if name != "pack.json":
        seal(pack)
    with pytest.raises(PackError, match=name if content != b"[]" else "pack.json"):
        read_pack(pack)


@pytest.mark.parametrize(
    "changes",
    [{"version": 1}, {"spec": FORMAT_VERSION - 1}, {"format": "x"}, {"files": {}},
     {"pack_sha256": "0"}, {"counts": {}}, {"counts": {"graphs": -1}}, {"seed": "0"}],
    ids=str,
)  # fmt: skip
def test_another_header_is_refused(pack: Path, changes: dict) -> None:
    seal(pack, **changes)
    with pytest.raises(PackError, match="pack.json"):
        read_pack(pack)


def test_sizes_that_the_program_does_not_have_are_found(pack: Path) -> None:
    number, case = stateful(pack)
    edit(pack, "cases.json", lambda cases: cases[number]["given"].__setitem__(3, 1))
    (difference,) = report(pack).differences
    assert "given has 1 numbers a row" in difference.what


# --- the command ------------------------------------------------------------------------


def test_the_command_ends_with_0_1_or_2(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wmq.cli.conformance.cores", lambda: 1)
    good = invoke("run", pack)
    assert good.exit_code == 0 and "same: every number" in good.stdout
    assert json.loads(invoke("run", pack, "--engine", "oracle", "--json").stdout)["same"] is True
    number, _ = stateful(pack)
    array = read_pack(pack).array(read_pack(pack).cases[number].heads) + 1
    edit(pack, "cases.json", lambda cases: put_array(pack, cases[number], "heads", array))
    differs = invoke("run", pack)
    assert differs.exit_code == 1 and "differs: graphs" in differs.stdout
    facts = json.loads(invoke("run", pack, "--json").stdout)
    assert (facts["same"], facts["differences"][0]["frame"]) == (False, 0)
    (pack / "vectors.bin").unlink()
    missing = invoke("run", pack)
    assert missing.exit_code == 2 and "vectors.bin" in missing.stderr
    assert missing.stderr.count("\n") == 1


def test_nothing_is_written_over_and_nothing_half(small: Path, tmp_path: Path) -> None:
    there = invoke("build", "-o", small)
    assert there.exit_code == 2 and "exists" in there.stderr
    nowhere = invoke("build", "-o", tmp_path / "no" / "pack")
    assert nowhere.exit_code == 2 and "no such folder" in nowhere.stderr

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "pack", 0, 1, interrupt, EVERY)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_no_folder_and_says_one_line(tmp_path: Path) -> None:
    """A real SIGINT to the command and its workers, as a terminal sends it."""
    code = "if __name__ == '__main__':\n from wmq.cli import main; main(prog_name='wmq')"
    command = [sys.executable, "-c", code, "conformance", "build", "-o", str(tmp_path / "pack")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".pack.*/vectors.bin")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "wmq: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_the_whole_pack_is_built_and_passes_on_both_engines(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    header = build(folder, 0, 2, silent)
    size = sum(size for size, _ in header.files.values())
    assert size < 70_000_000
    assert f"{size:,} bytes" in DOCS and header.pack_sha256 in DOCS
    opened = read_pack(folder)
    for engine in ENGINES:
        found = run_pack(opened, engine, 2, silent)
        assert not found.differences and found.passed == header.counts
