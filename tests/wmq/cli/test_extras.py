"""Without the extras: each command line that needs more says so in one line, before any work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wmq.cli import COMMANDS
from wmq.extras import EXTRAS, pip_command, require

ROOT = Path(__file__).resolve().parents[3]
REPLAY, FLOAT = ("peppi_py", "pyarrow"), ("onnx", "onnxruntime")
DATA = ("--data", "d")
# A command line, and the modules that it cannot do without.
LINES = [
    (["prepare", "game.slp", "-o", "out"], REPLAY),
    (["train", *DATA, "-o", "out"], ("torch", "pyarrow")),
    (["export", "run", "-o", "out.onnx"], ("torch", *FLOAT)),
    (["calibrate", "m.onnx", "-o", "out.wmq", *DATA], (*FLOAT, "pyarrow")),
    (["calibrate", "m.onnx", "--show-statistics", "--set", "self-play"], FLOAT),
    (["rollout", "--float"], FLOAT),
    (["rollout", "m.onnx"], FLOAT),
    (["rollout", "--start", "game.slp@100"], REPLAY),
    (["rollout", "-o", "out.arrow"], ("pyarrow",)),
    (["rollout", "-o", "out.parquet"], ("pyarrow",)),
    (["info", "m.onnx"], FLOAT),
    (["evaluate", *DATA], (*FLOAT, "pyarrow")),
    (["evaluate", *DATA, "m.onnx"], (*FLOAT, "pyarrow")),
    (["evaluate", *DATA, "frozen"], ("pyarrow",)),
    (["drift", *DATA, "-o", "out.json"], ("torch", *FLOAT, "pyarrow")),
    (["sensitivity", *DATA], (*FLOAT, "pyarrow")),
    (["sensitivity", *DATA, "--chart", "out.svg"], ("matplotlib", *FLOAT, "pyarrow")),
    (["report", "results", "-o", "out.html"], (*FLOAT, "matplotlib")),
    (["report", "--viewer", "out.json", "--start", "game.slp@3"], (*REPLAY, *FLOAT)),
    (["report", "--viewer", "out.json", *DATA], (*FLOAT, "pyarrow")),
    (["bench", "speed", "--chart", "out.png"], ("matplotlib",)),
    (["bench", "quantization", *DATA, "-o", "out"], ("torch", *FLOAT, "matplotlib", "pyarrow")),
]
BASE_ALONE = {"dataset", "recipes", "verify", "conformance", "completion"}

BLOCKED = """
import json, sys
blocked = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
from click.testing import CliRunner
from wmq.cli import main
for line in json.loads(sys.argv[2]):
    result = CliRunner().invoke(main, line)
    print(json.dumps([result.exit_code, result.stdout, result.stderr]))
"""


def without(modules: list[str], lines: list[list[str]], folder: Path) -> list[list]:
    """Exit code, stdout and stderr of each line in a process that lacks the modules."""
    command = [sys.executable, "-c", BLOCKED, json.dumps(modules), json.dumps(lines)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(ROOT), "HOME": str(folder / "home")})  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("m.onnx", "game.slp"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def extras_of(line: str) -> set[str]:
    found = re.fullmatch(r"wmq: .+: pip install 'wmq\[(.+)\]'(, or .+)?\n", line)
    assert found, line
    return set(found[1].split(","))


def brought_by(extras: set[str]) -> set[str]:
    """Modules, by what pyproject.toml says."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    packages = [p for name in extras for p in listed["optional-dependencies"][name]]
    return {re.split("[>=<[]", package)[0].replace("-", "_") for package in packages}


def test_each_missing_package_is_named_with_the_command_that_brings_it(folder: Path) -> None:
    outcomes = without(list(EXTRAS), [line for line, _ in LINES], folder)
    for (line, modules), (code, out, error) in zip(LINES, outcomes, strict=True):
        assert (code, out) == (2, ""), (line, error)
        assert brought_by(extras_of(error)) >= set(modules), line
        assert all(re.search(rf"\b{name}\b", error) for name in modules), (line, error)
    assert sorted(path.name for path in folder.iterdir()) == ["game.slp", "m.onnx"]
    assert {line[0] for line, _ in LINES} | BASE_ALONE == set(COMMANDS)


@pytest.mark.parametrize("module", EXTRAS)
def test_one_missing_package_is_noticed_before_any_work(module: str, folder: Path) -> None:
    lines = [line for line, modules in LINES if module in modules]
    for line, (code, out, error) in zip(lines, without([module], lines, folder), strict=True):
        assert (code, out) == (2, ""), (line, error)
        assert module in brought_by(extras_of(error)) and f" needs {module}: " in error, line
    assert sorted(path.name for path in folder.iterdir()) == ["game.slp", "m.onnx"]


def test_the_table_of_extras_is_that_of_the_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(listed["optional-dependencies"]) - {"all", "dev"}
    assert {extra for found in EXTRAS.values() for extra in found} == extras
    for module, found in EXTRAS.items():
        assert {extra for extra in extras if module in brought_by({extra})} == set(found)


def test_as_few_extras_as_will_do() -> None:
    assert pip_command(["pyarrow", "onnx"]) == "pip install 'wmq[quantize]'"
    assert pip_command(["pyarrow"]) == "pip install 'wmq[replays]'"
    assert pip_command(["onnxruntime", "torch"]) == "pip install 'wmq[train,quantize]'"
    require("this", EXTRAS)
