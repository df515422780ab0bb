"""`wmq info` is a page for people; what it counts is what the file's own header says."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import pytest

from tests.support.replay_files import ROOT
from tests.support.rollout_models import wmq
from wmq.inference.model_files import open_program
from wmq_kernels.program import Program, encode

pytest_plugins = ("tests.support.rollout_models",)
BYTES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8}


def facts(path: Path) -> dict[str, Any]:
    result = wmq("info", path, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def with_meta(models: Path, folder: Path, meta: Mapping[str, Any]) -> Path:
    program: Program = open_program(models / "small.wmq").program
    path = folder / "other.wmq"
    path.write_bytes(encode(replace(program, meta={**program.meta, **meta})))
    return path


def test_what_it_counts_of_a_program_is_in_the_header(models: Path) -> None:
    found, content = facts(models / "small.wmq"), (models / "small.wmq").read_bytes()
    header = json.loads(content[16 : 16 + int.from_bytes(content[12:16], "little")])
    sizes = [(kind, BYTES[dtype] * prod(shape)) for _, dtype, shape, kind, *_ in header["values"]]
    assert found["state bytes"] == sum(size for kind, size in sizes if kind == "state")
    assert found["constant bytes"] == sum(size for kind, size in sizes if kind == "const")
    assert found["products"] == sum(p["n"] * p["o"] for op, _, p in header["steps"]
                                    if op in ("dot", "dot_add"))  # fmt: skip
    assert found["instructions"] == len(header["steps"]) and found["bytes"] == len(content)
    assert found["heads"] == {name: at[1] for name, at in header["heads"].items()}


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
def test_it_measures_frames_of_one_world_on_one_thread(models: Path, name: str) -> None:
    found = facts(models / name)["latency"]
    assert 0 < found["milliseconds"] < 1000
    assert found["threads"] == 1 and 0 < found["frames"] <= 200


@pytest.mark.parametrize("name", ["small.wmq", "small.onnx"])
def test_its_page_holds_no_json_and_fits_a_terminal(models: Path, name: str) -> None:
    page = wmq("info", models / name).stdout
    assert not set('{}"') & set(page)
    assert all(len(line) <= 100 for line in page.splitlines())
    titles = {line.split("  ")[0].strip() for line in page.splitlines()}
    assert {
        "file",
        "network",
        "latency",
        "weights",
        "a world",
        "training",
        "heads",
        "machine",
        "software",
        "kernel cache",
    } <= titles
    assert f"{facts(models / name)['state bytes']:,} bytes of state" in page


def test_a_recipe_is_named_and_told(models: Path, tmp_path: Path) -> None:
    recipe = {"name": "mine", "weights": {"rounding": "gptq"}, "layers": [1, 2]}
    calibration = {"recipe": recipe, "games": 16, "data": {"games": ["0" * 64] * 16}}
    page = wmq("info", with_meta(models, tmp_path, {"calibration": calibration})).stdout
    assert "mine: layers 1 2, weights.rounding gptq\n" in page
    assert "data.games 16 entries, games 16\n" in page


@pytest.mark.parametrize("odd", [None, 7, "text", [1], {"a": {"b": {"c": None}}}, {"a\x1b[2J": 1}])
def test_whatever_a_file_says_of_itself_is_shown(models: Path, tmp_path: Path, odd: object) -> None:
    meta = dict.fromkeys(("config", "calibration", "training", "run", "parameters"), odd)
    result = wmq("info", with_meta(models, tmp_path, meta))
    assert result.exit_code == 0 and "\x1b" not in result.output


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"notes"), ("rollout.npz", b"PK\3\4"), ("noise.wmq", b"\0" * 99),
     ("noise.onnx", b"\xff" * 99), ("empty.onnx", b""), ("empty.wmq", b""), ("a.wmq/", b"")],
)  # fmt: skip
def test_what_is_no_model_is_named_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_bytes(content)
    result = wmq("info", path)
    assert result.exit_code == 2 and not result.stdout
    assert result.stderr.startswith(f"wmq: {path}: ") and result.stderr.count("\n") == 1


def test_a_bug_report_has_the_versions_that_are_installed(models: Path) -> None:
    found = facts(models / "small.wmq")["environment"]
    assert found["python"] == platform.python_version() and found["wmq"] == version("wmq")
    for library, said in found["libraries"].items():
        assert said == version(library)
    assert {"numpy", "numba", "llvmlite", "onnxruntime", "torch"} <= found["libraries"].keys()
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert (found["kernels"] == "vnni") == (found["not vnni"] == "")


def test_a_bug_report_says_where_kernels_are_kept_or_why_nowhere(tmp_path: Path) -> None:
    """A file stands where the second folder should be."""
    (tmp_path / "file").touch()
    for folder in ("cache", "file"):
        env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / folder), "PYTHONPATH": str(ROOT)}
        code = (
            "import json; from wmq.cli.environment import environment as e; print(json.dumps(e()))"
        )
        done = subprocess.run([sys.executable, "-c", code], env=env, text=True, capture_output=True)
        found = json.loads(done.stdout)
        if folder == "cache":
            assert Path(found["cache"]).parent == tmp_path / "cache" and not found["cache obstacle"]
        else:
            assert found["cache"] is None and str(tmp_path / "file") in found["cache obstacle"]


def test_a_bug_report_can_be_had_though_the_model_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "noise.wmq").write_bytes(b"\0" * 99)
    result = wmq("info", tmp_path / "noise.wmq", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 2 and found["environment"]["python"]
    assert result.stderr == f"wmq: {found['error']}\n"
