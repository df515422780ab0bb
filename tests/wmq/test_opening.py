"""Which model a command takes: the one that is named, its float step beside it, or the embedded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rollout_models import wmq

from wmq.opening import ModelError, embedded_model, float_step_of

pytest_plugins = ("rollout_models",)


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
    from tiny import walking_dataset

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
    said = "wmq: no MODEL is named: the embedded mamba2-medium\n"
    assert wmq(*line).stderr.startswith(said)
    json.loads(wmq(*line, "--json").output)
    assert said not in wmq(line[0], models / "small.wmq", *line[1:]).output
