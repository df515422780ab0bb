"""Keys of kept results follow the imports of what measures."""

from __future__ import annotations

import shutil
from pathlib import Path

import grimp
import pytest

from wmq.bench.quantization import runner, wmq_methods
from wmq.drift import memo
from wmq.memo import provenance
from wmq.memo.provenance import PACKAGES, reached, sources
from wmq.toolkits import backends

# What a kept result comes from must be reached from what its key names.
MEASURING = {
    memo.MEASURING: (
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
        "calib.statistics.clipping",
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
