"""What a run leaves behind in a user's home: files of wmq's own and no others."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tiny import walking_dataset

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "from wmq.cli import main; main(prog_name='wmq')"
LIBRARY = "from wmq.inference.float_predictor import OnnxPredictor; OnnxPredictor()"
WORKER = "import wmq.bench.worker.onnx_variants"


def files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in sorted(folder.rglob("*")) if p.is_file()]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (COMMAND, ["rollout", "--float", "--frames", "2"]),
        (COMMAND, ["evaluate", "--games", "1", "--frames", "20", "--data", "dataset"]),
        (LIBRARY, []),
        (WORKER, []),
    ],
)
def test_a_run_leaves_only_files_of_wmq(code: str, arguments: list[str], tmp_path: Path) -> None:
    """onnxruntime 1.32 keeps a device id and a queue of events there unless it is told not to."""
    home, data = tmp_path / "home", tmp_path / "dataset"
    home.mkdir()
    if "dataset" in arguments:
        walking_dataset(data)
        from wmq.inference.model_files import embedded_model

        arguments = [*arguments[:-1], str(data), str(embedded_model(".onnx"))]
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True,
                   env=environment, stdout=subprocess.DEVNULL)  # fmt: skip
    assert [name for name in files(home) if "wmq" not in Path(name).parts] == []


def imports_of_onnxruntime(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if any(name.split(".")[0] == "onnxruntime" for name in names):
            yield node.lineno


def test_every_import_of_onnxruntime_comes_after_the_switch() -> None:
    """Python runs a package's __init__ before its modules, and calib's sets the switch."""
    packages = ("wmq", "calib")
    found = [
        path.relative_to(ROOT)
        for folder in (*packages, "wmq_kernels", "benchmarks", "docs")
        for path in (ROOT / folder).rglob("*.py")
        if any(imports_of_onnxruntime(path))
    ]
    assert found and {path.parts[0] for path in found} <= set(packages)
    assert not {path.name for path in found} & {"__init__.py"}
    for package in packages:
        code = f"import os, sys; import {package}; print(os.environ['ORT_DISABLE_TELEMETRY'], "
        code += "'onnxruntime' in sys.modules)"
        for given in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
            environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
            result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=True,
                                    capture_output=True, env=environment | given)  # fmt: skip
            wanted = given.get("ORT_DISABLE_TELEMETRY", "1")
            assert result.stdout.split() == [wanted, "False"]
