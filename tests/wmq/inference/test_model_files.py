"""Which model a command takes: the one that is named, its float step beside it, or the embedded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from calib.step.graph import build_step, read_step, to_bytes
from tests.support.drift_games import like_no_other
from tests.support.rollout_models import wmq
from tests.support.small_step import small_step
from wmq.files.digest import file_sha256
from wmq.inference.model_files import (
    ModelError,
    embedded_model,
    float_step_of,
    open_float,
    open_pair,
    open_program,
)
from wmq_kernels.program import encode

pytest_plugins = ("tests.support.rollout_models",)


def test_the_float_step_is_named_or_beside_or_embedded(tmp_path: Path) -> None:
    program, beside, other = (tmp_path / name for name in ("m.wmq", "m.onnx", "other.onnx"))
    program.touch(), other.touch()
    with pytest.raises(ModelError, match=r"m.onnx: no such file; .* m.wmq was .* with --float$"):
        float_step_of(program, None)
    beside.touch()
    assert float_step_of(program, None) == beside
    assert float_step_of(program, other) == other
    assert float_step_of(None, other) == other
    assert float_step_of(None, None) == embedded_model(".onnx")


COMMANDS = {
    "drift": ("drift", "{model}", "--data", "nowhere"),
    "sensitivity": ("sensitivity", "{model}", "--data", "{data}"),
    "report": ("report", "--int8", "{model}", "--viewer", "v.json", "--frames", "1"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_program_without_its_float_step_is_one_line(
    command: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the embedded float model in its place, which drift took."""
    from tests.support.tiny import walking_dataset

    monkeypatch.chdir(tmp_path)
    data = walking_dataset(tmp_path / "data").path
    shutil.copy(models / "small.wmq", tmp_path)
    line = [part.format(model="small.wmq", data=data) for part in COMMANDS[command]]
    alone = wmq(*line)
    assert alone.exit_code == 2 and alone.output.count("\n") == 1
    assert "small.onnx: no such file; name the float step that small.wmq was" in alone.output
    shutil.copy(models / "small.onnx", tmp_path)
    assert "no such file" not in wmq(*line).output


def test_the_first_line_says_that_the_embedded_model_is_taken(models: Path) -> None:
    line = ["rollout", "--frames", 2]
    said = f"no MODEL given: this is the embedded {embedded_model('.wmq').stem}\n"
    assert wmq(*line).stdout.startswith(said)
    json.loads(wmq(*line, "--json").output)
    assert said not in wmq(line[0], models / "small.wmq", *line[1:]).output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.pt", "a checkpoint, not a model of wmq; "),
        ("model.PTH", "a checkpoint, not a model"),
        ("model.safetensors", "a checkpoint, not a model"),
        ("notes.txt", "not a model; give a .wmq of `wmq calibrate` or a .onnx of `wmq export`"),
        ("run", "a folder; `wmq export` makes a model of a training run"),
    ],
)
def test_what_is_no_model_of_ours_is_one_line_with_a_way_out(
    name: str, reason: str, models: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.mkdir() if name == "run" else path.write_bytes(b"x" * 100)
    from tests.support.tiny import walking_dataset

    data = walking_dataset(tmp_path / "data").path
    rollout = tmp_path / "a.npz"
    assert wmq("rollout", models / "small.wmq", "--frames", 1, "-o", rollout).exit_code == 0
    for line in (
        ("rollout", path),
        ("rollout", path, "--float"),
        ("evaluate", "--data", data, path),
        ("verify", path, rollout),
        ("info", path),
        ("sensitivity", path, "--data", data),
        ("report", "--viewer", tmp_path / "v.json", "--int8", path),
        ("report", "--viewer", tmp_path / "v.json", "--int8", models / "small.wmq",
         "--float", path),
    ):  # fmt: skip
        result = wmq(*line)
        assert result.exit_code == 2 and result.stdout == "", line
        assert result.stderr.startswith(f"wmq: {path}: {reason}"), (line, result.stderr)
        assert result.stderr.count("\n") == 1
    swapped = wmq("verify", rollout, models / "small.wmq")
    assert swapped.exit_code == 2 and "not a stored rollout" in swapped.stderr


def test_a_pair_is_a_program_and_its_float_step(models: Path) -> None:
    for program in (None, models / "small.wmq"):
        integer, exact = open_pair(program, None)
        beside = embedded_model(".onnx") if program is None else models / "small.onnx"
        assert exact.path == beside and exact.sha256 == file_sha256(beside)
        assert integer.schema == exact.schema
        assert exact.step.metadata["wmq.run"] == integer.program.meta["run"]
        assert exact.spreads.keys() == set(exact.step.sizes.number_heads)
    assert open_float(None).path == embedded_model(".onnx")


def test_models_that_do_not_belong_together_are_one_line(models: Path, tmp_path: Path) -> None:
    program = models / "small.wmq"
    run = like_no_other(models / "small.onnx", tmp_path / "run.onnx")
    projectiles = tmp_path / "projectiles.onnx"
    projectiles.write_bytes(to_bytes(small_step(tmp_path, projectiles=True).model))
    cases = {
        run: "which is of another training run",
        projectiles: "which has other fields",
        embedded_model(".onnx"): "which is of another size",
    }
    for path, reason in cases.items():
        with pytest.raises(ModelError) as caught:
            open_pair(program, path)
        assert str(caught.value) == (f"{program}: was not made from {path} ({reason}); give the "
                                     "float step that it was calibrated from")  # fmt: skip


def test_a_program_that_names_its_file_takes_that_file_alone(models: Path, tmp_path: Path) -> None:
    """Another export of the same training run may round its weights."""
    source, named = models / "small.onnx", tmp_path / "named.wmq"
    program = open_program(models / "small.wmq").program
    about = {**program.meta, "calibration": {"onnx_sha256": file_sha256(source)}}
    named.write_bytes(encode(replace(program, meta=about)))
    open_pair(named, source)
    again = tmp_path / "again.onnx"
    step = read_step(source)
    texts = {"wmq.run": step.metadata["wmq.run"], "wmq.training": '{"exported": "again"}'}
    again.write_bytes(to_bytes(build_step(step.config, step.schema, dict(step.weights), texts)))
    open_pair(models / "small.wmq", again)  # names no file, and is of the same run
    with pytest.raises(ModelError, match=f"but from {file_sha256(source)[:16]}.., not "):
        open_pair(named, again)
