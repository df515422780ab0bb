"""The speed benchmark: what it computes from what it measures, and what it does when a
worker fails.  The figures themselves are another matter."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from calib.step.graph import read_step
from tests.support.replay_files import ROOT
from tests.support.rollout_models import wmq
from wmq.bench.speed import text as tables
from wmq.bench.speed.contenders import Contender, chosen, contenders
from wmq.bench.speed.measure import SpeedReport, SpeedSettings, measure
from wmq.bench.worker import integer_worlds, onnx_variants, onnx_worlds, torch_worlds
from wmq.bench.worker import process as workers
from wmq.bench.worker.matches import LENGTH, beginnings
from wmq.bench.worker.messages import EMPTY, WHOLE, Request, Setup
from wmq.bench.worker.process import Worker
from wmq.game.frame_update import next_frames
from wmq.inference.model_files import embedded_model, open_program, schema_of
from wmq.inference.onnx_session import OnnxStep
from wmq.models.presets import ModelConfig
from wmq.models.world import WorldModel
from wmq.toolkits.onnx_methods import saturates
from wmq_kernels.engine import Engine
from wmq_kernels.isa import TABLE

pytest_plugins = ("tests.support.replay_files", "tests.support.rollout_models")

FLOAT = Contender("onnxruntime", "float32", 1)
PORTABLE = Contender("wmq", "portable", 1)
SHORT = ("--seconds", 0.02, "--repeats", 3, "--batch", 1, "--batch", 6)


def quietly(what: str, done: int, total: int, note: str = "") -> None:
    pass


@pytest.fixture(scope="module")
def pair(models: Path) -> tuple[Path, Path]:
    return models / "small.wmq", models / "small.onnx"


@pytest.fixture(scope="module")
def facts(pair: tuple[Path, Path]) -> dict:
    """Of one run of the command."""
    only = ("--only", "portable", "--only", "onnxruntime float32,")
    result = wmq("bench", "speed", *pair, *only, *SHORT, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def small(pair: tuple[Path, Path]) -> SpeedReport:
    settings = SpeedSettings((PORTABLE, FLOAT), (1, 6), 0.02, 2, True, *map(str, pair))
    return measure(settings, quietly)


def test_each_row_is_measured_in_each_way_and_the_median_is_in_its_range(facts: dict) -> None:
    names = [(c["row"], c["batch"], c["way"]) for c in facts["cells"]]
    expected = {(f"wmq portable, {n}", b, "frame") for n in ("1 thread", "2 threads")
                for b in (1, 6)}  # fmt: skip
    expected |= {(f"onnxruntime float32, {n}", b, way) for n in ("1 thread", "2 threads")
                 for b in (1, 6) for way in ("session", "frame")}  # fmt: skip
    assert len(names) == len(expected) and set(names) == expected
    for cell in facts["cells"]:
        figure = cell["figure"]
        assert cell["reason"] == "" and len(figure["repetitions"]) == 3
        assert 0 < figure["lowest"] <= figure["median"] <= figure["highest"]
        assert figure["median"] == statistics.median(figure["repetitions"])


def test_ratios_are_quotients_of_medians_with_as_many_threads(facts: dict) -> None:
    median = {(c["row"], c["batch"], c["way"]): c["figure"]["median"] for c in facts["cells"]}
    assert len(facts["ratios"]) == 2 * 2 * 2
    for ratio in facts["ratios"]:
        assert ratio["ours"].partition(",")[2] == ratio["row"].partition(",")[2]
        quotient = (
            median[ratio["ours"], ratio["batch"], "frame"]
            / median[ratio["row"], ratio["batch"], ratio["way"]]
        )
        assert ratio["ratio"] == pytest.approx(quotient)


def test_shares_are_of_the_limit_of_their_batch_and_threads(facts: dict) -> None:
    top = {(x["batch"], x["threads"]): x["frames_per_second"] for x in facts["limits"]}
    assert set(top) == {(b, n) for b in (1, 6) for n in (1, 2)}
    for cell in facts["cells"]:
        share = cell["figure"]["median"] / top[cell["batch"], cell["threads"]]
        assert cell["share"] == pytest.approx(share)
    assert all(peak["figure"]["median"] > 1e9 for peak in facts["peaks"] if peak["size"])


def following(schema, step, count: int, worlds: int) -> np.ndarray:
    """Frames after `count` steps of `step(frames, controllers, next controllers)`."""
    frames, pads = beginnings(schema, worlds)
    for t in range(count):
        heads = step(frames, pads[:, t % LENGTH], pads[:, (t + 1) % LENGTH])
        frames = next_frames(schema, frames, heads)
    return frames


def test_onnxruntime_plays_what_the_float_step_plays(pair: tuple[Path, Path]) -> None:
    """Each set of bound states is written and read in turn."""
    plain = OnnxStep(pair[1])
    state = plain.zero_state(3)

    def step(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal state
        heads, state = plain.step(*inputs, state)
        return heads

    bound = onnx_worlds.SessionWorlds(plain.session, plain.schema, 3)
    bound.frame(5)
    assert (bound.frames == following(plain.schema, step, 5, 3)).all()
    assert np.abs(bound.values["next_state.0"] - state["state.0"]).max() < 1e-5


@torch.inference_mode()
def test_torch_plays_nearly_what_the_float_step_plays(pair: tuple[Path, Path]) -> None:
    source = read_step(pair[1])
    model = WorldModel(ModelConfig(**source.config)).eval()
    model.load_state_dict({name: torch.from_numpy(a) for name, a in source.weights.items()})
    bound = onnx_worlds.SessionWorlds(OnnxStep(pair[1]).session, model.schema, 3)
    peer = torch_worlds.TorchWorlds(model.step, model, 3)
    bound.frame(4)
    peer.frame(4)
    assert np.abs(bound.frames - peer.frames).max() <= 8  # of 2^16 units


@pytest.mark.parametrize("threads", [1, 2])
def test_worlds_of_the_integer_program_play_as_alone(pair: tuple[Path, Path], threads: int) -> None:
    opened = open_program(pair[0])
    engine = Engine(opened.program, "portable")
    frames, pads = beginnings(opened.schema, 7)
    with ThreadPoolExecutor(threads) as pool:
        worlds = integer_worlds._ManyWorlds(engine, opened.schema, 7, pool, threads)
        worlds.advance(4)
        worlds.advance(4)
    played = np.concatenate([group.now for group in worlds.groups])
    for number in range(7):
        state, now = engine.zero_state(), frames[number : number + 1]
        for _ in range(2):
            now = engine.run(state, now, pads[number, :5], 4).frames[-1:]
        assert (played[number] == now[0]).all()


def test_quantized_forms_multiply_integers_and_stay_near(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    step = read_step(pair[1])
    schema = schema_of(step.schema, pair[1])
    gemms = sum(node.op_type == "Gemm" for node in step.model.graph.node)
    peers = {}
    for variant in ("float32", *onnx_variants.DYNAMIC, *onnx_variants.STATIC):
        path = onnx_variants.quantized(step, schema, variant, tmp_path)
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        if variant in onnx_variants.DYNAMIC:
            assert kinds.count("MatMulInteger") == gemms and "Gemm" not in kinds, variant
        elif variant in onnx_variants.STATIC:
            assert kinds.count("DequantizeLinear") >= 2 * gemms, variant
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        peers[variant] = onnx_worlds.SessionWorlds(session, schema, 4)
        peers[variant].call(2)
    exact = peers.pop("float32").values["p1.action"]
    for variant, peer in peers.items():
        found = peer.values["p1.action"]
        # "static int8" rounds norms, gates and states to 8 bits too
        near = 0.8 if variant == "static int8" else 0.9 if saturates() else 0.98
        assert near < np.corrcoef(found.ravel(), exact.ravel())[0, 1] < 1, variant


def test_row_whose_process_is_killed_says_so_and_the_others_go_on(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = workers.command

    def command(setup: Setup) -> list[str]:
        died = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        return [sys.executable, "-c", died] if setup.kind == "onnxruntime" else usual(setup)

    monkeypatch.setattr("wmq.bench.speed.measure.command", command)
    settings = SpeedSettings((PORTABLE, FLOAT), (1,), 0.01, 2, False, *map(str, pair))
    found = measure(settings, quietly)
    reasons = {cell.row: (cell.reason, cell.figure is None) for cell in found.cells}
    assert reasons == {PORTABLE.name: ("", False),
                       FLOAT.name: ("its process ended by SIGKILL", True)}  # fmt: skip
    assert not found.ratios
    lines = list(tables.text(found))
    assert f"left out: {FLOAT.name}: its process ended by SIGKILL" in lines


def test_split_sessions_share_the_worlds(pair: tuple[Path, Path]) -> None:
    split = Contender("onnxruntime", "float32 split", 2)
    settings = SpeedSettings((split,), (1, 3), 0.01, 1, False, *map(str, pair))
    found = measure(settings, quietly)
    assert [(cell.batch, cell.way, cell.reason) for cell in found.cells] == [
        (3, "session", ""), (3, "frame", "")
    ]  # fmt: skip


def scripted(code: str, folder: Path, seconds: float = 30.0) -> Worker:
    return Worker([sys.executable, "-c", code], folder / "err", limit=seconds)


def test_worker_that_ends_gives_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('{}', flush=True); input(); print('a\\nlast', file=sys.stderr); 1 / 0"
    with scripted(code, tmp_path) as worker:
        assert not worker.started.reason
        reason = worker.ask(Request("frame", 0.01)).reason
    assert reason == "its process ended with code 1: ZeroDivisionError: division by zero"


def test_worker_that_is_silent_or_talks_nonsense_is_ended(tmp_path: Path) -> None:
    with scripted("import time; time.sleep(60)", tmp_path, 0.2) as worker:
        assert worker.started.reason == "no answer within 0 s" and not worker.alive
    with scripted("print('hello', flush=True); input()", tmp_path) as worker:
        assert worker.started.reason == "no answer but 'hello'" and not worker.alive


def test_missing_library_is_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    setup = Setup("onnxruntime", "float32", 1, *map(str, pair), str(tmp_path))
    _, *module, words = workers.command(setup)
    code = f"""
import runpy, sys
sys.modules["onnxruntime"] = None
sys.argv = ["worker", {words!r}]
runpy.run_module({module[-1]!r}, run_name="__main__", alter_sys=True)
"""
    with scripted(code, tmp_path) as worker:
        reason = "onnxruntime is not installed: pip install 'wmq[quantize]'"
        assert worker.started.reason == reason


def test_pair_of_two_sizes_is_refused(models: Path, tmp_path: Path) -> None:
    setup = Setup("onnxruntime", "float32", 1, str(models / "small.wmq"),
                  str(embedded_model(".onnx")), str(tmp_path))  # fmt: skip
    with Worker(workers.command(setup), tmp_path / "err") as worker:
        assert "of another size" in worker.started.reason


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "tensorflow"), "--only tensorflow: in no row's name"),
        (("a.wmq", "a.onnx", "b.onnx"), "give an integer program and a float model"),
        (("only.wmq",), "only.wmq: no such file"),
        (("--json", "--markdown"), "only one of them"),
        (("--chart", "speed.gif"), "end the name with .svg or .png"),
        (("--chart", "no/such/speed.svg"), "its folder does not exist"),
        (("no.wmq", "no.onnx"), "no.wmq: no such file"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_2(arguments: tuple[str, ...], words: str) -> None:
    result = wmq("bench", "speed", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_rows_are_chosen_by_parts_of_their_names() -> None:
    assert [row.name for row in chosen(["portable", "torch compile, 2"])] == [
        "wmq portable, 1 thread", "wmq portable, 2 threads", "torch compile, 2 threads"
    ]  # fmt: skip
    assert chosen([]) == contenders() and len(contenders()) == len(set(contenders()))
    assert all(row.threads == row.least_batch == 2 for row in chosen(["split"]))


def test_tables_hold_every_median(small: SpeedReport) -> None:
    shown, markdown = "\n".join(tables.text(small)), "\n".join(tables.markdown(small))
    for cell in small.cells:
        assert cell.figure is not None
        for text in (shown, markdown):
            assert f"{cell.figure.median:,.0f} (" in text
    for ratio in small.ratios:
        assert f"{ratio.ratio:.2f}" in shown and f"{ratio.ratio:.2f}" in markdown
    for top in small.limits:
        assert f"{top.frames_per_second:,.0f}" in shown
        assert f"{top.frames_per_second:,.0f}" in markdown
    for line in markdown.splitlines():
        assert not line.startswith("|") or line.count("|") == 5  # two names, two batches


def test_profile_names_instructions_and_the_whole(small: SpeedReport) -> None:
    kinds = small.profile["portable"]
    assert set(kinds) <= {*TABLE, "dots", WHOLE, EMPTY} and {"dots", "scan_carry"} <= set(kinds)
    assert kinds[WHOLE] > kinds["dots"] > 0 and list(kinds)[:2] == [WHOLE, EMPTY]


def test_chart_is_drawn(small: SpeedReport, tmp_path: Path) -> None:
    from wmq.bench.speed.chart import draw
    from wmq.files.pictures import check_picture

    out = check_picture(str(tmp_path / "speed.svg"))
    draw(small, out)
    assert b"</svg>" in out.read_bytes() and list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
def test_ctrl_c_ends_the_workers_too(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def working() -> list[str]:
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = place.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(tmp_path) in text and "wmq.bench.worker" in text:
                found.append(text)
        return found

    command = [sys.executable, "-c", "from wmq.cli import main; main(prog_name='wmq')", "bench",
               "speed", *map(str, pair), "--only", "portable", "--repeats", "1000"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"TMPDIR": str(tmp_path)})  # fmt: skip
    deadline = time.monotonic() + 60
    while not working() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert (process.returncode, message) == (130, "wmq: interrupted\n")
    # One that was just being started is not known yet: it ends when nothing can come any more.
    while working() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not working() and not list(tmp_path.iterdir())


def test_suites_are_run_by_name() -> None:
    def benchmarks(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "benchmarks", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert benchmarks().stdout.split() == [
        "environments", "function_errors", "recurrence", "speed", "quantization"]  # fmt: skip
    for arguments in (
        ["speed", "--only", "tensorflow"],
        ["slow"],
        ["quantization", "--data", "nowhere", "-o", "nowhere"],
    ):
        found = benchmarks(*arguments)
        assert found.returncode == 2 and found.stderr.count("\n") == 1
    assert "usage: " in benchmarks("recurrence", "-h").stdout
