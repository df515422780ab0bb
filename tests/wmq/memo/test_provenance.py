"""Keys of kept results follow the imports of what measures."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path

import grimp
import numpy as np
import pytest

from calib.arithmetic.grid import Grid
from calib.simulation.program_weights import HeldLinear
from calib.simulation.simulate import Change
from wmq.bench.quantization import runner, wmq_methods
from wmq.drift import stage_store
from wmq.inference.predictor import StartRow
from wmq.memo import provenance
from wmq.memo.provenance import PACKAGES, digest, reached, sources
from wmq.toolkits import backends

# What a kept result comes from must be reached from what its key names.
MEASURING = {
    stage_store.MEASURING: (
        "wmq.evaluation.metrics",
        "wmq.game.frame_update",
        "wmq.toolkits.onnx_files",
        "wmq.inference.torch_step",
        "wmq_kernels.engine.kernels",
        "wmq.rollout.controllers",
    ),
    "wmq.sensitivity.run": (
        "wmq.evaluation.metrics",
        "calib.simulation.simulate",
        "calib.simulation.clipping",
        "wmq.evaluation.rollout_error",
        "wmq_kernels.engine.kernels",
    ),
    runner.MEASURING[0]: (
        "wmq.evaluation.metrics",
        "wmq.bench.quantization.heads",
        "wmq.game.frame_update",
    ),
    wmq_methods.__name__: (
        "calib.lowering.lower",
        "calib.statistics.collect",
        "wmq_kernels.engine.kernels",
    ),
    "wmq.calibration.statistics": (
        "calib.statistics.collect",
        "wmq.calibration.self_play",
        "wmq.game.encoding",
    ),
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("module", MEASURING)
def test_what_is_reached_is_what_grimp_finds(graph: grimp.ImportGraph, module: str) -> None:
    """And the packages around it, whose code runs too, with what they import."""
    found = set(reached(module))
    assert graph.find_upstream_modules(module) | {module} <= found
    for name in found:
        assert graph.find_upstream_modules(name) <= found
        assert name.rpartition(".")[0] in found | {""}
    assert set(MEASURING[module]) <= found


def test_every_row_names_the_module_that_makes_it() -> None:
    """Two of them are imported by a computed name, which no graph shows."""
    for name in backends.NAMES:
        assert backends.inputs(name) == sources(f"wmq.toolkits.{backends.module_of(name)}")
    assert {backends.module_of(name) for name in backends.NAMES} == {
        "torch_methods",
        "onnx_methods",
    }


def test_a_name_that_no_file_has_is_an_error() -> None:
    for name in ("wmq.drift.gone", "wmq/drift/*.py", "numpy", "wmq.evaluation.metrics.Tally"):
        with pytest.raises(LookupError, match="no module of"):
            sources(name)


@pytest.mark.parametrize(
    ("line", "follows"),
    [
        ("import calib.other", True),
        ("from calib import other", True),
        ("from calib.other import something", True),
        ("from . import other", True),
        ("from .other import something", True),
        ("def f():\n    try:\n        from calib.other import x\n    finally:\n        pass", True),
        ("if TYPE_CHECKING:\n    import calib.other", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import calib.other", True),
        ("x = 'import calib.other'", False),
    ],
)
def test_every_kind_of_import_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, follows: bool
) -> None:
    (tmp_path / "calib").mkdir()
    for name, text in (("__init__", ""), ("one", line), ("other", "import calib.one, numpy")):
        (tmp_path / "calib" / f"{name}.py").write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    found = {"calib", "calib.one"} | ({"calib.other"} if follows else set())
    assert set(reached("calib.one")) == found


def test_another_metric_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in PACKAGES:
        shutil.copytree(provenance.ROOT / folder, tmp_path / folder,
                        ignore=lambda _, names: [n for n in names if n.endswith((
                            ".wmq", ".onnx", ".safetensors", "__pycache__"))])  # fmt: skip
    before = {module: sources(module) for module in MEASURING}
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    metrics = tmp_path / "wmq" / "evaluation" / "metrics.py"
    try:
        for change, same in (("", True), ("# another", False)):
            metrics.write_text(metrics.read_text("utf-8") + change, "utf-8")
            sources.cache_clear()
            for module, found in before.items():
                uses = "wmq.evaluation.metrics" in reached(module)
                assert (sources(module) == found) is (same or not uses), module
    finally:
        sources.cache_clear()


def test_digest_of_plain_data_is_that_of_its_json() -> None:
    """As the figures of the recipes that are shipped were filed."""
    text = b'[{"a":1,"b":[2.5,"x",null]},3]'
    assert digest({"b": [2.5, "x", None], "a": 1}, 3) == hashlib.sha256(text).hexdigest()


def test_digests_tell_apart_what_is_measured() -> None:
    array = np.arange(6)
    several = [
        1, 1.0, "1", [1], [[1]], [1, 23], [12, 3], {"a": 1}, None, True,
        array, array.astype(np.int32), array.astype(float), array.reshape(2, 3), array[::2],
        array[:0], array[None][:0], array.tolist(), [array, array], np.float32(0.1),
        np.float64(0.1), StartRow(1, 2), StartRow(2, 1), Grid(np.array([0.5]), -127, 127),
        Grid(np.array([0.25]), -127, 127), Change(), Change({"x": Grid(array, -1, 1)}),
        Change(linears={"x": HeldLinear(array, None, array, array, array)}),
        Change(weights={"x": array}),
    ]  # fmt: skip
    assert len({digest(part) for part in several}) == len(several)
    for part in several:
        assert digest(part) == digest(copy.deepcopy(part))
    assert digest(array) == digest(np.asfortranarray(array)) == digest(np.arange(12)[:6])
    assert digest(Change(carried={"b", "a", "c"})) == digest(Change(carried=frozenset("cab")))


def test_what_has_no_digest_is_an_error() -> None:
    for part in (object(), Path, lambda: 3):
        with pytest.raises(TypeError):
            digest(part)
